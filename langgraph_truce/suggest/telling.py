"""What sets texts apart, and what values have in common: the statistics behind `contrast`."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Sequence

_WORD = re.compile(r"[^\W\d_][\w'-]+")
_RUN = re.compile(r"\d+|[^\W\d_]+|[\W_]+")
_NUMBERS = ("no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")
PRIOR = 0.5
"""Added to both counts of a word (Jeffreys): a word seen once tells little."""
LEAST = 1.64
"""Standard deviations by which a word must prefer its side: 5 % by chance, one-sided."""


def words_of(text: str) -> frozenset[str]:
    """The words of a text in lower case; numbers and single letters are none."""
    return frozenset(w.casefold() for w in _WORD.findall(text))


def telling_words(inside: Sequence[str], outside: Sequence[str], k: int) -> tuple[str, ...]:
    """At most `k` words that texts `inside` have and those `outside` lack, most telling first.

    Ranked by the z-score of the smoothed log-odds ratio of "the text has the word"; a word counts from two texts on.
    """
    ins = Counter(w for text in inside for w in words_of(text))
    outs = Counter(w for text in outside for w in words_of(text))
    scores = {w: _z(ins[w], len(inside), outs[w], len(outside)) for w in ins if ins[w] > 1}
    return tuple(sorted((w for w in scores if scores[w] >= LEAST), key=lambda w: (-scores[w], w))[:k])


def _z(a: int, n: int, b: int, m: int) -> float:
    cells = (a + PRIOR, n - a + PRIOR, b + PRIOR, m - b + PRIOR)
    odds = math.log(cells[0] / cells[1]) - math.log(cells[2] / cells[3])
    return odds / math.sqrt(sum(1 / c for c in cells))


def shape_of(values: Sequence[str], share: float) -> str:
    """The form that at least `share` of the values have, in words: `"K-", then four digits`; empty where they have none."""
    if not values:
        return ""
    form, count = Counter(_form(v) for v in values).most_common(1)[0]
    if count < share * len(values) or not any(isinstance(part, int) for part in form):
        return ""
    return ", then ".join(_digits(p) if isinstance(p, int) else f'"{p}"' for p in form)


def _form(value: str) -> tuple[str | int, ...]:
    """Runs of a value: digits as their number, all else as it stands, neighbours joined."""
    parts: list[str | int] = []
    for run in _RUN.findall(value):
        if run.isdecimal():
            parts.append(len(run))
        elif parts and isinstance(parts[-1], str):
            parts[-1] += run
        else:
            parts.append(run)
    return tuple(parts)


def _digits(n: int) -> str:
    number = _NUMBERS[n] if n < len(_NUMBERS) else str(n)
    return f"{number} digit{'' if n == 1 else 's'}"
