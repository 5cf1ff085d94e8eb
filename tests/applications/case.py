"""What the case of an application is written with: expected prompts, and what a scripted model says and reads."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from langchain_core.messages import AIMessage, BaseMessage, SystemMessage


@dataclass(frozen=True, slots=True)
class Expected:
    """One prompt as a person finds it in the code of an application."""

    role: str
    text: str
    """As it is sent, with `{name}` for each field."""
    fields: tuple[str, ...] = ()
    message: Literal["system", "human"] = "system"


def said(text: str) -> dict[str, Any]:
    """A user's message as graph input, in JSON."""
    return {"messages": [{"role": "user", "content": text}]}


def instructions_of(messages: Sequence[BaseMessage]) -> str:
    """What a scripted model is told: the system messages, else the first message."""
    system = [m.text for m in messages if isinstance(m, SystemMessage)]
    return "\n".join(system) if system else messages[0].text


def called(*calls: tuple[str, Mapping[str, Any]]) -> AIMessage:
    """A reply that calls tools: (name, arguments) each; the ids depend on the content alone."""
    made = [
        {"name": name, "args": dict(args), "id": _id(name, args), "type": "tool_call"} for name, args in calls
    ]
    return AIMessage(content="", tool_calls=made)


def _id(name: str, args: Mapping[str, Any]) -> str:
    return f"call_{hashlib.sha256(json.dumps([name, args]).encode()).hexdigest()[:10]}"


def part(pattern: str, text: str) -> str:
    """The first group of `pattern` in `text`."""
    found = re.search(pattern, text, re.DOTALL)
    assert found, f"{pattern!r} is not in {text!r}"
    return found.group(1)
