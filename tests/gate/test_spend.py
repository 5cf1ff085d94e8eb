"""How alpha is spent: nothing is spent twice, and too few tasks are refused at the start."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from langgraph_truce.errors import GateRefused
from langgraph_truce.gate import on_validation, paired_gate
from langgraph_truce.gate.spend import child, levels, reachable


def antichain(level: float, edits: int, first: int, removable: list[int]) -> float:
    """Most that the pruning tree below a set accepted at `level` spends on sets none of which is part of another."""
    left = edits - first
    if left == 0 or len(removable) == edits - 1:
        return level
    below = child(level, left)
    return max(
        level, sum(antichain(below, edits, place + 1, [*removable, place]) for place in range(first, edits))
    )


@given(st.floats(1e-4, 0.2), st.integers(1, 9), st.integers(1, 400), st.integers(1, 20))
def test_roots_never_spend_more_than_the_iteration_has(
    alpha_i: float, edits: int, tasks: int, trials: int
) -> None:
    plan = levels(alpha_i, edits, tasks, trials)
    assert plan.joint + plan.halves * plan.half <= alpha_i * (1 + 1e-12)
    assert plan.joint > 0


@given(st.floats(1e-4, 0.2), st.integers(1, 6))
def test_pruning_spends_no_more_than_its_root(level: float, edits: int) -> None:
    assert antichain(level, edits, 0, []) <= level * (1 + 1e-9)


def test_one_edit_gets_everything() -> None:
    plan = levels(0.01, edits=1, tasks=100, trials=8)
    assert (plan.joint, plan.halves) == (0.01, 0)


def test_too_few_tasks_for_halves_leave_all_to_the_joint_set() -> None:
    assert levels(0.01, edits=4, tasks=7, trials=8).joint == 0.01
    assert levels(0.01, edits=4, tasks=30, trials=8).joint < 0.01


def test_six_tasks_cannot_pass_at_one_percent() -> None:
    gate = paired_gate(alpha=0.05)
    with pytest.raises(GateRefused, match=r"6 validation tasks.*at least 7.*on_validation\(\)"):
        gate.check(6, 5)
    gate.check(7, 5)


@given(st.floats(0.001, 0.5), st.integers(1, 50), st.integers(1, 30))
def test_refuses_exactly_below_two_to_the_minus_n(alpha: float, iterations: int, tasks: int) -> None:
    gate = paired_gate(alpha=alpha)
    if 2.0**-tasks > alpha / iterations:
        with pytest.raises(GateRefused):
            gate.check(tasks, iterations)
    else:
        gate.check(tasks, iterations)
        assert reachable(alpha / iterations, tasks)


def test_on_validation_refuses_only_an_empty_split() -> None:
    on_validation().check(1, 50)
    with pytest.raises(GateRefused, match="none"):
        on_validation().check(0, 5)


@pytest.mark.parametrize(
    "bad",
    [{"alpha": 0}, {"alpha": 1}, {"delta_min": -0.1}, {"delta_min": 1}, {"replicates": 0}, {"trials": 0}],
)
def test_settings_out_of_range_are_refused(bad: dict[str, Any]) -> None:
    with pytest.raises(GateRefused):
        paired_gate(**bad)
    with pytest.raises(GateRefused):
        on_validation(replicates=0)


def test_a_gate_that_neither_prunes_nor_halves_plans_one_trial() -> None:
    assert paired_gate(prune=False, halve=False).trials == 1
    assert paired_gate(prune=False, trials=4).trials == 4
