"""What a gate asks of the lab: scores of a rule book on the validation tasks, and a comparison when there is none."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from langgraph_truce.gate.paired import Scores
from langgraph_truce.rules import Edit, RuleBook
from langgraph_truce.seams import Comparison, Lab
from langgraph_truce.task import Task

Record = dict[str, Any]
"""One tried candidate set, JSON: `{"edits": [ids], "decision", "estimate", "p_value", "alpha", "why"}`."""


async def scores(lab: Lab, tasks: Sequence[Task], book: RuleBook, replicates: range) -> Scores:
    """Scores of `book` per task, one per replicate number; None where the rollout was excluded.

    Rollouts that exist already cost nothing. Both arms of a comparison take the same replicate numbers, so that they
    share whatever the system's randomness lets them share (common random numbers).
    """
    found: dict[str, list[float | None]] = {t.id: [] for t in tasks}
    for replicate in replicates:
        for rollout in await lab.rollouts(tasks, book, replicate=replicate, purpose="gate"):
            outcome = rollout.outcome
            found[rollout.task].append(None if outcome.excluded else outcome.score)
    return found


def untested(level: float) -> Comparison:
    """The comparison of a verdict that rests on none: nothing was measured, so nothing is bounded."""
    return Comparison(
        n=0, estimate=0.0, low=-1.0, high=1.0, level=level, p_value=1.0, baseline=0.0, candidate=0.0
    )


def record(
    edits: Sequence[Edit], decision: str, comparison: Comparison | None, alpha: float, why: str
) -> Record:
    """A tried candidate set as JSON, for `Verdict.trials`."""
    return {
        "edits": [e.id for e in edits],
        "decision": decision,
        "estimate": comparison.estimate if comparison else None,
        "p_value": comparison.p_value if comparison else None,
        "alpha": alpha,
        "why": why,
    }


def told(comparison: Comparison) -> str:
    """The measured difference in words."""
    c = comparison
    words = (
        f"{100 * c.estimate:+.1f} points ({100 * c.low:+.1f} to {100 * c.high:+.1f}) on {c.n} tasks, "
        f"{len(c.fixed)} fixed, {len(c.broken)} broken"
    )
    if any(c.excluded.values()):
        words += (
            f", excluded {c.excluded['baseline']} baseline and {c.excluded['candidate']} candidate rollouts"
        )
    return words
