"""Any Python value as JSON: one level at a time, and never an exception of the value's own making."""

from __future__ import annotations

import dataclasses
import enum
import math
import re
from collections.abc import Mapping, Sequence
from typing import Any

from langchain_core.messages import AIMessage, BaseMessage, ChatMessage, RemoveMessage, ToolMessage
from langgraph.types import Overwrite
from pydantic import BaseModel

_ROLES = {"human": "user", "ai": "assistant", "AIMessageChunk": "assistant", "HumanMessageChunk": "user"}
_ADDRESS = re.compile(r" at 0x[0-9a-fA-F]+")
REPR_LIMIT = 2_000
"""Characters kept of the `repr` of a value that has no JSON form."""
OVERWRITE = "__overwrite__"
"""LangGraph's own JSON form of `Overwrite`: a write that goes past the reducer."""


def message(value: BaseMessage) -> dict[str, Any]:
    """A chat message as `{"role", "content", "name"?, "tool_calls"?, "tool_call_id"?}`.

    Message ids are left out: a replay gives new ones to equal messages. `RemoveMessage` is nothing but its id,
    and keeps it.
    """
    role = value.role if isinstance(value, ChatMessage) else _ROLES.get(value.type, value.type)
    row: dict[str, Any] = {"role": role, "content": value.content}
    if value.name:
        row["name"] = value.name
    if isinstance(value, AIMessage) and value.tool_calls:
        row["tool_calls"] = [{"name": c["name"], "args": c["args"], "id": c["id"]} for c in value.tool_calls]
    elif isinstance(value, ToolMessage):
        row["tool_call_id"] = value.tool_call_id
        if value.status == "error":
            row["status"] = "error"
    elif isinstance(value, RemoveMessage):
        row["id"] = value.id
    return row


def shallow(value: Any) -> Any:
    """One level of `value` as JSON: None, bool, int, float, str, a list, or a dict with text keys.

    Pydantic models and dataclasses become dicts of their fields, enums their value; what has no JSON form becomes
    `{"$type": class, "repr": text}`. Members of lists and dicts are left as they are.
    """
    if value is None or isinstance(value, (bool, int, float, str)):
        return _scalar(value)
    if isinstance(value, BaseMessage):
        return message(value)
    if isinstance(value, Mapping):
        return {k if isinstance(k, str) else str(k): v for k, v in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, (bytes, bytearray, memoryview)):
        return list(value)
    if isinstance(value, (set, frozenset)):
        return sorted(value, key=repr)
    return _object(value)


def _scalar(value: Any) -> Any:
    if isinstance(value, enum.Enum):
        return shallow(value.value)
    if isinstance(value, float) and not math.isfinite(value):
        return tagged(value)
    for base in (bool, int, float, str):
        if isinstance(value, base):
            return base(value) if type(value) is not base else value
    return value


def deep(value: Any) -> Any:
    """All of `value` as JSON, level by level (`shallow`); a value that holds itself is cut where it comes again."""
    return _deep(value, ())


def _deep(value: Any, above: tuple[int, ...]) -> Any:
    if id(value) in above:
        return tagged(value)
    flat = shallow(value)
    if isinstance(flat, dict):
        return {k: _deep(v, (*above, id(value))) for k, v in flat.items()}
    if isinstance(flat, list):
        return [_deep(v, (*above, id(value))) for v in flat]
    return flat


def _object(value: Any) -> Any:
    if isinstance(value, BaseModel):
        return {name: getattr(value, name) for name in type(value).model_fields}
    if isinstance(value, Overwrite):
        return {OVERWRITE: value.value}
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {f.name: getattr(value, f.name, None) for f in dataclasses.fields(value)}
    if isinstance(value, enum.Enum):
        return shallow(value.value)
    return tagged(value)


def tagged(value: Any) -> dict[str, str]:
    """A value without JSON form; memory addresses go, so that equal runs give equal contents."""
    try:
        text = _ADDRESS.sub("", repr(value))
    except Exception as broken:  # noqa: BLE001 (a foreign __repr__ may raise anything; that is recorded)
        text = f"repr failed: {type(broken).__name__}"
    cls = type(value)
    return {"$type": f"{cls.__module__}.{cls.__qualname__}", "repr": text[:REPR_LIMIT]}


def error_text(error: BaseException) -> str:
    """`Type: message` of an exception."""
    try:
        text = str(error)
    except Exception as broken:  # noqa: BLE001 (a foreign __str__ may raise anything; that is recorded)
        text = f"its message cannot be read ({type(broken).__name__})"
    return f"{type(error).__name__}: {text}" if text else type(error).__name__
