"""DyLAN's decisions as pure functions: consensus, orders, what replies say, importance, teams."""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from fractions import Fraction
from itertools import permutations
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from langgraph_truce import graphs
from langgraph_truce.choices import plurality
from langgraph_truce.errors import UserMistake

dylan: Any = graphs.load("dylan")
protocol: Any = importlib.import_module("langgraph_truce.graphs.dylan.protocol")

ANSWERS = st.sampled_from(["A", "B", "C", "D", ""])
RATING = st.one_of(st.integers(-2, 9), st.floats(-2, 9, allow_nan=False, width=16))
TASK = {"question": "Which?", "options": {"A": "one", "B": "two"}}


def path_importance(debate: Sequence[Any], result: str) -> list[dict[str, Fraction]]:
    """The same scores by another way: over every path of agents from a round to the last one."""
    last = max(u.round for u in debate)
    said = {(u.round, u.role): u for u in debate}
    winners = [r for (t, r), u in said.items() if t == last and u.answer == result != ""]

    def weight(rater: Any, role: str) -> Fraction:
        shown = list(rater.shown)
        parts = [min(max(Fraction(r) / 5, Fraction(0)), Fraction(1)) for r in rater.ratings]
        if len(parts) != len(shown) or not any(parts):
            return Fraction(1, len(shown))
        return parts[shown.index(role)] / sum(parts)

    def worth(t: int, role: str) -> Fraction:
        if t == last:
            return Fraction(int(role in winners), max(len(winners), 1))
        later = [u for (n, _), u in said.items() if n == t + 1]
        return sum((weight(u, role) * worth(t + 1, u.role) for u in later), Fraction(0))

    return [{r: worth(t, r) for (n, r) in said if n == t} for t in range(1, last + 1)]


@st.composite
def debates(draw: st.DrawFn) -> list[Any]:
    """Utterances of up to three rounds; some agents are missing in the last one, and the third may have two."""
    roles = list(dylan.POOL[: draw(st.integers(2, 7))])
    rounds = draw(st.integers(1, 3))
    said: list[Any] = []
    before: list[str] = []
    for t in range(1, rounds + 1):
        here = draw(st.permutations(roles if t < 3 or len(roles) <= 3 else roles[:2]))
        if t == rounds:
            here = here[: draw(st.integers(1, len(here)))]
        for role in here:
            shown = draw(st.permutations(before)) if before else []
            exact = st.lists(RATING, min_size=len(shown), max_size=len(shown))
            ratings = draw(st.one_of(exact, st.lists(RATING, max_size=8))) if shown else []
            said.append(dylan.Turn(role, t, draw(ANSWERS), tuple(shown), tuple(ratings)))
        before = list(here)
    return said


@settings(max_examples=80, deadline=None)
@given(debates())
def test_importance_is_what_the_paths_carry_and_every_round_sums_to_one(debate: list[Any]) -> None:
    last = max(u.round for u in debate)
    result = plurality([u.answer for u in debate if u.round == last])
    wanted = path_importance(debate, result)

    found = dylan.by_round(debate, result)

    assert [set(f) for f in found] == [set(w) for w in wanted]
    for scores, exact in zip(found, wanted, strict=True):
        assert all(scores[r] == pytest.approx(float(exact[r]), abs=1e-9) for r in scores)
        assert all(s >= 0 for s in scores.values())
        assert sum(scores.values()) == pytest.approx(1.0 if result else 0.0)
    total = dylan.importance(dylan.POOL, debate, result)
    assert list(total) == list(dylan.POOL)
    assert sum(total.values()) == pytest.approx(last if result else 0)


def test_importance_by_hand() -> None:
    def says(role: str, t: int, answer: str, *ratings: float) -> Any:
        return dylan.Turn(role, t, answer, ("doctor", "lawyer", "historian") if t > 1 else (), ratings)

    debate = [
        *(says(r, 1, "A") for r in ("doctor", "lawyer", "historian")),
        says("lawyer", 2, "B", 5, 4, 1),
        says("doctor", 2, "B", 7, -3, 5),  # clipped to 1, 0, 1
        says("historian", 2, "C", 5, 5, 5),
    ]
    first, second = dylan.by_round(debate, "B")
    assert second == {"lawyer": 0.5, "doctor": 0.5, "historian": 0.0}
    assert first == pytest.approx({"doctor": 0.25 + 0.25, "lawyer": 0.2, "historian": 0.05 + 0.25})
    # an answer that nobody in the last round gave is nobody's
    assert [sum(r.values()) for r in dylan.by_round(debate, "D")] == [0, 0]


@pytest.mark.parametrize("ratings", [[], [3], [1, 2, 3, 4], [0, 0, 0], [-1, -5, 0]])
def test_ratings_of_no_use_weigh_all_alike(ratings: list[float]) -> None:
    assert dylan.weights(ratings, 3) == pytest.approx([1 / 3] * 3)


@settings(max_examples=200, deadline=None)
@given(st.lists(ANSWERS, min_size=1, max_size=7), st.integers(2, 7))
def test_consensus_is_exactly_more_than_two_thirds_of_all(answers: list[str], agents: int) -> None:
    heard = answers[:agents]
    held = {a for a in heard if a and 3 * heard.count(a) > 2 * agents}
    assert {protocol.agreed(heard, agents)} - {""} == held


def test_the_numbers_that_must_agree() -> None:
    assert [protocol.quorum(n) + 1 for n in range(2, 8)] == [2, 3, 3, 4, 5, 5]
    assert protocol.agreed(["", "", ""], 3) == ""


@given(st.integers(0, 5), st.integers(1, 4))
def test_orders_are_a_hash_of_seed_task_and_round(seed: int, number: int) -> None:
    roles = dylan.POOL
    for order in (protocol.speaking_order, protocol.shown_order):
        found = order(roles, seed, TASK, number)
        assert sorted(found) == sorted(roles)
        assert found == order(roles[::-1], seed, dict(reversed(TASK.items())), number)


def test_seed_task_and_round_each_change_the_order() -> None:
    other = {**TASK, "question": "Which one?"}
    for order in (protocol.speaking_order, protocol.shown_order, protocol.drawn):
        asked = [(0, TASK, 1), (1, TASK, 1), (0, TASK, 2), (0, other, 1)]
        assert len({order(dylan.POOL, *key) for key in asked}) == 4
    assert protocol.speaking_order(dylan.POOL, 0, TASK, 1) != protocol.shown_order(dylan.POOL, 0, TASK, 1)
    firsts = {protocol.speaking_order(dylan.POOL, seed, TASK, 1)[0] for seed in range(60)}
    assert firsts == set(dylan.POOL)
    pairs = {protocol.drawn(dylan.POOL[:3], seed, TASK, 2) for seed in range(60)}
    assert pairs == set(permutations(dylan.POOL[:3], 2))


@pytest.mark.parametrize(
    ("reply", "ratings"),
    [
        ("Because. (B)\n[[4, 3,5]]", [4, 3, 5]),
        ("[[1, 2]] no, [[2, 2.5]]", [2, 2.5]),
        ("[[ -1 ]]", [-1]),
        ("[[4/5, 3/5]]", []),
        ("[[nan, 3]]", []),
        ("[[inf, 3]]", []),
        ("[[]]", []),
        ("[4, 3]", []),
        ("[[4, 3", []),
        ("[[5], [4]]", []),
        ("", []),
    ],
)
def test_ratings_are_read_from_the_last_double_brackets(reply: str, ratings: list[float]) -> None:
    assert protocol.read_ratings(reply) == ratings


def test_the_next_round_does_not_read_ratings() -> None:
    assert protocol.without_ratings("[[1]] Because. (B)\n[[4, 3]] ") == "[[1]] Because. (B)"
    assert protocol.without_ratings(" Because (B)") == "Because (B)"
    assert protocol.without_ratings("") == ""


@pytest.mark.parametrize(
    ("reply", "picks"),
    [
        ("Number 3 is clear. [3, 1]", ("c", "a")),
        ("[1,2], better: [ 2 , 4 ]", ("b", "d")),
        ("[[4, 2]]", ("d", "b")),
        ("[2, 2]", ()),
        ("[0, 1]", ()),
        ("[1, 5]", ()),
        ("[1, 2, 3]", ()),
        ("1, 2", ()),
        ("[one, two]", ()),
        ("", ()),
    ],
)
def test_picks_count_in_the_list_as_it_was_shown(reply: str, picks: tuple[str, ...]) -> None:
    assert protocol.read_picks(reply, ["a", "b", "c", "d"]) == picks


def test_the_team_of_the_most_important() -> None:
    debates = [
        {"doctor": 1.0, "lawyer": 0.5, "historian": 0.5},
        {"doctor": 0.0, "lawyer": 0.5, "historian": 1.5},
    ]
    assert dylan.top_k(debates, 1) == ("historian",)
    assert dylan.top_k(debates, 3) == ("historian", "doctor", "lawyer")  # a tie goes to the one named first
    for k in (0, 4):
        with pytest.raises(UserMistake, match=f"number of roles, 3, got {k}"):
            dylan.top_k(debates, k)
    with pytest.raises(UserMistake, match="roles, 0"):
        dylan.top_k([], 1)
