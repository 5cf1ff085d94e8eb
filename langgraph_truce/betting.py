"""Statements about a mean that hold at every sample size, so that one may look at any time: by betting.

Someone bets on each value before it is seen, at odds that are fair if a claim is true. Then the capital, 1 at the start,
has a mean of at most 1 at every time (it is an **e-value**), and by Ville's inequality the chance that it *ever* reaches
1 / a is at most a. A p-value has no such bound: who looks often enough sees it under 0.05 in the end.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from math import exp, log, sqrt

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import brentq
from scipy.special import ndtr, ndtri

from langgraph_truce.errors import UserMistake

Floats = NDArray[np.float64]

_SHARES = np.sin(np.pi * (np.arange(64) + 0.5) / 128) ** 2
_EDGE = 1e-9
_MOST = 700.0  # of a logarithm: more is no float
AHEAD = 0.2
"""The bets aim at 1 / (1 - AHEAD) times the capital that is needed: what is aimed at exactly is reached only at the end."""
PRIOR_SQUARE = 0.3
"""Mean squared difference that is expected before any is seen."""
PRIOR_TASKS = 4
"""How many tasks that expectation weighs as much as."""


def mean_interval(values: Sequence[float], level: float = 0.95) -> tuple[float, float]:
    """Interval of the mean of independent values in [-1, 1]: covers it with probability >= `level` at every n >= 1.

    A **confidence sequence**: with values that come one by one, all the intervals together cover with that probability.
    Who bets a share c of the capital that the mean lies under m wins, if it does not, nothing on average: after n
    values the capital prod_i (1 + c (m - x_i) / (1 - m)) has a mean of at most 1, for every c in [0, 1] and for every
    mixture of them. It ever exceeds 2 / (1 - level) with probability at most (1 - level) / 2; every m at which it does
    is left out. The other end mirrors it. Shares are mixed by the arcsine law (Cover's universal portfolio): no share
    has to be chosen, and equal values give narrower intervals than scattered ones.

    Exact for scores of any shape. Not the sign-flip test turned round, which needs symmetry and gives the whole line under
    n = 6; not Student's, whose 95 % fail when all values are equal; Hoeffding's is 1.2 wide on either side at n = 5.
    With n = 1 it says so honestly: nearly all of [-1, 1]. With none it is [-1, 1].

    Raises:
        UserMistake: `level` is not between 0 and 1.
    """
    if not 0 < level < 1:
        raise UserMistake(f"an interval's level lies between 0 and 1, got {level!r}; 0.95 is usual")
    if not len(values):
        return -1.0, 1.0
    assert all(-1 - _EDGE <= v <= 1 + _EDGE for v in values), "paired differences of scores lie in [-1, 1]"
    found = tuple(sorted(min(1.0, max(-1.0, float(v))) for v in values))
    return -_upper(tuple(-v for v in reversed(found)), level), _upper(found, level)


def loss_capital(differences: Floats, margin: float) -> float:
    """Capital of bets that the mean difference lies above -`margin`, in (0, 1): an e-value of "it is worse by that or more".

    The bets of `mean_interval`, so differences in [-1, 1] of any shape: unlike those of `capital` they need no symmetry.
    """
    if not differences.size:
        return 1.0
    x, counts = np.unique(-differences, return_counts=True)
    return exp(min(_mixed(x, counts, margin), _MOST))


def capital(blocks: Sequence[Floats], left: Sequence[int], level: float) -> float:
    """Capital of bets that differences are positive, after `blocks` of them: an e-value of "no gain", >= 0.

    The claim it tests is the sign-flip test's: given its size and all that came before, a difference is as often negative
    as positive (or more often). A bet is a share b in [0, 1] of the capital that is chosen from sizes of this block, and
    from earlier blocks; it is multiplied by 1 + b or 1 - b, so its mean does not move, whatever is staked.

    What is staked decides only how fast it grows. `level * capital` is the chance that "no gain" leaves of reaching the
    goal in what is still to come; it is treated as the tail of a normal sum with the variance that the sizes so far lead to
    expect, and the stake is what keeps that picture true after the next difference: the fixed-sample test, made
    sequential by its own conditional error (Koning and van Meer, "Anytime validity is free", 2025). It loses little power
    against that test at the end of the data, where bets at a constant share lose much.

    Args:
        blocks: differences in [-1, 1], in the order in which they were bought; 0 moves nothing.
        left: differences that are still to come after each block: len(left) == len(blocks).
        level: a; the goal is 1 / a.
    """
    held, seen, squares = 1.0, 0, 0.0
    for block, after in zip(blocks, left, strict=True):
        seen += block.size
        squares += float(block @ block)
        moved = block[np.abs(block) > _EDGE]
        # the large ones first, chosen by size alone: the sign must not decide on the order
        moved = moved[np.argsort(-np.abs(moved), kind="stable")]
        future = after * (PRIOR_TASKS * PRIOR_SQUARE + squares) / (PRIOR_TASKS + seen)
        rest = future + float(moved @ moved)
        for d in moved.tolist():
            rest = max(future, rest - d * d)
            share = _stake(held * level * (1 - AHEAD), abs(d), rest)
            held *= 1 + share if d > 0 else 1 - share
    return held


def _stake(chance: float, size: float, rest: float) -> float:
    """Share of the capital to bet on a difference of `size`, with a variance of `rest` to come after it."""
    if not 0 < chance < 1:  # lost, or there: nothing to play for
        return 0.0
    need = -ndtri(chance) * sqrt(rest + size * size)
    spread = max(sqrt(rest), _EDGE)
    won, lost = float(ndtr((size - need) / spread)), float(ndtr((-size - need) / spread))
    return (won - lost) / (won + lost) if won > 0 else 1.0


@lru_cache(maxsize=4096)
def _upper(values: tuple[float, ...], level: float) -> float:
    """The largest m in [-1, 1] at which the capital stays under its bound; the capital never falls as m grows."""
    x, counts = np.unique(np.asarray(values), return_counts=True)
    bound = log(2 / (1 - level))

    def beyond(m: float) -> float:
        return _mixed(x, counts, m) - bound

    low, high = float(x @ counts / counts.sum()), 1 - _EDGE
    if beyond(high) <= 0:
        return 1.0
    return float(brentq(beyond, low, high, xtol=1e-6))


def _mixed(x: Floats, counts: NDArray[np.int_], m: float) -> float:
    """Logarithm of the mixed capital of the bet that the mean lies under `m`; `counts` values each of `x`."""
    gains = 1 + np.outer(_SHARES, (m - x) / (1 - m))
    with np.errstate(divide="ignore"):
        logs = np.log(np.maximum(gains, 0.0)) @ counts
    most = float(logs.max())
    return most + log(float(np.exp(logs - most).mean()))
