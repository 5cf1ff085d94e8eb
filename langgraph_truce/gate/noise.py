"""The noise floor: how far the unedited system differs from itself, and how many tasks it takes to see a gain.

Nothing is edited here (A/A). Luck within a task is the variance of its replicates; what tasks differ by is the
rest. With n tasks and r replicates a task in each arm, the mean paired difference of two equal systems has the variance
2 w / (n r), where w is the mean variance within a task.

**Tasks needed** to see a gain g with probability `power`, one-sided at level a, by the paired test on task means:

    n = (z(1 - a) + z(power))^2 * (2 w / r + g (1 - g)) / g^2, and at least log2(1 / a) / g

The term g (1 - g) says how a gain comes: a share g of the tasks goes from wrong to right and the others stay, so that even
a system without luck needs tasks. The least is what the exact test asks for: with m tasks moved no p-value is below 2^-m.
For a run of K iterations the gate's level is a = alpha / K. The formula is for a sample of fixed size. It is ours, and
checked by simulation (tests/gate/test_noise.py).
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from scipy import stats

from langgraph_truce.errors import GateRefused, UserMistake
from langgraph_truce.gate.paired import Scores, compare
from langgraph_truce.seams import Comparison, Rollout

GAINS = (0.01, 0.02, 0.05, 0.10)
"""Gains that tasks are counted for: 1, 2, 5 and 10 points."""
WORST = 10
"""Tasks listed that flip most."""
MOST_REPLICATES = 16
"""More replicates a task are never advised."""
_EPS = 1e-9


@dataclass(frozen=True, slots=True)
class Noise:
    """What luck alone does to the scores of a system on some tasks."""

    comparison: Comparison
    """A/A: later replicates against earlier ones, two-sided; both arms are the unedited system."""
    replicates: int
    """Replicates of a task in each arm."""
    within: float
    """Mean variance of one task's scores; its square root is the luck of one rollout."""
    between: float
    """Variance of the tasks' own means, luck taken off; >= 0."""
    flips: float
    """Share of tasks whose replicates do not all score the same."""
    worst: tuple[Mapping[str, Any], ...]
    """Tasks that flip most: `{"task", "scores"}`, the widest first, at most `WORST`."""
    needed: tuple[Mapping[str, Any], ...]
    """`{"gain", "tasks", "tasks_one_replicate"}` for each of `GAINS`, at `level` and `power`."""
    worth: int
    """Replicates a task that are worth it: from there on luck adds less than what tasks differ by in a gain of 5 points."""
    level: float
    """Of one gate: alpha / K."""
    power: float

    @property
    def deviation(self) -> float:
        """Standard deviation of the mean paired difference of two equal systems, on these tasks and replicates."""
        return math.sqrt(2 * self.within / (self.replicates * self.comparison.n))

    @property
    def floor(self) -> float:
        """95 % of A/A differences lie within plus and minus this."""
        return float(stats.norm.ppf(0.975)) * self.deviation

    def to_json(self) -> dict[str, Any]:
        """As JSON; see `langgraph_truce.optimizer.noise` for where it is kept."""
        return {**asdict(self), "deviation": self.deviation, "floor": self.floor}


def tasks_needed(
    gain: float, within: float, *, replicates: int = 1, level: float = 0.05, power: float = 0.8
) -> int:
    """Tasks it takes to see `gain`, see the module's description.

    Args:
        gain: Of the mean score, in (0, 1).
        within: Mean variance of one task's scores, >= 0.
        replicates: Of a task in each arm, >= 1.
        level: One-sided, in (0, 1).
        power: Chance to see it, in (0, 1).

    Raises:
        UserMistake: an argument is out of its range.
    """
    if not (0 < gain < 1 and within >= 0 and replicates >= 1 and 0 < level < 1 and 0 < power < 1):
        raise UserMistake(
            "tasks_needed: gain, level and power lie between 0 and 1, within is at least 0 and replicates at least 1, got "
            f"{gain!r}, {level!r}, {power!r}, {within!r} and {replicates!r}"
        )
    z = float(stats.norm.ppf(1 - level) + stats.norm.ppf(power))
    variance = 2 * within / replicates + gain * (1 - gain)
    return math.ceil(max(z * z * variance / gain**2, -math.log2(level) / gain) - _EPS)


def noise_of(scores: Scores, *, level: float = 0.05, power: float = 0.8, seed: int = 0) -> Noise:
    """The noise floor from replicates of the unedited system.

    Args:
        scores: Per task its replicates' scores in [0, 1], None where a rollout was excluded.
        level: Of one gate, one-sided: alpha / K.
        power: For `needed`.
        seed: Of the sign patterns that are drawn.

    Raises:
        GateRefused: no task has two scores.
        EvaluatorError: a score is not a number in [0, 1].
    """
    known = {task: [s for s in row if s is not None] for task, row in scores.items()}
    known = {task: row for task, row in known.items() if len(row) > 1}
    if not known:
        raise GateRefused(
            "the noise floor needs tasks that ran at least twice without infrastructure failures, got none"
        )
    replicates = max(1, min(map(len, known.values())) // 2)
    arms = [{task: row[side::2] for task, row in scores.items() if task in known} for side in (0, 1)]
    comparison = compare(arms[0], arms[1], seed=seed)
    free = sum(len(row) - 1 for row in known.values())
    within = sum(float(np.var(row)) * len(row) for row in known.values()) / free
    means = np.array([np.mean(row) for row in known.values()])
    luck = within * float(np.mean([1 / len(row) for row in known.values()]))
    between = max(0.0, float(np.var(means, ddof=1)) - luck) if means.size > 1 else 0.0
    widest = sorted(known, key=lambda task: (-float(np.var(known[task])), task))
    flipping = [task for task in widest if max(known[task]) - min(known[task]) > _EPS]
    needed = tuple(
        {
            "gain": gain,
            "tasks": tasks_needed(gain, within, replicates=replicates, level=level, power=power),
            "tasks_one_replicate": tasks_needed(gain, within, level=level, power=power),
        }
        for gain in GAINS
    )
    return Noise(
        comparison,
        replicates,
        within,
        between,
        len(flipping) / len(known),
        tuple({"task": task, "scores": known[task]} for task in flipping[:WORST]),
        needed,
        worth(within),
        level,
        power,
    )


def worth(within: float, gain: float = 0.05) -> int:
    """Replicates a task that are worth it: the least r, up to `MOST_REPLICATES`, with 2 w / r <= g (1 - g).

    Where tasks are for free, one replicate of more tasks is always better; this is for a given set of tasks.
    """
    return min(MOST_REPLICATES, max(1, math.ceil(2 * within / (gain * (1 - gain)) - _EPS)))


def noise_of_rollouts(
    rollouts: Iterable[Rollout], *, level: float = 0.05, power: float = 0.8, seed: int = 0
) -> Noise | None:
    """The noise floor from what a run has anyway: of the rule book with the most tasks that ran more than once.

    Which tasks a sequential gate runs again depends a little on their scores; None where nothing ran twice.
    """
    by: dict[str, dict[str, list[tuple[int, float]]]] = defaultdict(lambda: defaultdict(list))
    for rollout in rollouts:
        if not rollout.outcome.excluded:
            by[rollout.version][rollout.task].append((rollout.replicate, rollout.outcome.score))

    def again(version: str) -> int:
        return sum(1 for row in by[version].values() if len(row) > 1)

    best = max(sorted(by), key=again, default="")
    if not best or not again(best):
        return None
    scores: dict[str, Sequence[float | None]] = {
        task: [score for _, score in sorted(row)] for task, row in by[best].items() if len(row) > 1
    }
    return noise_of(scores, level=level, power=power, seed=seed)


def noise_text(noise: Noise, iterations: int = 1) -> str:
    """The noise floor in a few lines, for a terminal."""
    c = noise.comparison
    total = noise.within + noise.between
    share = 100 * noise.within / total if total else 0.0
    lines = [
        f"A/A on {c.n} tasks, {noise.replicates} replicate{'s' * (noise.replicates > 1)} an arm: "
        f"score {c.baseline:.3f} and {c.candidate:.3f}, difference {100 * c.estimate:+.1f} points "
        f"({100 * c.low:+.1f} to {100 * c.high:+.1f}), p = {c.p_value:.3f}.",
        f"Noise floor: standard deviation {100 * noise.deviation:.1f} points; 95 % of such differences are luck "
        f"within ±{100 * noise.floor:.1f} points.",
        f"{100 * noise.flips:.0f} % of the tasks flip between replicates; luck is {share:.0f} % of the variance of one "
        f"score, what tasks differ by the rest.",
        f"Replicates a task worth it: {noise.worth}.",
        f"Tasks needed at level {noise.level:.3g} (alpha over {iterations} iteration{'s' * (iterations > 1)}), power "
        f"{noise.power:g}:",
        f"  {'gain':>9}  {f'{noise.replicates} replicates':>13}  {'1 replicate':>12}",
    ]
    lines += [
        f"  {_points(row['gain']):>9}  {row['tasks']:13,}  {row['tasks_one_replicate']:12,}"
        for row in noise.needed
    ]
    if noise.worst:
        lines.append("Flip most:")
        lines += [
            f"  {row['task']}: {' '.join(f'{score:.2f}' for score in row['scores'])}" for row in noise.worst
        ]
    if any(c.excluded.values()):
        lines.append(f"Left out, the infrastructure failed: {sum(c.excluded.values())} rollouts.")
    return "\n".join(lines)


def _points(gain: float) -> str:
    points = round(100 * gain)
    return f"{points} point{'s' * (points > 1)}"
