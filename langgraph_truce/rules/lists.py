"""List items as spans: an item with its continuation lines and nested items is one rule.

A nested item belongs to its parent's text. It often means nothing alone ("When a refund is asked for:"), and a
rule that carries its details can be modified or deleted without leaving orphans. Code or JSON inside an item
stays fixed: the item's rule ends before it.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence

from langgraph_truce.rules.fixed import Mask
from langgraph_truce.rules.lines import Line
from langgraph_truce.rules.markers import Marker, marker

_FIELD = r"\{\{? *\w+ *\}?\}"
_DATA = re.compile(rf"(?:[^{{}}.!?]{{0,40}}[:=]\s*)?[\"'`]?{_FIELD}[\"'`.]?|[\W\d_]*")
_DEEPER = 2


def items(lines: Sequence[Line], fixed: Mask, headings: Sequence[bool]) -> tuple[list[tuple[int, int]], Mask]:
    """(start, end) of every item's text, and which lines belong to an item."""
    sure = _sure(lines, fixed)
    taken = [False] * len(lines)
    spans = []
    i = 0
    while i < len(lines):
        found = None if fixed[i] or headings[i] else sure.get(i)
        if found is None:
            i += 1
            continue
        last = _last(lines, i, fixed, headings, sure)
        taken[i : last + 1] = [True] * (last + 1 - i)
        body = lines[i].body[len(found.text) :].lstrip()
        span = (lines[i].begin + len(lines[i].body) - len(body), lines[last].end)
        if span[0] < span[1] and not (last == i and _DATA.fullmatch(body)):
            spans.append(span)
        i = last + 1
    return spans, taken


def _sure(lines: Sequence[Line], fixed: Mask) -> dict[int, Marker]:
    """The markers by line; unsure ones only with a second one: of their style at the same indent, or on the next line."""
    found = {i: m for i, line in enumerate(lines) if not fixed[i] and (m := marker(line.body))}
    like = Counter((_kind(m), lines[i].indent) for i, m in found.items())

    def backed(i: int, m: Marker) -> bool:
        beside = any((near := found.get(i + step)) and near.style == m.style for step in (-1, 1))
        return not m.unsure or beside or like[_kind(m), lines[i].indent] > 1

    return {i: m for i, m in found.items() if backed(i, m)}


def _kind(m: Marker) -> str:
    """Signs are told apart, numbers are not."""
    return m.text.strip() if m.style == "sign" else m.style


def _last(
    lines: Sequence[Line], first: int, fixed: Mask, headings: Sequence[bool], sure: dict[int, Marker]
) -> int:
    """Last line of the item that starts at `first`."""
    last = first
    if lines[first].closes:
        return last
    j = first + 1
    while j < len(lines):
        line = lines[j]
        if line.blank:
            j += 1
            continue
        deeper = line.indent - lines[first].indent
        if fixed[j] or line.tagged or (headings[j] and deeper < _DEEPER):
            break
        after_blank = j > last + 1
        loose = j not in sure and not after_blank and (deeper == 1 or _wraps(lines[j - 1].body, line.body))
        if deeper < _DEEPER and not loose:
            break
        last = j
        j += 1
    return last


def _wraps(above: str, body: str) -> bool:
    """A line at the margin that plainly goes on with the sentence above."""
    return body[:1].islower() and not above.endswith((".", "!", "?", ":", ";"))
