"""Walks through values of any kind (messages, pydantic models, dataclasses, dicts, lists): their words, and copies with others."""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from langchain_core.messages import BaseMessage
from langgraph.types import Send
from pydantic import BaseModel, ValidationError

LABELS = frozenset({"id", "name", "type", "role", "tool_call_id", "__type"})
"""Fields of a message (an object, or a dict with a `content`) that are no words."""


def leaves_of(value: Any) -> list[str]:
    """Every string in `value` that is no label."""
    found: list[str] = []

    def note(leaf: str) -> str:
        found.append(leaf)
        return leaf

    mapped(value, note, lambda message: message)
    return found


def tool_calls_of(value: Any) -> list[Mapping[str, Any]]:
    """The tool calls of every message in `value`."""
    found: list[Mapping[str, Any]] = []

    def note(message: BaseMessage) -> BaseMessage:
        found.extend(getattr(message, "tool_calls", ()))
        return message

    mapped(value, lambda leaf: leaf, note)
    return found


def mapped(value: Any, put: Callable[[str], str], finish: Callable[[Any], Any]) -> Any:
    """`value` with `put` of every string that is no label, and `finish` of every message; what does not change is shared."""
    if type(value) is str:
        return put(value)
    if isinstance(value, BaseMessage):
        content = _content(value.content, put)
        return finish(value if content == value.content else value.model_copy(update={"content": content}))
    if isinstance(value, Mapping):
        labels = LABELS if "content" in value else frozenset[str]()
        parts = {k: v if k in labels else mapped(v, put, finish) for k, v in value.items()}
        return value if _same(parts.values(), value.values()) else rebuilt(value, parts)
    if isinstance(value, (list, tuple, set, frozenset)):
        items = [mapped(v, put, finish) for v in value]
        return value if _same(items, value) else rebuilt(value, items)
    names = fields_of(value)
    changed = {n: mapped(getattr(value, n), put, finish) for n in names}
    return with_fields(value, {n: v for n, v in changed.items() if v is not getattr(value, n)})


def _content(content: Any, put: Callable[[str], str]) -> Any:
    """A message's content: a text, or blocks of which the texts are words and tool calls are left out."""
    if isinstance(content, str):
        return put(content)
    blocks = [b for b in content if not (isinstance(b, dict) and b.get("type") in {"tool_use", "tool_call"})]
    texts = [
        {**b, "text": put(b["text"])} if isinstance(b, dict) and isinstance(b.get("text"), str) else b
        for b in blocks
    ]
    return [put(b) if isinstance(b, str) else b for b in texts]


def _same(left: Iterable[Any], right: Iterable[Any]) -> bool:
    return all(a is b for a, b in zip(left, right, strict=True))


def rebuilt(value: Any, parts: Any) -> Any:
    """A container of the same class around other parts."""
    if isinstance(value, tuple) and hasattr(value, "_fields"):
        return type(value)(*parts)
    if isinstance(value, Mapping) and type(value) is not dict:
        changed = copy.copy(value)
        changed.update(parts)  # type: ignore[attr-defined]
        return changed
    return type(value)(parts)


def fields_of(value: Any) -> tuple[str, ...]:
    """Names of the fields of a pydantic model, a dataclass object or a `Send`; () for anything else."""
    if isinstance(value, BaseModel):
        return tuple(type(value).model_fields)
    if isinstance(value, Send):
        return ("arg",)
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return tuple(f.name for f in dataclasses.fields(value) if hasattr(value, f.name))
    return ()


def with_fields(value: Any, changed: Mapping[str, Any]) -> Any:
    """A copy with other fields. A field of a pydantic model that does not take its new value is a label, and stays."""
    if not changed:
        return value
    new = copy.copy(value)
    for name, given in changed.items():
        if isinstance(value, BaseModel):
            if _accepts(value, name, given):
                new = new.model_copy(update={name: given})
        else:
            object.__setattr__(new, name, given)
    return new


def _accepts(value: BaseModel, name: str, given: Any) -> bool:
    try:
        type(value).__pydantic_validator__.validate_assignment(value.model_copy(), name, given)
    except ValidationError as refused:
        return not any(error["loc"][:1] in {(name,), ()} for error in refused.errors())
    return True
