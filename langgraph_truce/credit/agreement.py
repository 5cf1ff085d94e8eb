"""Critics against answers: how often does what the critics prefer hold the right answer (TSCA section 5.6, RQ4)?"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from langgraph_truce.seams import Credit


@dataclass(frozen=True, slots=True)
class Agreement:
    """How the critics' credit of one role, or of the aggregator, goes with its own answers."""

    right: int
    """Utterances whose own answer was right."""
    wrong: int
    """Those whose own answer was wrong, or no answer."""
    mean_right: float | None
    """Mean credit of the right ones, in [0, 1]; None where there is none."""
    mean_wrong: float | None
    """Mean credit of the wrong ones."""
    auc: float | None
    """Chance that a right one has the higher credit of a pair of a right and a wrong one, ties half: 1.0 the critics see
    who is right, 0.5 they do not; None where there is no such pair."""

    @property
    def n(self) -> int:
        """Utterances with credit whose own answer could be scored."""
        return self.right + self.wrong


def agreement(credits_: Iterable[Credit]) -> Mapping[str, Agreement]:
    """By role, sorted, how the credits of `critics` go with answer credit; under "" all utterances of roles together.

    Credit is c of an utterance and q of an aggregate; the aggregator stands under its own name and not under "". Only
    credits of `critics` whose own answer could be scored (`details["right"]`) count; a role without any is left out.
    """
    found: dict[str, list[tuple[float, bool]]] = defaultdict(list)
    for credit in credits_:
        kind, right = credit.details.get("kind"), credit.details.get("right")
        if kind not in {"role", "aggregator"} or right is None:
            continue
        pair = (float(credit.details["c" if kind == "role" else "q"]), bool(right))
        found[credit.role].append(pair)
        if kind == "role":
            found[""].append(pair)
    return {role: _agreement(pairs) for role, pairs in sorted(found.items())}


def _agreement(pairs: list[tuple[float, bool]]) -> Agreement:
    good = [c for c, right in pairs if right]
    bad = sorted(c for c, right in pairs if not right)
    wins = sum((bisect_left(bad, c) + bisect_right(bad, c)) / 2 for c in good)
    return Agreement(
        right=len(good),
        wrong=len(bad),
        mean_right=sum(good) / len(good) if good else None,
        mean_wrong=sum(bad) / len(bad) if bad else None,
        auc=wins / (len(good) * len(bad)) if good and bad else None,
    )
