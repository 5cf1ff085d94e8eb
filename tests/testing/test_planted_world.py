"""The planted world: what is planted, how tasks come out, and that chance depends on keys alone."""

from __future__ import annotations

import asyncio
import random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.runnables import RunnableConfig

from langgraph_truce.bind import RunContext, published
from langgraph_truce.errors import UserMistake
from langgraph_truce.model.failure import infrastructure
from langgraph_truce.rules import Edit, RuleBook, apply
from langgraph_truce.task import Task
from langgraph_truce.testing.planted import Fault, PlantedWorld


async def graph_score(
    world: PlantedWorld, task: Task, replicate: int, book: RuleBook, callbacks: Any = None
) -> float:
    """The score of a real run of the graph."""
    with published(book) as version:
        context = RunContext(version, "r", task.id, replicate).configurable()
        run = RunnableConfig(configurable=context, metadata=context, callbacks=callbacks)
        state = await world.graph.ainvoke(world.system.graph_input(task), run)
    return float((await world.score(world.system.answer(state), task.reference_outputs))["score"])


def repair(world: PlantedWorld, fault: Fault, book: RuleBook) -> Edit:
    """The edit that puts a fault right: the harmful rule goes, or the missing one comes."""
    for rule in book.agents[fault.agent].rules:
        if rule.text == fault.topic.harm_rule:
            return Edit("e", "DELETE", fault.agent, rule=rule.id, old_hash=rule.hash)
    return Edit("e", "ADD", fault.agent, text=fault.topic.remedies[1])


def repaired(world: PlantedWorld) -> RuleBook:
    book = world.rules
    for fault in world.planted:
        book = apply(book, [repair(world, fault, book)])
    return book


@given(st.integers(0, 10_000), st.integers(1, 6), st.integers(1, 10))
@settings(max_examples=40, deadline=None)
def test_faults_are_half_and_half_on_different_topics_and_all_active(
    seed: int, agents: int, faults: int
) -> None:
    world = PlantedWorld(seed, agents=agents, faults=faults)
    kinds = [f.kind for f in world.planted]
    assert abs(kinds.count("commission") - kinds.count("omission")) == faults % 2
    assert len({f.topic.name for f in world.planted}) == faults
    assert len({f.agent for f in world.planted}) == min(agents, faults)
    assert world.active(world.rules) == world.planted
    assert world.active(repaired(world)) == ()


async def test_the_graph_gives_what_outcome_says() -> None:
    for seed, rounds in ((0, 1), (1, 2), (2, 3)):
        world = PlantedWorld(seed, rounds=rounds, fresh_luck=seed == 2, calls=seed == 1)
        for book in (world.rules, repaired(world)):
            for task in world.splits(9, 9, 9).validation:
                for replicate in (0, 5):
                    given = await graph_score(world, task, replicate, book)
                    assert given == world.outcome(task, replicate, book)


def test_success_is_rare_with_the_fault_and_common_without() -> None:
    world = PlantedWorld(7)
    tasks = world.splits(3, 600, 3).validation
    for book, expected in ((world.rules, 0.2), (repaired(world), 0.9)):
        mean = sum(world.outcome(t, 0, book) or 0.0 for t in tasks) / len(tasks)
        assert mean == pytest.approx(expected, abs=0.05)


def test_repairing_one_fault_changes_its_own_tasks_alone() -> None:
    world = PlantedWorld(3)
    fault = world.planted[0]
    book = apply(world.rules, [repair(world, fault, world.rules)])
    assert set(world.active(book)) == set(world.planted[1:])
    for task in world.splits(3, 90, 3).validation:
        before, after = world.outcome(task, 0, world.rules), world.outcome(task, 0, book)
        if task.inputs["topic"] == fault.topic.name:
            assert (after or 0) >= (before or 0)
        else:
            assert after == before


def test_a_rule_in_the_wrong_agent_repairs_nothing() -> None:
    world = PlantedWorld(3)
    fault = next(f for f in world.planted if f.kind == "omission")
    other = next(f.agent for f in world.planted if f.agent != fault.agent)
    book = apply(world.rules, [Edit("e", "ADD", other, text=fault.topic.remedies[0])])
    assert fault in world.active(book)


async def test_order_and_company_do_not_matter() -> None:
    world = PlantedWorld(11)
    tasks = list(world.splits(1, 24, 1).validation)
    one = {t.id: await graph_score(world, t, 0, world.rules) for t in tasks}
    random.Random(0).shuffle(tasks)
    again = await asyncio.gather(*(graph_score(PlantedWorld(11), t, 0, world.rules) for t in tasks))
    assert one == {t.id: s for t, s in zip(tasks, again, strict=True)}


def test_replicates_and_seeds_differ() -> None:
    world = PlantedWorld(1)
    tasks = world.splits(1, 200, 1).validation
    scores = [tuple(world.outcome(t, r, world.rules) for t in tasks) for r in range(3)]
    assert len(set(scores)) == 3
    assert PlantedWorld(2).rules.version != world.rules.version


def test_luck_changes_with_the_instructions_only_where_asked() -> None:
    idle = Edit("e", "ADD", "", text="Say please.")
    for fresh in (False, True):
        world = PlantedWorld(5, fresh_luck=fresh)
        edits = [Edit(f"e{n}", "ADD", f.agent, text=idle.text) for n, f in enumerate(world.planted)]
        book = apply(world.rules, edits)
        tasks = world.splits(1, 300, 1).validation
        moved = sum(world.outcome(t, 0, world.rules) != world.outcome(t, 0, book) for t in tasks)
        assert (moved > 30) is fresh
        assert moved < 150


async def test_symptoms_show_in_the_owners_notes_alone() -> None:
    world = PlantedWorld(4)
    shown = 0
    with published(world.rules) as version:
        for task in world.splits(1, 30, 1).validation:
            fault = next(f for f in world.planted if f.topic.name == task.inputs["topic"])
            run = RunnableConfig(configurable=RunContext(version, "r", task.id).configurable())
            state = await world.graph.ainvoke(dict(task.inputs), run)
            for note in state["notes"]:
                seen = any(s in note["text"] for s in fault.topic.symptoms)
                assert not seen or note["role"] == fault.agent
                shown += seen
            # what the owner wrote is what the aggregator carried on and the decision gave
            last = [n["value"] for n in state["notes"] if n["role"] == fault.agent][-1]
            assert state["value"] == state["carried"] == last
    assert 20 <= shown <= 30


async def test_time_outs_and_overload_end_the_run_as_told() -> None:
    slow = PlantedWorld(1, timeouts=1.0)
    task = slow.splits(1, 1, 1).validation[0]
    with pytest.raises(TimeoutError) as timeout:
        await graph_score(slow, task, 0, slow.rules)
    assert not infrastructure(timeout.value)
    assert slow.outcome(task, 0, slow.rules) == 0.0
    busy = PlantedWorld(1, rate_limits=1.0)
    with pytest.raises(ConnectionError) as limit:
        await graph_score(busy, task, 0, busy.rules)
    assert infrastructure(limit.value)
    assert busy.outcome(task, 0, busy.rules) is None


async def test_with_calls_the_prompts_can_be_recorded() -> None:
    class Heard(BaseCallbackHandler):
        prompts: list[str] = []  # noqa: RUF012 - one handler, one test

        def on_chat_model_start(self, serialized: Any, messages: Any, **kwargs: Any) -> None:
            self.prompts.append(messages[0][0].text)

    world, heard = PlantedWorld(1, calls=True), Heard()
    await graph_score(world, world.splits(1, 1, 1).train[0], 0, world.rules, callbacks=[heard])
    assert len(heard.prompts) == 3 * 2 + 2 + 1 == world.system.calls
    assert set(heard.prompts) == {world.rules.render(role) for role in world.rules.agents}


def test_without_faults_nothing_is_wrong() -> None:
    world = PlantedWorld(9, faults=0)
    assert world.active(world.rules) == ()
    tasks = world.splits(1, 400, 1).validation
    assert sum(world.outcome(t, 0, world.rules) or 0 for t in tasks) / 400 == pytest.approx(0.9, abs=0.05)


def test_tasks_are_disjoint_and_balanced() -> None:
    splits = PlantedWorld(0).splits(30, 60, 30)
    topics = [t.inputs["topic"] for t in splits.validation]
    assert {topics.count(t) for t in topics} == {20}


@pytest.mark.parametrize(
    "bad", [{"agents": 7}, {"agents": 0}, {"rounds": 0}, {"faults": 11}, {"garbage": 1.5}]
)
def test_settings_out_of_range_are_refused(bad: dict[str, Any]) -> None:
    with pytest.raises(UserMistake, match=next(iter(bad))):
        PlantedWorld(0, **bad)


def test_a_task_of_another_world_is_refused() -> None:
    world = PlantedWorld(0)
    with pytest.raises(UserMistake, match="no topic"):
        world.outcome(Task("t", {"request": "x", "topic": "weather"}), 0, world.rules)
