"""How a recorded contribution is replaced: pure functions on what a task wrote, objects of the user's own classes included.

What is replaced are words: the strings that come from the model's reply. Names, ids, types, numbers, bools and the
routing stay, also where they were parsed from the reply. The new writes go through the reducers as the old ones did.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from langchain_core.messages import AIMessage, BaseMessage
from langgraph.types import Send

from langgraph_truce.errors import ReplayRefused
from langgraph_truce.rollout.fork import Writes
from langgraph_truce.rollout.history_tasks import SENDS
from langgraph_truce.rollout.task_runs import is_state
from langgraph_truce.rollout.words import (
    LABELS,
    fields_of,
    leaves_of,
    mapped,
    rebuilt,
    tool_calls_of,
    with_fields,
)
from langgraph_truce.trajectory.downstream import RETURNED, owners
from langgraph_truce.trajectory.step import Step, Trajectory

_PREVIOUS = "__previous__"
"""Where the functional API keeps an entrypoint's value for its next run."""


@dataclass(frozen=True, slots=True)
class Reply:
    """What a model said in a step."""

    text: str
    """The words of the message."""
    args: tuple[str, ...] = ()
    """Strings in the arguments of its tool calls: structured output comes that way."""

    def says(self, leaf: str) -> bool:
        """True where `leaf` is a part of it."""
        plain = " ".join(leaf.split())
        escaped = json.dumps(leaf, ensure_ascii=False)[1:-1]
        return any(plain in " ".join(part.split()) or escaped in part for part in (self.text, *self.args))


@dataclass(frozen=True, slots=True)
class Contribution:
    """A step, as far as grafting must know it."""

    step: str
    node: str
    """Name of the node: a label, not a word."""
    replies: tuple[Reply, ...] = ()
    """What its model said; empty where nothing is recorded: every string that is no label is a word then."""

    @classmethod
    def of(cls, trajectory: Trajectory | None, step: str) -> Contribution:
        """From the recorded step; without a trajectory from its id alone."""
        node = step.rpartition("#")[0].rpartition("/")[2]
        found = trajectory.step(step) if trajectory is not None else None
        return cls(step, node, _replies(trajectory, found) if trajectory and found else ())

    def word(self, leaf: str) -> bool:
        """True where `leaf` is (a part of) what the model said, or quotes all of it."""
        if not leaf.strip() or leaf == self.node:
            return False
        return not self.replies or any(
            reply.says(leaf) or (reply.text.strip() and reply.text.strip() in leaf) for reply in self.replies
        )


def neutral(writes: Writes, own: Contribution, words: str) -> Writes:
    """`words` where the step wrote its reply, nothing where it wrote shorter parts parsed from it.

    An `AIMessage` keeps id and name and loses its tool calls, and the `Send`s that carry them go with them: it said
    words instead. Where replies are recorded, `Send` arguments are replaced like state.

    Raises:
        ReplayRefused: the step wrote no words.
    """
    leaves = [leaf for value in _values(writes, own) for leaf in leaves_of(value) if own.word(leaf)]
    whole = _wholes(leaves, own)
    dropped = {str(call["id"]) for value in _values(writes, own) for call in tool_calls_of(value)}
    if not leaves and not dropped:
        raise ReplayRefused(
            f"step {own.step!r} wrote no words that could be replaced; give Change(writes=...) for it"
        )

    def put(leaf: str) -> str:
        if not own.word(leaf):
            return leaf
        for reply in own.replies:
            said = reply.text.strip()
            if said and said in leaf and not reply.says(leaf):
                return leaf.replace(said, words)
        return words if leaf in whole else ""

    def silent(message: BaseMessage) -> BaseMessage:
        if not isinstance(message, AIMessage):
            return message
        extra = {
            k: v for k, v in message.additional_kwargs.items() if k not in {"tool_calls", "function_call"}
        }
        gone = {"tool_calls": [], "invalid_tool_calls": [], "additional_kwargs": extra}
        return message.model_copy(update={"content": words, **gone} if message.tool_calls else gone)

    kept = [(c, v) for c, v in writes if not (c == SENDS and _carries(v, dropped))]
    return [(c, mapped(v, put, silent) if _open(c, v, own) else v) for c, v in kept]


def instead(writes: Writes, own: Contribution, theirs: Writes, other: Contribution) -> Writes:
    """The words of another step at the places of the step's own; structure, names, labels, numbers and routing stay.

    Where the two do not have one shape, the other's value is taken whole, with new message ids and under the step's name.

    Raises:
        ReplayRefused: the two steps have no channel in common that could be exchanged.
    """
    mine = [c for c, _ in writes if _swappable(c)]
    values: dict[str, list[Any]] = {}
    for channel, value in theirs:
        if _swappable(channel):
            values.setdefault(channel, []).append(value)
    only_mine = sorted(set(mine) - values.keys())
    only_theirs = sorted(values.keys() - set(mine))
    if len(only_mine) == len(only_theirs) == 1:  # two roles, each with a channel of its own
        values[only_mine[0]] = values[only_theirs[0]]
    if not set(mine) & values.keys():
        raise ReplayRefused(
            f"steps {own.step!r} and {other.step!r} wrote to different channels ({', '.join(sorted(set(mine)))}; "
            f"{', '.join(only_theirs)}); give Change(writes=...)"
        )
    grafted: list[tuple[str, Any]] = []
    for channel, value in writes:
        given = values.get(channel) if _swappable(channel) else None
        taken = given.pop(0) if given else None
        grafted.append(
            (channel, value if given is None or taken is None else _joined(value, taken, own, other))
        )
    return grafted


def given_writes(writes: Writes, own: Contribution, given: Mapping[str, Any], known: Iterable[str]) -> Writes:
    """The values of `given` in place of what the step wrote to those channels; a channel it did not write is added.

    Args:
        writes: What the step wrote.
        own: The step.
        given: Channel -> value.
        known: Channels of its graph.

    Raises:
        ReplayRefused: a channel that the graph does not have.
    """
    names = {c for c, _ in writes if _swappable(c)} | {c for c in known if is_state(c)}
    if lost := sorted(given.keys() - names):
        raise ReplayRefused(
            f"step {own.step!r}: its graph has no channel {', '.join(lost)}; it has: {', '.join(sorted(names))}"
        )
    done: list[tuple[str, Any]] = []
    for channel, value in writes:
        source = "__end__" if channel == _PREVIOUS and _PREVIOUS not in given else channel
        if source not in given:
            done.append((channel, value))
        elif channel not in {c for c, _ in done}:
            done.append((channel, given[source]))
    return [*done, *((c, v) for c, v in given.items() if c not in {w for w, _ in done})]


# Leaves ----------------------------------------------------------------------------------------------------------


def _swappable(channel: str) -> bool:
    return is_state(channel) or channel in {RETURNED, _PREVIOUS}


def _open(channel: str, value: Any, own: Contribution) -> bool:
    return _swappable(channel) or (channel == SENDS and isinstance(value, Send) and bool(own.replies))


def _values(writes: Writes, own: Contribution) -> list[Any]:
    return [value for channel, value in writes if _open(channel, value, own) and channel != SENDS]


def _wholes(leaves: Sequence[str], own: Contribution) -> frozenset[str]:
    """The leaves that stand for a whole reply: those equal to one, else the longest part of it."""
    if not own.replies:
        return frozenset(leaves)
    found: set[str] = set()
    for reply in own.replies:
        parts = [leaf for leaf in leaves if reply.says(leaf)]
        equal = {leaf for leaf in parts if leaf.strip() == reply.text.strip()}
        found |= equal or set(sorted(parts, key=len)[-1:])
    return frozenset(found)


def _carries(value: Any, calls: frozenset[str] | set[str]) -> bool:
    """True for a `Send` of one of these tool calls."""
    if not isinstance(value, Send):
        return False
    arg = value.arg.get("tool_call", value.arg) if isinstance(value.arg, Mapping) else None
    items = value.arg if isinstance(value.arg, list) else [arg]
    return any(isinstance(item, Mapping) and item.get("id") in calls for item in items)


# Two steps' values, side by side ---------------------------------------------------------------------------------


def _joined(mine: Any, theirs: Any, own: Contribution, other: Contribution) -> Any:
    if type(mine) is str and type(theirs) is str:
        return _word(mine, theirs, own, other)
    if isinstance(mine, BaseMessage) and isinstance(theirs, BaseMessage) and mine.type == theirs.type:
        said = mine.content
        if isinstance(said, str) and isinstance(theirs.content, str) and said:
            return mine.model_copy(update={"content": _word(said, theirs.content, own, other)})
        return mine.model_copy(update={"content": theirs.content})
    if isinstance(mine, Mapping) and isinstance(theirs, Mapping) and mine.keys() == theirs.keys():
        labels = LABELS if "content" in mine else frozenset[str]()
        pairs = {k: v if k in labels else _joined(v, theirs[k], own, other) for k, v in mine.items()}
        return rebuilt(mine, pairs)
    if isinstance(mine, (list, tuple)) and type(mine) is type(theirs) and len(mine) == len(theirs):
        return rebuilt(mine, [_joined(a, b, own, other) for a, b in zip(mine, theirs, strict=True)])
    if fields_of(mine) and type(mine) is type(theirs):
        names = [n for n in fields_of(mine) if hasattr(theirs, n)]
        return with_fields(
            mine, {n: _joined(getattr(mine, n), getattr(theirs, n), own, other) for n in names}
        )
    if type(mine) is type(theirs) and not isinstance(mine, (list, set, frozenset, Mapping)):
        return mine  # a number, a bool, an enum
    return _whole(theirs, own, other)


def _word(mine: str, theirs: str, own: Contribution, other: Contribution) -> str:
    if not own.word(mine):
        return mine
    for reply in own.replies:
        said = reply.text.strip()
        if said and said in mine and said != mine.strip() and other.replies:
            return mine.replace(said, other.replies[-1].text.strip())
    return theirs


def _whole(value: Any, own: Contribution, other: Contribution) -> Any:
    """Another step's value as if this step had written it: equal message ids would take the place of the other's."""

    def adopt(message: BaseMessage) -> BaseMessage:
        name = own.node if message.name == other.node else message.name
        return message.model_copy(update={"id": None, "name": name})

    return mapped(value, lambda leaf: leaf, adopt)


# Replies ---------------------------------------------------------------------------------------------------------


def _replies(trajectory: Trajectory, step: Step) -> tuple[Reply, ...]:
    """What models said in a step and in everything that ran inside it."""
    above = owners(trajectory)
    inside = {step.id}
    found: list[Reply] = []
    for each in trajectory.steps:  # an owner comes before its interior
        if each.id in inside or above[each.id] in inside:
            inside.add(each.id)
            outputs = (trajectory.value(c.output) for c in each.calls if c.output is not None)
            found.extend(_reply(output) for output in outputs if isinstance(output, Mapping))
    return tuple(reply for reply in found if reply.text.strip() or reply.args)


def _reply(output: Mapping[str, Any]) -> Reply:
    said = output.get("content", "")
    blocks = [said] if isinstance(said, str) else said if isinstance(said, list) else []
    texts = [b if isinstance(b, str) else b.get("text", "") for b in blocks if isinstance(b, (str, Mapping))]
    args = [leaf for call in output.get("tool_calls", ()) for leaf in leaves_of(call.get("args", {}))]
    return Reply("".join(str(t) for t in texts), tuple(args))
