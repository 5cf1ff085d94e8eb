"""The protocol of TSCA's experiments (section 5.1): 100 optimization questions, a disjoint test set, several seeds, mean and deviation."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from langgraph_truce.errors import TaskError
from langgraph_truce.rules.rule import content_hash
from langgraph_truce.seed import seeded
from langgraph_truce.task import Outcome, Splits, Task

_KEYS = ("multiple_choice", "majority_vote")
OPTIMIZATION = 100
"""Questions used for prompt search and optimization (TSCA section 5.1)."""


def split(
    tasks: Sequence[Task],
    *,
    held_out: Sequence[Task] = (),
    train: int = OPTIMIZATION // 2,
    validation: int = OPTIMIZATION // 2,
    test: int | None = None,
    seed: int = 0,
) -> Splits:
    """Optimization questions drawn from `tasks`, and a test set that shares no question with them.

    The draw depends on `seed` and the questions only, not on their order: keep the seed fixed over runs, as the paper does, and vary
    the seed of the run. The paper does not say how its 100 questions serve; half to propose edits and half to accept them is ours.
    A question that stands in the data again, under another id or with its options in another order, is used once.

    Args:
        tasks: where the optimization questions come from, and the test set too unless `held_out` is given.
        held_out: where the test questions come from (another split of the benchmark).
        train: questions that edits are proposed from, at least 1.
        validation: questions that the gate decides on, at least 1.
        test: test questions; None for all that are left.
        seed: of the draw.

    Raises:
        TaskError: fewer questions than asked for, or a number below 1.
    """
    for name, number in (("train", train), ("validation", validation), ("test", test)):
        if number is not None and number < 1:
            raise TaskError(f"{name} is a number of questions, at least 1, got {number!r}")
    outside = _distinct(held_out)
    pool = [t for key, t in _distinct(tasks).items() if key not in outside]
    drawn = _shuffled(pool, seed, "optimization")
    needed = train + validation
    if len(drawn) < needed + (0 if held_out else 1):
        raise TaskError(
            f"{needed} optimization questions and a test set were asked for, and there are {len(drawn)} different questions; "
            "ask for fewer"
        )
    rest = _shuffled(list(outside.values()), seed, "test") if held_out else drawn[needed:]
    if test is not None and test > len(rest):
        raise TaskError(f"{test} test questions were asked for, and {len(rest)} are left; ask for fewer")
    return Splits(drawn[:train], drawn[train:needed], rest[:test])


def same_question(task: Task) -> str:
    """A hash that two tasks share when they ask the same: equal texts and options, but for case, white space and the options' order."""
    options = task.inputs.get("options")
    if not isinstance(options, Mapping):
        return task.content
    parts = [_plain(task.inputs.get("question")), *sorted(_plain(o) for o in options.values())]
    return content_hash(repr(parts))


@dataclass(frozen=True, slots=True)
class Spread:
    """A mean over runs with its standard deviation, as the paper's tables print them."""

    mean: float
    deviation: float
    """Of the sample (divisor n - 1); NaN for one run."""
    n: int
    """Runs."""

    def __str__(self) -> str:
        """In points, with two decimals: `61.75 ± 3.30`."""
        return f"{100 * self.mean:.2f} ± {100 * self.deviation:.2f}"


def mean_and_deviation(scores: Iterable[float]) -> Spread:
    """Mean and sample standard deviation of scores over run seeds.

    Raises:
        TaskError: there is no score, or one is not finite.
    """
    values = [float(s) for s in scores]
    if not values or not all(map(math.isfinite, values)):
        raise TaskError(f"a mean over runs needs one finite score or more, got {values}")
    deviation = statistics.stdev(values) if len(values) > 1 else math.nan
    return Spread(statistics.fmean(values), deviation, len(values))


@dataclass(frozen=True, slots=True)
class Tally:
    """Answers to multiple-choice questions, counted: every outcome is in exactly one field."""

    right: int = 0
    wrong: int = 0
    """An option was read, and it is not the right one."""
    invalid: int = 0
    """No option could be read; counts as wrong in the accuracy."""
    failed: int = 0
    """The system raised or timed out; counts as wrong in the accuracy."""
    excluded: int = 0
    """The infrastructure failed; counts as nothing."""

    @property
    def accuracy(self) -> float:
        """Right answers over all that count, in [0, 1]; NaN where none counts."""
        n = self.right + self.wrong + self.invalid + self.failed
        return self.right / n if n else math.nan


def tally(outcomes: Iterable[Outcome]) -> Tally:
    """Outcomes of the `multiple_choice` or `majority_vote` evaluator, counted; the score 1 is right."""
    counts = dict.fromkeys(("right", "wrong", "invalid", "failed", "excluded"), 0)
    for outcome in outcomes:
        counts[_kind(outcome)] += 1
    return Tally(**counts)


def _kind(outcome: Outcome) -> str:
    if outcome.excluded:
        return "excluded"
    if outcome.error:
        return "failed"
    score = next((outcome.scores[k] for k in _KEYS if k in outcome.scores), outcome.score)
    if score == 1.0:
        return "right"
    return "wrong" if outcome.scores.get("valid", 1.0) > 0.0 else "invalid"


def _distinct(tasks: Iterable[Task]) -> dict[str, Task]:
    """The first by id of every question, by what it asks."""
    found: dict[str, Task] = {}
    for task in sorted(tasks, key=lambda t: t.id):
        found.setdefault(same_question(task), task)
    return found


def _shuffled(tasks: Sequence[Task], seed: int, what: str) -> list[Task]:
    """In an order of the seed and each question's own id: a question more in the file moves no other."""
    return sorted(tasks, key=lambda t: (seeded(seed, "protocol", what, t.id).random(), t.id))


def _plain(value: object) -> str:
    return " ".join(str(value).casefold().split())
