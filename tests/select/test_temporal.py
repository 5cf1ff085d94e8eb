"""The moving average of a round's aggregator: what counts, what does not, and when a round is low."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from langgraph_truce.select.temporal import Signal, Temporal, signals
from tests.select.scripted_credits import closed, lost, said, won

KNOBS = {"beta": 0.2, "m": 5}


def fed(zs: str, *, beta: float = 0.2, m: int = 5) -> Temporal:
    """Round 1 after a row of 0 (informative failures) and 1."""
    row = [Signal(f"t{n}.0", 1, int(z)) for n, z in enumerate(zs)]
    return Temporal().updated(row, beta=beta, m=m)


@pytest.mark.parametrize(
    ("credit", "z"),
    [
        (closed("t1.0", 1, 0.9, right=False, agents=(1, 3)), 0),
        (closed("t1.0", 1, 0.9, right=False, agents=(3, 3)), 0),
        (closed("t1.0", 1, 0.1, right=False, agents=(0, 3)), None),
        (closed("t1.0", 1, 0.1, right=True, agents=(2, 3)), 1),
        (closed("t1.0", 1, 0.1, right=True, agents=(3, 3)), None),
        (closed("t1.0", 1, 0.1, right=True, agents=(0, 3)), None),
    ],
)
def test_answers_decide_where_they_can_be_scored(credit: object, z: int | None) -> None:
    found = signals([credit], {"t1.0"})  # type: ignore[list-item]  # a Credit

    assert [s.z for s in found] == ([] if z is None else [z])


@pytest.mark.parametrize(
    ("q", "failed", "cs", "z"),
    [
        (0.4, True, (0.5, 0.2), 0),
        (0.4, True, (0.4, 0.2), None),
        (0.4, False, (0.5, 0.2), None),
        (0.5, True, (0.9, 0.2), 1),
        (0.5, False, (0.9, 0.2), 1),
        (0.9, False, (0.9, 0.8), None),
        (0.9, True, (), None),
    ],
)
def test_critics_decide_where_they_cannot(
    q: float, failed: bool, cs: tuple[float, ...], z: int | None
) -> None:
    credits_ = [*(said("t1.0", "abc"[n], 1, c) for n, c in enumerate(cs)), closed("t1.0", 1, q)]

    assert [s.z for s in signals(credits_, {"t1.0"} if failed else set())] == ([] if z is None else [z])


def test_credits_of_others_and_rounds_without_aggregate_say_nothing() -> None:
    diagnosis = said("t1.0", "", 1, 0.1)
    diagnosis.details["kind"] = "diagnosis"  # type: ignore[index]  # a dict here

    assert signals([said("t1.0", "a", 1, 0.9), diagnosis, said("t1.0", "decide", None, 0.1)], {"t1.0"}) == ()


def test_unequal_rounds_are_counted_each_for_itself() -> None:
    found = signals([lost("t1.0"), lost("t1.0", 2), lost("t2.0"), won("t3.0", 3)], set())

    assert [(s.rollout, s.round, s.z) for s in found] == [
        ("t1.0", 1, 0),
        ("t1.0", 2, 0),
        ("t2.0", 1, 0),
        ("t3.0", 3, 1),
    ]


def test_it_follows_the_formula() -> None:
    assert fed("0").alpha[1] == pytest.approx(0.8)
    assert fed("0001").alpha[1] == pytest.approx(0.8**4 + 0.2)


def test_low_needs_both_a_low_average_and_enough_failures() -> None:
    state = fed("0000")

    assert state.alpha[1] < 0.5
    assert state.low(tau=0.5, m=4) == (1,)
    assert state.low(tau=0.5, m=5) == ()
    assert state.low(tau=0.4, m=4) == ()


def test_after_an_attempt_only_new_failures_bring_a_round_back() -> None:
    state = fed("00000").attempted({1})

    assert state.low(tau=0.5, m=1) == ()
    again = state.updated([Signal(f"u{n}.0", 1, 0) for n in range(5)], **KNOBS)  # type: ignore[arg-type]
    assert again.low(tau=0.5, m=5) == (1,)


def test_other_rules_begin_at_one_again() -> None:
    state = fed("00000").renewed({1: "old"})

    assert state.renewed({1: "old"}) == state
    fresh = state.renewed({1: "new"})
    assert (fresh.alpha, fresh.failures) == ({1: 1.0}, {})


def test_a_rollout_counts_once_in_a_turn_and_again_when_it_is_another() -> None:
    row = signals([lost("t1.0"), lost("t1.0", 2)], set())
    once = Temporal().begun(["t1.0"]).updated(row, **KNOBS)  # type: ignore[arg-type]

    assert once.updated(row, **KNOBS) == once  # type: ignore[arg-type]
    assert once.begun(["t1.0"]).updated(row, **KNOBS).alpha == once.alpha, "read again by a later turn"  # type: ignore[arg-type]
    assert once.begun(["t1.1"]).seen == ()


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 9), st.integers(1, 4), st.integers(0, 1)), max_size=40),
    st.floats(0.01, 1),
    st.integers(1, 6),
)
def test_what_it_keeps_stays_in_its_bounds_and_survives_json(
    rows: list[tuple[int, int, int]], beta: float, m: int
) -> None:
    row = [Signal(f"t{n}.{n}", t, z) for n, t, z in rows]
    state = Temporal().updated(row, beta=beta, m=m)

    assert all(0 <= a <= 1 for a in state.alpha.values())
    assert all(1 <= len(ids) <= m for ids in state.failures.values())
    assert Temporal.of(json.loads(json.dumps(state.to_json()))) == state
    assert state.updated(row, beta=beta, m=m) == state, "every rollout of it was seen"
    half = len(row) // 2
    parts = Temporal().updated(row[:half], beta=beta, m=m).begun(())
    whole = parts.updated(row[half:], beta=beta, m=m)
    assert (whole.alpha, whole.failures) == (state.alpha, state.failures), "in parts as at once"


def test_low_is_below_the_threshold_and_not_at_it() -> None:
    state = fed("0", beta=0.5, m=1)

    assert state.alpha == {1: 0.5}
    assert (state.low(tau=0.5, m=1), state.low(tau=0.51, m=1)) == ((), (1,))


def test_the_newest_failures_are_kept() -> None:
    assert fed("00100", m=3).failures == {1: ("t1.0", "t3.0", "t4.0")}


def test_only_the_round_whose_rules_changed_begins_anew() -> None:
    both = Temporal().updated([Signal("t.0", 1, 0), Signal("t.0", 2, 0)], **KNOBS)  # type: ignore[arg-type]
    known = both.renewed({1: "old"}).renewed({2: "old"})

    assert known.alpha == both.alpha, "rules that are seen for the first time are no change"
    assert known.failures == both.failures
    found = known.renewed({1: "new", 2: "old"})
    assert found.alpha == {1: 1.0, 2: both.alpha[2]}
    assert found.failures == {2: ("t.0",)}


def test_of_several_aggregates_of_a_round_the_last_one_counts() -> None:
    assert [s.z for s in signals([won("t.0"), lost("t.0")], {"t.0"})] == [0]
    assert [s.z for s in signals([lost("t.0"), won("t.0")], {"t.0"})] == [1]
