"""The planted debate: who is guilty, how runs come out, and that chance depends on keys alone."""

from __future__ import annotations

import asyncio
from collections import Counter
from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from langchain_core.runnables import RunnableConfig

from langgraph_truce.bind import RunContext, published
from langgraph_truce.errors import UserMistake
from langgraph_truce.evaluate import as_evaluator
from langgraph_truce.rollout.record import Recorded, record
from langgraph_truce.rollout.run import rollout_id
from langgraph_truce.rules import RuleBook
from langgraph_truce.task import Task
from langgraph_truce.testing.planted import PlantedDebate
from langgraph_truce.testing.planted.debate_graph import Sharing
from langgraph_truce.trajectory.states import round_states

SHARING: tuple[Sharing, ...] = ("replicate", "prompt", "replay")
ALL: tuple[Any, ...] = ("commission", "omission", "delayed")


@dataclass(frozen=True)
class Ran:
    score: float
    recorded: Recorded


async def run(
    world: PlantedDebate, task: Task, book: RuleBook | None = None, *, replicate: int = 0, name: str = ""
) -> Ran:
    """A real run of the graph; under another name than its own it is a replay to the world."""
    with published(book or world.rules) as version:
        own = rollout_id(version, task.id, replicate)
        context = RunContext(version, name or own, task.id, replicate).configurable()
        config = RunnableConfig(configurable=context, metadata=context)
        given = world.system.graph_input(task)
        done = await record(world.graph, given, rollout=own, config=config, aggregator="aggregator")
    assert done.error is None
    outcome = await as_evaluator(world.score)(task, world.system.answer(done.state))
    return Ran(outcome.score, done)


async def scores(world: PlantedDebate, tasks: tuple[Task, ...], **how: Any) -> list[float]:
    return [ran.score for ran in await asyncio.gather(*(run(world, t, **how) for t in tasks))]


@given(st.integers(0, 10_000), st.integers(2, 5), st.integers(2, 6))
@settings(max_examples=30, deadline=None)
def test_tasks_are_balanced_over_kinds_roles_and_rounds(seed: int, roles: int, rounds: int) -> None:
    world = PlantedDebate(seed, roles=roles, rounds=rounds)
    cells = 2 * roles * rounds
    for split in ("train", "validation", "test"):
        counted = Counter(world.guilty(t) for t in world.tasks(3 * cells, split=split))
        assert len(counted) == cells
        assert set(counted.values()) == {3}


@given(st.integers(0, 10_000), st.integers(2, 3), st.integers(2, 6))
@settings(max_examples=20, deadline=None)
def test_the_guilty_role_is_the_desk_of_what_it_omits_and_not_of_what_it_gets_wrong(
    seed: int, roles: int, rounds: int
) -> None:
    world = PlantedDebate(seed, roles=roles, rounds=rounds, kinds=ALL)
    for task in world.tasks(3 * roles * rounds):
        guilt, case = world.guilty(task), world.case(task.inputs["case"])
        assert guilt is not None
        assert (case.desks[case.hit] == guilt.role) == (guilt.kind == "omission")
        assert case.wrong not in case.facts.values()
        assert guilt.kind != "delayed" or guilt.round == 1


async def test_a_guilty_task_fails_and_a_repaired_one_is_solved_whoever_is_guilty() -> None:
    world = PlantedDebate(4, kinds=ALL)
    for task in world.tasks(27):
        guilt = world.guilty(task)
        assert guilt is not None
        elsewhere = next(r for r in world.rules.agents if r != guilt.role)
        other = guilt.round % world.rounds + 1
        assert (await run(world, task)).score == 0.0
        assert (await run(world, task, world.repaired(task))).score == 1.0
        assert (await run(world, task, world.repaired(task, round=guilt.round))).score == 1.0
        assert (await run(world, task, world.repaired(task, round=other))).score == 0.0
        assert (await run(world, task, world.repaired(task, elsewhere))).score == 0.0
        assert (await run(world, task, world.sound)).score == 1.0
        assert world.active(task, world.rules)
        assert not world.active(task, world.sound)


async def test_a_run_makes_thirteen_recorded_model_calls_in_four_rounds() -> None:
    world = PlantedDebate(0)
    steps = (await run(world, world.tasks(1)[0])).recorded.trajectory.steps
    assert Counter(s.role for s in steps) == {
        **dict.fromkeys(("researcher", "calculator", "reviewer", "aggregator"), 3),
        "decision": 1,
    }
    assert [len(s.calls) for s in steps] == [1] * 13
    assert world.system.calls == 13
    assert [s.round for s in steps] == [1] * 4 + [2] * 4 + [3] * 4 + [4]


async def test_equal_seeds_give_equal_runs_in_any_order_and_other_seeds_others() -> None:
    tasks = PlantedDebate(7, noise=0.3).tasks(12)
    assert tasks == PlantedDebate(7, noise=0.3).tasks(12)
    first = await scores(PlantedDebate(7, noise=0.3), tasks)
    again = await scores(PlantedDebate(7, noise=0.3), tasks[::-1])
    assert first == again[::-1]
    assert PlantedDebate(8).tasks(12) != tasks
    assert PlantedDebate(8).rules.version != PlantedDebate(7).rules.version


async def test_noise_turns_the_stated_share_of_outcomes_round() -> None:
    world = PlantedDebate(5, noise=0.2)
    tasks = world.tasks(100)
    for book, flipped in ((world.rules, 1.0), (world.sound, 0.0)):
        share = (await scores(world, tasks, book=book)).count(flipped) / len(tasks)
        assert 0.05 < share < 0.37  # binomial(100, 0.2): outside of it once in 10 000


async def test_a_replay_has_luck_of_its_own_and_shares_it_with_replays_of_its_replicate() -> None:
    tasks = PlantedDebate(5, noise=0.5).tasks(30)
    for luck in SHARING:
        world = PlantedDebate(5, noise=0.5, luck=luck)
        recorded = await scores(world, tasks)
        one, other = [await scores(world, tasks, name=name) for name in ("control", "replaced")]
        next_ = await scores(world, tasks, name="control", replicate=1)
        assert recorded != one
        assert one != next_
        assert (one == other) is (luck != "replay")


async def test_a_fresh_sample_recovers_in_the_stated_share_of_replays_and_never_in_recorded_runs() -> None:
    world = PlantedDebate(6, recovers=0.5)
    tasks = world.tasks(60)
    assert set(await scores(world, tasks)) == {0.0}
    assert 0.25 < (await scores(world, tasks, name="replay")).count(1.0) / 60 < 0.75


async def test_an_innocent_system_fails_by_noise_alone() -> None:
    world = PlantedDebate(2, kinds=("none",), noise=0.0)
    assert set(await scores(world, world.tasks(18))) == {1.0}
    assert {world.guilty(t) for t in world.tasks(18)} == {None}
    assert not any(world.active(t, world.rules) for t in world.tasks(18))


async def test_a_delayed_error_is_on_the_board_from_round_1_and_progress_sees_it_in_the_last() -> None:
    world = PlantedDebate(1, kinds=("delayed",))
    for task in world.tasks(6):
        case = world.case(task.inputs["case"])
        done = (await run(world, task)).recorded
        states = [s.after for s in round_states(done.trajectory)][:3]
        assert [s["board"].get("C") for s in states] == [case.wrong] * 3
        seen = [world.progress(s, task.reference_outputs) for s in states]
        assert seen == pytest.approx([1 / 3, 2 / 3, 2 / 3])
        sizes = [len(s["summary"]) for s in states]
        assert sizes[2] > 2 * sizes[1] > 2 * sizes[0]


async def test_progress_grows_with_the_facts_that_are_right() -> None:
    world = PlantedDebate(1, kinds=("omission",))
    for task in world.tasks(9):
        guilt = world.guilty(task)
        assert guilt is not None
        done = (await run(world, task)).recorded
        states = [s.after for s in round_states(done.trajectory)]
        right = [(n - (n >= guilt.round)) / 3 for n in (1, 2, 3)]
        assert [world.progress(s, task.reference_outputs) for s in states[:3]] == pytest.approx(right)


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"roles": 1}, "roles lies between 2 and 6, got 1"),
        ({"rounds": 7}, "rounds lies between 1 and 6, got 7"),
        ({"noise": 1.5}, "noise lies between 0 and 1"),
        ({"luck": "dice"}, "luck is one of replicate, prompt, replay, got 'dice'"),
        ({"kinds": ()}, "kinds are some of commission"),
        ({"kinds": ("sabotage",)}, "got \\('sabotage',\\)"),
        ({"roles": 6}, "at most 10, got 6 x 2"),
        ({"rounds": 1, "kinds": ("delayed",)}, "two rounds or more"),
    ],
)
def test_a_setting_out_of_range_is_refused(wrong: dict[str, Any], said: str) -> None:
    with pytest.raises(UserMistake, match=said):
        PlantedDebate(0, **wrong)


def test_an_unknown_role_or_split_is_refused() -> None:
    world = PlantedDebate(0)
    with pytest.raises(UserMistake, match="no role 'painter'"):
        world.repaired(world.tasks(1)[0], "painter")
    with pytest.raises(UserMistake, match="train, validation, test, got 'dev'"):
        world.tasks(1, split="dev")
