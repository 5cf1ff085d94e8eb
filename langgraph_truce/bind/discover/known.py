"""What a node was given, by name, in the forms in which it may stand in a prompt: fields are named after it."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import fields, is_dataclass
from typing import Any

from langchain_core.messages import BaseMessage
from pydantic import BaseModel

Known = Mapping[str, frozenset[str]]
"""Name of a state channel or task input -> the texts that may stand for it in a prompt."""

DEPTH = 4
"""Levels of mappings and lists that are looked into."""
ITEMS = 100
"""Items of a list that are looked at."""
LONGEST = 200_000
"""Characters of a value; longer ones are not looked for."""
JOINTS = ("\n", "\n\n", ", ", " ", "; ", "\n- ", "")
"""What lists of texts are joined with in prompts."""


def known(*given: Any) -> Known:
    """All named values in `given` (mappings, pydantic models, dataclasses), the later ones first."""
    out: dict[str, set[str]] = {}
    for one in reversed(given):
        for name, value in named(one).items():
            _put(out, name, value, DEPTH)
    return {name: frozenset(texts) for name, texts in out.items() if texts}


def named(value: Any) -> Mapping[str, Any]:
    """The parts of `value` by name; empty where it has none."""
    if isinstance(value, Mapping):
        return {k: v for k, v in value.items() if isinstance(k, str)}
    if isinstance(value, BaseMessage):
        return {}
    if isinstance(value, BaseModel):
        return {name: getattr(value, name) for name in type(value).model_fields}
    if is_dataclass(value) and not isinstance(value, type):
        return {f.name: getattr(value, f.name, None) for f in fields(value)}
    return {}


def message_texts(given: Iterable[Any]) -> frozenset[str]:
    """Texts of the messages anywhere in `given`: what a node passes on, and did not write."""
    out: set[str] = set()
    for one in given:
        _messages(one, out, DEPTH)
    return frozenset(out)


def _messages(value: Any, out: set[str], depth: int) -> None:
    if isinstance(value, BaseMessage):
        out.add(value.text)
    elif depth and isinstance(value, list | tuple):
        for item in value[-ITEMS:]:
            _messages(item, out, depth - 1)
    elif depth:
        for item in named(value).values():
            _messages(item, out, depth - 1)


def _put(out: dict[str, set[str]], name: str, value: Any, depth: int) -> None:
    texts = out.setdefault(name, set())
    texts.update(text for text in _texts(value) if len(text) <= LONGEST)
    if not depth:
        return
    if isinstance(value, BaseMessage | str | bytes):
        return
    if isinstance(value, Sequence):
        for item in value[:ITEMS]:
            _put(out, name, item, depth - 1)
            for inner, part in named(item).items():
                _put(out, inner, part, depth - 1)
        return
    for inner, part in named(value).items():
        _put(out, inner, part, depth - 1)


def _texts(value: Any) -> Iterable[str]:
    """The forms of one value: `str`, JSON, and joined where it is a list of texts."""
    if isinstance(value, str):
        return (value, value.strip())
    if isinstance(value, BaseMessage):
        return (value.text, value.text.strip())
    if isinstance(value, bytes):
        return ()
    out = [str(value)]
    if isinstance(value, list | tuple):
        parts = [item.text if isinstance(item, BaseMessage) else item for item in value]
        if parts and all(isinstance(part, str) for part in parts):
            out += [joint.join(parts) for joint in JOINTS]
            out.append("- " + "\n- ".join(parts))
    if isinstance(value, Mapping | list | tuple):
        try:
            out += [json.dumps(value), json.dumps(value, indent=2), json.dumps(value, ensure_ascii=False)]
        except (TypeError, ValueError):  # no JSON: it stands in a prompt as `str` writes it
            return out
    return out
