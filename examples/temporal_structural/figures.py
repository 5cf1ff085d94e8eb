"""What the runs of an experiment came to: accuracy, answers by kind, shifts of single answers, the paired test."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from langgraph_truce import Outcome, Result
from langgraph_truce.benchmarks.protocol import Spread, Tally, mean_and_deviation, tally
from langgraph_truce.seams import Comparison

from .experiment import MIPRO, ORIGINAL, Cell
from .published import SHIFTS

Outcomes = Mapping[str, Outcome]
"""Test question -> what came of it."""


@dataclass(frozen=True, slots=True)
class Figure:
    """One run."""

    cell: Cell
    before: Tally
    """Test answers with the rules as they came."""
    after: Tally
    """With the rules it ended with."""
    shifts: Mapping[str, int]
    """Questions by what they were and became (`published.SHIFTS`); those left out of either side are not in it."""
    difference: Comparison
    """Final against the rules it began with: paired by question, two-sided p-value."""
    began_with: str = ""
    """What it began with, where these are not the rules as they came."""
    kept: int = 0
    """Edits that were accepted; of MIPROv2 the agents whose instructions changed."""
    calls: int = 0
    """Model calls."""
    stopped: str = ""
    """Why it ended early."""
    judged: tuple[int, int] | None = None
    """Aggregates that the critic judged, and runs that were diagnosed, solved ones included: replies that could not be read
    are in neither. None where the method has no critics."""

    @property
    def counts(self) -> bool:
        """Was the sealed test measured?"""
        return not (math.isnan(self.before.accuracy) or math.isnan(self.after.accuracy))


@dataclass(frozen=True, slots=True)
class Arm:
    """All seeds of one arm on one topology."""

    accuracy: Spread
    """Over seeds; invalid and failed answers count as wrong."""
    delta: float
    """Mean accuracy minus that of the original rules, in [-1, 1]; NaN for these themselves."""
    answers: Tally
    """Summed over seeds."""
    figures: tuple[Figure, ...]


def figure(cell: Cell, result: Result, before: Outcomes, after: Outcomes, began_with: str = "") -> Figure:
    """The figure of a finished run.

    Args:
        cell: which one.
        result: of it.
        before: test outcomes of the rules as they came.
        after: test outcomes of the rules it ended with.
        began_with: what it began with, where that is something else.
    """
    return Figure(
        cell,
        tally(before.values()),
        tally(after.values()),
        shifts(before, after),
        result.difference,
        began_with,
        _kept(cell, result),
        round(result.meter.get("total", {}).get("calls", 0)),
        result.stopped,
        _judged(result),
    )


def shifts(before: Outcomes, after: Outcomes) -> dict[str, int]:
    """How many answers went from what to what; right is a score of 1."""
    counts = dict.fromkeys(SHIFTS, 0)
    for name in before.keys() & after.keys():
        was, became = before[name], after[name]
        if not was.excluded and not became.excluded:
            counts[f"{_word(was)}_{_word(became)}"] += 1
    return counts


def shares(figures: Iterable[Figure]) -> dict[str, float]:
    """Shifts over all seeds in percent of the answers; NaN where there is none."""
    rows = list(figures)
    counts = {name: sum(f.shifts[name] for f in rows) for name in SHIFTS}
    total = sum(counts.values())
    return {name: 100 * n / total if total else math.nan for name, n in counts.items()}


def arm(figures: Sequence[Figure], originals: Sequence[Figure]) -> Arm:
    """All seeds of one arm against the original rules, which the arm measured itself where they have no runs of their own."""
    measured = [f.after.accuracy for f in figures]
    base = [f.after.accuracy for f in originals] or [f.before.accuracy for f in figures]
    accuracy = mean_and_deviation(measured)
    first = figures[0].cell.arm == ORIGINAL
    delta = math.nan if first else accuracy.mean - mean_and_deviation(base).mean
    return Arm(accuracy, delta, _summed(f.after for f in figures), tuple(figures))


def _summed(tallies: Iterable[Tally]) -> Tally:
    rows = list(tallies)
    names = ("right", "wrong", "invalid", "failed", "excluded")
    return Tally(**{name: sum(getattr(t, name) for t in rows) for name in names})


def _word(outcome: Outcome) -> str:
    return "right" if outcome.score == 1.0 else "wrong"


def _judged(result: Result) -> tuple[int, int] | None:
    if result.story.settings.get("method") != "temporal_structural":
        return None
    said = result.story.rounds
    return (sum(row.aggregates for row in said.rounds), said.runs) if said else (0, 0)


def _kept(cell: Cell, result: Result) -> int:
    if cell.arm == MIPRO:
        names = result.rules.agents
        return sum(result.rules.agent(a) != result.initial.agent(a) for a in names)
    return sum(
        line.get("kind", "edit") == "edit" and line.get("decision") == "accept" for line in result.ledger
    )
