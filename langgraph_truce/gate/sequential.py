"""`sequential_gate`: buys rollouts while the verdict is open, and stops for a clear win, a clear loss or futility."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from langgraph_truce.gate.controlled import ControlledGate
from langgraph_truce.gate.looks import Plan, often
from langgraph_truce.gate.measure import Objective
from langgraph_truce.gate.terms import MARGIN, Terms


@dataclass(frozen=True, slots=True)
class SequentialGate(ControlledGate):
    """Made by `sequential_gate`, whose docstring says what it does."""

    def plans(self, tasks: int) -> tuple[Plan, ...]:
        """Blocks of tasks, then the same tasks with one more replicate."""
        return often(tasks, self.replicates)


def sequential_gate(
    alpha: float = 0.05,
    delta_min: float = 0.0,
    replicates: int = 1,
    *,
    objective: Objective = "score",
    guards: float | Mapping[str, float] = MARGIN,
    prune: bool = True,
    halve: bool = True,
    trials: int = 8,
) -> SequentialGate:
    """The gate of contract 9, looking while it buys: false accepts at most `alpha` per run at every look together.

    Validation tasks are bought in up to 8 blocks of at least 8, in an order drawn from the seed; both arms of a block,
    the baseline first. After each block a candidate set is

    - **accepted** as soon as its p-value is at most its level, with an estimate of at least `delta_min` and all guards passed.
      The p-value holds at every look: the first three quarters of the tasks are bet on (`betting.capital`), the last
      quarter is left for the exact sign-flip test (`gate/looks.py` holds the proof);
    - **rejected** as soon as the upper end of an interval that holds at every look (a confidence sequence) lies below
      `delta_min`, or a guard's below its margin;
    - left **inconclusive** when the forecast chance of passing falls below 2 % (futility), or the data are used up.

    With `replicates` above 1 the tasks are then run again while the verdict is open, up to that many times; means over
    replicates are new observations of the same tasks, so each number of replicates gets an equal share of the level.

    Levels of iterations, halves and pruning are those of `paired_gate`. `Verdict.looks` tells every look at the decisive set;
    its intervals are wider than a fixed sample's: that is the price of looking.

    Args:
        alpha: highest probability that a run accepts edits that are no improvement, in (0, 1).
        delta_min: least mean gain of the objective worth an edit, in [0, 1).
        replicates: rollouts per task and arm, at most.
        objective: what must rise: `score`, the evaluator's objective; or `tokens`: the relative saving of a rollout's tokens
            per task, with the score as a guard.
        guards: most that each of the evaluator's other keys may lose, in (0, 1), or margins by key (then only these are
            guards; `{}` has none). Each is tested at level alpha (`gate/guards.py`): one that never moves needs about
            3 / margin tasks at alpha 0.05, noisy ones need many more.
        prune: leave out edits that can go without loss.
        halve: try halves when the joint set does not win.
        trials: candidate sets measured per iteration at most; each costs up to `replicates` rollouts per validation task.

    Raises:
        GateRefused: a setting is out of range.
    """
    terms = Terms(alpha, delta_min, objective, guards)
    return SequentialGate(terms, replicates, prune, halve, trials if prune or halve else 1)
