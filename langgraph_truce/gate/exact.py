"""`paired_gate`: the joint top-k set against the current rules, exact and paired, false accepts controlled per run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from langgraph_truce.errors import GateRefused
from langgraph_truce.gate import spend
from langgraph_truce.gate.measure import scores, told, untested
from langgraph_truce.gate.search import Attempt, Search
from langgraph_truce.rules import Edit
from langgraph_truce.seams import Batch, Decision, Lab, Memory, Verdict

LEVEL = 0.95
"""Coverage of the interval of every comparison."""


@dataclass(frozen=True, slots=True)
class PairedGate:
    """Contract 9; made by `paired_gate`, whose docstring says what it does."""

    alpha: float
    delta_min: float
    replicates: int
    prune: bool
    halve: bool
    trials: int

    def check(self, tasks: int, iterations: int) -> None:
        """Refuse at the start what could never be accepted.

        Args:
            tasks: validation tasks there are.
            iterations: K, iterations that are planned.

        Raises:
            GateRefused: 2^-tasks is above alpha / iterations; the sentence names `on_validation`.
        """
        spend.require(self.alpha, iterations, tasks)

    async def __call__(self, batch: Batch, memory: Memory, lab: Lab) -> tuple[Verdict, Memory]:
        """The verdict on `batch.edits`; memory keeps the replicate offset (`replicate`)."""
        self.check(len(batch.validation), batch.iterations)
        alpha_i = self.alpha / batch.iterations
        offset = int(memory.get("replicate", 0))
        if not batch.edits:
            return _nothing(alpha_i), {**memory, "replicate": offset}
        numbers = range(offset, offset + self.replicates)
        search = Search(
            lab=lab,
            batch=batch,
            baseline=await scores(lab, batch.validation, batch.book, numbers),
            replicates=numbers,
            delta_min=self.delta_min,
            level=LEVEL,
            trials=self.trials,
        )
        plan = spend.levels(
            alpha_i, len(batch.edits), len(batch.validation), self.trials if self.halve else 1
        )
        joint = await search.attempt(batch.edits, plan.joint, "the joint set")
        winner = joint if joint.accepted else await search.halves(batch.edits, plan.half, plan.halves)
        if winner and self.prune:
            winner = await search.pruned(winner)
        verdict = _verdict(joint, winner, batch.edits, search)
        # the winner was picked for its scores on these replicates: as the next baseline it is measured on new ones
        return verdict, {**memory, "replicate": offset + (self.replicates if winner else 0)}


def paired_gate(
    alpha: float = 0.05,
    delta_min: float = 0.0,
    replicates: int = 1,
    *,
    prune: bool = True,
    halve: bool = True,
    trials: int = 8,
) -> PairedGate:
    """The gate of contract 9: exact sign-flip on paired task means, false accepts at most `alpha` per run.

    Iteration i of K spends alpha / K (`gate/spend.py` holds the proof). A set is **accepted** when its one-sided p-value is
    at most its level and the estimate is at least `delta_min`; **rejected** when the upper end of the 95 % interval lies below
    `delta_min`; else it is **inconclusive**. When the joint set wins, edits that can go without loss go, the least
    supported first: an edit goes when the rest also passes, at its own level, and scores no worse than with it. When the
    joint set does not win, its halves are tried, then their halves.

    Args:
        alpha: highest probability that a run accepts edits that are no improvement, in (0, 1).
        delta_min: least gain in mean score worth an edit, in [0, 1).
        replicates: rollouts per task and arm, averaged per task before the test.
        prune: leave out edits that can go without loss.
        halve: try halves when the joint set does not win.
        trials: candidate sets measured per iteration at most; each costs `replicates` rollouts per validation task.

    Raises:
        GateRefused: a setting is out of range.
    """
    if not 0 < alpha < 1:
        raise GateRefused(f"alpha must lie between 0 and 1, got {alpha!r}; 0.05 is usual")
    if not 0 <= delta_min < 1:
        raise GateRefused(f"delta_min is a gain in mean score, at least 0 and below 1, got {delta_min!r}")
    if replicates < 1 or trials < 1:
        raise GateRefused(f"replicates and trials are at least 1, got {replicates!r} and {trials!r}")
    return PairedGate(alpha, delta_min, replicates, prune, halve, trials if prune or halve else 1)


def _nothing(alpha_i: float) -> Verdict:
    words = "inconclusive: no edit was proposed, so nothing was measured"
    return Verdict("inconclusive", (), untested(LEVEL), alpha_i, words)


def _verdict(joint: Attempt, winner: Attempt | None, edits: Sequence[Edit], search: Search) -> Verdict:
    trials = tuple(search.log)
    if winner is None or winner.comparison is None:
        comparison = joint.comparison or untested(LEVEL)
        decision: Decision = "reject" if joint.decision == "reject" else "inconclusive"
        words = f"{decision}: {joint.why}; tried {len(trials)} candidate set(s)"
        return Verdict(decision, (), comparison, joint.level, words, trials)
    c = winner.comparison
    dropped = len(edits) - len(winner.edits)
    words = (
        f"accept {len(winner.edits)} of {len(edits)} edits: {told(c)}, "
        f"p = {c.p_value:.2g} at most {winner.level:.2g}"
    )
    if dropped:
        kept_all = joint.accepted
        words += f"; {dropped} left out" + (" without loss" if kept_all else ": the joint set did not pass")
    return Verdict("accept", winner.edits, c, winner.level, words, trials)
