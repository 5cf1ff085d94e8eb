"""What reached an application's model: every call with its role path, as plain data that can be compared."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.messages import BaseMessage

from langgraph_truce.testing import ScriptedModel
from tests.applications.case import Expected

Message = Mapping[str, Any]
Calls = Mapping[str, Sequence[Sequence[Message]]]
"""Role path -> its calls in order, each the messages that the model was given."""


class Roles(BaseCallbackHandler):
    """Notes whose turn it is when the model is called; what it was given is read from the model."""

    run_inline = True

    def __init__(self) -> None:
        self.calls: list[tuple[str, list[BaseMessage]]] = []

    def on_chat_model_start(
        self,
        serialized: dict[str, Any],
        messages: list[list[BaseMessage]],
        *,
        run_id: UUID,
        metadata: dict[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        namespace = (metadata or {}).get("langgraph_checkpoint_ns", "")
        parts = [p.partition(":")[0] for p in namespace.split("|")]
        self.calls.append(("/".join(p for p in parts if not p.isdecimal()), messages[0]))

    def by_role(self, model: ScriptedModel, since: int = 0) -> Calls:
        """The calls in order per role; each of them is one that reached the model."""
        reached = [comparable(call.messages) for call in model.calls[since:]]
        out: defaultdict[str, list[list[Message]]] = defaultdict(list)
        for role, messages in self.calls:
            plain = comparable(messages)
            reached.remove(plain)
            out[role].append(plain)
        assert reached == []
        return dict(out)


def comparable(messages: Sequence[BaseMessage]) -> list[Message]:
    """Everything of the messages, with random ids numbered in the order in which they stand there."""
    numbers: dict[str, int] = {}
    return [_numbered(m.model_dump(), numbers) for m in messages]


def _numbered(value: Any, numbers: dict[str, int], key: str = "") -> Any:
    if isinstance(value, Mapping):
        return {k: _numbered(v, numbers, k) for k, v in value.items()}
    if isinstance(value, list):
        return [_numbered(v, numbers) for v in value]
    if isinstance(value, str) and (key == "id" or key.endswith("_id")):
        return numbers.setdefault(value, len(numbers))
    return value


def fits(expected: Expected, messages: Sequence[Message]) -> bool:
    """Whether one text of the message that carries instructions is `expected` with values in its fields."""
    pattern = re.escape(expected.text)
    for field in expected.fields:
        pattern = pattern.replace(re.escape(f"{{{field}}}"), ".*?")
    system = [m for m in messages if m["type"] == "system"]
    carrying = system if expected.message == "system" else [] if system else messages[:1]
    return any(re.fullmatch(pattern, text, re.DOTALL) for m in carrying for text in texts(m))


def texts(message: Message) -> list[str]:
    """The text of a message, or of each of its blocks."""
    content = message["content"]
    return [content] if isinstance(content, str) else [block["text"] for block in content]


def without_usage(calls: Calls) -> Calls:
    """The calls without the token counts of earlier replies, which differ with the length of a prompt."""
    return {
        role: [[{k: v for k, v in m.items() if k != "usage_metadata"} for m in messages] for messages in them]
        for role, them in calls.items()
    }


def in_order(calls: Calls, *, fans_out: bool) -> Calls:
    """The calls as they came; where calls of a role may overtake each other, in the order of their content."""
    return {role: sorted(them, key=repr) if fans_out else them for role, them in calls.items()}
