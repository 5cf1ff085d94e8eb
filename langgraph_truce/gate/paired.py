"""Two arms on the same tasks: replicates averaged per task, exact sign-flip test, interval of the mean difference.

The unit is the task. Under "the candidate changes nothing" a task's two means are exchangeable, so the sign of its
difference is a fair coin; the p-value is the share of sign patterns whose mean difference is at least as large.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from langgraph_truce.errors import EvaluatorError, GateRefused, TaskError
from langgraph_truce.seams import Comparison

Alternative = Literal["greater", "two-sided"]
Scores = Mapping[str, Sequence[float | None]]
"""Task id -> its replicates' scores in [0, 1]; None where the rollout was excluded (infrastructure failed)."""
Floats = npt.NDArray[np.float64]

RESAMPLES = 9_999
"""Sign patterns drawn where there are too many to enumerate."""
TOLERATED = 0.05
"""Share of excluded candidate rollouts above which they count against the candidate (contract 5)."""
_EPS = 1e-9
_CHUNK = 1_000
_UNITS = range(1, 13)


@dataclass(frozen=True, slots=True)
class Pairs:
    """Task means of both arms, in the baseline's order of tasks."""

    tasks: tuple[str, ...]
    baseline: Floats
    candidate: Floats
    excluded: Mapping[str, int]
    """Excluded rollouts per arm."""
    worst_case: bool
    """True where the candidate's excluded rollouts were counted as 0.0."""

    @property
    def differences(self) -> Floats:
        """Candidate minus baseline, per task."""
        return self.candidate - self.baseline


def pair(baseline: Scores, candidate: Scores) -> Pairs:
    """Task means of both arms, by the exclusion rule of contract 5.

    The candidate's excluded rollouts count as 0.0 when they are more frequent than the baseline's or exceed 5 %;
    otherwise they are left out, as the baseline's always are. A task without a score in one arm is left out.

    Raises:
        TaskError: the arms are not about the same tasks.
        EvaluatorError: a score is not a number in [0, 1]; the message names task and arm.
    """
    if baseline.keys() != candidate.keys():
        odd = sorted(baseline.keys() ^ candidate.keys())
        raise TaskError(f"a paired comparison needs the same tasks in both arms; only one arm has {odd[:5]}")
    for arm, scores in (("baseline", baseline), ("candidate", candidate)):
        _check(arm, scores)
    rate_b, rate_c = _excluded_share(baseline), _excluded_share(candidate)
    worst = rate_c > rate_b or rate_c > TOLERATED
    rows: list[tuple[str, float, float]] = []
    for task in baseline:
        b = [s for s in baseline[task] if s is not None]
        c = [0.0 if s is None else s for s in candidate[task] if worst or s is not None]
        if b and c:
            rows.append((task, math.fsum(b) / len(b), math.fsum(c) / len(c)))
    return Pairs(
        tuple(r[0] for r in rows),
        np.array([r[1] for r in rows], dtype=float),
        np.array([r[2] for r in rows], dtype=float),
        {"baseline": _excluded(baseline), "candidate": _excluded(candidate)},
        worst and rate_c > 0,
    )


def left_out(baseline: Scores, candidate: Scores) -> Pairs:
    """As `pair`, with the candidate's excluded rollouts left out, however many they are."""
    return pair(baseline, {task: [s for s in row if s is not None] for task, row in candidate.items()})


def sign_flip(
    differences: Floats, *, alternative: Alternative = "greater", seed: int = 0, resamples: int = RESAMPLES
) -> float:
    """p-value of "the differences are symmetric about 0", in (0, 1].

    Exact where the differences are multiples of 1/12 or of a larger unit fraction (scores of 0 and 1: McNemar's test),
    and where there are at most `resamples` sign patterns. Else `resamples` are drawn with `seed` and the p-value is
    (b + 1) / (resamples + 1), which is valid at every level. Differences of 0 keep their sign either way and are left out.
    """
    moved = np.sort(differences[np.abs(differences) > _EPS])  # sorted: the order of tasks cannot matter
    if not moved.size:
        return 1.0
    sizes, total = np.sort(np.abs(moved)), float(moved.sum())
    if alternative == "two-sided":
        return min(1.0, 2 * _tail(sizes, abs(total), seed, resamples))
    return _tail(sizes, total, seed, resamples)


def _tail(sizes: Floats, total: float, seed: int, resamples: int) -> float:
    """Chance that `sizes` with fair random signs add up to `total` or more."""
    for unit in _UNITS:
        steps = np.rint(sizes * unit)
        if np.abs(sizes * unit - steps).max() < _EPS:
            return _counted(steps.astype(int), round(total * unit))
    n = sizes.size
    if 2**n <= resamples:
        signs = 2.0 * ((np.arange(2**n)[:, None] >> np.arange(n)) & 1) - 1
        return float(np.mean(signs @ sizes >= total - _EPS))
    # a sum of random signs is twice the sum of a random subset, less all
    least, reached = (total + float(sizes.sum())) / 2 - _EPS, 0
    rng = np.random.default_rng(seed)
    for start in range(0, resamples, _CHUNK):
        bits = rng.integers(0, 2, size=(min(_CHUNK, resamples - start), n), dtype=np.uint8)
        reached += int(np.sum(bits @ sizes >= least))
    return (reached + 1) / (resamples + 1)


def _counted(steps: npt.NDArray[np.int_], total: int) -> float:
    """As `_tail`, for whole numbers: the distribution of the sum, one step at a time."""
    most = int(steps.sum())
    chances = np.zeros(2 * most + 1)
    chances[most] = 1.0
    for step in steps.tolist():
        moved = np.zeros_like(chances)
        moved[step:] += chances[:-step] / 2
        moved[:-step] += chances[step:] / 2
        chances = moved
    return min(1.0, float(chances[most + total :].sum()))


def interval(
    differences: Floats, *, level: float = 0.95, seed: int = 0, resamples: int = RESAMPLES
) -> tuple[float, float]:
    """Interval of the mean difference at `level`, within [-1, 1]: the sign-flip test, inverted.

    A shift θ is inside when the test does not reject "symmetric about θ"; that set is bounded by quantiles of the means
    of random subsets of the differences (Hartigan 1969), so one draw gives both ends and no normal theory is used. Two
    pseudo-tasks, +m and -m with m the largest difference seen (1 where all are 0), are put in first: without them a few
    tasks that all agree would give an interval of width 0 (for scores of 0 and 1 this is Bonett and Price's correction
    of paired proportions, 2012). Both choices are ours. An end that the data cannot bound is -1 or 1.
    """
    m = float(np.max(np.abs(differences), initial=0.0))
    m = m if m > _EPS else 1.0
    means = _subset_means(np.sort(np.append(differences, (m, -m))), seed, resamples)
    # k such that P(fewer than k subset means on the wrong side) stays below half of 1 - level
    k = math.floor((1 - level) / 2 * (means.size + 1) + _EPS)
    mean = float(np.mean(differences))
    if k < 1:
        return -1.0, 1.0
    return min(float(means[k - 1]), mean), max(float(means[-k]), mean)


def compare(
    baseline: Scores,
    candidate: Scores,
    *,
    level: float = 0.95,
    alternative: Alternative = "two-sided",
    seed: int = 0,
    resamples: int = RESAMPLES,
) -> Comparison:
    """The candidate against the baseline on the same tasks and replicates.

    Args:
        baseline: scores of the current rules, per task and replicate.
        candidate: scores of the candidate on the same tasks.
        level: coverage of the interval, in (0, 1).
        alternative: `greater` asks whether the candidate is better (the gate), `two-sided` whether it differs (reports).
        seed: of the sign patterns that are drawn where they cannot be enumerated.
        resamples: how many are drawn.

    Raises:
        TaskError: the arms are not about the same tasks.
        EvaluatorError: a score is not a number in [0, 1].
        GateRefused: no task has a score in both arms.
    """
    pairs = pair(baseline, candidate)
    if not pairs.tasks:
        raise GateRefused(
            f"no task has a score in both arms ({dict(pairs.excluded)} rollouts were excluded of "
            f"{len(baseline)} tasks); look for the infrastructure failure and run again"
        )
    d = pairs.differences
    p = sign_flip(d, alternative=alternative, seed=seed, resamples=resamples)
    return compared(pairs, p, interval(d, level=level, seed=seed, resamples=resamples), level)


def compared(pairs: Pairs, p_value: float, bounds: tuple[float, float], level: float) -> Comparison:
    """What `pairs` (at least one task) show, with a p-value and an interval of `level` that were made of them."""
    d = pairs.differences
    return Comparison(
        n=len(pairs.tasks),
        estimate=float(np.mean(d)),
        low=bounds[0],
        high=bounds[1],
        level=level,
        p_value=p_value,
        baseline=float(np.mean(pairs.baseline)),
        candidate=float(np.mean(pairs.candidate)),
        fixed=tuple(t for t, x in zip(pairs.tasks, d, strict=True) if x > _EPS),
        broken=tuple(t for t, x in zip(pairs.tasks, d, strict=True) if x < -_EPS),
        excluded=pairs.excluded,
    )


def _check(arm: str, scores: Scores) -> None:
    for task, replicates in scores.items():
        for score in replicates:
            if score is not None and not 0.0 <= score <= 1.0:  # NaN fails both comparisons
                raise EvaluatorError(
                    f"task {task!r} has the score {score!r} in the {arm} arm; a score is a number in [0, 1], "
                    "declare the evaluator's range"
                )


def _excluded(scores: Scores) -> int:
    return sum(s is None for replicates in scores.values() for s in replicates)


def _excluded_share(scores: Scores) -> float:
    return _excluded(scores) / max(1, sum(len(r) for r in scores.values()))


def _subset_means(values: Floats, seed: int, resamples: int) -> Floats:
    """Sorted means of every non-empty subset of `values`, or of `resamples` random ones."""
    n = values.size
    if 2**n - 1 <= resamples:
        bits = (np.arange(1, 2**n)[:, None] >> np.arange(n)) & 1
        return np.sort((bits @ values) / bits.sum(axis=1))
    rng = np.random.default_rng(seed)
    parts: list[Floats] = []
    for start in range(0, resamples, _CHUNK):
        size = (min(_CHUNK, resamples - start), n)
        chosen = rng.integers(0, 2, size=size, dtype=np.uint8).astype(float)
        chosen[chosen.sum(axis=1) == 0, 0] = 1.0  # the empty subset has no mean
        parts.append((chosen @ values) / chosen.sum(axis=1))
    return np.sort(np.concatenate(parts))
