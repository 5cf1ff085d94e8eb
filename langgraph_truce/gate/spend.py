"""How the gate spends its error rate: over iterations, over the joint set and its halves, and down the pruning tree.

**Claim.** If every test's p-value is valid, the probability that a run accepts any set of edits that is no
improvement is at most alpha.

**Iterations.** Iteration i of K spends alpha_i = alpha / K, and the sum is alpha. An iteration's candidate comes from
train tasks; as long as nothing has been accepted, all that earlier gates tell is that they did not accept, so the
candidates on that path are fixed before validation is looked at and the union bound holds. After an acceptance the
baseline is measured on fresh replicates. (`Batch.history` tells a suggester decisions, never
estimates: with those, bits of validation would reach it and the bound would be no theorem. Of a set that did not pass it tells
one bit more, reject or inconclusive. Which set comes next may hang on that bit; that one which changes nothing passes does
not, as long as the rollouts of all such sets have one law, which "changes nothing" says.)

**A second gate in one iteration.** Where a person rewords an accepted set, the new set goes through the gate again. Then a run
has at most 2 K gates: the caller passes every one of them a batch with `iterations = 2 K` (the first ones too), each spends
alpha / 2 K, and the sum is alpha. The first gate's acceptance has moved the replicate offset in its memory, so the second
gate measures both arms afresh. What is proven for a set that was worded after its author saw which validation tasks were
fixed and broken: that a set that *changes nothing on these tasks* is accepted with at most that probability, for the signs of
fresh paired differences are fair coins whatever was seen before. Not proven: that the gain holds on other tasks, to which
words made for these may not carry over. The sealed test says that.

**Gate logs.** A later phase of a turn may propose from rollouts that a gate made (`Method.logs`, `optimizer/phases.py`): those
of the rules that an earlier phase of the turn has just brought in, on *log tasks*, a share of the validation tasks that the seed
draws before anything is known of them. First, they are read after an acceptance only, and only those that are there when the
rules change: each of their replicate numbers lies below the offset that the acceptance has moved, so no gate uses them again. The
paired differences of every gate to come are of fresh replicates, and as long as nothing else is accepted, candidates made from
log rollouts are fixed before those are looked at: the claim stands as it does for train tasks. Second, from the first phase
that reads them on no gate of the run uses log tasks, with a rollout or without: which of them have one may hang on when a gate
stopped buying, which tasks are log tasks hangs on the seed alone. So an edit is never tested on a task it was proposed from
(contract 8), also where a method remembers, or a person puts off, what it was told of them, and what it is tested on is a random
part of the validation tasks. Third, beyond decisions, the tested tasks tell a proposer nothing. What this costs is their share
of the tasks; `tests/benchmarks/gate_logs.py` measures what testing on them would do.

**One iteration.** Hypotheses are candidate sets ("this set is no improvement"). They form trees that are known before any
data is seen: one root for the joint set S with level a_S, one root for each half H_j (halves of halves too) with level
a_H, where a_S + (number of halves) * a_H <= alpha_i. The children of a set are what is left when one more edit is
pruned; a set's level is divided equally among its children. A child is tested only when its parent was accepted.
Call a true hypothesis *first* when no ancestor in its tree is true. Accepting any useless set implies that a first one
was rejected: follow the path from that set up to its root, all of whose sets were rejected. No first hypothesis is an
ancestor of another, so their levels add up to at most the level of their root, whatever the truth is; the roots
add up to at most alpha_i. The union bound over first hypotheses, which the data do not choose, gives the claim.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from langgraph_truce.errors import GateRefused

JOINT_SHARE = 0.75
"""Share of alpha_i for the joint set where halves may follow; ours."""


@dataclass(frozen=True, slots=True)
class Levels:
    """Levels of the root hypotheses of one iteration."""

    joint: float
    """a_S."""
    half: float
    """a_H; 0.0 where no halves are tried."""
    halves: int
    """How many halves may be tried at most."""


def levels(alpha_i: float, edits: int, tasks: int, trials: int, share: float = 1.0) -> Levels:
    """Levels for `edits` edits, `tasks` tasks and at most `trials` candidate sets (1 tries the joint set alone).

    Where no halves are possible, or n tasks could never pass at their level (2^-n above `share` of it, the least that one
    number of replicates gets), the joint set gets all.
    """
    halves = min(trials - 1, 2 * edits - 2)
    if halves > 0:
        split = Levels(JOINT_SHARE * alpha_i, (1 - JOINT_SHARE) * alpha_i / halves, halves)
        if reachable(share * min(split.half, split.joint), tasks):
            return split
    return Levels(alpha_i, 0.0, 0)


def child(level: float, siblings: int) -> float:
    """Level of each of the `siblings` sets that leave one more edit out of a set accepted at `level`."""
    return level / siblings


def reachable(level: float, tasks: int) -> bool:
    """True where the smallest p-value of `tasks` tasks, 2^-tasks, is at most `level`."""
    return 2.0**-tasks <= level


def require(alpha: float, iterations: int, tasks: int, share: float = 1.0) -> None:
    """Refuse when `tasks` validation tasks can never pass at `share` of alpha / iterations.

    Raises:
        GateRefused: one sentence with the number of tasks that is needed, and `on_validation` as the way out.
    """
    level = share * alpha / iterations
    if reachable(level, tasks):
        return
    needed = math.ceil(-math.log2(level))
    parts = "" if share == 1 else f" / {round(1 / share)} numbers of replicates"
    raise GateRefused(
        f"{tasks} validation tasks give p-values of at least {2.0**-tasks:.3g}, but each of {iterations} iterations may "
        f"spend only {level:.3g} (alpha {alpha:g} / {iterations}{parts}); give at least {needed} validation tasks, "
        "plan fewer iterations, or use on_validation(), which has no error control"
    )
