"""`fork` itself: sync and async, from any saver into any other, and gone when its block ends."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.checkpoint.sqlite import SqliteSaver
from langgraph.checkpoint.sqlite.aio import AsyncSqliteSaver
from langgraph.graph import END, START, StateGraph

from langgraph_truce.errors import ReplayRefused
from langgraph_truce.rollout.fork import ForkPoint, afork, aforked, drop_fork, fork, forked
from langgraph_truce.rollout.fork_points import fork_point
from langgraph_truce.rollout.locate import Located, alocate, locate
from langgraph_truce.rollout.record import record
from langgraph_truce.rollout.replay import ReplayOptions, areplay
from langgraph_truce.rollout.tap import live_saver
from langgraph_truce.seams import Change
from tests.rollout.test_fork import KINDS, MODEL, Notes, noting, summing


@contextmanager
def sync_saver(kind: str, folder: Path, url: str) -> Iterator[Any]:
    if kind == "memory":
        yield InMemorySaver()
    elif kind == "sqlite":
        db = sqlite3.connect(folder / "sync.db", check_same_thread=False)
        yield SqliteSaver(db)
        db.close()
    else:
        from langgraph.checkpoint.postgres import PostgresSaver

        with PostgresSaver.from_conn_string(url) as saver:
            saver.setup()
            yield saver


GIVEN: dict[str, Any] = {"question": "?", "notes": []}
CONFIG: Any = {"configurable": {"thread_id": "t"}}
GRAPH = KINDS["debate"].build()


def ran(saver: Any) -> tuple[Any, Located]:
    state = GRAPH.copy({"checkpointer": saver}).invoke(GIVEN, CONFIG, durability="sync")
    return state, locate(GRAPH, saver, "t", "sum")


@pytest.mark.parametrize(
    ("source", "target"),
    [
        ("memory", "sqlite"),
        ("sqlite", "sqlite"),
        pytest.param("sqlite", "postgres", marks=pytest.mark.postgres),
        pytest.param("postgres", "memory", marks=pytest.mark.postgres),
    ],
)
def test_sync_forks_across_savers(
    source: str, target: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    url = request.getfixturevalue("postgres_url") if "postgres" in {source, target} else ""
    with sync_saver(source, tmp_path, url) as old, sync_saver(target, tmp_path, url) as new:
        state, found = ran(old)
        before = list(old.list(CONFIG))
        point = fork_point(found, ["ann#1.0"])
        for rerun, spent in (((), 4), (point.tasks, 5)):
            calls = len(MODEL.calls)
            with forked(old, new, point, thread_id="f", rerun=rerun) as config:
                assert config == {"configurable": {"thread_id": "f"}}
                assert GRAPH.copy({"checkpointer": new}).invoke(None, config, durability="sync") == state
            assert len(MODEL.calls) - calls == spent
            assert list(new.list({"configurable": {"thread_id": "f"}})) == []
        assert list(old.list(CONFIG)) == before


def test_an_edit_is_a_function_of_the_writes() -> None:
    saver = InMemorySaver()
    _, found = ran(saver)
    point = fork_point(found, ["ann#1.0", "zoe#1.0"])
    ann, zoe = point.tasks
    config = fork(
        saver, saver, point, thread_id="f", edits={ann: lambda ws: [("notes", ["x"]), *ws[1:]]}, rerun={zoe}
    )
    state = GRAPH.copy({"checkpointer": saver}).invoke(None, config, durability="sync")
    assert state["notes"][0] == "x"
    drop_fork(saver, config)
    assert {row.config["configurable"]["thread_id"] for row in saver.list(None)} == {"t"}


async def test_async_savers_into_each_other_and_sync_ones_from_async_code(tmp_path: Path) -> None:
    db = sqlite3.connect(tmp_path / "sync.db", check_same_thread=False)
    async with AsyncSqliteSaver.from_conn_string(str(tmp_path / "a.db")) as saver:
        done = await record(GRAPH, GIVEN, rollout="t", saver=saver, aggregator="sum")
        point = fork_point(await alocate(GRAPH, saver, "t", "sum"), ["sum#1.0"])
        async with aforked(saver, SqliteSaver(db), point, thread_id="f") as config:
            copied = GRAPH.copy({"checkpointer": SqliteSaver(db)})
            assert await asyncio.to_thread(copied.invoke, None, config, durability="sync") == done.state
        assert list(SqliteSaver(db).list(None)) == []
        with pytest.raises(ReplayRefused, match="await the async function"):
            fork(saver, InMemorySaver(), point, thread_id="f")
    db.close()


async def test_a_fork_is_dropped_also_by_an_error() -> None:
    saver, target = InMemorySaver(), InMemorySaver()
    _, found = ran(saver)
    point = fork_point(found, ["ann#1.0"])

    def broken(writes: Any) -> Any:
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        await afork(saver, target, point, thread_id="f", edits={point.tasks[0]: broken})
    with pytest.raises(ZeroDivisionError):
        async with aforked(saver, target, point, thread_id="f"):
            _ = 1 // 0
    assert list(target.list(None)) == []


def test_what_is_not_there_is_refused() -> None:
    saver = InMemorySaver()
    _, found = ran(saver)
    point = fork_point(found, ["ann#1.0"])
    with pytest.raises(ReplayRefused, match="exists already"):
        fork(saver, saver, point, thread_id="t")
    with pytest.raises(ReplayRefused, match="wrote nothing there: nobody"):
        fork(saver, InMemorySaver(), point, thread_id="f", edits={"nobody": lambda ws: ws})
    with pytest.raises(ReplayRefused, match="has no checkpoint 'gone'"):
        fork(saver, InMemorySaver(), ForkPoint("t", {"": "gone"}), thread_id="f")


async def test_objects_of_a_live_source_are_copied() -> None:
    def grow(state: Any) -> dict[str, Any]:
        state["question"].append("more")
        return {"summary": str(len(state["question"]))}

    builder = StateGraph(Notes)
    builder.add_node("first", noting("first"))
    builder.add_node("grow", grow)
    builder.add_edge(START, "first")
    builder.add_edge("first", "grow")
    builder.add_edge("grow", END)
    graph, live = builder.compile(), live_saver()
    given: Any = {"question": [], "notes": []}
    graph.copy({"checkpointer": live}).invoke(given, CONFIG, durability="sync")
    held = [list(row.checkpoint["channel_values"].get("question", ())) for row in live.list(CONFIG)]
    for _ in range(2):
        again = await areplay(graph, live, "t", Change(("first#1.0",)), rollout="f")
        assert again is not None
        assert again.error is None
    assert [list(row.checkpoint["channel_values"].get("question", ())) for row in live.list(CONFIG)] == held


async def test_a_failed_run_goes_on_past_its_failure_when_what_failed_it_is_replaced() -> None:
    def picky(state: Notes) -> dict[str, Any]:
        if "nothing" not in state["notes"][-1]:
            raise RuntimeError("not that")
        return {"summary": "went on"}

    builder = StateGraph(Notes)
    builder.add_node("first", noting("first"))
    builder.add_node("picky", picky)
    builder.add_node("sum", summing)
    builder.add_edge(START, "first")
    builder.add_edge("first", "picky")
    builder.add_edge("picky", "sum")
    graph, saver = builder.compile(), InMemorySaver()
    failed = await record(graph, GIVEN, rollout="t", saver=saver)
    assert isinstance(failed.error, RuntimeError)
    options = ReplayOptions(trajectory=failed.trajectory)
    same = await areplay(graph, saver, "t", Change(("first#1.0",)), rollout="f", options=options)
    assert same is not None
    assert isinstance(same.error, RuntimeError)
    change = Change(("first#1.0",), neutral="nothing")
    other = await areplay(graph, saver, "t", change, rollout="f", options=options)
    assert other is not None
    assert other.error is None
    assert [s.id for s in other.trajectory.steps] == ["first#1.0", "picky#1.0", "sum#1.0"]


async def test_a_subgraph_that_keeps_its_state_runs_again_from_what_it_had() -> None:
    inner = StateGraph(Notes)
    inner.add_node("a", noting("a"))
    inner.add_edge(START, "a")
    memory = inner.compile(checkpointer=True)

    async def keeps(state: Notes) -> dict[str, Any]:
        return {"notes": [str(len((await memory.ainvoke({"notes": ["in"]}))["notes"]))]}

    builder = StateGraph(Notes)
    builder.add_node("keeps", keeps)
    builder.add_node("sum", summing)
    builder.add_edge(START, "keeps")
    builder.add_edge("keeps", "sum")
    builder.add_conditional_edges("sum", lambda s: "keeps" if s["round"] < 3 else END, ["keeps", END])
    graph, saver = builder.compile(), InMemorySaver()
    done = await record(graph, GIVEN, rollout="t", saver=saver)
    assert done.state["notes"] == ["2", "4", "6"]
    options = ReplayOptions(trajectory=done.trajectory)
    for visit in (1, 2, 3):
        change = Change((f"keeps#{visit}.0",), rerun=True)
        same = await areplay(graph, saver, "t", change, rollout="f", options=options)
        assert same is not None
        assert same.error is None
        assert same.state["notes"] == ["2", "4", "6"], visit
