"""DyLAN's threads are read back right from SQLite and PostgreSQL, with the durability that a deployment uses."""

from __future__ import annotations

import importlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.checkpoint.sqlite.aio import AsyncSqliteSaver

from langgraph_truce import Change, areplay, graphs
from langgraph_truce.rollout.record import record
from langgraph_truce.rollout.replay import ReplayOptions
from langgraph_truce.rollout.thread import aread_thread
from langgraph_truce.rounds import rounds_of
from langgraph_truce.seams import Rollout
from langgraph_truce.task import Outcome
from langgraph_truce.testing import ScriptedModel
from langgraph_truce.trajectory.transcript import said

dylan: Any = graphs.load("dylan")
protocol: Any = importlib.import_module("langgraph_truce.graphs.dylan.protocol")


@asynccontextmanager
async def saver_of(kind: str, folder: Path, url: str) -> AsyncIterator[Any]:
    if kind == "sqlite":
        async with AsyncSqliteSaver.from_conn_string(str(folder / "threads.db")) as saver:
            yield saver
    else:
        from langgraph.checkpoint.postgres.aio import AsyncPostgresSaver

        async with AsyncPostgresSaver.from_conn_string(url) as saver:
            await saver.setup()
            yield saver


@pytest.mark.parametrize("aggregated", [False, True])
@pytest.mark.parametrize("kind", ["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)])
async def test_a_stored_thread_holds_every_step_with_its_round(
    kind: str, *, aggregated: bool, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    url = request.getfixturevalue("postgres_url") if kind == "postgres" else ""
    system = dylan.system(dylan.scripted_model(), aggregated=aggregated)
    async with saver_of(kind, tmp_path, url) as saver:
        stored = system.graph.copy({"checkpointer": saver})
        for task in dylan.splits().train[:3]:
            given = system.graph_input(task)
            state = await stored.ainvoke(given, {"configurable": {"thread_id": task.id}})
            old = await aread_thread(system.graph, saver, task.id, aggregator=system.aggregator)
            new = await record(system.graph, given, rollout="r", aggregator=system.aggregator)

            assert [(s.id, s.round, s.superstep) for s in old.steps] == [
                (s.id, s.round, s.superstep) for s in new.trajectory.steps
            ]
            for mine, theirs in zip(old.steps, new.trajectory.steps, strict=True):
                assert mine.writes == theirs.writes
                assert mine.input is not None
                assert theirs.input is not None
                assert old.value(mine.input) == new.trajectory.value(theirs.input)
            spoke = [(s.round, s.role) for s in old.steps if s.role in dylan.ROLES]
            assert spoke == [(u["round"], u["role"]) for u in state["utterances"]]
            assert state["importance"] == new.state["importance"]


def rollout_of(task: Any, done: Any) -> Rollout:
    return Rollout("r", task.id, 0, "", Outcome({}, done.state), done.trajectory)


@pytest.mark.parametrize("aggregated", [False, True])
async def test_rounds_are_closed_by_the_tally_or_by_the_aggregator(*, aggregated: bool) -> None:
    system = dylan.system(dylan.scripted_model(), aggregated=aggregated)
    held = set()
    for task in dylan.splits().train[:6]:
        done = await record(system.graph, system.graph_input(task), rollout="r", aggregator=system.aggregator)
        found = rounds_of(rollout_of(task, done), system.book, system.aggregator)
        held.add(len(found))
        assert [r.number for r in found] == list(range(1, done.state["round"] + 1))
        for r in found:
            roles = [u["role"] for u in done.state["utterances"] if u["round"] == r.number]
            assert [s.role for s in r.utterances if s.role in dylan.ROLES] == roles
            beside = {s.role for s in r.utterances} - set(dylan.ROLES)
            assert beside == ({"rater"} if aggregated else {"ranker"} if r.number == 3 else set())
            assert r.aggregate is not None
        if not aggregated:
            last = found[-1].aggregate
            assert last is not None
            assert said(done.trajectory, last).endswith(f"leading: {done.state['answer']}")
    assert {1, 2, 3} & held == held != {1}


async def test_words_in_an_agents_place_count_as_if_it_had_said_them() -> None:
    model = ScriptedModel(replies=lambda m: "It is clear. (A)\n[[4, 4, 4]]")
    roles = dylan.POOL[:3]
    graph = dylan.build(model, roles=roles)
    task = dylan.splits().train[0].inputs
    saver = InMemorySaver()
    done = await record(graph, {"task": task}, rollout="t", saver=saver, aggregator="tally")
    first = done.trajectory.steps[0]
    assert (done.state["round"], done.state["answer"]) == (1, "(A)")

    change = Change((first.id,), neutral="(no contribution)")
    replayed = await areplay(
        graph, saver, "t", change, rollout="r", options=ReplayOptions(aggregator="tally")
    )

    assert replayed is not None
    letters = [(t.round, t.answer) for t in protocol.turns(replayed.state["utterances"], 0, task)]
    assert letters == [(1, ""), (1, "A"), (1, "A"), (2, "A"), (2, "A"), (2, "A")]
    assert replayed.state["utterances"][0]["role"] == first.role
    # the one that said nothing was rated in round 2 like the others
    assert replayed.state["importance"] == pytest.approx(dict.fromkeys(roles, 2 / 3))
