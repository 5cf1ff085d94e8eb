"""The sign-flip test and its interval: known values, properties, exclusions."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from random import Random
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from langgraph_truce.errors import EvaluatorError, GateRefused, TaskError
from langgraph_truce.gate import compare, interval, sign_flip
from langgraph_truce.gate.paired import Alternative

SCORES = st.floats(0, 1).map(lambda x: round(x, 3))
DIFFERENCES = st.lists(st.floats(-1, 1).map(lambda x: round(x, 3)), min_size=1, max_size=10)


def arms(pairs: Sequence[tuple[float, float]]) -> tuple[dict[str, list[float]], dict[str, list[float]]]:
    """Both arms, one replicate each."""
    return {f"t{i}": [b] for i, (b, _) in enumerate(pairs)}, {f"t{i}": [c] for i, (_, c) in enumerate(pairs)}


def by_hand(differences: list[float]) -> float:
    """One-sided p by enumeration in plain Python."""
    seen = math.fsum(differences)
    sums = [
        math.fsum(s * d for s, d in zip(signs, differences, strict=True))
        for signs in itertools.product((1, -1), repeat=len(differences))
    ]
    return sum(s >= seen - 1e-9 for s in sums) / len(sums)


def test_five_fixed_none_broken_is_one_in_thirty_two() -> None:
    c = compare(*arms([(0, 1)] * 5 + [(1, 1)] * 7), alternative="greater")
    assert c.p_value == pytest.approx(1 / 32)
    assert c.estimate == pytest.approx(5 / 12)
    assert c.fixed == ("t0", "t1", "t2", "t3", "t4")
    assert c.broken == ()
    assert c.baseline == pytest.approx(7 / 12)
    assert (c.candidate, c.n) == (1.0, 12)


def test_binary_scores_give_mcnemars_exact_test() -> None:
    c = compare(*arms([(0, 1)] * 8 + [(1, 0)] * 2), alternative="greater")
    assert c.p_value == pytest.approx(sum(math.comb(10, k) for k in (8, 9, 10)) / 2**10)
    both = compare(*arms([(0, 1)] * 8 + [(1, 0)] * 2), alternative="two-sided")
    assert both.p_value == pytest.approx(2 * c.p_value)


@given(DIFFERENCES)
def test_equals_enumeration_by_hand(differences: list[float]) -> None:
    assert sign_flip(np.array(differences)) == pytest.approx(by_hand(differences))


@given(DIFFERENCES)
def test_swapping_the_arms_mirrors_everything(differences: list[float]) -> None:
    d = np.array(differences)
    assert sign_flip(d, alternative="two-sided") == pytest.approx(sign_flip(-d, alternative="two-sided"))
    assert interval(-d) == pytest.approx(tuple(-x for x in reversed(interval(d))))


@given(st.lists(st.tuples(SCORES, SCORES), min_size=1, max_size=40), st.randoms(use_true_random=False))
def test_order_of_tasks_does_not_matter_and_p_is_a_probability(
    pairs: list[tuple[float, float]], random: Random
) -> None:
    baseline, candidate = arms(pairs)
    order = list(baseline)
    random.shuffle(order)
    kwargs: dict[str, Any] = {"alternative": "greater", "resamples": 199}
    one = compare(baseline, candidate, **kwargs)
    other = compare({t: baseline[t] for t in order}, candidate, **kwargs)
    assert 0 < one.p_value <= 1
    assert (one.p_value, one.low, one.high) == (other.p_value, other.low, other.high)
    assert -1 <= one.low <= one.estimate <= one.high <= 1


def test_monte_carlo_is_seeded_and_near_the_exact_value() -> None:
    d = np.array([0.1 * (i % 7 - 2) + 0.001 * i for i in range(12)])
    drawn = sign_flip(d, resamples=3_999, seed=3)
    assert drawn == sign_flip(d, resamples=3_999, seed=3)
    assert drawn == pytest.approx(sign_flip(d, resamples=4_096), abs=0.03)
    # (b + 1) / (m + 1): never 0
    assert sign_flip(np.linspace(0.5, 1, 60), resamples=199) == pytest.approx(1 / 200)


def test_sizes_on_a_grid_are_counted_and_not_drawn() -> None:
    rough = np.array([0.25, 0.5, -0.75, 1.0] * 10)
    drawn = sign_flip(rough + 1e-6 * np.arange(40), resamples=19_999)
    assert sign_flip(rough, resamples=19) == pytest.approx(drawn, abs=0.02)
    assert sign_flip(np.full(60, 0.5), resamples=199) == 0.5**60
    assert sign_flip(np.full(60, -0.5), resamples=199) == 1.0


def test_replicates_are_averaged_per_task_before_the_flip() -> None:
    # ten replicates of one task are one observation, not ten
    one = compare({"a": [0.0] * 10, "b": [0.0] * 10}, {"a": [1.0] * 10, "b": [1.0] * 10})
    assert one.n == 2
    assert one.p_value == pytest.approx(0.5)  # two-sided, 2 * 2^-2


@pytest.mark.parametrize("alternative", ["greater", "two-sided"])
def test_equal_arms_prove_nothing_and_bound_little(alternative: Alternative) -> None:
    c = compare(*arms([(1, 1)] * 10), alternative=alternative)
    assert (c.p_value, c.estimate) == (1.0, 0.0)
    assert c.low < -0.1  # ten equal tasks do not show that there is no difference
    assert c.high > 0.1


def test_one_task_bounds_nothing() -> None:
    c = compare({"a": [0.0]}, {"a": [1.0]}, alternative="greater")
    assert (c.p_value, c.low, c.high) == (0.5, -1.0, 1.0)


@pytest.mark.parametrize("bad", [math.nan, math.inf, -0.1, 1.1])
def test_what_is_no_score_is_refused(bad: float) -> None:
    with pytest.raises(EvaluatorError, match=r"'a'.*candidate arm"):
        compare({"a": [1.0]}, {"a": [bad]})


def test_arms_on_different_tasks_are_refused() -> None:
    with pytest.raises(TaskError, match="'b'"):
        compare({"a": [1.0]}, {"a": [1.0], "b": [1.0]})


def test_few_equal_exclusions_are_left_out() -> None:
    baseline: dict[str, list[float | None]] = {f"t{i}": [0.0] for i in range(40)}
    candidate: dict[str, list[float | None]] = {f"t{i}": [1.0] for i in range(40)}
    baseline["t0"], candidate["t1"] = [None], [None]
    c = compare(baseline, candidate)
    assert (c.n, c.candidate, c.excluded) == (38, 1.0, {"baseline": 1, "candidate": 1})


def test_more_exclusions_of_the_candidate_count_against_it() -> None:
    baseline: dict[str, list[float | None]] = {f"t{i}": [1.0, 1.0] for i in range(40)}
    candidate: dict[str, list[float | None]] = {f"t{i}": [1.0, 1.0] for i in range(40)}
    candidate["t1"] = [None, 1.0]
    c = compare(baseline, candidate)
    assert (c.n, c.broken) == (40, ("t1",))
    assert c.candidate == pytest.approx(39.5 / 40)


def test_above_five_percent_they_count_even_where_the_baseline_has_more() -> None:
    baseline: dict[str, list[float | None]] = {f"t{i}": [None if i < 5 else 1.0] for i in range(20)}
    candidate: dict[str, list[float | None]] = {f"t{i}": [None if i > 17 else 1.0] for i in range(20)}
    c = compare(baseline, candidate)
    assert (c.n, c.broken) == (15, ("t18", "t19"))
    assert c.excluded == {"baseline": 5, "candidate": 2}


def test_exclusions_of_the_baseline_are_never_zeros() -> None:
    baseline: dict[str, list[float | None]] = {f"t{i}": [None if i < 5 else 1.0] for i in range(20)}
    c = compare(baseline, {f"t{i}": [1.0] for i in range(20)})
    assert (c.n, c.baseline, c.fixed) == (15, 1.0, ())


def test_all_excluded_is_refused_with_a_way_out() -> None:
    with pytest.raises(GateRefused, match="no task has a score in both arms"):
        compare({"a": [None], "b": [1.0]}, {"a": [1.0], "b": []})


@pytest.mark.parametrize(("fixed", "broken", "n"), [(0.3, 0.3, 40), (0.3, 0.05, 40), (0.03, 0.0, 60)])
def test_the_interval_covers(fixed: float, broken: float, n: int) -> None:
    rng = np.random.default_rng(11)
    hits, runs = 0, 300
    for i in range(runs):
        u = rng.random(n)
        d = np.where(u < fixed, 1.0, np.where(u < fixed + broken, -1.0, 0.0))
        low, high = interval(d, level=0.9, resamples=799, seed=i)
        hits += low <= fixed - broken <= high
    assert hits / runs > 0.87  # 0.9 minus 1.7 standard errors


def test_the_interval_narrows_with_the_tasks() -> None:
    rng = np.random.default_rng(5)
    wide, narrow = (interval(rng.choice([-1.0, 0.0, 1.0], size=n)) for n in (25, 400))
    assert 3 < (wide[1] - wide[0]) / (narrow[1] - narrow[0]) < 6  # about sqrt(16)
