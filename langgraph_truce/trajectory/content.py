"""Content addressing: every content once, under a hash of what it is, growing lists as prefix plus new items.

`Trajectory.value` reads what `Contents` writes. The hash depends on the content alone, not on how it is stored:
a list's hash chains the hashes of its items, a dict's those of its members.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from operator import is_
from typing import Any

from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, SystemMessage

from langgraph_truce.rules.rule import content_hash
from langgraph_truce.trajectory.plain import shallow, tagged

INLINE = 64
"""Contents whose JSON has at most so many characters stand where they are used; larger ones are referenced."""
DEPTH = 40
"""Contents nested deeper than this (cyclic ones, mostly) are kept as their `repr`."""

Form = Any
"""A content as it stands in its parent: itself where short, else `{"$ref": hash}`."""
_REF = {"$ref"}


_json = json.JSONEncoder(ensure_ascii=True, separators=(",", ":")).encode


class Contents:
    """Contents by hash, in the making; not thread-safe.

    `put` costs time in proportion to the new parts of a content plus one dict lookup for every old list item.
    """

    def __init__(self) -> None:
        self.blobs: dict[str, Any] = {}
        """What is stored, by hash: goes into `Trajectory.blobs`."""
        self._chains: dict[tuple[str, str], str] = {}
        self._messages: dict[int, tuple[BaseMessage, tuple[Any, Any, Any], str, Form]] = {}
        self._plain: dict[tuple[str, str, str | None], tuple[str, Form]] = {}

    def put(self, value: Any) -> str:
        """Store `value` (made JSON by `plain.shallow` at every level) and give its reference."""
        key, form = self._enter(value, DEPTH)
        if not key.startswith("="):
            return key
        ref = content_hash(key)
        if ref not in self.blobs:
            if isinstance(form, dict):
                form = {"$dict": form}
            elif isinstance(form, list):
                form = {"$list": [None, *form]}
            self.blobs[ref] = form
        return ref

    def _enter(self, value: Any, depth: int) -> tuple[str, Form]:
        """Key and form of `value`; a key that begins with `=` is the JSON of a content that stands inline."""
        if isinstance(value, BaseMessage):
            return self._message(value, depth)
        if type(value) not in _JSON_TYPES:
            value = shallow(value)
        if depth <= 0 and isinstance(value, (dict, list)):
            value = tagged(value)
        if isinstance(value, dict):
            return self._dict(value, depth)
        if isinstance(value, list):
            return self._list(value, depth)
        if isinstance(value, float) and type(value) is float and value - value != 0.0:
            return self._dict(tagged(value), depth)
        text = _json(value)
        if len(text) <= INLINE:
            return "=" + text, value
        return self._store(content_hash("=" + text), value)

    def _message(self, value: BaseMessage, depth: int) -> tuple[str, Form]:
        said = value.content
        parts = (said, value.name, getattr(value, "tool_calls", None))
        known = self._messages.get(id(value))
        if known is not None and all(
            map(is_, known[1], parts)
        ):  # agents name a reply and edit its calls in place
            return known[2], known[3]
        simple = type(value) in _SIMPLE or (type(value) is AIMessage and not value.tool_calls)
        if isinstance(said, str) and simple:
            alike = (value.type, said, value.name)
            if alike not in self._plain:
                self._plain[alike] = self._dict(shallow(value), depth)
            key, form = self._plain[alike]
        else:
            key, form = self._dict(shallow(value), depth)
        self._messages[id(value)] = (value, parts, key, form)  # holds the object: its id stays its own
        return key, form

    def _dict(self, value: Mapping[Any, Any], depth: int) -> tuple[str, Form]:
        if any(type(k) is not str for k in value):
            value = {str(k): v for k, v in value.items()}
        members = {k: self._enter(v, depth - 1) for k, v in value.items()}
        forms = {k: form for k, (_, form) in members.items()}
        inline = all(key.startswith("=") for key, _ in members.values()) and set(forms) != _REF
        text = "{" + ",".join(f"{_json(k)}:{members[k][0]}" for k in sorted(members)) + "}"
        if inline and len(text) <= INLINE + len(members):
            return "=" + text, forms
        return self._store(content_hash(text), {"$dict": forms})

    def _list(self, value: list[Any], depth: int) -> tuple[str, Form]:
        items = [self._enter(v, depth - 1) for v in value]
        text = "[" + ",".join(key for key, _ in items) + "]" if len(items) <= INLINE else ""
        if text and len(text) <= INLINE + len(items) and all(key.startswith("=") for key, _ in items):
            return "=" + text, [form for _, form in items]
        chain, prefix, fresh = "", None, 0
        for n, (key, _) in enumerate(items, 1):
            longer = self._chains.get((chain, key))
            if longer is None:
                longer = self._chains[chain, key] = content_hash(f"{chain}[{key}")
            chain = longer
            if chain in self.blobs:
                prefix, fresh = chain, n
        return self._store(chain, {"$list": [prefix, *(form for _, form in items[fresh:])]})

    def _store(self, ref: str, blob: Any) -> tuple[str, Form]:
        self.blobs.setdefault(ref, blob)
        return ref, {"$ref": ref}


_SIMPLE = frozenset({SystemMessage, HumanMessage})
_JSON_TYPES = frozenset({dict, list, str, int, float, bool, type(None)})
