"""Match the text of one slot against what a node sends, and put the captured values into edited text. Pure.

Both are linear in the text. The fixed pieces are taken in order: the first and the last at the ends, those between
at their leftmost place; a field that stands twice must have one value. Putting in is one pass: values that hold
braces or names of other fields stay what they are.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property

from langgraph_truce.bind.found import Slot

Values = Mapping[str, str]
"""Field name -> the text that stood there."""

_SHORT = 32
"""Characters; shorter pieces are searched for as they are."""


@dataclass(frozen=True)
class Pattern:
    """A text cut at its fields: len(pieces) == len(names) + 1."""

    pieces: tuple[str, ...]
    """The fixed text before, between and after the fields; pieces may be empty."""
    names: tuple[str, ...] = ()
    """The field at each cut; a name may stand several times."""

    @cached_property
    def fixed(self) -> int:
        """Characters of fixed text: of two patterns that match, the one with more is the better."""
        return sum(map(len, self.pieces))

    def match(self, sent: str) -> Values | None:
        """The values of the fields where `sent` is this text with them put in; else None."""
        first, last = self.pieces[0], self.pieces[-1]
        if not self.names:
            return {} if sent == first else None
        end = len(sent) - len(last)
        at = len(first)
        if at > end or not (sent.startswith(first) and sent.endswith(last)):
            return None
        values: dict[str, str] = {}
        *between, final = self.names
        for name, piece in zip(between, self.pieces[1:-1], strict=True):
            known = values.get(name)
            stop = _first(sent, piece, at, end) if known is None else at + len(known)
            if stop < 0 or (known is not None and not sent.startswith(known + piece, at, end)):
                return None
            values[name] = sent[at:stop]
            at = stop + len(piece)
        if values.setdefault(final, sent[at:end]) != sent[at:end]:
            return None
        return values

    def fill(self, values: Values) -> str:
        """The text with `values` put in; `match` gives them back where they do not hold the fixed text behind them.

        Raises:
            KeyError: a field has no value.
        """
        if not self.names:
            return self.pieces[0]
        parts = [self.pieces[0]]
        for name, piece in zip(self.names, self.pieces[1:], strict=True):
            parts += (values[name], piece)
        return "".join(parts)


def _first(sent: str, piece: str, at: int, end: int) -> int:
    """As `sent.find(piece, at, end)`, which prepares long pieces at some cost; mostly the first short hit is the place."""
    if len(piece) > _SHORT:
        at = sent.find(piece[:_SHORT], at, end)
        if at < 0 or sent.startswith(piece, at, end):
            return at
    return sent.find(piece, at, end)


def cut(text: str, fields: Iterable[str]) -> Pattern:
    """Cut `text` where one of `fields` stands as `{name}`; every other brace is text."""
    names = "|".join(re.escape(name) for name in fields)
    if not names:
        return Pattern((text,))
    parts = re.split(rf"\{{({names})\}}", text)
    return Pattern(tuple(parts[::2]), tuple(parts[1::2]))


def pattern(slot: Slot) -> Pattern:
    """The slot's own text, to match with."""
    return cut(slot.text, slot.fields)


def edited(slot: Slot, text: str) -> Pattern | None:
    """`text` of the rule book as what to send instead of the slot's own; None where nothing was edited.

    Fields that the edit left out are not sent; braces that are no field of the slot are text.
    """
    return None if text == slot.text else cut(text, slot.fields)
