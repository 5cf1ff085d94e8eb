"""`margin_gate`: TRUCE's own acceptance rule (Theorem C.1), with its constants put right.

All of at most M - 1 single edits are measured beside the current rules, on the same n tasks. With
beta = sqrt(log(2 M K / delta) / (2 n)), Hoeffding's inequality and a union bound over the M means of each of K iterations put
every measured mean within beta of its true one, with probability at least 1 - delta. On that event a lead of 2 beta proves no
loss, and a lead of 2 beta + epsilon a gain of epsilon. The paper's beta lacks K, and its margin of 2 beta does not prove a gain
(`docs/fidelity.md`, "Errors in Theorem C.1"). The best edit that clears the margin is accepted, alone.

The theorem draws tasks anew in every iteration. Here the validation tasks stay the same and edits come from train tasks: until
something is accepted that is the same argument; after an acceptance the rules that later edits start from were chosen
on these tasks, which the theorem leaves out of sight.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from langgraph_truce.errors import EditError, GateRefused
from langgraph_truce.gate.measure import SCORE, Arm, Record, arms, record, told, untested
from langgraph_truce.gate.paired import compare, pair
from langgraph_truce.rules import Edit, apply
from langgraph_truce.seams import Batch, Comparison, Lab, Memory, Verdict
from langgraph_truce.task import Task


def margin_beta(n: int, M: int, K: int, delta: float = 0.05) -> float:  # noqa: N803 - the theorem's letters
    """The beta of Theorem C.1, with K: sqrt(log(2 M K / delta) / (2 n)), how far any of M K means of n tasks may be off."""
    return math.sqrt(math.log(2 * M * K / delta) / (2 * n))


def margin_sample_size(M: int, K: int, delta: float = 0.05, epsilon: float = 0.1) -> int:  # noqa: N803
    """Tasks that Theorem C.1 needs: n >= 2 / epsilon^2 * log(2 M K / delta), so that 2 beta is at most epsilon.

    Args:
        M: candidates of an iteration, the current rules among them.
        K: iterations.
        delta: probability that any mean is off by more than beta, in (0, 1).
        epsilon: least gain that counts, in mean score, in (0, 1).

    Raises:
        GateRefused: a setting is out of range.
    """
    if M <= 1 or K < 1:
        raise GateRefused(f"Theorem C.1 compares M >= 2 rule books in K >= 1 iterations, got {M!r} and {K!r}")
    for name, value in (("delta", delta), ("epsilon", epsilon)):
        if not 0 < value < 1:
            raise GateRefused(f"{name} must lie between 0 and 1, got {value!r}")
    return math.ceil(2 / epsilon**2 * math.log(2 * M * K / delta))


@dataclass(frozen=True, slots=True)
class MarginGate:
    """Made by `margin_gate`, whose docstring says what it does."""

    delta: float
    epsilon: float
    gain: bool
    trials: int

    def check(self, tasks: int, iterations: int) -> None:
        """Refuse at the start when there are fewer tasks than the theorem needs.

        Raises:
            GateRefused: the sentence says how many it needs, and names the other gates.
        """
        needed = margin_sample_size(self.trials + 1, iterations, self.delta, self.epsilon)
        if tasks < needed:
            raise GateRefused(
                f"TRUCE's margin rule needs {needed} validation tasks for M = {self.trials + 1} candidates, "
                f"K = {iterations} iterations, delta = {self.delta:g} and epsilon = {self.epsilon:g}, and there are {tasks}; "
                "give more tasks, a larger epsilon, or use sequential_gate(), which needs far fewer"
            )

    async def __call__(self, batch: Batch, memory: Memory, lab: Lab) -> tuple[Verdict, Memory]:
        """The verdict on `batch.edits`; memory keeps the replicate offset (`replicate`)."""
        tasks = batch.validation
        self.check(len(tasks), batch.iterations)
        offset = int(memory.get("replicate", 0))
        beta = margin_beta(len(tasks), self.trials + 1, batch.iterations, self.delta)
        margin = 2 * beta + (self.epsilon if self.gain else 0.0)
        baseline = Arm(lab, batch.book, offset)
        rows, log = [], []
        for edit in batch.edits[: self.trials]:
            measured, line = await self._one(edit, batch, baseline, margin)
            log.append(line)
            if measured is not None:
                rows.append((measured, edit))
        share = self.delta / batch.iterations
        rule = (
            f"margin {100 * margin:.1f} points for {'a gain' if self.gain else 'no loss'} with beta = {beta:.3f}, "
            f"n = {len(tasks)} of {margin_sample_size(self.trials + 1, batch.iterations, self.delta, self.epsilon)} needed"
        )
        if not rows:
            words = f"inconclusive: no edit could be measured ({rule})"
            verdict = Verdict("inconclusive", (), untested(1 - self.delta), share, words, tuple(log))
            return verdict, {**memory, "replicate": offset}
        best, edit = max(rows, key=lambda row: row[0].estimate)
        won = best.estimate >= margin
        decision = "accept" if won else "inconclusive"
        words = f"{decision}: the best of {len(rows)} single edits ({edit.id}) moved the score by {told(best)}; {rule}"
        kept = (edit,) if won else ()
        verdict = Verdict("accept" if won else "inconclusive", kept, best, share, words, tuple(log))
        return verdict, {**memory, "replicate": offset + (1 if won else 0)}

    async def _one(
        self, edit: Edit, batch: Batch, baseline: Arm, margin: float
    ) -> tuple[Comparison | None, Record]:
        """One single edit, measured on all tasks."""
        alpha = self.delta / batch.iterations
        try:
            book = apply(batch.book, [edit])
        except EditError as e:
            return None, record([edit], "error", None, alpha, f"{edit.id} does not fit the rules: {e}")
        found = await _both(
            baseline, Arm(baseline.lab, book, baseline.first, parent=batch.book), batch.validation
        )
        if found is None:
            why = f"{edit.id} has no task with a score in both arms: all were excluded"
            return None, record([edit], "error", None, alpha, why)
        decision = "accept" if found.estimate >= margin else "inconclusive"
        why = f"{edit.id} moved the score by {told(found)} against a margin of {100 * margin:.1f}"
        return found, record([edit], decision, found, alpha, why)


async def _both(baseline: Arm, candidate: Arm, tasks: Sequence[Task]) -> Comparison | None:
    await baseline.buy(tasks, 1)
    await candidate.buy(tasks, 1)
    b, c = arms(SCORE, baseline, candidate, tasks)
    return compare(b, c, alternative="greater") if pair(b, c).tasks else None


def margin_gate(
    delta: float = 0.05, epsilon: float = 0.1, *, edits: int = 10, gain: bool = True
) -> MarginGate:
    """TRUCE's margin rule (Theorem C.1, corrected): for those who want the paper's guarantee, at its price in tasks.

    Every single edit of an iteration is measured on all validation tasks; the best one is accepted when it leads the current
    rules by 2 beta + epsilon. Needs `margin_sample_size(edits + 1, K, delta, epsilon)` tasks: 1,540 for 10 edits, K = 5,
    delta = 0.05, epsilon = 0.1; with fewer it refuses before anything is spent.

    Args:
        delta: probability that a run accepts anything the margin does not prove, in (0, 1).
        epsilon: gain in mean score, in (0, 1).
        edits: single edits measured per iteration at most, the best supported first; M = edits + 1.
        gain: True asks for a proven gain of `epsilon` (a lead of 2 beta + epsilon); False for no loss (2 beta), which is
            what the paper's margin proves.

    Raises:
        GateRefused: a setting is out of range.
    """
    margin_sample_size(edits + 1, 1, delta, epsilon)
    return MarginGate(delta, epsilon, gain, edits)
