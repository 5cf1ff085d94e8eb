"""`paired_gate`: the joint top-k set against the current rules, exact and paired, false accepts controlled per run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from langgraph_truce.gate.controlled import ControlledGate
from langgraph_truce.gate.looks import Plan, once
from langgraph_truce.gate.measure import Objective
from langgraph_truce.gate.terms import MARGIN, Terms


@dataclass(frozen=True, slots=True)
class PairedGate(ControlledGate):
    """Made by `paired_gate`, whose docstring says what it does."""

    def plans(self, tasks: int) -> tuple[Plan, ...]:
        """One look, at everything."""
        return once(tasks, self.replicates)


def paired_gate(
    alpha: float = 0.05,
    delta_min: float = 0.0,
    replicates: int = 1,
    *,
    objective: Objective = "score",
    guards: float | Mapping[str, float] = MARGIN,
    prune: bool = True,
    halve: bool = True,
    trials: int = 8,
) -> PairedGate:
    """The fixed-sample gate of contract 9: exact sign-flip on paired task means, false accepts at most `alpha` per run.

    Every candidate set is run on all validation tasks. `sequential_gate` makes the same promise, stops when the verdict is
    in, and gives up a little power for it; take this one where tasks are few, or rollouts cost nothing.

    Iteration i of K spends alpha / K (`gate/spend.py` holds the proof). A set is **accepted** when its one-sided p-value is
    at most its level, the estimate is at least `delta_min` and every guard passes; **rejected** when the upper end of the
    95 % interval lies below `delta_min`, or a guard's below its margin; else it is **inconclusive**. When the joint set
    wins, edits that can go without loss go, the least supported first: an edit goes when the rest also passes, at its own
    level, and scores no worse than with it. When the joint set does not win, its halves are tried, then their halves.

    Args:
        alpha: highest probability that a run accepts edits that are no improvement, in (0, 1).
        delta_min: least mean gain of the objective worth an edit, in [0, 1).
        replicates: rollouts per task and arm, averaged per task before the test.
        objective: what must rise: `score`, the evaluator's objective; or `tokens`: the relative saving of a rollout's tokens
            per task, with the score as a guard.
        guards: most that each of the evaluator's other keys may lose, in (0, 1), or margins by key (then only these are
            guards; `{}` has none). Each is tested at level alpha (`gate/guards.py`): one that never moves needs about
            3 / margin tasks at alpha 0.05, noisy ones need many more.
        prune: leave out edits that can go without loss.
        halve: try halves when the joint set does not win.
        trials: candidate sets measured per iteration at most; each costs `replicates` rollouts per validation task.

    Raises:
        GateRefused: a setting is out of range.
    """
    terms = Terms(alpha, delta_min, objective, guards)
    return PairedGate(terms, replicates, prune, halve, trials if prune or halve else 1)
