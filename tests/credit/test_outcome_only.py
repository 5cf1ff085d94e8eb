"""The ablation: every agent gets the outcome."""

from __future__ import annotations

import pytest

from langgraph_truce.credit import outcome_only
from langgraph_truce.testing.batches import make_batch, make_book, make_rollout, make_rules
from langgraph_truce.testing.lab import FakeLab

BOOK = make_book(make_rules("solver", "Think."), make_rules("critic", "Object."))


@pytest.mark.parametrize(("score", "value"), [(0.0, -1.0), (0.5, 0.0), (1.0, 1.0)])
async def test_all_agents_with_rules_that_acted_get_the_same_value(score: float, value: float) -> None:
    said = [("solver", 1, "a"), ("router", 1, "b"), ("critic", 1, "c"), ("solver", 2, "d")]
    batch = make_batch(BOOK, [make_rollout("t1", said, score=score, feedback="wrong")])
    credits_, memory = await outcome_only()(batch, {"kept": 1}, FakeLab())
    assert [(c.role, c.value, c.words) for c in credits_] == [
        ("solver", value, "wrong"),
        ("critic", value, "wrong"),
    ]
    assert [c.steps for c in credits_] == [("solver#1.0", "solver#2.0"), ("critic#1.0",)]
    assert all(set(c.steps) <= batch.rollouts[0].trajectory.step_ids for c in credits_)
    assert memory == {"kept": 1}
