"""Old threads: read back from every checkpointer, without prompts."""

from __future__ import annotations

import operator
import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Annotated, Any, TypedDict

import pytest
from langchain_core.messages import AIMessage
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.checkpoint.sqlite import SqliteSaver
from langgraph.checkpoint.sqlite.aio import AsyncSqliteSaver
from langgraph.graph import END, START, StateGraph
from langgraph.graph.message import add_messages
from langgraph.types import Command, Send

from langgraph_truce.errors import UnknownNameError, UserMistake
from langgraph_truce.rollout.record import record
from langgraph_truce.rollout.thread import aread_thread, read_thread
from langgraph_truce.testing import ScriptedModel
from langgraph_truce.trajectory import Trajectory

MODEL = ScriptedModel(replies=lambda messages: f"reply to {len(messages)}")


class Team(TypedDict, total=False):
    items: list[str]
    item: str
    done: Annotated[list[str], operator.add]
    messages: Annotated[list[Any], add_messages]
    round: int


class Done(TypedDict, total=False):
    done: Annotated[list[str], operator.add]


def graph(*, join: bool = True) -> Any:
    """Send fan-out into a subgraph, a join edge, a Command and a loop."""

    def say(name: str) -> Any:
        async def speak(state: Team) -> dict[str, Any]:
            reply = await MODEL.ainvoke(state.get("messages", []) or "go")
            return {"messages": [AIMessage(reply.content, name=name)]}

        return speak

    def boss(state: Team) -> Command[str]:
        if state.get("round", 0) == 2:
            return Command(goto=END)
        return Command(goto=["a", "b", Send("inner", {"item": "x"}), Send("inner", {"item": "y"})])

    inner = StateGraph(Team, output_schema=Done)
    inner.add_node("work", lambda s: {"done": [s["item"] * 2]})
    inner.add_edge(START, "work")
    builder = StateGraph(Team)
    builder.add_node("boss", boss, destinations=("a", "b", "inner", END))
    builder.add_node("a", say("a"))
    builder.add_node("b", say("b"))
    builder.add_node("inner", inner.compile())
    builder.add_node("sum", lambda s: {"round": s.get("round", 0) + 1})
    builder.add_edge(START, "boss")
    if join:
        builder.add_edge(["a", "b"], "sum")
    else:
        builder.add_edge("a", "sum")
        builder.add_edge("b", "sum")
    builder.add_edge("sum", "boss")
    return builder.compile()


ONE_ROUND = ["boss", "a", "b", "inner", "inner/work", "inner", "inner/work", "sum"]
INPUT = {"items": ["i"], "messages": []}


def same(old: Trajectory, recorded: Trajectory) -> None:
    """All that checkpoints can know is equal; what they cannot is empty."""
    assert [s.id for s in old.steps] == [s.id for s in recorded.steps]
    for mine, theirs in zip(old.steps, recorded.steps, strict=True):
        assert (mine.superstep, mine.round, mine.error) == (theirs.superstep, theirs.round, theirs.error)
        assert (mine.calls, mine.tools, mine.latency) == ((), (), None)
        assert mine.writes == theirs.writes
        assert mine.input is not None
        assert theirs.input is not None
        given, seen = old.value(mine.input), recorded.value(theirs.input)
        assert given == seen
    assert not old.prompts_known
    assert recorded.prompts_known


@asynccontextmanager
async def saver_of(kind: str, folder: Path, url: str) -> AsyncIterator[Any]:
    if kind == "memory":
        yield InMemorySaver()
    elif kind == "sqlite":
        async with AsyncSqliteSaver.from_conn_string(str(folder / "threads.db")) as saver:
            yield saver
    else:
        from langgraph.checkpoint.postgres.aio import AsyncPostgresSaver

        async with AsyncPostgresSaver.from_conn_string(url) as saver:
            await saver.setup()
            yield saver


@pytest.mark.parametrize("join", [False, True])
@pytest.mark.parametrize("kind", ["memory", "sqlite", pytest.param("postgres", marks=pytest.mark.postgres)])
async def test_an_old_thread_holds_the_same_steps(
    kind: str, *, join: bool, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    url = request.getfixturevalue("postgres_url") if kind == "postgres" else ""
    async with saver_of(kind, tmp_path, url) as saver:
        done = await record(graph(join=join), INPUT, rollout="t", saver=saver, aggregator="sum")
        assert done.error is None
        assert [s.role for s in done.trajectory.steps] == [*ONE_ROUND, *ONE_ROUND, "boss"]
        assert sum(len(s.calls) for s in done.trajectory.steps) == 4
        old = await aread_thread(graph(join=join), saver, "t", aggregator="sum")
        same(old, done.trajectory)
        assert old.steps[0].goto == done.trajectory.steps[0].goto == ("a", "b", "inner", "inner")
        with pytest.raises(UnknownNameError, match="'nobody'"):
            await aread_thread(graph(), saver, "nobody")


async def test_sync_savers_from_sync_and_async_code(tmp_path: Path) -> None:
    path = str(tmp_path / "threads.db")
    async with AsyncSqliteSaver.from_conn_string(path) as saver:
        done = await record(graph(), INPUT, rollout="t", saver=saver)
    db = sqlite3.connect(path, check_same_thread=False)
    try:
        same(read_thread(graph(), SqliteSaver(db), "t"), done.trajectory)
        same(await aread_thread(graph(), SqliteSaver(db), "t"), done.trajectory)
        with pytest.raises(UnknownNameError, match="'nobody'"):
            read_thread(graph(), SqliteSaver(db), "nobody")
        with pytest.raises(UserMistake, match="AsyncSqliteSaver"):
            await record(graph(), INPUT, rollout="u", saver=SqliteSaver(db))
    finally:
        db.close()


@pytest.mark.postgres
async def test_a_sync_postgres_saver(postgres_url: str) -> None:
    from langgraph.checkpoint.postgres import PostgresSaver

    async with saver_of("postgres", Path(), postgres_url) as saver:
        done = await record(graph(), INPUT, rollout="t", saver=saver)
    with PostgresSaver.from_conn_string(postgres_url) as sync:
        same(read_thread(graph(), sync, "t"), done.trajectory)


async def test_an_async_saver_read_from_sync_code_on_its_loop_is_refused(tmp_path: Path) -> None:
    async with saver_of("sqlite", tmp_path, "") as saver:
        await record(graph(), INPUT, rollout="t", saver=saver)
        with pytest.raises(UserMistake, match="aread_thread"):
            read_thread(graph(), saver, "t")


async def test_a_failed_run_goes_on_and_keeps_its_first_part() -> None:
    broken = [True]

    def second(state: Team) -> dict[str, Any]:
        if broken[0]:
            raise RuntimeError("not yet")
        return {"round": 2}

    builder = StateGraph(Team)
    builder.add_node("one", lambda s: {"round": 1})
    builder.add_node("two", second)
    builder.add_edge(START, "one")
    builder.add_edge("one", "two")
    compiled, saver = builder.compile(), InMemorySaver()
    failed = await record(compiled, INPUT, rollout="t", saver=saver)
    assert isinstance(failed.error, RuntimeError)
    old = await aread_thread(compiled, saver, "t")
    assert [(s.id, s.error) for s in old.steps] == [("one#1.0", ""), ("two#1.0", "RuntimeError: not yet")]
    broken[0] = False
    done = await record(compiled, None, rollout="t", saver=saver)
    assert done.error is None
    assert [(s.id, s.error) for s in done.trajectory.steps] == [("one#1.0", ""), ("two#1.0", "")]
    assert done.trajectory.steps[1].latency is not None


async def test_an_abandoned_branch_is_left_out() -> None:
    builder = StateGraph(Team)
    builder.add_node("one", lambda s: {"round": s["round"] + 1})
    builder.add_node("two", lambda s: {"item": str(s["round"])})
    builder.add_edge(START, "one")
    builder.add_edge("one", "two")
    saver = InMemorySaver()
    compiled = builder.compile(checkpointer=saver)
    config: Any = {"configurable": {"thread_id": "t"}}
    await compiled.ainvoke({"round": 0}, config)
    (before_two,) = [s async for s in compiled.aget_state_history(config) if s.next == ("two",)]
    changed = await compiled.aupdate_state(before_two.config, {"round": 10}, as_node="one")
    await compiled.ainvoke(None, changed)
    old = await aread_thread(compiled, saver, "t")
    assert [s.role for s in old.steps][-1] == "two"
    assert old.value(old.steps[-1].writes["item"]) == "10"
    assert "1" not in [old.value(r) for s in old.steps for c, r in s.writes.items() if c == "item"]
