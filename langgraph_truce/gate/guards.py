"""Guards: other things that are measured, and that a winning set must not make worse by more than a margin."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from langgraph_truce.gate.looks import Plan, Watch, bounds
from langgraph_truce.gate.measure import Arm, arms
from langgraph_truce.gate.paired import Pairs, left_out, pair
from langgraph_truce.gate.terms import LEVEL, Terms
from langgraph_truce.task import Task


@dataclass(slots=True)
class Guards:
    """The guards of one candidate set, over all its looks.

    Each guard is tested against "it is worse by its margin or more", at every look (`gate/looks.py` says how, and how exact
    that is). The level is alpha, undivided: a set must pass the objective *and* every guard, so it is wrongly let through only
    where some one guard's test errs, however many there are (an intersection-union test, Berger 1982). It is alpha for each set that wins, not for the run: what the run's alpha bounds is a win of nothing.
    """

    terms: Terms
    seed: int
    rows: dict[str, dict[str, Any]] = field(default_factory=dict)
    """By key, as in `Verdict.guards`."""
    _watches: dict[tuple[str, int], Watch] = field(default_factory=dict)
    _pairs: dict[str, Pairs] = field(default_factory=dict)

    def look(
        self, baseline: Arm, candidate: Arm, bought: Sequence[Task], plan: Plan, plans: Sequence[Plan]
    ) -> None:
        """Take in what was bought.

        Raises:
            GateRefused: a guard was named that the evaluator does not return.
        """
        order = [t.id for t in bought]
        for key, margin in self.terms.margins(baseline, candidate).items():
            b, c = arms(key, baseline, candidate, bought)
            pairs = pair(b, c)
            watch = self._watches.setdefault(
                (key, plan.replicates), Watch(plan, self.terms.alpha * plan.share, self.seed, shift=margin)
            )
            watch.look(order, pairs, left_out(b, c) if pairs.worst_case else pairs)
            p = min(
                1.0,
                watch.p / plan.share,
                self.rows.get(key, {}).get("p_value", 1.0),
            )
            low, high = bounds(plans, pairs.differences, LEVEL, self.seed)
            self._pairs[key] = pairs
            self.rows[key] = {
                "key": key,
                "margin": margin,
                "estimate": float(pairs.differences.mean()),
                "low": low,
                "high": high,
                "p_value": p,
                "passed": p <= self.terms.alpha,
            }

    @property
    def passed(self) -> bool:
        """True where no guard is open."""
        return all(row["passed"] for row in self.rows.values())

    @property
    def broken(self) -> list[str]:
        """Guards that are worse by more than their margin: the upper end of the interval says so."""
        return [key for key, row in self.rows.items() if row["high"] < -row["margin"]]

    def chance(self, seen: int, plan: Plan) -> float:
        """Forecast that all guards pass by the last look of `plan`."""
        chances = [
            self._watches[key, plan.replicates].chance(seen, self._pairs[key].differences, -1.0, won=False)
            for key, row in self.rows.items()
            if not row["passed"]
        ]
        return min(chances, default=1.0)

    def told(self) -> str:
        """The guards that are broken, or else those that did not pass, in words; empty where all did."""
        broken = self.broken
        return "; ".join(
            f"guard {row['key']!r} moved by {100 * row['estimate']:+.1f} points ({100 * row['low']:+.1f} to "
            f"{100 * row['high']:+.1f}) and may lose {100 * row['margin']:g}: "
            + ("it lost more" if broken else f"not shown, p = {row['p_value']:.2g}")
            for key, row in self.rows.items()
            if (key in broken if broken else not row["passed"])
        )
