"""What a gate asks for: the objective, how much it must gain, and what must not get worse meanwhile."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from langgraph_truce.errors import GateRefused
from langgraph_truce.gate.measure import OBJECTIVES, SCORE, Arm

LEVEL = 0.95
"""Coverage of the interval of every comparison."""
MARGIN = 0.1
"""How much a guard may lose by default; ours."""


@dataclass(frozen=True, slots=True)
class Terms:
    """Contract 9's terms, the same for every gate that keeps an error rate."""

    alpha: float = 0.05
    """Highest probability that a run accepts edits that are no improvement."""
    delta_min: float = 0.0
    """Least mean gain of the objective."""
    objective: str = SCORE
    """`score`, or `tokens`: then differences are relative savings."""
    guards: float | Mapping[str, float] = MARGIN
    """Margin of every other key that the evaluator returns, or margins by key: then these are all the guards."""

    def __post_init__(self) -> None:
        if not 0 < self.alpha < 1:
            raise GateRefused(f"alpha must lie between 0 and 1, got {self.alpha!r}; 0.05 is usual")
        if not 0 <= self.delta_min < 1:
            raise GateRefused(
                f"delta_min is a gain in mean score, at least 0 and below 1, got {self.delta_min!r}"
            )
        if self.objective not in OBJECTIVES:
            raise GateRefused(
                f"objective is one of {', '.join(OBJECTIVES)}, got {self.objective!r}; "
                "which key of the evaluator is the score, the evaluator says (objective= of as_evaluator)"
            )
        given = self.guards if isinstance(self.guards, Mapping) else {"guards": self.guards}
        for key, margin in given.items():
            if not (0 < margin < 1 and math.isfinite(margin)):
                raise GateRefused(
                    f"the margin of guard {key!r} is a loss in mean score above 0 and below 1, got {margin!r}; "
                    "no data can show a loss of nothing; guards={} has no guard"
                )

    def margins(self, baseline: Arm, candidate: Arm) -> dict[str, float]:
        """Evaluator key -> margin of every guard there is.

        Without margins by key: every key that all evaluated rollouts of both arms have, less the objective. A key
        that equals the score in all of them is the score, under the evaluator's name for it.
        """
        if isinstance(self.guards, Mapping):
            return dict(self.guards)
        evaluated = [
            r.scores
            for arm in (baseline, candidate)
            for row in arm.readings.values()
            for r in row
            if r is not None and len(r.scores) > 1
        ]
        shared = set.intersection(*(set(scores) for scores in evaluated)) if evaluated else set()
        twins = {k for k in shared if all(scores[k] == scores[SCORE] for scores in evaluated)}
        own = {SCORE} if self.objective == "tokens" else set()
        return dict.fromkeys(sorted((shared - twins) | own), self.guards)
