"""Fixed text and fields of one prompt, by aligning the texts that several calls sent.

Texts are cut into tokens and aligned two at a time: common ends first, then runs of tokens that are unique on both
sides (patience diff), longest runs first. What is left between two fixed runs is a field. The work grows linearly with
the length of the texts but for small gaps.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from itertools import pairwise

SMALL_GAP = 250_000
"""Up to so many token pairs, what has no unique run in common is aligned by difflib; larger gaps become one field."""
GRAMS = (6, 3, 2, 1)
"""Lengths of the unique runs looked for, in tokens."""
MANY_RUNS = 60
"""Of more fixed runs than so many, those too small to mean anything are dropped before known values are looked for."""
FEW_WORDS = 3
"""A fixed run of so many words may stand between two fields; a shorter one is taken for chance."""

_UNSPACED = (
    "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"
)
"""Scripts that put no space between words (Thai, Lao, Burmese, Khmer, Japanese, Chinese): a character is a token."""
_IN_WORD = rf"[^\W{_UNSPACED}]"
_TOKEN = re.compile(
    r"\r?\n"
    r"|[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}"  # a uuid
    # a number, date, time or version, with its sign
    rf"|(?<!{_IN_WORD})[-+]?\d(?:(?:{_IN_WORD}|[.:,+/%-])*{_IN_WORD})?[ \t]*"
    rf"|{_IN_WORD}*\d{_IN_WORD}*(?:[-.:/]{_IN_WORD}+)*[ \t]*"  # an identifier with digits
    rf"|[^\W_{_UNSPACED}]+(?:['\u2019_][^\W_{_UNSPACED}]+)*[ \t]*"  # a word
    r"|[ \t]+|.",
    re.DOTALL,
)
WORD = re.compile(rf"[^\W\d_{_UNSPACED}]{{2,}}|[{_UNSPACED}]{{1,2}}")
_LABEL = re.compile(r"[^\W\d_]{2,}[^\w\s]|[^\w\s][^\W\d_]{2,}")

Block = tuple[int, int, int]
"""(start in a, start in b, length) of a run of equal tokens."""


@dataclass(frozen=True, slots=True)
class Template:
    """Fixed runs with a field before, between and after them where texts differ.

    `"".join` of fixed runs and field values in turn gives each text back: `len(values[k]) == len(fixed) - 1`.
    """

    fixed: tuple[str, ...]
    """n + 1 fixed runs around n fields; the first and the last may be empty."""
    values: tuple[tuple[str, ...], ...]
    """For every text, the n values of its fields."""

    @property
    def size(self) -> int:
        """Characters that are fixed."""
        return sum(map(len, self.fixed))

    def texts(self) -> list[str]:
        """The texts it was made from."""
        return ["".join(weave(self.fixed, row)) for row in self.values]


def weave(fixed: Sequence[str], values: Sequence[str]) -> list[str]:
    """Fixed runs and values in turn: len(fixed) + len(values) pieces."""
    return [p for i, run in enumerate(fixed) for p in (run, *values[i : i + 1])]


def align(texts: Sequence[str]) -> Template:
    """The template that all `texts` (at least one) have in common; conservative about fixed runs between fields."""
    template = fine(texts)
    return settled(template, [""] * (len(template.fixed) - 1))[0]


def fine(texts: Sequence[str]) -> Template:
    """Everything that all `texts` have in common, also by chance."""
    rows = [_TOKEN.findall(text) for text in texts]
    shared: list[str | None] = list(rows[0])  # None: a field
    for row in rows[1:]:
        shared = _common(shared, row)
    runs, values = _placed(shared, rows)
    if len(runs) > MANY_RUNS:
        runs, values = _joined(runs, values, {i for i in range(1, len(runs) - 1) if not _promising(runs[i])})
    return _with_spaces_fixed(runs, values)


def settled(template: Template, names: Sequence[str]) -> tuple[Template, tuple[str, ...]]:
    """`template` without the fixed runs that stand between two fields by chance; and the names of the fields left.

    Args:
        template: As `fine` gives it.
        names: One per field; "" for a field of which no known value tells the extent.
    """
    runs, values, left = list(template.fixed), [list(row) for row in template.values], list(names)

    def drop(chance: set[int]) -> None:
        nonlocal runs, values, left
        runs, values = _joined(runs, values, chance)
        firsts = [n for n in range(len(left)) if n not in chance]
        left = ["" if n + 1 in chance else left[n] for n in firsts]

    drop(
        {i for i in range(1, len(runs) - 1) if not _promising(runs[i]) and not _beside(i, runs, values, left)}
    )
    while weak := {
        i
        for i in range(1, len(runs) - 1)
        if not _substantial(i, runs, values) and not _beside(i, runs, values, left)
    }:
        drop({min(weak, key=lambda i: len(runs[i]))})
    return _with_marks_free(_with_spaces_fixed(runs, values), left), tuple(left)


def blocks(a: Sequence[str | None], b: Sequence[str]) -> list[Block]:
    """Runs of equal tokens in order, without overlap; `None` equals nothing."""
    found: list[Block] = []
    waiting = [(0, len(a), 0, len(b))]
    while waiting:
        alo, ahi, blo, bhi = waiting.pop()
        n = 0
        while alo + n < ahi and blo + n < bhi and a[alo + n] == b[blo + n]:
            n += 1
        found += [(alo, blo, n)] if n else []
        alo, blo = alo + n, blo + n
        n = 0
        while alo < ahi - n and blo < bhi - n and a[ahi - n - 1] == b[bhi - n - 1]:
            n += 1
        ahi, bhi = ahi - n, bhi - n
        found += [(ahi, bhi, n)] if n else []
        if alo < ahi and blo < bhi:
            waiting += _between(a, b, (alo, ahi, blo, bhi), found)
    return sorted(found)


def _between(
    a: Sequence[str | None], b: Sequence[str], area: tuple[int, int, int, int], found: list[Block]
) -> list[tuple[int, int, int, int]]:
    """The areas before, between and after the anchors in `area`; small areas without any are aligned at once."""
    alo, ahi, blo, bhi = area
    for size in GRAMS:
        anchors = _unique(a, b, area, size)
        if anchors:
            edges = [(alo, blo, 0), *((i, j, size) for i, j in anchors), (ahi, bhi, 0)]
            found_now, out = [], []
            at, bt = alo, blo
            for i, j, n in edges[1:]:
                if i < at or j < bt:
                    continue  # an overlap with the run before, which was extended
                while n and i + n < ahi and j + n < bhi and a[i + n] == b[j + n]:
                    n += 1  # noqa: PLW2901 - the run goes on
                out.append((at, i, bt, j))
                found_now += [(i, j, n)] if n else []
                at, bt = i + n, j + n
            found += found_now
            return [(i, k, j, m) for i, k, j, m in out if i < k and j < m]
    if (ahi - alo) * (bhi - blo) <= SMALL_GAP:
        matcher = SequenceMatcher(None, list(a[alo:ahi]), list(b[blo:bhi]), autojunk=False)
        found += [(alo + m.a, blo + m.b, m.size) for m in matcher.get_matching_blocks() if m.size]
    return []


def _unique(
    a: Sequence[str | None], b: Sequence[str], area: tuple[int, int, int, int], size: int
) -> list[tuple[int, int]]:
    """Starts of runs of `size` tokens with a word in them that stand once on either side, in an increasing order."""
    alo, ahi, blo, bhi = area
    left = [tuple(a[i : i + size]) for i in range(alo, ahi - size + 1)]
    right = [tuple(b[j : j + size]) for j in range(blo, bhi - size + 1)]
    once_left, once_right = Counter(left), Counter(right)
    place: dict[tuple[str | None, ...], int] = {
        gram: blo + j for j, gram in enumerate(right) if once_right[gram] == 1
    }
    pairs = [
        (alo + i, place[gram])
        for i, gram in enumerate(left)
        if gram in place and once_left[gram] == 1 and None not in gram and any(map(_strong, gram))
    ]
    return _increasing(pairs)


def _strong(token: str | None) -> bool:
    return token is not None and bool(WORD.search(token))


def _increasing(pairs: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
    """The longest subsequence with increasing second numbers (patience sorting)."""
    tops: list[int] = []
    heads: list[int] = []
    before: list[int] = []
    for n, (_, j) in enumerate(pairs):
        pile = bisect_left(tops, j)
        before.append(heads[pile - 1] if pile else -1)
        tops[pile : pile + 1] = [j]
        heads[pile : pile + 1] = [n]
    out = []
    n = heads[-1] if heads else -1
    while n >= 0:
        out.append(pairs[n])
        n = before[n]
    return out[::-1]


def _common(shared: list[str | None], row: Sequence[str]) -> list[str | None]:
    """`shared` with a field wherever `row` differs."""
    out: list[str | None] = []
    at = bt = 0
    for i, j, n in [*blocks(shared, row), (len(shared), len(row), 0)]:
        if (i > at or j > bt) and not (out and out[-1] is None):
            out.append(None)
        out += shared[i : i + n]
        at, bt = i + n, j + n
    return out


def _placed(shared: Sequence[str | None], rows: Sequence[Sequence[str]]) -> tuple[list[str], list[list[str]]]:
    """Fixed runs, and what each text has between them: the fixed tokens are found again from the left."""
    runs: list[list[str]] = [[]]
    for token in shared:
        if token is None:
            runs.append([])
        else:
            runs[-1].append(token)
    values = []
    for row in rows:
        values.append(_values(runs, row))
    return ["".join(run) for run in runs], values


def _values(runs: Sequence[Sequence[str]], row: Sequence[str]) -> list[str]:
    """The values of one text: every run at its first place after the one before, the last one at the end."""
    at, out = len(runs[0]), []
    for n, run in enumerate(runs[1:], 1):
        size = len(run)
        start = len(row) - size if n == len(runs) - 1 else _find(row, run, at)
        out.append("".join(row[at:start]))
        at = start + size
    return out


def _find(row: Sequence[str], run: Sequence[str], start: int) -> int:
    size = len(run)
    while list(row[start : start + size]) != list(run):
        start += 1
        assert start <= len(row)
    return start


def _joined(
    runs: Sequence[str], values: Sequence[Sequence[str]], chance: set[int]
) -> tuple[list[str], list[list[str]]]:
    """Inner runs that stand there by chance become part of one field with the fields around them."""
    kept = [n for n in range(len(runs)) if n not in chance]
    rows = []
    for row in values:
        pieces = weave(runs, row)
        rows.append(["".join(pieces[2 * i + 1 : 2 * j]) for i, j in pairwise(kept)])
    return [runs[n] for n in kept], rows


def _promising(run: str) -> bool:
    """Whether a run between two fields may be more than what their values have in common by chance."""
    words = len(WORD.findall(run))
    return "\n" in run or words >= FEW_WORDS or (words > 0 and _LABEL.search(run) is not None)


def _substantial(i: int, runs: Sequence[str], values: Sequence[Sequence[str]]) -> bool:
    """Whether inner run `i` is fixed text: long for its surroundings, or a clear separator."""
    run = runs[i]
    around = [value for row in values for value in (row[i - 1], row[i])]
    words = len(WORD.findall(run))
    longest = max(value.count(" ") for value in around)
    if words >= FEW_WORDS + min(9, longest // 20):  # long texts share longer runs by chance
        return True
    if words:
        return not any(run in value for value in around)
    return not any("\n" in value for value in around)


def _beside(i: int, runs: Sequence[str], values: Sequence[Sequence[str]], names: Sequence[str]) -> bool:
    """Whether inner run `i` begins or ends where a known value does, and is found there again."""
    return bool(names[i - 1] or names[i]) and not any(runs[i] in row[i - 1] for row in values)


def _with_spaces_fixed(runs: Sequence[str], values: Sequence[Sequence[str]]) -> Template:
    """White space that all values of a field begin or end with is fixed."""
    fixed, columns = list(runs), [list(column) for column in zip(*values, strict=True)]
    for n, column in enumerate(columns):
        lead, tail = _shared_space(column)
        fixed[n] += column[0][:lead]
        fixed[n + 1] = column[0][len(column[0]) - tail :] + fixed[n + 1]
        columns[n] = [value[lead : len(value) - tail] for value in column]
    return Template(tuple(fixed), _rows(columns, len(values)))


def _with_marks_free(template: Template, names: Sequence[str]) -> Template:
    """A question or exclamation mark behind a field without name belongs to its values: all examples may be questions."""
    fixed, columns = list(template.fixed), [list(column) for column in zip(*template.values, strict=True)]
    for n in range(len(columns)):
        marks = 0 if names[n] else len(fixed[n + 1]) - len(fixed[n + 1].lstrip("?!"))
        columns[n] = [value + fixed[n + 1][:marks] for value in columns[n]]
        fixed[n + 1] = fixed[n + 1][marks:]
    return Template(tuple(fixed), _rows(columns, len(template.values)))


def _rows(columns: Sequence[Sequence[str]], n: int) -> tuple[tuple[str, ...], ...]:
    return tuple(zip(*columns, strict=True)) if columns else ((),) * n


def _shared_space(column: Sequence[str]) -> tuple[int, int]:
    """How many characters of white space all values begin with and, beyond these, end with."""
    short = min(map(len, column))
    lead = 0
    while lead < short and column[0][lead].isspace() and len({v[lead] for v in column}) == 1:
        lead += 1
    tail = 0
    while tail < short - lead and column[0][-1 - tail].isspace() and len({v[-1 - tail] for v in column}) == 1:
        tail += 1
    return lead, tail
