"""Methods: what they are made of, and that each runs the whole job."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path

import pytest

from langgraph_truce import graphs, optimize
from langgraph_truce.errors import UserMistake
from langgraph_truce.gate import on_validation, paired_gate
from langgraph_truce.methods import offline, outcome_only, truce, whole_prompt
from langgraph_truce.seams import Method
from langgraph_truce.testing import PlantedWorld
from langgraph_truce.trajectory import whole


def differing(one: Method, other: Method) -> set[str]:
    """Decisions of the two that are made by different factories."""
    decisions = ("segment", "credit", "select", "suggest", "merge", "write", "gate")
    return {
        d
        for d in decisions
        if getattr(getattr(one, d), "__qualname__", "") != getattr(getattr(other, d), "__qualname__", "")
    }


def test_the_ablations_change_one_decision_each() -> None:
    base = truce()

    assert differing(base, outcome_only()) == {"credit"}
    assert differing(base, whole_prompt()) == {"write"}
    assert {f.name for f in fields(Method)} >= {"settings", "trials", "patience"}


def test_what_a_method_was_made_with_is_part_of_its_identity() -> None:
    assert truce(top_k=3).settings != truce(top_k=4).settings
    assert truce(segment=whole).settings["segment"] == "whole"
    assert offline(words=3).settings != offline(words=4).settings
    assert truce(gate=paired_gate(trials=3)).trials == 3


def test_the_ablation_without_credit_plans_no_critic_calls() -> None:
    planned, ablated = truce().asks, outcome_only().asks
    assert planned is not None
    assert ablated is not None

    assert "credit" in planned(10, 3)
    assert "credit" not in ablated(10, 3)


@pytest.mark.parametrize("make", [truce, outcome_only, whole_prompt])
def test_each_runs_on_the_planted_world(make: object, tmp_path: Path) -> None:
    world = PlantedWorld(2)
    method: Method = make(iterations=1, gate=on_validation())  # type: ignore[operator]  # one signature for the three

    result = optimize(
        world.system,
        world.splits(24, 24, 12),
        world.score,
        method=method,
        model=world.model,
        run=tmp_path / "run",
    )

    assert len(result.iterations) == 1
    assert result.final.n == 12


def test_a_method_that_asks_a_critic_says_so_without_one(tmp_path: Path) -> None:
    world = PlantedWorld(2)

    with pytest.raises(UserMistake, match=r"asks a critic model and none was given; .*offline\(\)"):
        optimize(world.system, world.splits(6, 12, 6), world.score, method=truce(), run=tmp_path / "run")


def test_offline_needs_none_and_gains_on_the_ready_graph(tmp_path: Path) -> None:
    ready = graphs.load("manager_worker")

    result = optimize(
        ready.system(ready.scripted_model()),
        ready.splits(),
        ready.score,
        method=offline(),
        run=tmp_path / "run",
    )

    assert result.difference.p_value < 0.05
    assert result.final.mean > result.baseline.mean
    assert all(line["edit"]["task"] for line in result.ledger if line["edit"]["kind"] == "example")
