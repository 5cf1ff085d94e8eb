"""Two texts, word by word: what stayed, what went, what came."""

from __future__ import annotations

import difflib
import re
from typing import Literal, NamedTuple

_WORDS = re.compile(r"\s+|\w+|[^\w\s]")
_MOSTLY_NEW = 0.3
LONGEST = 4_000
"""Words and spaces; longer texts are shown whole, because the comparison takes time that grows with their square."""


class Piece(NamedTuple):
    """A run of words."""

    op: Literal["same", "gone", "come"]
    text: str


def worded(old: str, new: str) -> tuple[Piece, ...]:
    """The pieces in reading order; "same" and "gone" joined give `old`, "same" and "come" give `new`.

    Where little is common, or a text is very long, all of `old` is gone and all of `new` has come.
    """
    a, b = _WORDS.findall(old), _WORDS.findall(new)
    matcher = difflib.SequenceMatcher(None, a, b, autojunk=False)
    if max(len(a), len(b)) > LONGEST or matcher.ratio() < _MOSTLY_NEW:
        return tuple(p for p in (Piece("gone", old), Piece("come", new)) if p.text)
    found: list[Piece] = []
    for op, i, j, k, m in matcher.get_opcodes():
        if op == "equal":
            found.append(Piece("same", "".join(a[i:j])))
            continue
        found += [p for p in (Piece("gone", "".join(a[i:j])), Piece("come", "".join(b[k:m]))) if p.text]
    return tuple(found)
