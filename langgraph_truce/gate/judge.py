"""One candidate set against the current rules: buy, look, decide, until the verdict is in or the data is used up."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from langgraph_truce.errors import EditError
from langgraph_truce.gate.guards import Guards
from langgraph_truce.gate.looks import Plan, Watch, bounds
from langgraph_truce.gate.measure import Arm, arms, told
from langgraph_truce.gate.paired import Pairs, compared, left_out, pair
from langgraph_truce.gate.terms import LEVEL, Terms
from langgraph_truce.rules import Edit, apply
from langgraph_truce.seams import Batch, Comparison, Lab
from langgraph_truce.task import Task

FUTILE = 0.02
"""Forecast chance of passing under which no more is bought."""

_EPS = 1e-9
Judged = Literal["accept", "reject", "inconclusive", "error"]


@dataclass(frozen=True, slots=True)
class Attempt:
    """One candidate set, measured."""

    edits: tuple[Edit, ...]
    level: float
    """Significance it may spend."""
    decision: Judged
    """`error`: the edits do not fit the rules, or no task could be compared."""
    why: str
    comparison: Comparison | None = None
    """None for an error."""
    bought: str = ""
    """What was bought of what could be, and why no more; empty where there is one look at everything."""
    guards: tuple[Mapping[str, Any], ...] = ()
    looks: tuple[Mapping[str, Any], ...] = ()
    gains: Mapping[str, float] = field(default_factory=dict)
    """Task id -> its mean difference."""

    @property
    def accepted(self) -> bool:
        """True where the set passed."""
        return self.decision == "accept"


@dataclass(slots=True)
class Judge:
    """Measures candidate sets of one iteration against one baseline, which is bought once for all of them."""

    lab: Lab
    batch: Batch
    terms: Terms
    plans: tuple[Plan, ...]
    baseline: Arm
    tasks: tuple[Task, ...]
    """Validation tasks in the order in which they are bought."""

    async def __call__(self, edits: Sequence[Edit], level: float, part: str) -> Attempt:
        """Decide on the rules with `edits` applied, at significance `level`; `part` names the set in words."""
        try:
            book = apply(self.batch.book, edits)
        except EditError as e:
            return Attempt(tuple(edits), level, "error", f"{part} does not fit the rules: {e}")
        candidate = Arm(self.lab, book, self.baseline.first, parent=self.batch.book)
        seed = self.lab.rng("gate", self.batch.iteration, *(e.id for e in edits)).getrandbits(32)
        return await _Trial(self, tuple(edits), level, part, candidate, seed).run()


@dataclass(slots=True)
class _Trial:
    """The looks at one candidate set."""

    judge: Judge
    edits: tuple[Edit, ...]
    level: float
    part: str
    candidate: Arm
    seed: int
    p: float = 1.0
    """The smallest p-value so far, over all numbers of replicates."""
    looks: list[Mapping[str, Any]] = field(default_factory=list)
    guards: Guards = field(init=False)

    def __post_init__(self) -> None:
        self.guards = Guards(self.judge.terms, self.seed)

    async def run(self) -> Attempt:
        """Look by look, to the first verdict."""
        plans, found = self.judge.plans, None
        for place, plan in enumerate(plans):
            watch = Watch(plan, self.level * plan.share, self.seed)
            for end in plan.ends:
                bought = self.judge.tasks[:end]
                await self.judge.baseline.buy(
                    bought, plan.replicates
                )  # first: the candidate shares prefixes with it
                await self.candidate.buy(bought, plan.replicates)
                found = self._look(watch, bought, plans[place + 1 :])
                if found is not None:
                    return found
        why = f"{self.part} has no task with a score in both arms: all were excluded"
        return Attempt(self.edits, self.level, "error", why)

    def _look(self, watch: Watch, bought: tuple[Task, ...], later: tuple[Plan, ...]) -> Attempt | None:
        """The verdict of this look; None where there is none yet."""
        judge, plan = self.judge, watch.plan
        b, c = arms(judge.terms.objective, judge.baseline, self.candidate, bought)
        pairs = pair(b, c)
        if not pairs.tasks:
            return None
        watch.look([t.id for t in bought], pairs, left_out(b, c) if pairs.worst_case else pairs)
        self.p = min(self.p, watch.p / plan.share)
        self.guards.look(judge.baseline, self.candidate, bought, plan, judge.plans)
        ends = bounds(judge.plans, pairs.differences, LEVEL, self.seed)
        comparison = compared(pairs, self.p, ends, LEVEL)
        decision, why, at = self._decided(comparison)
        if decision is None:
            if not later and len(bought) == plan.tasks:
                decision, at = "inconclusive", "all data used"
            elif self._in_vain(watch, pairs, len(bought), later):
                decision, at = "inconclusive", "futile"
            elif not later and self.guards.chance(len(bought), plan) < FUTILE:
                decision, at, why = "inconclusive", "futile for the guards", self.guards.told()
        self.looks.append(
            {
                "tasks": len(bought),
                "replicates": plan.replicates,
                "estimate": comparison.estimate,
                "low": comparison.low,
                "high": comparison.high,
                "e_value": watch.held,
                "why": at,
            }
        )
        return None if decision is None else self._attempt(decision, why, at, comparison, pairs)

    def _decided(self, c: Comparison) -> tuple[Judged | None, str, str]:
        """Decision, why, and the same in two words; None for open, with why it would end so."""
        terms = self.judge.terms
        if c.high < terms.delta_min:
            return "reject", f"even the upper end is below {100 * terms.delta_min:g} points", "clear loss"
        if self.guards.broken:
            return "reject", self.guards.told(), "clear loss of a guard"
        if c.p_value > self.level:
            return None, "a gain is not shown", "open"
        if c.estimate < terms.delta_min:
            return None, "the gain is smaller than asked for", "open"
        if not self.guards.passed:
            return None, self.guards.told(), "won, guards open"
        return "accept", "", "clear win"

    def _in_vain(self, watch: Watch, pairs: Pairs, seen: int, later: Sequence[Plan]) -> bool:
        """True where the set will hardly pass with all that can still be bought."""
        least = self.judge.terms.delta_min
        if any(watch.hope(plan, pairs.differences, least) >= FUTILE for plan in later):
            return False
        return watch.chance(seen, pairs.differences, least, won=self.p <= self.level) < FUTILE

    def _attempt(self, decision: Judged, why: str, at: str, c: Comparison, pairs: Pairs) -> Attempt:
        what = "the tokens" if self.judge.terms.objective == "tokens" else "the score"
        shown = told(c, self.judge.terms.objective)
        seen = f"{self.part} moved {what} by {shown}, p = {c.p_value:.2g} against {self.level:.2g}"
        gains = dict(zip(pairs.tasks, pairs.differences.tolist(), strict=True))
        return Attempt(
            self.edits,
            self.level,
            decision,
            f"{seen}: {why}" if why else seen,
            c,
            self._bought(at),
            tuple(self.guards.rows.values()),
            tuple(self.looks),
            gains,
        )

    def _bought(self, at: str) -> str:
        plans, look = self.judge.plans, self.looks[-1]
        if len(plans) == 1 and len(plans[0].ends) == 1:
            return ""
        tasks, replicates, last = look["tasks"], look["replicates"], plans[-1]
        # earlier numbers of replicates are part of later ones; of the last, some tasks may lack the newest
        used = 2 * (plans[-1].tasks * (replicates - 1) + tasks)
        most = 2 * last.tasks * last.replicates
        return f"{at} at look {len(self.looks)}, with {used} of {most} rollouts"


def no_worse(one: Attempt, other: Attempt) -> bool:
    """True where `one` scores at least as well as `other` on the tasks that both were measured on."""
    both = one.gains.keys() & other.gains.keys()
    return bool(both) and sum(one.gains[t] - other.gains[t] for t in both) >= -_EPS
