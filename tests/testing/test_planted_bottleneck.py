"""The planted bottleneck: what each weak prompt costs, that chance depends on keys alone, and what a run calls."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from langchain_core.runnables import RunnableConfig

from langgraph_truce.bind import RunContext, published
from langgraph_truce.choices import read_choice
from langgraph_truce.errors import UserMistake
from langgraph_truce.rollout.record import Recorded, record
from langgraph_truce.rounds import rounds_of
from langgraph_truce.rules import RuleBook, parse
from langgraph_truce.seams import Rollout
from langgraph_truce.task import Outcome, Task
from langgraph_truce.testing import PlantedBottleneck
from langgraph_truce.testing.planted.bottleneck_play import still_open
from langgraph_truce.testing.planted.bottleneck_topics import AGGREGATING
from langgraph_truce.testing.planted.topics import TOPICS, says
from langgraph_truce.trajectory.step import Step
from langgraph_truce.trajectory.transcript import said

SEEDS = range(5)
MARGIN = 0.15
"""Least that either weak prompt costs alone, as a share of right answers over several worlds."""


def config(version: str, task: Task, replicate: int = 0) -> RunnableConfig:
    context = RunContext(version, f"{version}/{task.id}/{replicate}", task.id, replicate).configurable()
    return RunnableConfig(configurable=context, metadata=context)


async def states(
    world: PlantedBottleneck, tasks: Sequence[Task], book: RuleBook | None = None, *, replicate: int = 0
) -> list[dict[str, Any]]:
    """Final states of real runs of the graph."""
    with published(book or world.rules) as version:
        runs = (
            world.graph.ainvoke(world.system.graph_input(t), config(version, t, replicate)) for t in tasks
        )
        return list(await asyncio.gather(*runs))


async def mean(world: PlantedBottleneck, book: RuleBook | None = None, n: int = 12) -> float:
    tasks = world.splits(n, 1, 1).train
    ends = await states(world, tasks, book)
    rows = [
        await world.score(world.system.answer(s), t.reference_outputs)
        for s, t in zip(ends, tasks, strict=True)
    ]
    return float(sum(row["score"] for row in rows) / n)


async def over_seeds(**settings_: Any) -> float:
    worlds = [PlantedBottleneck(seed, **settings_) for seed in SEEDS]
    return sum([await mean(world) for world in worlds]) / len(worlds)


async def test_either_weak_prompt_alone_costs_its_margin_and_both_cost_more() -> None:
    sound = await over_seeds(weak_role=False, weak_round=False)
    role = await over_seeds(weak_round=False)
    closing = await over_seeds(weak_role=False)
    both = await over_seeds()
    assert sound > 0.9
    assert role < sound - MARGIN
    assert closing < sound - MARGIN
    assert both < min(role, closing) - 0.1


async def test_repairing_one_helps_and_repairing_both_makes_it_sound() -> None:
    before, one, both = [], [], []
    for seed in SEEDS:
        world = PlantedBottleneck(seed)
        before.append(await mean(world))
        one.append(await mean(world, world.repaired(world.planted[0].agent)))
        both.append(await mean(world, world.repaired()))
    assert sum(before) / 5 + 0.1 < sum(one) / 5 < sum(both) / 5 - 0.1
    assert sum(both) / 5 > 0.9


@given(st.integers(0, 10_000), st.integers(2, 7), st.integers(2, 8), st.booleans(), st.booleans())
@settings(max_examples=25, deadline=None)
def test_the_planted_faults_are_the_active_ones_and_repair_ends_them(
    seed: int, roles: int, rounds: int, weak_role: bool, weak_round: bool
) -> None:
    world = PlantedBottleneck(seed, roles, rounds, weak_role, weak_round)
    agents = [fault.agent for fault in world.planted]
    assert [a.startswith("aggregator@") for a in agents] == [False] * weak_role + [True] * weak_round
    assert world.active(world.rules) == world.planted
    assert world.active(world.repaired()) == ()
    for fault in world.planted:
        assert world.active(world.repaired(fault.agent)) == tuple(f for f in world.planted if f is not fault)
    closing = {f"aggregator@{t}" for t in range(1, rounds + 1)}
    assert len(world.rules.agents) == roles + rounds + 1
    assert closing | {"decide"} < world.rules.agents.keys()


def test_half_of_the_weak_parts_lack_a_rule_and_any_agent_can_be_weak() -> None:
    worlds = [PlantedBottleneck(seed) for seed in range(60)]
    kinds = Counter(f.kind for w in worlds for f in w.planted)
    assert min(kinds["commission"], kinds["omission"]) > 40
    assert len(Counter(w.planted[0].agent for w in worlds)) == 3
    assert len(Counter(w.planted[1].agent for w in worlds)) == 3


def test_a_harmful_rule_makes_any_sound_agent_weak_and_a_helping_one_nothing() -> None:
    world = PlantedBottleneck(0, weak_role=False, weak_round=False)
    for agent, rules in world.rules.agents.items():
        if agent == "decide":
            continue
        topic = world._faults[agent].topic
        harmed = RuleBook(
            {**world.rules.agents, agent: parse(agent, f"{rules.render()}- {topic.harm_rule}\n")}
        )
        assert [f.agent for f in world.active(harmed)] == [agent]
        assert world.active(world.repaired(agent)) == ()


async def recorded(world: PlantedBottleneck, task: Task) -> Recorded:
    """A run with its trajectory."""
    with published(world.rules) as version:
        given_ = world.system.graph_input(task)
        return await record(
            world.graph, given_, rollout="r", config=config(version, task), aggregator="aggregator"
        )


async def test_a_run_makes_n_r_plus_r_plus_1_recorded_model_calls() -> None:
    world = PlantedBottleneck(3, roles=4, rounds=2)
    steps = (await recorded(world, world.splits(1, 1, 1).train[0])).trajectory.steps
    assert [len(s.calls) for s in steps] == [1] * (4 * 2 + 2 + 1)
    assert world.system.calls == 11
    assert [s.role for s in steps][-1] == "decide"
    assert Counter(s.round for s in steps if s.role != "decide") == {1: 5, 2: 5}


async def test_equal_seeds_give_equal_runs_in_any_order_and_replicates_differ() -> None:
    tasks = PlantedBottleneck(7).splits(8, 1, 1).train
    assert tasks == PlantedBottleneck(7).splits(8, 1, 1).train
    one, other = PlantedBottleneck(7), PlantedBottleneck(7)
    first = await states(one, tasks)
    assert first == (await states(other, tasks[::-1]))[::-1]
    assert first != await states(one, tasks, replicate=1)
    assert PlantedBottleneck(8).rules.version != one.rules.version


async def test_an_idle_rule_changes_no_word_of_a_run() -> None:
    world = PlantedBottleneck(2)
    idle = {a: parse(a, f"{r.render()}- Stay on the point.\n") for a, r in world.rules.agents.items()}
    tasks = world.splits(6, 1, 1).train
    assert await states(world, tasks) == await states(world, tasks, RuleBook(idle))


async def test_informative_failures_are_the_weak_rounds_own() -> None:
    """The aggregate is wrong though some agent is right: seldom in any other round."""
    for seed in SEEDS:
        world = PlantedBottleneck(seed)
        failed: Counter[int] = Counter()
        for task in world.splits(20, 1, 1).train:
            for number, right, agents in await judged(world, task):
                failed[number] += any(agents) and not right
        weak = int(world.planted[1].agent.partition("@")[2])
        assert failed[weak] >= 6
        assert all(failed[t] <= failed[weak] / 2 for t in range(1, 4) if t != weak)


async def judged(world: PlantedBottleneck, task: Task) -> list[tuple[int, bool, list[bool]]]:
    """Of every round: its number, whether the aggregate is right, and whether each utterance is."""
    done = await recorded(world, task)
    rollout = Rollout("r", task.id, 0, world.rules.version, Outcome({}, 0.0, ""), done.trajectory)

    def right(step: Step) -> bool:
        return bool(read_choice(said(done.trajectory, step)) == task.reference_outputs["answer"])

    found = rounds_of(rollout, world.rules, "aggregator")
    return [
        (r.number, bool(r.aggregate and right(r.aggregate)), [right(u) for u in r.utterances]) for r in found
    ]


async def test_what_a_round_dropped_stays_away_unless_it_is_recovered() -> None:
    gone = PlantedBottleneck(5, weak_role=False, recovers=0.0)
    back = replace(gone, recovers=1.0)
    assert await mean(back, n=30) >= await mean(gone, n=30) + 0.1
    assert still_open("(B) stands after round 1. Still open: B, D. Done.") == {"B", "D"}
    assert still_open("") == frozenset()


def test_the_words_of_aggregation_are_told_apart() -> None:
    for topic in AGGREGATING:
        assert says(topic.harm_rule, topic.harm)
        for other in (*AGGREGATING, *TOPICS):
            assert other is topic or not says(topic.harm_rule, other.remedy)
            for remedy in topic.remedies:
                assert says(remedy, topic.remedy)
                assert not says(remedy, other.harm)


@pytest.mark.parametrize(
    ("setting", "value"),
    [("roles", 1), ("roles", 8), ("rounds", 1), ("noise", 1.5), ("garbage", -0.1), ("critic_noise", 0.6)],
)
def test_a_setting_out_of_range_is_refused_by_name(setting: str, value: float) -> None:
    with pytest.raises(UserMistake, match=f"{setting} lies between"):
        PlantedBottleneck(0, **{setting: value})  # type: ignore[arg-type]


def test_an_unknown_agent_cannot_be_repaired() -> None:
    with pytest.raises(UserMistake, match="no agent 'ghost'"):
        PlantedBottleneck(0).repaired("ghost")
