"""Which failed runs tell most about one agent, and which of their steps (TSCA eq. 8: x, u_it, S_t, S_R and the score)."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from langgraph_truce.batch import mean_value, steps_of
from langgraph_truce.rounds import Round, rounds_of
from langgraph_truce.seams import Batch, Credit, Rollout

HALF = 0.5
"""Where answers cannot be scored: from here on credit stands for a right answer."""


@dataclass(frozen=True, slots=True)
class Case:
    """One agent in one run."""

    rollout: Rollout
    steps: frozenset[str]
    """Ids of the steps to show: U_t and S_t of an aggregator's rounds; a role's u_it, the S_t made of them, and S_R."""
    credits: tuple[Credit, ...]
    """About the agent's own steps."""
    diagnosis: Credit | None
    informative: frozenset[int]
    """The agent's rounds that it closed wrongly although some role was right: informative failures."""
    wrong: bool
    """Some own answer of the agent was wrong."""

    @property
    def urgency(self) -> tuple[bool, bool, float, float, str]:
        """Smallest first: informative failures, wrong answers, low credit, low score."""
        value = mean_value(self.credits)
        score = self.rollout.outcome.score
        return (not self.informative, not self.wrong, value or 0.0, score, self.rollout.id)


def failed_cases(batch: Batch, agent: str, aggregator: str, most: int) -> tuple[Case, ...]:
    """At most so many runs that failed with the agent in them, most telling first, one a task.

    A solved run counts too where the agent is an aggregator that lost a right answer on the way.

    Args:
        batch: rollouts and the credits of `credit.critics`.
        agent: of the book; a per-round agent (`aggregator@2`) is told from its own rounds alone.
        aggregator: role path of the node that closes a round (`Lab.aggregator`).
        most: cases, at most.
    """
    by_run: dict[str, list[Credit]] = {r.id: [] for r in batch.rollouts}
    for credit in batch.credits:
        by_run.get(credit.rollout, []).append(credit)
    found = [_case(batch, agent, aggregator, run, by_run[run.id]) for run in batch.rollouts]
    by_task: dict[str, Case] = {}
    for case in sorted((c for c in found if c), key=lambda c: c.urgency):
        if case.rollout.outcome.score < 1.0 or case.informative:
            by_task.setdefault(case.rollout.task, case)
    return tuple(by_task.values())[:most]


def own_credits(batch: Batch, agent: str) -> tuple[Credit, ...]:
    """The critics' credits of steps that ran with the agent's rules, and the diagnoses of all runs."""
    own = {(r.id, s) for r in batch.rollouts for s in steps_of(r, batch.book, agent)}
    return tuple(
        c
        for c in batch.credits
        if c.details.get("kind") == "diagnosis" or any((c.rollout, s) in own for s in c.steps)
    )


def _case(batch: Batch, agent: str, aggregator: str, run: Rollout, credits_: list[Credit]) -> Case | None:
    own = frozenset(steps_of(run, batch.book, agent))
    if not own:
        return None
    mine = tuple(c for c in credits_ if c.role and own.intersection(c.steps))
    informative = frozenset(c.round for c in mine if c.round is not None and _informative(c, credits_, run))
    rounds = rounds_of(run, batch.book, aggregator)
    return Case(
        run,
        frozenset(_shown(own, rounds, informative)),
        mine,
        next((c for c in credits_ if c.details.get("kind") == "diagnosis"), None),
        informative,
        any(c.details.get("right") is False for c in mine),
    )


def _informative(credit: Credit, credits_: Iterable[Credit], run: Rollout) -> bool:
    """Was an aggregate wrong although some role was right? By credit where answers cannot be scored, as in `select.temporal`."""
    said = credit.details
    if said.get("kind") != "aggregator":
        return False
    failed = run.outcome.score < 1.0
    if said["right"] or (said["right"] is None and not (failed and said["q"] < HALF)):
        return False
    if said["agents"]:
        return bool(said["agents_right"])
    roles = (c.details["c"] for c in credits_ if c.details.get("kind") == "role" and c.round == credit.round)
    return max(roles, default=0.0) >= HALF


def _shown(own: frozenset[str], rounds: tuple[Round, ...], informative: frozenset[int]) -> set[str]:
    shown: set[str] = set()
    for round_ in rounds:
        closing = {round_.aggregate.id} if round_.aggregate else set()
        said = {s.id for s in round_.utterances}
        if own & closing and (not informative or round_.number in informative):
            shown |= said | closing
        elif own & said:
            shown |= (own & said) | closing
    inside = {s.id for r in rounds for s in (*r.utterances, r.aggregate) if s}
    last = {rounds[-1].aggregate.id} if rounds and rounds[-1].aggregate else set()
    return shown | (own - inside) | last
