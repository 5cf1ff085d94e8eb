"""When a gate looks at its data, and what it may conclude each time: bets first, the exact test at the end.

**Claim.** Under "the candidate changes nothing" the chance that `Watch.p` is ever at most a is at most a.

The first stretch of the tasks is bet on (`betting.capital`): the capital is fair, whatever it stakes. The last stretch is
kept for the exact sign-flip test, at the level a * capital that the bets have left. So the game is: win when the capital
reaches 1 / a at a look; else win when the last p-value is at most a * capital, a last bet that pays 1 / (a * capital) for one
with at most that chance. No step raises the mean, so by Ville's inequality the chance to win is at most a, whatever made
us stop looking: a clear loss, futility or a spent budget only take chances away.

*Exclusions* decide, at a look, whether the candidate's missing rollouts count as 0 (`pair`). Both ways are played, and the worse
p counts: it is never under the p of the game in which they are left out, which is fair.

*Guards* ask whether the mean lies above -shift, and there nothing is symmetric: one task in ten lost and the others equal is a
loss of 10 points that no sign-flip test sees in the runs of 20 tasks that lose none by luck. Half of the level goes to bets on
the mean itself (`betting.loss_capital`), exact for any shape at every look; the other half to the sign-flip test of all tasks
and one pseudo-task that is lost. That one is an approximation: enumerated, such losses pass with up to 6 % at a level of 5 %
(tests/gate/test_guards.py), 29 % without these two. Where there is one look, it has the whole level.

*Replicates.* A task is one observation. With a second replicate its mean is a new observation that knows the first one, so no bet
on it would be fair in the old game: every number of replicates is a game of its own, from 1, at its own share of the level.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from scipy.special import ndtr, ndtri

from langgraph_truce.betting import (
    PRIOR_SQUARE,
    PRIOR_TASKS,
    Floats,
    capital,
    loss_capital,
    mean_interval,
)
from langgraph_truce.gate.paired import RESAMPLES, Pairs, interval, sign_flip

LOOKS = 8
"""Looks at most, if all tasks are bought."""
SMALLEST_BLOCK = 8
"""Tasks of a block, at least."""
LAST = 0.25
"""Share of the tasks that is kept for the exact test at the end, at least."""
_MOST_RESAMPLES = 199_999
_EPS = 1e-9


@dataclass(frozen=True, slots=True)
class Plan:
    """Looks at one number of replicates."""

    replicates: int
    """Rollouts per task and arm."""
    ends: tuple[int, ...]
    """Tasks that were bought at each look, ascending; the last is all."""
    share: float
    """Of the level, for this number of replicates; the shares of all plans add up to 1."""

    @property
    def tasks(self) -> int:
        """All tasks."""
        return self.ends[-1]

    def bets(self, level: float) -> tuple[int, ...]:
        """Ends of the blocks that are bet on at `level`; what is left is enough for the exact test to pass alone."""
        kept = max(math.ceil(LAST * self.tasks), math.ceil(math.log2(1 / level)))
        return tuple(end for end in self.ends[:-1] if end <= self.tasks - kept)


def once(tasks: int, replicates: int) -> tuple[Plan, ...]:
    """One look, at everything: the fixed-sample test."""
    return (Plan(replicates, (tasks,), 1.0),)


def often(tasks: int, replicates: int) -> tuple[Plan, ...]:
    """Up to `LOOKS` looks at one replicate of the tasks, then at two of each, up to `replicates`."""
    block = max(SMALLEST_BLOCK, math.ceil(tasks / LOOKS))
    ends = (*range(block, tasks, block), tasks)
    return tuple(Plan(r, ends, 1 / replicates) for r in range(1, replicates + 1))


@dataclass(slots=True)
class Watch:
    """One question ("is the mean difference above -shift?") over the looks of one plan."""

    plan: Plan
    level: float
    """What this question may spend on this plan."""
    seed: int
    shift: float = 0.0
    """Added to every difference: the margin of a guard; 0 for the objective."""
    p: float = 1.0
    """The smallest valid p-value so far."""
    held: float = 1.0
    """Capital at the last look."""
    bets: tuple[int, ...] = field(init=False)

    def __post_init__(self) -> None:
        self.bets = () if self.shift else self.plan.bets(self.level)

    def look(self, order: Sequence[str], pairs: Pairs, left_out: Pairs) -> None:
        """Take in what was bought: the tasks in `order`, with worst-case exclusions and with these left out."""
        played = self._guarded if self.shift else self._played
        p, self.held = played(order, pairs)
        if pairs.worst_case:
            p = max(p, played(order, left_out)[0])
        self.p = min(self.p, p)

    def _played(self, order: Sequence[str], pairs: Pairs) -> tuple[float, float]:
        found = dict(zip(pairs.tasks, (pairs.differences + self.shift).tolist(), strict=True))
        ends = [end for end in self.bets if end <= len(order)]
        blocks = [_of(order[a:b], found) for a, b in zip([0, *ends], ends, strict=False)]
        held = capital(blocks, [self.plan.tasks - end for end in ends], self.level)
        p = min(1.0, 1 / held) if held > 0 else 1.0
        if len(order) == self.plan.tasks and held > 0:
            last = _of(order[ends[-1] if ends else 0 :], found)
            p = min(p, sign_flip(last, seed=self.seed, resamples=resamples(self.level)) / held)
        return p, held

    def _guarded(self, order: Sequence[str], pairs: Pairs) -> tuple[float, float]:
        d, p, parts = pairs.differences, 1.0, 1
        if len(self.plan.ends) > 1:
            parts = 2
            held = loss_capital(d, self.shift)
            p = min(p, parts / held) if held > 0 else p
        if len(order) == self.plan.tasks:
            all_ = np.append(d, -1.0) + self.shift
            p = min(p, parts * sign_flip(all_, seed=self.seed, resamples=resamples(self.level / parts)))
        return p, 1.0

    def chance(self, seen: int, differences: Floats, least: float, *, won: bool) -> float:
        """Chance, if the tasks to come are like those seen, of p <= level at the last look (sure if `won`) and a mean of `least`.

        A forecast by normal sums, to end what is in vain: whatever it says, no error rate hangs on it.
        """
        n, left = differences.size, self.plan.tasks - seen
        mean, spread = self._moments(differences)
        # how far the sum of what is to come may lie from its forecast, with what is not known of the mean itself
        error = math.sqrt(left * spread * (1 + left / n)) if left else _EPS
        enough = float(ndtr((mean - self.shift - least + _EPS) * (n + left) / error))
        if won:
            return enough
        waiting = seen - max(
            (end for end in self.bets if end <= seen), default=0
        )  # bought, kept for the exact test
        chance = min(self.held * self.level, 1 - _EPS)
        need = -float(ndtri(chance)) * math.sqrt((left + waiting) * spread) if chance > 0 else math.inf
        return min(float(ndtr(((left + waiting) * mean - need) / error)), enough)

    def hope(self, later: Plan, differences: Floats, least: float) -> float:
        """As `chance`, for the end of a later plan; its replicates are hoped to take all noise from the task means."""
        n, tasks = differences.size, later.tasks
        mean, spread = self._moments(differences)
        noise = tasks * spread * self.plan.replicates / later.replicates
        need = -float(ndtri(self.level / self.plan.share * later.share)) * math.sqrt(noise)
        error = math.sqrt(noise * (1 + tasks / n))
        return min(
            float(ndtr((tasks * mean - need) / error)),
            float(ndtr((mean - self.shift - least) * tasks / error)),
        )

    def _moments(self, differences: Floats) -> tuple[float, float]:
        """Mean, and mean square with the prior."""
        d = differences + self.shift
        return float(d.mean()), (PRIOR_TASKS * PRIOR_SQUARE + float(d @ d)) / (PRIOR_TASKS + d.size)


def bounds(plans: Sequence[Plan], differences: Floats, level: float, seed: int) -> tuple[float, float]:
    """Interval of the mean difference: the sign-flip test's where there is one look, else one that holds at every look."""
    if len(plans) == 1 and len(plans[0].ends) == 1:
        return interval(differences, level=level, seed=seed)
    return mean_interval(differences.tolist(), 1 - (1 - level) / len(plans))


def resamples(level: float) -> int:
    """Sign patterns to draw, so that a p-value at the level still rests on ten of them."""
    return max(RESAMPLES, min(_MOST_RESAMPLES, math.ceil(10 / level)))


def _of(order: Sequence[str], found: dict[str, float]) -> Floats:
    return np.array([found[t] for t in order if t in found], dtype=float)
