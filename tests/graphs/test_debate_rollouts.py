"""Debates as they are recorded: stored threads read back as they were, and an edit reruns what is behind it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from langgraph.checkpoint.sqlite.aio import AsyncSqliteSaver

from langgraph_truce import graphs
from langgraph_truce.rollout.history import aread_history, read_history
from langgraph_truce.rollout.history_open import open_saver
from langgraph_truce.rollout.record import record
from langgraph_truce.rounds import rounds_of
from langgraph_truce.rules import RuleBook, parse
from langgraph_truce.seams import Rollout
from langgraph_truce.system import System
from langgraph_truce.task import Outcome
from langgraph_truce.testing import ScriptedModel, real_lab
from langgraph_truce.trajectory import Trajectory
from tests.rollout.sharing import echo

debate: Any = graphs.load("debate")
FORMS: dict[str, dict[str, Any]] = {
    "aggregators": {},
    "one aggregator": {"own": ()},
    "nothing shared": {"own": (*debate.ROLES, "aggregator"), "rounds": 3},
    "no aggregator": {"aggregator": False},
    "original": {"aggregator": False, "roles": 3},
}


@asynccontextmanager
async def database(kind: str, folder: Path, url: str) -> AsyncIterator[tuple[Any, str]]:
    """An async saver, and its address."""
    if kind == "sqlite":
        async with AsyncSqliteSaver.from_conn_string(str(folder / "threads.db")) as saver:
            yield saver, str(folder / "threads.db")
    else:
        from langgraph.checkpoint.postgres.aio import AsyncPostgresSaver

        async with AsyncPostgresSaver.from_conn_string(url) as saver:
            await saver.setup()
            yield saver, url


def told(system: System, trajectory: Trajectory) -> list[Any]:
    """Every step with its place, what it was given and wrote; then the rounds and who said what in them."""
    value = trajectory.value
    steps = [
        (s.id, s.superstep, s.round, s.input and value(s.input), {c: value(r) for c, r in s.writes.items()})
        for s in trajectory.steps
    ]
    rollout = Rollout("t", "t", 0, "", Outcome({}, 0.0), trajectory)
    rounds = [
        (r.number, [(u.id, u.role) for u in r.utterances], r.aggregate and r.aggregate.id)
        for r in rounds_of(rollout, system.book, system.aggregator)
    ]
    return [*steps, rounds]


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("kind", ["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)])
async def test_a_stored_debate_reads_back_as_it_was(
    kind: str, form: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    system = debate.system(ScriptedModel(replies=echo), **FORMS[form])
    task = debate.splits().train[0]
    url = request.getfixturevalue("postgres_url") if kind == "postgres" else ""
    async with database(kind, tmp_path, url) as (saver, address):
        with system.use(system.book) as config:
            given = system.graph_input(task)
            live = await record(system.graph, given, rollout="t", config=config, aggregator=system.aggregator)
            # as deployed: LangGraph's default durability
            stored = system.graph.copy({"checkpointer": saver})
            named = {"configurable": {**config["configurable"], "thread_id": "t"}}
            state = await stored.ainvoke(given, named)
        threads = [t async for t in aread_history(system.graph, saver, aggregator=system.aggregator)]
    with open_saver(address) as opened:
        threads += list(read_history(system.graph, opened, aggregator=system.aggregator))

    assert len(threads) == 2
    assert state == {channel: live.state[channel] for channel in state}
    for thread in threads:
        assert thread.trajectory is not None
        assert (thread.problem, thread.error, thread.finished) == ("", "", True)
        assert told(system, thread.trajectory) == told(system, live.trajectory)
        assert system.answer(thread.final) == system.answer(live.state)
    rounds = told(system, live.trajectory)[-1]
    assert [(n, len(said)) for n, said, _ in rounds] == [(t, 3) for t in range(1, len(rounds) + 1)]
    assert len(rounds) == FORMS[form].get("rounds", 2)
    assert all(bool(aggregate) == bool(system.aggregator) for *_, aggregate in rounds)


async def rerun(system: System, after: RuleBook) -> tuple[int, Rollout, Rollout]:
    """Model calls of the rerun with `after`, its rollout, and that of a whole run."""
    tasks = debate.splits().train[:2]
    async with real_lab(system, debate.score) as (lab, meter):
        await lab.rollouts(tasks, system.book)
        before = meter.snapshot()["total"]["calls"]
        first, _ = await lab.rollouts(tasks, after, parent=system.book)
        spent = int(meter.snapshot()["total"]["calls"]) - int(before)
    async with real_lab(system, debate.score) as (lab, _):
        (whole,) = await lab.rollouts(tasks[:1], after)
    assert spent % 2 == 0
    return spent // 2, first, whole


@pytest.mark.parametrize(
    ("own", "agent", "calls"),
    [
        (("aggregator",), "aggregator@1", 10),
        (("aggregator",), "aggregator@2", 6),
        (("aggregator",), "aggregator@3", 2),
        (("aggregator",), "critic", 11),
        (("aggregator",), "decide", 1),
        ((), "aggregator", 10),
        (("critic", "aggregator"), "critic@2", 7),
        (("critic", "aggregator"), "critic@3", 3),
    ],
)
async def test_an_edit_reruns_what_is_behind_it_of_thirteen_calls(
    own: tuple[str, ...], agent: str, calls: int
) -> None:
    system = debate.system(ScriptedModel(replies=echo), rounds=3, own=own)
    edited = system.book.with_agent(parse(agent, system.book.render(agent) + "- Count twice.\n"))

    spent, shared, whole = await rerun(system, edited)

    assert system.calls == 13
    assert spent == calls
    assert told(system, shared.trajectory) == told(system, whole.trajectory)
    assert shared.outcome == whole.outcome


@pytest.mark.parametrize("roles", [3, debate.ROLES])
async def test_without_aggregator_an_edit_is_shared_as_well(roles: Any) -> None:
    system = debate.system(ScriptedModel(replies=echo), aggregator=False, roles=roles)
    agent = "debater" if roles == 3 else "critic"
    edited = system.book.with_agent(parse(agent, system.book.render(agent) + "- Count twice.\n"))

    spent, shared, whole = await rerun(system, edited)

    assert spent == (6 if roles == 3 else 4)
    assert told(system, shared.trajectory) == told(system, whole.trajectory)


async def test_agents_without_roles_have_a_reply_of_their_own_each() -> None:
    answers = iter("ABCABD")
    model = ScriptedModel(replies=lambda _: f"({next(answers)})")
    system = debate.system(model, aggregator=False, roles=3)
    async with real_lab(system, debate.score) as (lab, _):
        (rollout,) = await lab.rollouts(debate.splits().train[:1], system.book)

    assert len(model.calls) == 6
    assert [s.id for s in rollout.trajectory.steps if s.calls] == [
        f"debater#{t}.{i}" for t in (1, 2) for i in range(3)
    ]
