"""`on_validation`: keep what scores higher on validation, as the papers do. No error control."""

from __future__ import annotations

from dataclasses import dataclass

from langgraph_truce.errors import EditError, GateRefused
from langgraph_truce.gate.measure import SCORE, Arm, Record, arms, record, told, untested
from langgraph_truce.gate.paired import compare, pair
from langgraph_truce.rules import apply
from langgraph_truce.seams import Batch, Comparison, Lab, Memory, Verdict

LEVEL = 0.95
UNCONTROLLED = "no error control"


@dataclass(frozen=True, slots=True)
class OnValidation:
    """Made by `on_validation`, whose docstring says what it does."""

    replicates: int

    def check(self, tasks: int, iterations: int) -> None:  # noqa: ARG002 - the face of every gate
        """Refuse only an empty validation split; any other number will do, for nothing is promised.

        Raises:
            GateRefused: there is no validation task.
        """
        if tasks < 1:
            raise GateRefused(
                "on_validation() compares means on validation tasks and there are none; give one"
            )

    async def __call__(self, batch: Batch, memory: Memory, lab: Lab) -> tuple[Verdict, Memory]:
        """The verdict on `batch.edits`: accepted as one set when the mean rises."""
        self.check(len(batch.validation), batch.iterations)
        if not batch.edits:
            return self._without("no edit was proposed"), memory
        try:
            book = apply(batch.book, batch.edits)
        except EditError as e:
            why = f"the edits do not fit the rules: {e}"
            return self._without(why, (record(batch.edits, "error", None, 1.0, why),)), memory
        tasks, before = batch.validation, Arm(lab, batch.book, 0)
        after = Arm(lab, book, 0, parent=batch.book)
        await before.buy(tasks, self.replicates)
        await after.buy(tasks, self.replicates)
        baseline, candidate = arms(SCORE, before, after, tasks)
        if not pair(baseline, candidate).tasks:
            why = "no task has a score in both arms: all rollouts were excluded"
            return self._without(why, (record(batch.edits, "error", None, 1.0, why),)), memory
        return self._verdict(batch, compare(baseline, candidate, level=LEVEL)), memory

    @staticmethod
    def _verdict(batch: Batch, measured: Comparison) -> Verdict:
        rose = measured.estimate > 0
        decision = "accept" if rose else "reject"
        words = f"{decision} ({UNCONTROLLED}): {told(measured)}"
        trial = record(batch.edits, decision, measured, 1.0, words)
        return Verdict(
            "accept" if rose else "reject", batch.edits if rose else (), measured, 1.0, words, (trial,)
        )

    @staticmethod
    def _without(why: str, trials: tuple[Record, ...] = ()) -> Verdict:
        words = f"inconclusive ({UNCONTROLLED}): {why}"
        return Verdict("inconclusive", (), untested(LEVEL), 1.0, words, trials)


def on_validation(replicates: int = 1) -> OnValidation:
    """Accept the joint set whenever its mean validation score is higher: the papers' own choice (TRUCE, Algorithm 1).

    It has **no error control**: an edit that does nothing is accepted about half the time. Verdicts say so and carry
    alpha = 1. Choose it where validation tasks are too few for `paired_gate`, or to repeat a paper's figures.

    Args:
        replicates: rollouts per task and arm.

    Raises:
        GateRefused: `replicates` is below 1.
    """
    if replicates < 1:
        raise GateRefused(f"replicates is at least 1, got {replicates!r}")
    return OnValidation(replicates)
