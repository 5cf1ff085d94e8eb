"""Rounds of a rollout as the state bottleneck sees them: the utterances U_t, and the aggregate S_t (TSCA section 3)."""

from __future__ import annotations

from dataclasses import dataclass

from langgraph_truce.batch import agents_of
from langgraph_truce.rules.rule import RuleBook
from langgraph_truce.seams import Rollout
from langgraph_truce.trajectory.step import Step


@dataclass(frozen=True, slots=True)
class Round:
    """One round t of one rollout."""

    number: int
    """t, from 1."""
    utterances: tuple[Step, ...]
    """U_t: the steps that ran with rules and are not the aggregator's, in order of time. A role that did not speak in this
    round has none; one that spoke several times has several."""
    aggregate: Step | None
    """The step that wrote S_t; None in a system without aggregator."""


def rounds_of(rollout: Rollout, book: RuleBook, aggregator: str) -> tuple[Round, ...]:
    """The rounds of a rollout, in order; early-stopped runs have fewer.

    Args:
        rollout: a run of the system.
        book: the rules it ran with: only steps that have rules are utterances.
        aggregator: role path of the node that closes a round (`Lab.aggregator`). With one, what runs after the last closed
            round (the decision) belongs to no round; "" takes every round as the trajectory numbers them.
    """
    steps: dict[int, list[Step]] = {}
    for step in rollout.trajectory.steps:
        if step.role == aggregator or agents_of(book, step.role, step.round):
            steps.setdefault(step.round, []).append(step)
    found: list[Round] = []
    for number in sorted(steps):
        closing = [s for s in steps[number] if s.role == aggregator]
        if aggregator and not closing:
            continue
        said = tuple(s for s in steps[number] if s.role != aggregator)
        found.append(Round(number, said, closing[-1] if closing else None))
    return tuple(found)
