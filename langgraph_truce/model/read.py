"""A JSON object out of whatever text a model wrote. Text is data: nothing of it is run.

Prose around the object, code fences, single quotes, bare words as keys and trailing commas are put right. A value
that is cut off, missing or left out (`...`) is a failure: repairing it would invent content.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import TypeVar

import json_repair
from pydantic import BaseModel, ValidationError

M = TypeVar("M", bound=BaseModel)
_CLOSES = re.compile(r"\s*(?:[,:}\]]|$)")  # what follows a quote that ends a string
_PAIRS = {"}": "{", "]": "["}
DEEPEST = 100
"""Levels that a reply's JSON may have: more are no answer, and overrun a reader's stack."""


class UnreadableError(ValueError):
    """The text holds no object of the schema; the message says why, for the model to read."""


def read_object(text: str, schema: type[M]) -> M:
    """The last object in `text` that fits `schema`.

    Raises:
        UnreadableError: there is none, or the text ends inside an object.
    """
    why = "the reply is empty" if not text.strip() else "the reply holds no JSON object"
    found: M | None = None
    names = {n for name, f in schema.model_fields.items() for n in (name, f.alias) if n}
    for candidate in candidates(text):
        try:
            value = _loads(candidate)
            if names and not (isinstance(value, dict) and names & value.keys()):
                continue  # braces in prose: where all fields have defaults, anything would fit
            found = schema.model_validate(value)
        except ValidationError as e:
            why = validation_words(e)
        except UnreadableError as e:
            why = str(e)
    if found is None:
        raise UnreadableError(why)
    return found


def validation_words(error: ValidationError) -> str:
    """What is wrong with an object, a clause a field, without the values."""
    parts = [f"{'.'.join(map(str, e['loc'])) or 'the object'}: {e['msg']}" for e in error.errors()[:5]]
    return "the JSON does not fit: " + "; ".join(parts)


def candidates(text: str) -> Iterator[str]:
    """Every outermost `{...}` of `text`, in order.

    Raises:
        UnreadableError: the text ends inside one: the reply was cut off.
    """
    at = text.find("{")
    while at >= 0:
        end = _end(text, at)
        if end is None:
            raise UnreadableError("the JSON is cut off: it ends before it is closed; answer shorter")
        yield text[at:end]
        at = text.find("{", end)


def _end(text: str, start: int) -> int | None:
    """Index after the bracket that closes the one at `start`; None where the text ends first."""
    depth = 0
    before = ""
    at = start
    while at < len(text):
        char = text[at]
        if char == '"' or (char == "'" and before in "{[,:"):
            at = _string_end(text, at)
            before = char
            continue
        if char in "{[":
            depth += 1
            if depth > DEEPEST:
                raise UnreadableError(
                    f"the JSON goes deeper than {DEEPEST} levels; answer in the form asked for"
                )
        elif char in "}]":
            depth -= 1
            if depth == 0:
                return at + 1
        if not char.isspace():
            before = char
        at += 1
    return None


def _string_end(text: str, start: int) -> int:
    """Index after the string that begins at `start`; the text's length where it is not closed."""
    quote = text[start]
    at = start + 1
    while at < len(text):
        if text[at] == "\\":
            at += 1
        elif text[at] == quote and _CLOSES.match(text, at + 1):
            return at + 1
        at += 1
    return len(text)


def _loads(candidate: str) -> object:
    try:
        return json.loads(candidate, strict=False)
    except ValueError:
        _no_gaps(candidate)
        return json_repair.loads(candidate, skip_json_loads=True)


def _no_gaps(candidate: str) -> None:
    """Refuse what a repair would fill in: a missing value, an ellipsis, brackets that do not match."""
    at, before, stack = 0, "", []
    while at < len(candidate):
        char = candidate[at]
        if char == '"' or (char == "'" and before in "{[,:"):
            at = _string_end(candidate, at)
            before = char
            continue
        if before == ":" and char in ",}]":
            raise UnreadableError("a value is missing in the JSON")
        if candidate.startswith("...", at) or char == "…":
            raise UnreadableError("the JSON leaves something out ('...'); write every value")
        if char in "{[":
            stack.append(char)
        elif char in "}]" and (not stack or stack.pop() != _PAIRS[char]):
            raise UnreadableError("the brackets of the JSON do not match")
        if not char.isspace():
            before = char
        at += 1
