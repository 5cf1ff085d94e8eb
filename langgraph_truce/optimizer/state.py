"""The optimizer graph's state: ids, counters, memory and the book's hash. Everything else is in the records."""

from __future__ import annotations

from typing import Annotated, Any, TypedDict


def gathered(old: list[str], new: list[str]) -> list[str]:
    """Tasks of one superstep's broken blocks together; an empty list starts afresh."""
    return [*old, *new] if new else []


class State(TypedDict, total=False):
    """JSON, under 100 kB at any size of the run (tested)."""

    iteration: int
    """t: the iteration that is going on, from 1."""
    initial: str
    """Version of the rule book it started with, P^(0)."""
    version: str
    """Version of the current rules, P^(t-1)."""
    sample: list[str]
    """Ids of the tasks whose rollouts this iteration reads: train tasks, or log tasks."""
    source: str
    """Where these come from (`phases.TRAIN`, `phases.LOGS`); absent where a turn has one phase."""
    fresh: bool
    """True where they are still to be run; absent means True."""
    trained: str
    """Version of the rules that the turn's train rollouts ran with."""
    logs: dict[str, int]
    """Log task -> replicate number of what the gate that accepted the current rules left of it; empty until a phase of
    this turn changed the rules."""
    told: bool
    """True from the first iteration on that read log rollouts: no gate uses log tasks any more."""
    memory: dict[str, dict[str, Any]]
    """Memory by decision name."""
    decision: str
    """Verdict of this iteration: accept, reject, inconclusive; "none" where nothing was suggested."""
    idle: int
    """Iterations since the last acceptance."""
    failed: Annotated[list[str], gathered]
    """Train tasks of this iteration whose block broke; they are run again before evaluation."""
    done: str
    """Why it ended; empty while it goes on."""


class Block(TypedDict):
    """Argument of one `Send`: a block of train tasks to roll out."""

    iteration: int
    version: str
    tasks: list[str]
