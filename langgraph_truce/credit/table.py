"""Credit added up over tasks: by role and round, with an interval by task."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass

from langgraph_truce.betting import mean_interval
from langgraph_truce.seams import Credit


@dataclass(frozen=True, slots=True)
class RoleRound:
    """What one role in one round was worth over all tasks."""

    role: str
    """Empty for credit of a whole round."""
    round: int | None
    """None for credit of the whole rollout (a rule's)."""
    replacement: str
    """What stood in its place; empty for credit that replaces nothing."""
    rules: tuple[str, ...]
    tasks: int
    """Tasks with such credit."""
    value: float
    """Mean over tasks of the mean over their rollouts and replicates, in [-1, 1]."""
    low: float
    high: float
    level: float
    kinds: tuple[tuple[str, int], ...] = ()
    """How many of the credits are of which kind, most frequent first."""


def by_role_round(credits_: Iterable[Credit], level: float = 0.95) -> tuple[RoleRound, ...]:
    """One row for each role, round, replacement and set of rules, the largest harm first.

    A single task is noisy: with five replicates not even five equal results exclude 0. Over tasks the interval narrows.
    Credits without a value (influences) are left out.

    Raises:
        UserMistake: `level` is not between 0 and 1.
    """
    groups: dict[tuple[str, int | None, str, tuple[str, ...]], list[Credit]] = defaultdict(list)
    for c in credits_:
        if c.value is not None:
            groups[c.role, c.round, str(c.details.get("replacement", "")), c.rules].append(c)
    rows = [_row(key, found, level) for key, found in groups.items()]
    return tuple(sorted(rows, key=lambda r: (r.value, r.role, r.round or 0, r.replacement, r.rules)))


def _row(key: tuple[str, int | None, str, tuple[str, ...]], found: list[Credit], level: float) -> RoleRound:
    by_task: dict[str, list[float]] = defaultdict(list)
    kinds: dict[str, int] = defaultdict(int)
    for c in found:
        by_task[c.task].append(c.value or 0.0)
        if kind := c.details.get("kind"):
            kinds[str(kind)] += 1
    means = [sum(values) / len(values) for values in by_task.values()]
    low, high = mean_interval(means, level)
    return RoleRound(
        *key,
        tasks=len(means),
        value=sum(means) / len(means),
        low=low,
        high=high,
        level=level,
        kinds=tuple(sorted(kinds.items(), key=lambda item: (-item[1], item[0]))),
    )
