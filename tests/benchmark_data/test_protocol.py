"""The experiments' protocol: a fixed draw of optimization questions, a disjoint test set, mean and deviation over seeds."""

from __future__ import annotations

import math
import statistics
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from langgraph_truce import evaluators
from langgraph_truce.benchmarks.protocol import (
    Tally,
    mean_and_deviation,
    same_question,
    split,
    tally,
)
from langgraph_truce.errors import TaskError
from langgraph_truce.evaluate import as_evaluator
from langgraph_truce.task import Outcome, Splits, Task


def question(text: str, name: str = "", options: dict[str, str] | None = None, answer: str = "A") -> Task:
    return Task(
        name or text,
        {"question": text, "options": options or {"A": "1", "B": "2", "C": "3", "D": "4"}},
        {"answer": answer},
    )


def questions(n: int, prefix: str = "q") -> list[Task]:
    return [question(f"{prefix}{i:03}") for i in range(n)]


def ids(splits: Splits) -> tuple[list[str], ...]:
    return tuple([t.id for t in part] for part in (splits.train, splits.validation, splits.test))


def test_the_papers_numbers_are_the_default() -> None:
    splits = split(questions(250))

    assert [len(p) for p in ids(splits)] == [50, 50, 150]


@given(
    n=st.integers(3, 40),
    train=st.integers(1, 12),
    validation=st.integers(1, 12),
    seed=st.integers(0, 99),
    twins=st.integers(0, 10),
)
@settings(max_examples=60)
def test_no_question_stands_in_two_parts(n: int, train: int, validation: int, seed: int, twins: int) -> None:
    """Also not under another id, in other case, or with its options in another order."""
    tasks = questions(n)
    turned = {"A": "4", "B": "3 ", "C": "2", "D": "1"}
    tasks += [question(f"Q{i:03} ", f"twin{i}", turned, "D") for i in range(min(twins, n))]
    if train + validation >= n:
        with pytest.raises(TaskError, match=rf"there are {n} different questions"):
            split(tasks, train=train, validation=validation, seed=seed)
        return
    splits = split(tasks, train=train, validation=validation, seed=seed)

    asked = [[same_question(t) for t in part] for part in (splits.train, splits.validation, splits.test)]
    assert [len(p) for p in asked] == [train, validation, n - train - validation]
    assert len({a for part in asked for a in part}) == n


@given(st.randoms(use_true_random=False), st.integers(0, 5))
@settings(max_examples=20)
def test_the_draw_is_fixed_by_the_seed_and_not_by_the_files_order(random: Any, seed: int) -> None:
    tasks = questions(30)
    mixed = list(tasks)
    random.shuffle(mixed)
    numbers: dict[str, Any] = {"train": 5, "validation": 5, "seed": seed}

    assert ids(split(mixed, **numbers)) == ids(split(tasks, **numbers))
    assert ids(split(tasks, **numbers)) != ids(split(tasks, **numbers | {"seed": seed + 1}))


def test_a_smaller_test_set_is_a_part_of_the_larger_one() -> None:
    whole = split(questions(60), train=10, validation=10)
    some = split(questions(60), train=10, validation=10, test=15)

    assert some.train == whole.train
    assert list(some.test) == list(whole.test)[:15]


def test_one_question_more_moves_no_other() -> None:
    before = split(questions(60), train=30, validation=20)
    after = split([*questions(60), question("new")], train=30, validation=20)

    assert len({t.id for t in before.train} - {t.id for t in after.train}) <= 1


def test_a_held_out_set_is_never_optimized_on() -> None:
    test = questions(20, "t")
    pool = [*questions(12), *[question(t.id.upper(), f"copy of {t.id}") for t in test]]
    splits = split(pool, held_out=test, train=6, validation=6)

    assert sorted(t.id for t in splits.test) == [t.id for t in test]
    assert {t.id for t in (*splits.train, *splits.validation)} == {t.id for t in questions(12)}
    with pytest.raises(TaskError, match=r"13 optimization questions .* there are 12 different"):
        split(pool, held_out=test, train=7, validation=6)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"train": 0}, "train is a number of questions, at least 1, got 0"),
        ({"validation": -1}, "validation is a number"),
        ({"test": 0}, "test is a number"),
        ({"train": 15}, "20 optimization questions and a test set .* there are 20 different questions"),
        ({"test": 11}, "11 test questions were asked for, and 10 are left"),
    ],
)
def test_a_split_that_cannot_be_is_said(wrong: dict[str, int], message: str) -> None:
    numbers: dict[str, Any] = {"train": 5, "validation": 5} | wrong
    with pytest.raises(TaskError, match=message):
        split(questions(20), **numbers)


def test_options_decide_whether_equal_texts_are_one_question() -> None:
    one = question("Which is true?")
    assert same_question(one) == same_question(
        question("which  is TRUE?", "other", {"B": "1", "A": "2", "D": "3", "C": "4"})
    )
    assert same_question(one) != same_question(
        question("Which is true?", "x", {"A": "1", "B": "2", "C": "3"})
    )
    plain = Task("p", {"question": "Which is true?"})
    assert same_question(plain) == plain.content


@given(st.lists(st.floats(0, 1), min_size=2, max_size=8))
def test_the_deviation_is_the_samples(scores: list[float]) -> None:
    spread = mean_and_deviation(scores)

    assert spread.n == len(scores)
    assert spread.mean == pytest.approx(sum(scores) / len(scores))
    assert spread.deviation**2 == pytest.approx(statistics.variance(scores), abs=1e-12)


def test_a_spread_is_written_as_in_the_tables() -> None:
    assert str(mean_and_deviation([0.6, 0.62, 0.64])) == "62.00 ± 2.00"
    assert math.isnan(mean_and_deviation([0.5]).deviation)
    for wrong in ([], [math.nan], [0.5, math.inf]):
        with pytest.raises(TaskError, match="one finite score or more"):
            mean_and_deviation(wrong)


@pytest.mark.parametrize("several", [False, True])
async def test_every_outcome_is_counted_once(several: bool) -> None:
    evaluate = as_evaluator(evaluators.load("majority_vote" if several else "multiple_choice"))
    task = question("q")
    replies = ["A", "(A)", "B", "none", "E", ""]
    outcomes = [await evaluate(task, [r, r] if several else r) for r in replies]
    outcomes += [Outcome(None, 0.0, error="ValueError: x"), Outcome(None, 0.0, excluded="429")]
    counted = tally(outcomes)

    assert counted == Tally(right=2, wrong=1, invalid=3, failed=1, excluded=1)
    assert counted.accuracy == pytest.approx(2 / 7)
    assert math.isnan(tally([]).accuracy)
