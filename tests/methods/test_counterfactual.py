"""The counterfactual method, blame tests inside TRUCE, and a critic of its own."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from langgraph_truce import optimize
from langgraph_truce.credit import counterfactual_credit
from langgraph_truce.errors import UserMistake
from langgraph_truce.gate import on_validation
from langgraph_truce.methods import counterfactual, truce
from langgraph_truce.methods.counterfactual import most_harmful
from langgraph_truce.seams import Credit, Method
from langgraph_truce.testing import PlantedWorld
from langgraph_truce.testing.batches import make_batch, make_book, make_rollout, make_rules
from langgraph_truce.testing.lab import FakeLab
from langgraph_truce.testing.planted.debate import PlantedDebate

BOOK = make_book(*(make_rules(r, "Be kind.") for r in ("ann", "bob", "cyd")))


def credit(role: str, value: float, task: str = "t1") -> Credit:
    return Credit(f"{task}.0", task, (f"{role}#1.0",), value, role=role, round=1)


async def selected(*credits_: Credit) -> tuple[str, ...]:
    runs = [make_rollout("t1", [(r, 1, "hi") for r in BOOK.agents], score=0.0)]
    return (await most_harmful()(make_batch(BOOK, runs, credits=credits_), {}, FakeLab()))[0]


async def test_the_largest_harm_comes_first_and_the_harmless_stay_as_they_are() -> None:
    assert await selected(credit("ann", -0.2), credit("bob", 0.0), credit("cyd", -0.9)) == ("cyd", "ann")


async def test_without_any_harm_every_agent_may_be_edited() -> None:
    assert await selected(credit("ann", 0.0)) == ("ann", "bob", "cyd")
    assert await selected() == ("ann", "bob", "cyd")


def test_the_method_keeps_checkpoints_and_says_what_it_was_made_with() -> None:
    method = counterfactual(replace=("neutral", BOOK), replicates=3)

    assert method.forks
    assert method.settings["replace"] == ["neutral", f"rules {BOOK.version}"]
    assert method.settings != counterfactual(replicates=3).settings
    assert truce().forks is False
    assert truce(blame_tests=True).forks is True
    assert truce(blame_tests=True).settings != truce().settings
    with pytest.raises(UserMistake, match="replace="):
        counterfactual(replace=())


def test_planning_counts_the_replays_and_no_critic() -> None:
    assert (free := counterfactual().asks) is not None
    assert (bounded := counterfactual(budget_calls=500).asks) is not None

    assert free(10, 3)["credit"][1] > 500 == bounded(10, 3)["credit"][1]
    assert free(10, 3)["suggest"] == (0, 30)


def ran(method: Method, tmp_path: Path, **settings: Any) -> Any:
    world = PlantedDebate(4, kinds=("commission",), decoys=0.0)
    return world, optimize(
        world.system,
        world.splits(9, 18, 9),
        world.score,
        method=replace(method, iterations=1),
        model=world.model,
        run=tmp_path / "run",
        **settings,
    )


@pytest.mark.slow
def test_harmful_rules_are_found_and_mended_without_a_critic(tmp_path: Path) -> None:
    _, result = ran(counterfactual(replace=("neutral",), gate=on_validation()), tmp_path)

    assert result.final.mean > result.baseline.mean


@pytest.mark.slow
def test_blame_tests_run_inside_the_loop(tmp_path: Path) -> None:
    _, result = ran(truce(blame_tests=True, gate=on_validation()), tmp_path)

    assert result.final.mean > result.baseline.mean


def test_the_critic_may_be_another_model(tmp_path: Path) -> None:
    world, critic = PlantedWorld(2), PlantedWorld(2).model

    optimize(
        world.system,
        world.splits(12, 12, 6),
        world.score,
        method=truce(iterations=1, gate=on_validation()),
        model={"credit": critic, "": world.model},
        run=tmp_path / "run",
    )

    asked = {call.messages[-1].text[:80] for call in critic.calls}
    others = {call.messages[-1].text[:80] for call in world.model.calls}
    assert critic.calls
    assert world.model.calls
    assert not asked & others


@pytest.mark.parametrize(("deterministic", "calls"), [(True, 54), (False, 72)])
def test_a_3_x_3_debate_costs_what_was_said_before(tmp_path: Path, deterministic: bool, calls: int) -> None:
    """Calls and journal hits of all replays, on the real graph; nine full reruns would be 117 a task."""
    world = PlantedDebate(4, kinds=("commission",))
    roles = [step.agent for step in world.planted]
    credit = counterfactual_credit(roles=roles, deterministic=deterministic)
    method = replace(truce(iterations=1, gate=on_validation()), credit=credit, forks=True)
    splits = world.splits(3, 3, 3)

    result = optimize(
        world.system, splits, world.score, method=method, model=world.model, run=tmp_path / "run"
    )

    failed = sum(world.guilty(task) is not None for task in splits.train)
    meter = result.meter["credit"]
    assert failed == 3
    assert meter["calls"] + meter["hits"] == failed * calls
