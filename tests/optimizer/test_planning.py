"""`plan`: its range holds what a run really spends."""

from __future__ import annotations

from pathlib import Path

import pytest

from langgraph_truce import Budget
from langgraph_truce.methods import offline, truce
from langgraph_truce.model.prices import Prices
from langgraph_truce.optimizer import optimize, plan
from langgraph_truce.optimizer.planning import Asked
from langgraph_truce.testing import PlantedWorld


@pytest.mark.parametrize("seed", [3, 11])
def test_calls_and_tokens_of_a_simulated_run_lie_in_the_planned_range(tmp_path: Path, seed: int) -> None:
    world = PlantedWorld(seed, calls=True)
    splits, method = world.splits(18, 30, 12), truce(iterations=2)
    result = optimize(
        world.system, splits, world.score, method=method, model=world.model, run=tmp_path / "run"
    )

    assert result.planned == plan(world.system, splits, method).to_json()
    for purpose, expected in result.planned.items():
        row = result.meter.get(purpose, {"calls": 0, "input_tokens": 0, "output_tokens": 0})
        low, high = expected["calls"]
        assert low <= row["calls"] <= high, purpose
        low, high = expected["tokens"]
        assert low <= row["input_tokens"] + row["output_tokens"] <= high, purpose


def test_dollars_follow_from_prices_and_output_limits() -> None:
    world = PlantedWorld(3, calls=True)
    splits, method = world.splits(18, 30, 12), truce(iterations=2)
    price = Prices.of({"m": {"input": 1, "output": 10}}).find("m")

    unknown = plan(world.system, splits, method)
    assert unknown.usd is None
    wide = plan(world.system, splits, method, critics={"": Asked(price)}, task=Asked(price))
    narrow = plan(world.system, splits, method, critics={"": Asked(price, 20)}, task=Asked(price, 20))
    assert wide.usd is not None
    assert narrow.usd is not None
    assert 0 < narrow.usd[0] <= wide.usd[0] < narrow.usd[1] < wide.usd[1]
    assert narrow.tokens[1] < wide.tokens[1]
    assert wide.usd[1] >= wide.tokens[1] * 1e-6


def test_a_method_that_asks_no_model_plans_none() -> None:
    world = PlantedWorld(3, calls=True)
    found = plan(world.system, world.splits(18, 30, 12), offline())

    assert {row.purpose for row in found.rows} == {"task", "gate", "test"}
    assert found.row("credit").high == 0


def test_a_run_with_a_planned_budget_is_not_stopped(tmp_path: Path) -> None:
    world = PlantedWorld(3, calls=True)
    splits, method = world.splits(12, 20, 8), truce(iterations=1)
    expected = plan(world.system, splits, method)
    result = optimize(
        world.system,
        splits,
        world.score,
        method=method,
        model=world.model,
        budget=Budget(calls=expected.high),
        run=tmp_path / "run",
    )

    assert result.stopped == ""
    assert result.final.n == 8
