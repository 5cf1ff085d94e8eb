"""Critics and textual gradients inside a real run: models by purpose, credits that stand up to the trajectory."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from langgraph_truce import System, optimize
from langgraph_truce.bottleneck import View, with_aggregator
from langgraph_truce.credit import agreement, critics
from langgraph_truce.gate import on_validation
from langgraph_truce.methods import truce
from langgraph_truce.rounds import rounds_of
from langgraph_truce.seams import Method
from langgraph_truce.suggest import textual_gradient
from langgraph_truce.testing import PlantedBottleneck, real_lab
from langgraph_truce.testing.batches import make_batch, make_book, make_rules
from tests.credit.critic_scripts import lab as scripted
from tests.credit.critic_scripts import question, rendered_as


def one_iteration() -> Method:
    base = truce(iterations=1, gate=on_validation())
    return replace(base, credit=critics(), suggest=textual_gradient())


def test_every_purpose_may_have_a_model_of_its_own(tmp_path: Path) -> None:
    world = PlantedBottleneck(0, rounds=2, garbage=0.0)
    critic, doctor = (PlantedBottleneck(0, rounds=2, garbage=0.0).model for _ in range(2))

    result = optimize(
        world.system,
        world.splits(6, 4, 4),
        world.score,
        method=one_iteration(),
        model={"credit": critic, "diagnose": doctor, "": world.model},
        run=tmp_path / "run",
    )

    assert rendered_as(critic) == {"critic", "peers"}
    assert rendered_as(doctor) == {"diagnosis"}
    assert "textual_gradient" in rendered_as(world.model)
    assert not rendered_as(world.model) & {"critic", "peers", "diagnosis"}
    assert {"credit", "diagnose", "suggest"} <= result.meter.keys()
    assert result.meter["credit"]["calls"] == 6 * 2 * 2


async def test_credits_of_a_real_graph_rest_on_its_steps() -> None:
    world = PlantedBottleneck(1, rounds=2, garbage=0.0)
    async with real_lab(world.system, world.score, model=world.model) as (lab, _):
        tasks = world.splits(8, 4, 4).train
        runs = await lab.rollouts(tasks, world.rules, purpose="task")
        batch = make_batch(world.rules, runs, tasks={t.id: t for t in tasks})
        credits_, memory = await critics()(batch, {}, lab)

    steps = {r.id: r.trajectory.step_ids for r in runs}
    assert all(c.steps and steps[c.rollout].issuperset(c.steps) for c in credits_)
    said = [r for run in runs for r in rounds_of(run, world.rules, "aggregator")]
    kinds = [c.details["kind"] for c in credits_]
    assert memory["rejected_count"] == memory["unread_count"] == 0
    assert kinds.count("role") == sum(len(r.utterances) for r in said) == 8 * 2 * 3
    assert kinds.count("aggregator") == len(said)
    assert kinds.count("diagnosis") == len(runs)
    assert all(c.details["right"] is not None for c in credits_ if c.role)
    auc = agreement(credits_)[""].auc
    assert auc is not None
    assert auc > 0.5


@pytest.mark.parametrize("names", [("ann", "bob"), ("agent-A", "agent-C")])
async def test_roles_that_are_functions_are_read_by_what_they_say(names: tuple[str, str]) -> None:
    async def ann(view: View) -> str:
        return "It is (B)." if view["round"] == 1 else "Now (A)."

    async def agg(view: View) -> str:
        return f"Most say {'(E)' if view['round'] == 1 else '(A)'}."  # invents an option, then drops the right one

    async def decide(view: View) -> str:
        return view["shared"]

    roles = dict.fromkeys(names, ann)
    graph = with_aggregator(roles, rounds=2, aggregator="agg", aggregate=agg, decide=decide)
    book = make_book(*(make_rules(a, "Think.") for a in (*roles, "agg", "decide")))
    system = System(
        graph,
        book,
        inputs=lambda t: {"task": dict(t)},
        outputs=lambda s: {"answer": s["answer"]},
        aggregator="agg",
    )
    task = question("t1")
    async with real_lab(system, lambda outputs: 0.0) as (lab, _):
        runs = await lab.rollouts([task], book, purpose="task")
    credits_, _ = await critics()(make_batch(book, runs, tasks={"t1": task}), {}, scripted())

    found = {(c.role, c.round): c.details["right"] for c in credits_ if c.role}
    assert found == {
        **{(role, 1): True for role in roles},
        **{(role, 2): False for role in roles},
        ("agg", 1): False,
        ("agg", 2): False,
    }
    assert [c.details["agents_right"] for c in credits_ if c.details["kind"] == "aggregator"] == [2, 0]
