"""The bound at every look: by exact enumeration of small worlds, and by simulation with early stopping."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from langgraph_truce.betting import capital
from langgraph_truce.gate.looks import Plan, Watch, bounds, often, once
from langgraph_truce.gate.paired import left_out, pair

SIZES = st.lists(st.floats(0, 1).map(lambda x: round(x, 2)), min_size=1, max_size=9)


def blocks(values: Sequence[float], width: int) -> list[np.ndarray]:
    return [np.array(values[i : i + width]) for i in range(0, len(values), width)]


def played(signed: Sequence[float], plan: Plan, level: float) -> list[float]:
    """The p-value after each look."""
    watch, found = Watch(plan, level, seed=0), []
    for end in plan.ends:
        b = {f"t{i}": [(1 - d) / 2] for i, d in enumerate(signed[:end])}
        c = {f"t{i}": [(1 + d) / 2] for i, d in enumerate(signed[:end])}
        pairs = pair(b, c)
        watch.look(list(b), pairs, pairs)
        found.append(watch.p)
    return found


@given(SIZES, st.integers(1, 4), st.integers(0, 20), st.sampled_from([0.2, 0.05, 0.001]))
@settings(max_examples=40, deadline=None)
def test_the_capital_neither_rises_nor_falls_on_average(
    sizes: list[float], width: int, later: int, level: float
) -> None:
    """Over all signs of given sizes its mean is 1, after every block."""
    cut = blocks(sizes, width)
    for upto in range(1, len(cut) + 1):
        flat = np.concatenate(cut[:upto])
        left = [later + sum(b.size for b in cut[i + 1 :]) for i in range(upto)]
        held = []
        for signs in itertools.product((1, -1), repeat=flat.size):
            signed = flat * signs
            held.append(capital(blocks(signed.tolist(), width), left, level))

        assert np.mean(held) == pytest.approx(1.0)
        assert min(held) >= 0


@given(st.lists(st.sampled_from([0.0, 0.25, 0.5, 1.0]), min_size=10, max_size=10), st.integers(1, 7))
@settings(max_examples=12, deadline=None)
def test_looking_at_every_block_accepts_no_more_than_the_level(sizes: list[float], bet: int) -> None:
    """All 1,024 sign patterns: at most a share `level` of them is ever below it, at any look."""
    ends = (*range(1, bet + 1), 10)
    for level in (0.25, 0.1, 0.05):
        plan = Plan(1, ends, 1.0)
        lowest = [
            min(played([s * d for s, d in zip(signs, sizes, strict=True)], plan, level))
            for signs in itertools.product((1, -1), repeat=10)
        ]

        assert np.mean(np.array(lowest) <= level + 1e-12) <= level + 1e-9


def test_bets_are_made_and_leave_enough_for_the_last_test() -> None:
    plan = often(100, 1)[0]
    assert plan.ends == (13, 26, 39, 52, 65, 78, 91, 100)
    assert plan.bets(0.01) == (13, 26, 39, 52, 65)
    assert plan.bets(2.0**-60) == (13, 26, 39)
    assert often(10, 1)[0].bets(0.01) == ()  # ten tasks: only the exact test
    assert once(100, 3)[0].bets(0.5) == ()
    assert [p.replicates for p in often(40, 3)] == [1, 2, 3]
    assert sum(p.share for p in often(40, 3)) == pytest.approx(1)


def test_the_capital_reaches_its_goal_before_the_end_where_all_tasks_gain() -> None:
    plan = often(80, 1)[0]
    found = played([1.0] * 80, plan, 0.01)
    assert next(i for i, p in enumerate(found) if p <= 0.01) < len(found) // 2


def test_worst_case_exclusions_never_help() -> None:
    names = [f"t{i}" for i in range(30)]
    b = {t: [0.0] for t in names}
    c: dict[str, list[float | None]] = {t: [1.0] for t in names}
    for t in names[:6]:
        c[t] = [None]
    with_nones, without = Watch(once(30, 1)[0], 0.01, 0), Watch(once(30, 1)[0], 0.01, 0)
    pairs = pair(b, c)
    assert pairs.worst_case
    with_nones.look(names, pairs, left_out(b, c))
    without.look(names, left_out(b, c), left_out(b, c))
    assert with_nones.p >= without.p


def test_the_interval_covers_at_every_look() -> None:
    """300 seeded runs of 60 tasks, 8 looks: at most 5 % may ever miss; 3 standard errors on top would be 9 %."""
    rng, plans = np.random.default_rng(4), often(60, 1)
    missed = 0
    for _ in range(300):
        d = rng.choice([-1.0, 0.0, 1.0], p=[0.1, 0.6, 0.3], size=60)
        ends = [bounds(plans, d[:end], 0.95, 0) for end in plans[0].ends]
        missed += not all(low <= 0.2 <= high for low, high in ends)

    assert missed <= 15


def test_the_forecast_knows_a_hopeless_case_from_an_open_one() -> None:
    plan = often(100, 1)[0]
    watch = Watch(plan, 0.01, 0)
    poor, good = np.array([1.0, -1.0, -1.0, 0.0] * 13), np.array([1.0, 1.0, 0.0, -1.0] * 13)
    assert watch.chance(52, poor, 0.0, won=False) < 0.02
    assert watch.chance(52, good, 0.0, won=False) > 0.1
    assert watch.chance(52, good, 0.9, won=True) < 0.01
    again = often(100, 2)
    first = Watch(again[0], 0.005, 0)
    assert first.hope(again[1], poor, 0.0) < first.hope(again[1], good, 0.0)
