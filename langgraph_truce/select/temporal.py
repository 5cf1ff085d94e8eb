"""Temporal credit of the rounds' aggregators: a moving average over informative outcomes (TSCA 5.1, "temporal optimization").

Pure. The paper names an EMA that is "updated only on informative failures" and gives no formula; ours (DESIGN, section 2):
alpha_t <- (1 - beta) alpha_t + beta z, from alpha_t = 1, with z = 0 on an informative failure (the aggregator is wrong, some
agent was right) and z = 1 where the aggregator was right while agents disagreed. Without the latter it could only fall.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence, Set
from dataclasses import dataclass, field, replace
from typing import Any

from langgraph_truce.rules.rule import content_hash
from langgraph_truce.seams import Credit, Memory

HALF = 0.5
"""Where an answer cannot be scored, a critic's score from here on counts as right."""
_SHORT = 8  # characters of a digest: a chance of 1 in 8000 that two of 1000 rollouts share one, and then one counts less


@dataclass(frozen=True, slots=True)
class Signal:
    """What one closed round of one rollout says of its aggregator."""

    rollout: str
    """Rollout id."""
    round: int
    """t, from 1."""
    z: int
    """0: an informative failure; 1: right while agents disagreed."""


@dataclass(frozen=True, slots=True)
class Temporal:
    """The state of the moving averages: JSON, a few kilobytes."""

    alpha: Mapping[int, float] = field(default_factory=dict)
    """Round -> alpha_t in [0, 1]; a round that is not here has 1.0."""
    failures: Mapping[int, tuple[str, ...]] = field(default_factory=dict)
    """Round -> rollouts of its newest informative failures since its last edit attempt, oldest first, at most m."""
    seen: tuple[str, ...] = ()
    """Digests of this turn's rollouts that were counted."""
    prompts: Mapping[int, str] = field(default_factory=dict)
    """Round -> digest of the rules that its aggregator had when alpha_t was last looked at."""

    @classmethod
    def of(cls, memory: Memory) -> Temporal:
        """As it was kept; a memory without it is the beginning."""
        return cls(
            {int(t): float(a) for t, a in memory.get("alpha", {}).items()},
            {int(t): tuple(ids) for t, ids in memory.get("failures", {}).items()},
            tuple(memory.get("seen", ())),
            {int(t): str(p) for t, p in memory.get("prompts", {}).items()},
        )

    def to_json(self) -> dict[str, Any]:
        """`{"alpha", "failures", "seen", "prompts"}`, rounds as text."""
        return {
            "alpha": {str(t): a for t, a in sorted(self.alpha.items())},
            "failures": {str(t): list(ids) for t, ids in sorted(self.failures.items())},
            "seen": list(self.seen),
            "prompts": {str(t): p for t, p in sorted(self.prompts.items())},
        }

    def begun(self, rollouts: Iterable[str]) -> Temporal:
        """At the beginning of a turn: what earlier turns counted is forgotten, but for `rollouts` that are read again."""
        again = {digest(r) for r in rollouts}
        return replace(self, seen=tuple(s for s in self.seen if s in again))

    def renewed(self, prompts: Mapping[int, str]) -> Temporal:
        """With the rules that the rounds use now: where they changed, the average and its failures start afresh.

        Args:
            prompts: round -> digest of the rules of its aggregator.
        """
        changed = {t for t, p in prompts.items() if self.prompts.get(t, p) != p}
        return replace(
            self,
            alpha={t: 1.0 if t in changed else a for t, a in self.alpha.items()},
            failures={t: ids for t, ids in self.failures.items() if t not in changed},
            prompts={**self.prompts, **prompts},
        )

    def updated(self, signals: Sequence[Signal], *, beta: float, m: int) -> Temporal:
        """With each signal counted once, in order; those of rollouts that were seen in this turn are not counted again.

        Args:
            signals: of this iteration.
            beta: weight of the newest outcome, in (0, 1].
            m: failures that are kept per round, >= 1.
        """
        alpha, failures = dict(self.alpha), dict(self.failures)
        before = frozenset(self.seen)
        fresh = [s for s in signals if digest(s.rollout) not in before]
        for s in fresh:
            alpha[s.round] = (1 - beta) * alpha.get(s.round, 1.0) + beta * s.z
            if s.z == 0:
                failures[s.round] = (*failures.get(s.round, ()), s.rollout)[-m:]
        new = dict.fromkeys(digest(s.rollout) for s in fresh)
        return replace(self, alpha=alpha, failures=failures, seen=(*self.seen, *new))

    def low(self, *, tau: float, m: int) -> tuple[int, ...]:
        """Rounds with alpha_t < tau and at least m failures since their last attempt, the lowest alpha first."""
        found = [(a, t) for t, a in self.alpha.items() if a < tau and len(self.failures.get(t, ())) >= m]
        return tuple(t for _, t in sorted(found))

    def attempted(self, rounds: Set[int]) -> Temporal:
        """After an edit of these rounds' aggregators was tried: only new failures bring them back."""
        return replace(self, failures={t: ids for t, ids in self.failures.items() if t not in rounds})


def signals(credits: Sequence[Credit], failed: Set[str]) -> tuple[Signal, ...]:  # noqa: A002 - our word
    """What the critics' credits say of each aggregator, in order of the credits; uninformative rounds are left out.

    An aggregator is right or wrong by its answer, and so are the agents. Where answers cannot be scored, an aggregate with
    q < 0.5 in a failed rollout counts as wrong, one with q >= 0.5 as right, and an utterance with c >= 0.5 as right.
    Agents are known to disagree where some were right and some were not.

    Args:
        credits: as `credit.critics` gives them, with `details["kind"]`; others are not looked at.
        failed: ids of the rollouts that did not reach the full score.
    """
    rounds: dict[tuple[str, int], list[Credit]] = {}
    for credit in credits:
        if credit.round is not None and credit.details.get("kind") in {"aggregator", "role"}:
            rounds.setdefault((credit.rollout, credit.round), []).append(credit)
    found = ((*key, _z(said, key[0] in failed)) for key, said in rounds.items())
    return tuple(Signal(rollout, t, z) for rollout, t, z in found if z is not None)


def digest(text: str) -> str:
    """Eight characters that stand for a text."""
    return content_hash(text)[:_SHORT]


def _z(found: Sequence[Credit], failed: bool) -> int | None:  # noqa: FBT001 - a fact of the rollout
    closing = [c.details for c in found if c.details["kind"] == "aggregator"]
    if not closing:
        return None
    right = _right(closing[-1], failed)
    good, agents = _agents(closing[-1], [c.details for c in found if c.details["kind"] == "role"])
    if right is None:
        return None
    if not right:
        return 0 if good else None
    return 1 if 0 < good < agents else None


def _right(aggregate: Mapping[str, Any], failed: bool) -> bool | None:  # noqa: FBT001 - a fact of the rollout
    right = aggregate.get("right")
    if right is not None:
        return bool(right)
    if aggregate["q"] >= HALF:
        return True
    return False if failed else None


def _agents(aggregate: Mapping[str, Any], said: Sequence[Mapping[str, Any]]) -> tuple[int, int]:
    """Agents that were right, and agents that could be told."""
    if aggregate.get("agents"):
        return int(aggregate.get("agents_right", 0)), int(aggregate["agents"])
    return sum(d["c"] >= HALF for d in said), len(said)
