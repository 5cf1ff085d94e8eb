"""TRUCE's margin rule, corrected: its sample size, its margin, its refusals."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from langgraph_truce.errors import GateRefused
from langgraph_truce.gate import margin_beta, margin_gate, margin_sample_size


def test_the_paper_s_example_needs_1540_tasks() -> None:
    assert margin_sample_size(M=11, K=5, delta=0.05, epsilon=0.1) == 1540


@given(st.integers(2, 50), st.integers(1, 20), st.floats(0.001, 0.5), st.floats(0.02, 0.9))
def test_with_that_many_tasks_twice_beta_is_epsilon(M: int, K: int, delta: float, epsilon: float) -> None:  # noqa: N803
    n = margin_sample_size(M, K, delta, epsilon)
    assert 2 * margin_beta(n, M, K, delta) <= epsilon + 1e-12
    if n > 1:
        assert 2 * margin_beta(n - 1, M, K, delta) > epsilon - 1e-9
    # Hoeffding for each of M K means, and the union bound
    assert 2 * M * K * math.exp(-2 * n * margin_beta(n, M, K, delta) ** 2) == pytest.approx(delta)


def test_fewer_tasks_are_refused_with_the_number() -> None:
    gate = margin_gate()
    gate.check(1540, 5)
    with pytest.raises(GateRefused, match=r"needs 1540 validation tasks.*there are 1539.*sequential_gate"):
        gate.check(1539, 5)


@pytest.mark.parametrize(
    ("gain", "share", "decision"), [(True, 4, "accept"), (True, 8, "inconclusive"), (False, 8, "accept")]
)
async def test_the_best_single_edit_must_clear_the_margin(
    kit: Any, gain: bool, share: int, decision: str
) -> None:
    """With n as asked for, a proven gain of 10 points takes a lead of 20, no loss one of 10."""

    def score(n: int, r: int, text: str) -> float:
        return float(n % share > 0 or "good" in text)

    edits = [kit.add("e1.1", "idle"), kit.add("e1.2", "good")]
    tasks = margin_sample_size(3, 5)
    lab = kit.Bench(score)
    verdict, memory = await margin_gate(edits=2, gain=gain)(kit.batch(*edits, tasks=tasks), {}, lab)

    assert verdict.decision == decision
    assert [e.id for e in verdict.edits] == (["e1.2"] if decision == "accept" else [])
    assert f"n = {tasks} of {tasks} needed" in verdict.words
    assert [t["edits"] for t in verdict.trials] == [["e1.1"], ["e1.2"]]
    assert memory == {"replicate": int(decision == "accept")}
    assert len(lab.runs) == 3  # the current rules once, and each edit alone


async def test_what_cannot_be_measured_is_inconclusive(kit: Any) -> None:
    lab = kit.Bench(lambda n, r, text: None)
    batch = kit.batch(kit.add("e1.1", "x"), tasks=margin_sample_size(2, 5))
    verdict, _ = await margin_gate(edits=1)(batch, {}, lab)
    assert (verdict.decision, verdict.trials[0]["decision"]) == ("inconclusive", "error")


@pytest.mark.parametrize("bad", [{"delta": 0}, {"epsilon": 1}, {"edits": 0}])
def test_settings_out_of_range_are_refused(bad: dict[str, Any]) -> None:
    with pytest.raises(GateRefused):
        margin_gate(**bad)
