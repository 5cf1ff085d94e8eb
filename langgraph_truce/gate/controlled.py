"""What gates with an error rate have in common: the joint set, its halves, pruning, and the verdict in words."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from langgraph_truce.errors import GateRefused
from langgraph_truce.gate import spend
from langgraph_truce.gate.judge import Attempt, Judge
from langgraph_truce.gate.looks import Plan
from langgraph_truce.gate.measure import Arm, told, untested
from langgraph_truce.gate.search import Search
from langgraph_truce.gate.terms import LEVEL, Terms
from langgraph_truce.rules import Edit
from langgraph_truce.seams import Batch, Decision, Lab, Memory, Verdict
from langgraph_truce.task import Task


@dataclass(frozen=True, slots=True)
class ControlledGate:
    """Contract 9 for any plan of looks; made by `paired_gate` and `sequential_gate`, whose docstrings say what they do."""

    terms: Terms
    replicates: int
    """Rollouts per task and arm, at most."""
    prune: bool
    halve: bool
    trials: int

    def __post_init__(self) -> None:
        if self.replicates < 1 or self.trials < 1:
            raise GateRefused(
                f"replicates and trials are at least 1, got {self.replicates!r} and {self.trials!r}"
            )

    def plans(self, tasks: int) -> tuple[Plan, ...]:
        """When it looks, with `tasks` validation tasks."""
        raise NotImplementedError

    def check(self, tasks: int, iterations: int) -> None:
        """Refuse at the start what could never be accepted.

        Args:
            tasks: validation tasks there are.
            iterations: K, iterations that are planned.

        Raises:
            GateRefused: 2^-tasks is above what an iteration may spend; the sentence names `on_validation`.
        """
        share = min((plan.share for plan in self.plans(tasks)), default=1.0)
        spend.require(self.terms.alpha, iterations, tasks, share)

    async def __call__(self, batch: Batch, memory: Memory, lab: Lab) -> tuple[Verdict, Memory]:
        """The verdict on `batch.edits`; memory keeps the replicate offset (`replicate`)."""
        self.check(len(batch.validation), batch.iterations)
        alpha_i = self.terms.alpha / batch.iterations
        offset = int(memory.get("replicate", 0))
        if not batch.edits:
            return self._nothing(alpha_i), {**memory, "replicate": offset}
        plans = self.plans(len(batch.validation))
        judge = Judge(
            lab, batch, self.terms, plans, Arm(lab, batch.book, offset), bought_in(batch, lab, offset)
        )
        search = Search(judge, self.trials)
        joint, winner = await self._found(search, batch.edits, alpha_i)
        verdict = self._verdict(joint, winner, batch.edits, search)
        # the winner was picked for its scores on these replicates: as the next baseline it is measured on new ones
        return verdict, {**memory, "replicate": offset + (self.replicates if winner else 0)}

    async def _found(
        self, search: Search, edits: Sequence[Edit], alpha_i: float
    ) -> tuple[Attempt, Attempt | None]:
        """The attempt at the joint set, and the one that won."""
        trials = self.trials if self.halve else 1
        plan = spend.levels(alpha_i, len(edits), len(search.judge.tasks), trials, search.least)
        joint = await search.attempt(edits, plan.joint, "the joint set")
        winner = joint if joint.accepted else await search.halves(edits, plan.half, plan.halves)
        if winner and self.prune:
            winner = await search.pruned(winner)
        return joint, winner

    def _nothing(self, alpha_i: float) -> Verdict:
        words = "inconclusive: no edit was proposed, so nothing was measured"
        return Verdict("inconclusive", (), untested(LEVEL), alpha_i, words, objective=self.terms.objective)

    def _verdict(
        self, joint: Attempt, winner: Attempt | None, edits: Sequence[Edit], search: Search
    ) -> Verdict:
        trials, decisive = tuple(search.log), winner or joint
        if winner is None or winner.comparison is None:
            decision: Decision = "reject" if joint.decision == "reject" else "inconclusive"
            words = f"{decision}: {joint.why}"
        else:
            decision = "accept"
            words = self._accepted(joint, winner, len(edits))
        words += f"; {decisive.bought}" if decisive.bought else ""
        if search.cut:
            words += "; the budget ended the search"
        if winner is None:
            words += f"; tried {len(trials)} candidate set(s)"
        return Verdict(
            decision,
            winner.edits if winner else (),
            decisive.comparison or untested(LEVEL),
            decisive.level,
            words,
            trials,
            self.terms.objective,
            decisive.guards,
            decisive.looks,
        )

    def _accepted(self, joint: Attempt, winner: Attempt, edits: int) -> str:
        c = winner.comparison
        assert c is not None, "what was accepted was measured"
        words = (
            f"accept {len(winner.edits)} of {edits} edits: {told(c, self.terms.objective)}, "
            f"p = {c.p_value:.2g} at most {winner.level:.2g}"
        )
        if winner.guards:
            words += f", {len(winner.guards)} guard(s) kept: " + ", ".join(
                f"{row['key']} {100 * row['estimate']:+.1f}" for row in winner.guards
            )
        if dropped := edits - len(winner.edits):
            without = " without loss" if joint.accepted else ": the joint set did not pass"
            words += f"; {dropped} left out{without}"
        return words


def bought_in(batch: Batch, lab: Lab, offset: int) -> tuple[Task, ...]:
    """Validation tasks in the order in which they are bought, drawn from the seed.

    It is the same in every iteration until a set is accepted, so that the baseline's rollouts of earlier iterations are the
    ones that are asked for again.
    """
    tasks = list(batch.validation)
    lab.rng("gate", "order", offset).shuffle(tasks)
    return tuple(tasks)
