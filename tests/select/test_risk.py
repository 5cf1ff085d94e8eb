"""Structural credit, the risk statistic and who is surely below the threshold."""

from __future__ import annotations

import math
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from langgraph_truce.select.risk import Standing, lowest_roles, role_credit, standings
from tests.select.scripted_credits import book, closed, said


def test_a_roles_credit_is_the_mean_over_rounds_then_over_rollouts() -> None:
    credits_ = [said("t1.0", "a", 1, 0.2), said("t1.0", "a", 2, 0.4), said("t2.0", "a", 1, 0.9)]

    assert role_credit(credits_) == {"a": pytest.approx((0.3 + 0.9) / 2)}


def test_rounds_without_the_role_are_left_out_and_several_utterances_are_one() -> None:
    credits_ = [
        said("t1.0", "a", 1, 0.0),
        said("t1.0", "a", 1, 1.0, step="a#1.1"),
        said("t1.0", "a", 3, 0.9),
        said("t1.0", "b", 2, 0.1),
        closed("t1.0", 1, 0.0),
    ]

    assert role_credit(credits_) == {"a": pytest.approx(0.7), "b": pytest.approx(0.1)}


def test_a_prompt_for_each_round_is_an_agent_of_its_own_and_roles_without_rules_are_none() -> None:
    credits_ = [said("t1.0", "a", 1, 0.2), said("t1.0", "a", 2, 0.8), said("t1.0", "judge", 1, 0.0)]

    assert role_credit(credits_, book("a@1", "a@2")) == {"a@1": pytest.approx(0.2), "a@2": pytest.approx(0.8)}
    assert role_credit(credits_, book("a@2", "a")) == {"a": pytest.approx(0.2), "a@2": pytest.approx(0.8)}


def test_risk_is_the_share_of_wrong_last_answers() -> None:
    credits_ = [
        said("t1.0", "a", 1, 0.9, right=False),
        said("t1.0", "a", 2, 0.9, right=True),
        said("t2.0", "a", 1, 0.9, right=False),
        said("t3.0", "a", 1, 0.9, right=None),
        said("t4.0", "a", 2, 0.9, right=True),
        said("t4.0", "a", 2, 0.9, right=False, step="a#2.1"),
    ]

    found = standings(credits_)["a"]

    assert [found.credit, found.risk] == pytest.approx([0.9, 0.5])
    assert found.n == 4


def test_without_answers_risk_is_what_the_credit_lacks() -> None:
    assert standings([said("t1.0", "a", 1, 0.25)])["a"] == Standing(0.25, 0.0, 0.75, 1)


def test_the_upper_end_is_students() -> None:
    credits_ = [said(f"t{n}.0", "a", 1, c) for n, c in enumerate((0.1, 0.5, 0.3))]

    assert standings(credits_)["a"].upper == pytest.approx(0.3 + 2.919986 * 0.2 / math.sqrt(3))
    assert standings(credits_[:2])["a"].spread == pytest.approx(0.4 / math.sqrt(2)), "of two rollouts as well"


def test_few_rollouts_prove_nothing() -> None:
    assert not Standing(0.0, 0.0, 1.0, 1).low(0.5)
    assert not Standing(0.1, 0.0, 1.0, 2).low(0.5), "equal scores of two are luck"
    assert Standing(0.1, 0.0, 1.0, 3).low(0.5)
    assert not Standing(0.45, 0.3, 1.0, 20).low(0.5)
    assert Standing(0.45, 0.3, 1.0, 200).low(0.5)
    sure = Standing(0.3, 0.2, 1.0, 20)
    assert not sure.low(sure.upper), "below it, not at it"


def test_without_a_threshold_the_two_worst_of_the_paper_are_left() -> None:
    found = {n: Standing(0.9, 0.1, risk, 5) for n, risk in (("a", 0.1), ("b", 0.2), ("c", 0.3))}

    assert lowest_roles(found, threshold=1.0, most=2) == ("c", "b")
    assert lowest_roles(found, threshold=0.5, most=2) == ()
    assert Standing(0.2, 0.0, 1.0, 1).low(1.0), "one rollout, and still one of the worst"


def test_ties_go_to_the_lower_credit_and_then_by_name() -> None:
    found = {n: Standing(c, 0.1, 0.9, 30) for n, c in (("z", 0.1), ("b", 0.2), ("a", 0.2))}

    assert lowest_roles(found, threshold=0.5, most=3) == ("z", "a", "b")
    assert lowest_roles(found, threshold=0.5, most=1) == ("z",)


@settings(max_examples=50, deadline=None)
@given(st.floats(0, 1), st.floats(0, 0.5), st.integers(1, 200))
def test_more_rollouts_bring_the_upper_end_nearer(credit: float, spread: float, n: int) -> None:
    few, many = Standing(credit, spread, 0.5, n), Standing(credit, spread, 0.5, 2 * n)

    assert credit <= many.upper <= few.upper <= 1.0


def test_a_healthy_team_is_left_alone_whatever_the_noise() -> None:
    """Simulation: 500 teams of three roles, right in 80 %, critics of standard deviation 0.3 around 0.75: nobody is low."""
    draw = random.Random(1)
    low = 0
    for _ in range(500):
        n = draw.choice((3, 5, 10, 20))
        credits_ = [
            said(f"t{t}.0", role, r, min(1.0, max(0.0, draw.gauss(0.75, 0.3))), right=draw.random() < 0.8)
            for t in range(n)
            for role in "abc"
            for r in (1, 2)
        ]
        low += bool(lowest_roles(standings(credits_), threshold=0.5, most=2))

    assert low <= 10
