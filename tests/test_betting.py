"""The betting interval: it covers at every sample size, and says honestly how little one value tells."""

from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from langgraph_truce.betting import mean_interval
from langgraph_truce.errors import UserMistake

VALUES = st.lists(st.floats(-1, 1), min_size=1, max_size=12)


@given(VALUES, st.sampled_from([0.5, 0.9, 0.95, 0.99]))
@settings(max_examples=60, deadline=None)
def test_it_holds_the_mean_and_stays_in_range(values: list[float], level: float) -> None:
    low, high = mean_interval(values, level)
    mean = sum(values) / len(values)

    assert -1 <= low <= mean + 1e-6
    assert mean - 1e-6 <= high <= 1


@given(VALUES)
@settings(max_examples=40, deadline=None)
def test_it_is_blind_to_order_and_mirrors(values: list[float]) -> None:
    low, high = mean_interval(values)

    assert mean_interval(sorted(values)) == (low, high)
    assert mean_interval([-v for v in values]) == pytest.approx((-high, -low), abs=1e-5)


@given(VALUES)
@settings(max_examples=40, deadline=None)
def test_a_higher_level_is_wider(values: list[float]) -> None:
    narrow, wide = mean_interval(values, 0.8), mean_interval(values, 0.99)

    assert wide[0] <= narrow[0] + 1e-6
    assert wide[1] >= narrow[1] - 1e-6


@pytest.mark.parametrize("n", [1, 2, 3, 5, 10, 40])
@pytest.mark.parametrize("chances", [(0.3, 0.6, 0.1), (0.02, 0.98, 0.0), (0.5, 0.0, 0.5), (0.9, 0.1, 0.0)])
def test_it_covers_the_true_mean(n: int, chances: tuple[float, float, float]) -> None:
    """400 seeded samples of each shape: at most 5 % may miss; 4 standard errors on top would be 9 %."""
    rng = random.Random(f"{n} {chances}")
    truth = chances[2] - chances[0]
    missed = 0
    for _ in range(400):
        low, high = mean_interval([float(v) for v in rng.choices([-1, 0, 1], chances, k=n)])
        missed += not low <= truth <= high

    assert missed <= 20


def test_one_value_says_next_to_nothing_and_many_say_much() -> None:
    assert mean_interval([]) == (-1.0, 1.0)
    assert mean_interval([-1.0])[1] > 0.9
    assert mean_interval([-1.0] * 5)[1] > 0
    assert mean_interval([-1.0] * 8)[1] < 0
    assert mean_interval([0.0] * 200) == pytest.approx((0.0, 0.0), abs=0.03)


@pytest.mark.parametrize("level", [0.0, 1.0, 95])
def test_a_level_out_of_range_is_refused(level: float) -> None:
    with pytest.raises(UserMistake, match="between 0 and 1"):
        mean_interval([0.0], level)
