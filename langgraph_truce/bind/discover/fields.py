"""Names for the fields of a template, and their true extent where a known value covers more than what differs."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from langgraph_truce.bind.discover.align import Template, settled, weave
from langgraph_truce.bind.discover.known import Known

Reach = tuple[int, int, int]
"""How far a value goes around field n: (characters of the fixed run before it, its last field, characters of the run
behind that field)."""

EXACT = 0
"""Reach of a value that is just what differs: no character of the fixed text belongs to it."""


@dataclass(frozen=True, slots=True)
class Named:
    """A template whose fields have names."""

    template: Template
    names: tuple[str, ...]
    """One per field; equal names: the same value in every text."""
    told: tuple[bool, ...]
    """Whether a known value stands behind the field, in every text."""

    @property
    def text(self) -> str:
        """The template with `{name}` in the place of every field."""
        return "".join(weave(self.template.fixed, [f"{{{name}}}" for name in self.names]))

    @property
    def fields(self) -> tuple[str, ...]:
        """The names in order of their first place."""
        return tuple(dict.fromkeys(self.names))


def with_names(template: Template, known: Sequence[Known]) -> Named:
    """Name every field after the known value that stands there in all texts; `field_1`, `field_2` where none does.

    What only stands between fields by chance is no fixed text then.

    Two values that begin or end alike ("What is the capital of ...") make the fixed text look longer than it is: a
    field grows to the extent of its value where that is the same in all texts.

    Args:
        template: Of K texts, as `fine` gives it.
        known: What each of them may have been made from: len(known) == K.
    """
    names: list[str] = []
    n = 0
    while n < len(template.fixed) - 1:
        best = _best(template, known, n)
        if best is None:
            names.append("")
        else:
            name, reach = best
            template = _grown(template, n, reach)
            names.append(name)
        n += 1
    template, told = settled(template, names)
    return Named(template, distinct(template, told), tuple(bool(name) for name in told))


def _best(template: Template, known: Sequence[Known], n: int) -> tuple[str, Reach] | None:
    """The name and reach of field `n`: a value that is just what differs, else the one that covers most."""
    found: list[tuple[str, Reach]] = []
    shared = [name for name in known[0] if all(name in k for k in known)] if known else []
    texts = template.texts()
    for name in shared:
        reaches = set(_reaches(template, 0, texts[0], known[0][name], n))
        for k in range(1, len(known)):
            if not reaches:
                break
            reaches &= set(_reaches(template, k, texts[k], known[k][name], n))
        found += [(name, reach) for reach in reaches]
    exact = [f for f in found if f[1] == (EXACT, n, EXACT)]
    if exact:
        return exact[0]
    return max(found, key=lambda f: (f[1][1], f[1][0] + f[1][2]), default=None)


def _reaches(template: Template, k: int, text: str, values: frozenset[str], n: int) -> Iterator[Reach]:
    """Every way in which one of `values` covers field `n` of text `k`, and no other field in part."""
    spans = _spans(template, k)
    start, end = spans[n]
    left = len(template.fixed[n])
    for value in values:
        if not value:
            if start == end:
                yield EXACT, n, EXACT
            continue
        until = start + len(value)
        at = text.find(value, max(0, start - left), until)
        while at >= 0:
            stop = at + len(value)
            if stop >= end:
                last = max(j for j, span in enumerate(spans) if j >= n and span[1] <= stop)
                behind = stop - spans[last][1]
                if behind <= len(template.fixed[last + 1]):
                    yield start - at, last, behind
            at = text.find(value, at + 1, until)


def _spans(template: Template, k: int) -> list[tuple[int, int]]:
    """(start, end) of every field in text `k`."""
    out, at = [], len(template.fixed[0])
    for value, run in zip(template.values[k], template.fixed[1:], strict=True):
        out.append((at, at + len(value)))
        at += len(value) + len(run)
    return out


def _grown(template: Template, n: int, reach: Reach) -> Template:
    """Field `n` with the fixed characters and the fields that belong to it."""
    before, last, behind = reach
    fixed = template.fixed
    head, tail = fixed[n][: len(fixed[n]) - before], fixed[last + 1][behind:]
    lead, rest = fixed[n][len(head) :], fixed[last + 1][:behind]
    inner = fixed[n + 1 : last + 1]
    rows = []
    for row in template.values:
        value = lead + "".join(weave(row[n : last + 1], inner)) + rest
        rows.append((*row[:n], value, *row[last + 1 :]))
    return Template((*fixed[:n], head, tail, *fixed[last + 2 :]), tuple(rows))


def distinct(template: Template, names: Sequence[str]) -> tuple[str, ...]:
    """Identifiers; one name for the same value under one name, never one whose `{name}` stands in the text itself.

    Two values of different names that are equal in all texts stay two: they may differ in the next text.
    """
    columns = list(zip(*template.values, strict=True))
    taken: dict[str, tuple[str, ...]] = {}
    same: dict[tuple[str, tuple[str, ...]], str] = {}
    literal = "".join([*template.fixed, *(v for row in template.values for v in row)])
    out = []
    for name, column in zip(names, columns, strict=True):
        if (name, column) in same and len(set(column)) > 1:
            out.append(same[name, column])
            continue
        base = identifier(name) if name else "field"
        number = 1 if name else len([t for t in taken if t.startswith("field_")]) + 1
        chosen = base if name else f"field_{number}"
        while chosen in taken or f"{{{chosen}}}" in literal:
            number += 1
            chosen = f"{base}_{number}"
        taken[chosen], same[name, column] = column, chosen
        out.append(chosen)
    return tuple(out)


def identifier(name: str) -> str:
    """`name` as a field may be called."""
    plain = re.sub(r"\W", "_", name, flags=re.ASCII)
    return plain if plain and not plain[0].isdigit() else f"field_{plain}"
