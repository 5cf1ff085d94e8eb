"""A trajectory as text, for prompts and people: one block a step, under the step's id."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from typing import Any

from langgraph_truce.trajectory.step import Step, Trajectory

_HEAD = re.compile(r"^(?=[ \t]*\[[^\[\]\n]*#\d+\.\d+\])", re.MULTILINE)
"""Where a line begins as a step does: what an agent says must not pass for another step."""
LIMIT = 12_000
"""Characters of a transcript unless told otherwise; about 3 000 tokens."""


def transcript(trajectory: Trajectory, step_ids: Iterable[str], *, limit_chars: int = LIMIT) -> str:
    """The named steps, in the trajectory's order: id, role, round, what was said or written, errors.

    A step with model calls shows what the model said, any other what the node wrote. Where the text is too long, the
    longest blocks are cut in their middle first; where that is not enough, blocks in the middle are left out.
    Every cut says how much is missing, and the result has at most `limit_chars` characters (at least 200).
    Ids that the trajectory does not have are passed over.
    """
    wanted = frozenset(step_ids)
    blocks = [_block(trajectory, step) for step in trajectory.steps if step.id in wanted]
    limit = max(limit_chars, 200)
    if _length(blocks) > limit:
        blocks = _shortened(blocks, limit)
    return "\n\n".join(blocks)


def said(trajectory: Trajectory, step: Step) -> str:
    """What a step contributed: its model's last reply, else what it wrote."""
    outputs = [call.output for call in step.calls if call.output is not None]
    if outputs:
        return "\n".join(filter(None, [_message(trajectory.value(outputs[-1])), *_tools(trajectory, step)]))
    written = [f"{channel}: {_text(trajectory.value(ref))}" for channel, ref in step.writes.items()]
    return "\n".join([*written, *_tools(trajectory, step)])


def cut(text: str, limit: int) -> str:
    """`text` with its middle replaced by a mark that says how much is gone, at most `limit` characters long."""
    if len(text) <= limit:
        return text
    room = limit - len(_mark(len(text)))
    if room <= 0:
        return text[: max(limit, 0)]
    head = (room + 1) // 2
    tail = room - head
    return text[:head] + _mark(len(text) - room) + text[len(text) - tail :]


def _mark(missing: int) -> str:
    return f" [... {missing} characters left out ...] "


def _block(trajectory: Trajectory, step: Step) -> str:
    lines = [said(trajectory, step) or "(nothing)"]
    if step.goto:
        lines.append(f"went to: {', '.join(step.goto)}")
    lines += [f"model call failed: {call.error}" for call in step.calls if call.error]
    if step.error:
        lines.append(f"error: {step.error}")
    return f"[{step.id}] role {step.role}, round {step.round}\n" + _HEAD.sub("> ", "\n".join(lines))


def _tools(trajectory: Trajectory, step: Step) -> list[str]:
    return [
        f"tool {tool['name']}({_text(trajectory.value(tool['input']))}) -> "
        + (tool["error"] or _text(None if tool["output"] is None else trajectory.value(tool["output"])))
        for tool in step.tools
    ]


def _message(message: Any) -> str:
    if not isinstance(message, dict):
        return _text(message)
    calls = [f"calls {c['name']}({_text(c['args'])})" for c in message.get("tool_calls", ())]
    content = message.get("content", "")
    return "\n".join(filter(None, [_text(content) if content else "", *calls]))


def _text(value: Any) -> str:
    """Text as it is, messages as `role: content`, the utterance of a debate as its words, everything else as JSON."""
    if isinstance(value, str):
        return value
    messages = value if isinstance(value, list) else [value]
    match messages:
        case [{"role": _, "round": _, "text": str(words), **rest}] if not rest:
            return words  # without the role's name: an "agent B" has not chosen option B
    if messages and all(isinstance(m, dict) and {"role", "content"} <= m.keys() for m in messages):
        return "\n".join(f"{m.get('name') or m['role']}: {_message(m)}" for m in messages)
    return json.dumps(value, ensure_ascii=False)


def _length(blocks: list[str]) -> int:
    return sum(map(len, blocks)) + 2 * (len(blocks) - 1)


def _shortened(blocks: list[str], limit: int) -> list[str]:
    """Blocks cut to one common length; if each would fall under about 120 characters, the middle ones go."""
    keep = max(1, (limit - 60) // 122)
    if keep >= len(blocks):
        return _evenly(blocks, limit)
    head = (keep + 1) // 2
    note = f"[... {len(blocks) - keep} steps left out ...]"
    kept = _evenly([*blocks[:head], *blocks[len(blocks) - keep + head :]], limit - len(note) - 2)
    return [*kept[:head], note, *kept[head:]]


def _evenly(blocks: list[str], limit: int) -> list[str]:
    """Blocks cut to the largest common length that fits."""
    low, high = 0, max(map(len, blocks))
    while low < high:
        middle = (low + high + 1) // 2
        if sum(min(len(b), middle) for b in blocks) + 2 * (len(blocks) - 1) <= limit:
            low = middle
        else:
            high = middle - 1
    return [cut(block, low) for block in blocks]
