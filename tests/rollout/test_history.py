"""Many stored threads: what can be read is read, and what cannot costs its own thread one sentence."""

from __future__ import annotations

import operator
import sqlite3
from pathlib import Path
from typing import Annotated, Any, TypedDict

import pytest
from langchain_core.messages import AIMessage, HumanMessage
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.checkpoint.sqlite import SqliteSaver
from langgraph.checkpoint.sqlite.aio import AsyncSqliteSaver
from langgraph.graph import END, START, StateGraph
from langgraph.graph.message import add_messages
from langgraph.pregel.remote import RemoteGraph
from langgraph.types import Command, interrupt

from langgraph_truce.errors import UserMistake
from langgraph_truce.rollout.history import Thread, aread_history, read_history
from langgraph_truce.rollout.history_open import open_saver, thread_ids


class State(TypedDict, total=False):
    question: str
    messages: Annotated[list[Any], add_messages]
    notes: Annotated[list[str], operator.add]
    round: int


def build(*, last: str = "judge", fails: bool = False, asks: bool = False) -> Any:
    def solver(state: State) -> dict[str, Any]:
        return {"messages": [AIMessage(f"try {state.get('round', 0)}", name="solver")], "notes": ["tried"]}

    def judge(state: State) -> dict[str, Any]:
        if fails:
            raise ValueError("no verdict")
        if asks:
            return {"notes": [str(interrupt("is it right?"))]}
        return {"round": state.get("round", 0) + 1}

    builder = StateGraph(State)
    builder.add_node("solver", solver)
    builder.add_node(last, judge)
    builder.add_edge(START, "solver")
    builder.add_edge("solver", last)
    builder.add_conditional_edges(
        last, lambda s: "solver" if s.get("round", 0) == 1 else END, ["solver", END]
    )
    return builder


def run(saver: Any, thread: str, graph: Any = None) -> None:
    compiled = (graph or build()).compile(checkpointer=saver)
    given = {"question": f"{thread}?", "messages": [HumanMessage(f"{thread}?")]}
    compiled.invoke(given, {"configurable": {"thread_id": thread}}, durability="sync")


@pytest.fixture
def db(tmp_path: Path) -> Path:
    """Three threads of the graph on SQLite."""
    file = tmp_path / "threads.db"
    with SqliteSaver.from_conn_string(str(file)) as saver:
        for thread in ("a", "b", "c"):
            run(saver, thread)
    return file


def history(file: Path, threads: list[str] | None = None, graph: Any = None) -> dict[str, Thread]:
    with open_saver(file) as saver:
        read = list(read_history(build().compile() if graph is None else graph, saver, threads))
    return {thread.id: thread for thread in read}


def change(file: Path, sql: str, *values: Any) -> int:
    db = sqlite3.connect(file)
    try:
        done = db.execute(sql, values).rowcount
        db.commit()
        return done
    finally:
        db.close()


STEPS = ["solver#1.0", "judge#1.0", "solver#2.0", "judge#2.0"]


def test_all_threads_of_a_saver_newest_first(db: Path) -> None:
    found = history(db)
    assert list(found) == ["c", "b", "a"]
    for name, thread in found.items():
        assert thread.trajectory is not None
        assert [s.id for s in thread.trajectory.steps] == STEPS
        assert (thread.problem, thread.error, thread.finished) == ("", "", True)
        assert thread.state["round"] == 2
        assert thread.state["messages"][-1] == {"role": "assistant", "content": "try 1", "name": "solver"}
        assert thread.input["question"] == f"{name}?"
        assert isinstance(thread.final["messages"][-1], AIMessage)  # as the graph gives it, for evaluators


def test_a_graph_on_a_server_is_refused(db: Path) -> None:
    remote = RemoteGraph("shop", url="http://127.0.0.1:1")
    with open_saver(db) as saver, pytest.raises(UserMistake, match="'shop' is a RemoteGraph"):
        list(read_history(remote, saver))
    assert remote.sync_client is not None
    remote.sync_client.close()


def test_a_database_is_only_read(db: Path) -> None:
    with open_saver(f"sqlite:///{db}") as saver, pytest.raises(sqlite3.OperationalError, match="readonly"):
        run(saver, "new")


def test_threads_are_read_while_another_connection_writes(db: Path) -> None:
    graph = build().compile()
    with SqliteSaver.from_conn_string(str(db)) as writing, open_saver(db) as saver:
        reading = read_history(graph, saver, ["a", "new", "b"])
        assert next(reading).problem == ""
        run(writing, "new")
        writing.conn.execute("BEGIN IMMEDIATE")  # a writer in the middle of its transaction
        assert [(t.id, t.problem) for t in reading] == [("new", ""), ("b", "")]
        writing.conn.rollback()


@pytest.mark.parametrize(
    ("kind", "blob", "why"),
    [
        ("msgpack", b"\xc1\xc1\xc1", "cannot be read"),
        ("pickle", b"cos\nsystem\n(S'true'\ntR.", "it is pickled, and loading that may run any code"),
        ("msgpack", b"\x93\x01\x02\x03", "it holds no checkpoint"),
        ("cbor", b"\x00", "Unknown serialization type: cbor"),
    ],
)
def test_a_corrupted_checkpoint_costs_its_own_steps(db: Path, kind: str, blob: bytes, why: str) -> None:
    newest = "SELECT max(checkpoint_id) FROM checkpoints WHERE thread_id = 'b'"
    sql = f"UPDATE checkpoints SET type = ?, checkpoint = ? WHERE thread_id = 'b' AND checkpoint_id = ({newest})"
    assert change(db, sql, kind, blob) == 1
    found = history(db)
    assert why in found["b"].problem
    assert found["b"].problem.startswith("thread 'b': 1 of 6 checkpoints cannot be read")
    assert found["b"].trajectory is not None
    assert [s.id for s in found["b"].trajectory.steps] == STEPS
    assert [found[t].problem for t in ("a", "c")] == ["", ""]


def test_a_corrupted_write_is_marked_where_it_stood(db: Path) -> None:
    sql = "UPDATE writes SET value = x'c1' WHERE thread_id = 'a' AND channel = 'notes'"
    assert change(db, sql) == 2
    thread = history(db)["a"]
    assert "2 stored values cannot be read" in thread.problem
    assert thread.trajectory is not None
    step = thread.trajectory.steps[0]
    assert thread.trajectory.value(step.writes["notes"])["type"] == "msgpack"
    assert thread.trajectory.value(step.writes["messages"])[0]["content"] == "try 0"


def test_broken_metadata_costs_the_thread(db: Path) -> None:
    assert change(db, "UPDATE checkpoints SET metadata = '{' WHERE thread_id = 'a'") == 6
    found = history(db)
    assert found["a"].trajectory is None
    assert found["a"].problem.startswith("thread 'a' cannot be read: JSONDecodeError")
    assert found["b"].problem == ""


def test_a_thread_that_is_not_there(db: Path) -> None:
    found = history(db, ["nobody", "a"])
    assert found["nobody"].trajectory is None
    assert "holds nothing of it" in found["nobody"].problem
    assert found["a"].problem == ""


def test_a_thread_of_another_version_of_the_graph(db: Path) -> None:
    thread = history(db, ["a"], build(last="referee").compile())["a"]
    assert "another version of the graph: 'judge'" in thread.problem
    assert thread.trajectory is not None
    assert [s.id for s in thread.trajectory.steps] == STEPS


def test_without_the_graph_the_checkpoints_alone_tell(db: Path) -> None:
    with open_saver(db) as saver:
        (thread,) = read_history(None, saver, ["a"])
        (known,) = read_history(build().compile(), saver, ["a"])
    assert thread.problem == ""
    assert thread.trajectory is not None
    assert known.trajectory is not None
    assert [(s.id, s.writes) for s in thread.trajectory.steps] == [
        (s.id, s.writes) for s in known.trajectory.steps
    ]


def test_a_thread_that_waits_for_a_person_and_one_that_failed(tmp_path: Path) -> None:
    saver = InMemorySaver()
    run(saver, "waits", build(asks=True))
    with pytest.raises(ValueError, match="no verdict"):
        run(saver, "failed", build(fails=True))
    compiled = build().compile(checkpointer=saver, interrupt_before=["judge"])
    compiled.invoke({"question": "q"}, {"configurable": {"thread_id": "stopped"}})
    found = {t.id: t for t in read_history(build().compile(), saver)}
    assert found["waits"].problem == "thread 'waits': it waits for a person, at 'judge'"
    assert "stopped before 'judge'" in found["stopped"].problem
    assert found["failed"].error == "ValueError: no verdict"
    assert not any(t.finished for t in found.values())
    trajectories = [t.trajectory for t in found.values()]
    assert all(t is not None and t.steps[0].id == "solver#1.0" for t in trajectories)

    asking = build(asks=True).compile(checkpointer=saver)
    asking.invoke(Command(resume="yes"), {"configurable": {"thread_id": "waits"}})
    (answered,) = read_history(asking, saver, ["waits"])
    assert (answered.problem, answered.finished) == ("", True)
    assert answered.trajectory is not None
    assert answered.trajectory.value(answered.trajectory.steps[1].writes["notes"]) == ["yes"]


def test_a_thread_with_its_input_alone(tmp_path: Path) -> None:
    saver = InMemorySaver()
    compiled = build().compile(checkpointer=saver, interrupt_before="*")
    compiled.invoke({"question": "q"}, {"configurable": {"thread_id": "t"}})
    (thread,) = read_history(build().compile(), saver)
    assert thread.trajectory is None
    assert thread.problem == "thread 't': no node of it has finished: its last run stopped before 'solver'"


class Robot(HumanMessage):
    type: Any = "robot"


def test_messages_of_an_unknown_type_are_kept_as_data(db: Path) -> None:
    with SqliteSaver.from_conn_string(str(db)) as saver:
        compiled = build().compile(checkpointer=saver)
        given = {"messages": [Robot(content="beep")]}
        compiled.invoke(given, {"configurable": {"thread_id": "r"}}, durability="sync")
    thread = history(db, ["r"])["r"]
    assert "messages of the type 'robot' are not known here" in thread.problem
    assert thread.trajectory is not None
    assert thread.state["messages"][0]["content"] == "beep"


def test_rows_of_the_older_json_serializer(db: Path) -> None:
    import json

    with open_saver(db) as saver:
        rows = list(saver.list({"configurable": {"thread_id": "a"}}))
    for row in rows:
        values = row.checkpoint["channel_values"]
        kept = {c: v for c, v in values.items() if c not in {"messages", "__start__"}}
        plain = {**row.checkpoint, "channel_values": kept}
        sql = (
            "UPDATE checkpoints SET type = 'json', checkpoint = ? WHERE thread_id = 'a' AND checkpoint_id = ?"
        )
        assert change(db, sql, json.dumps(plain).encode(), row.checkpoint["id"]) == 1
    thread = history(db, ["a"])["a"]
    assert thread.problem == ""
    assert thread.trajectory is not None
    assert [s.id for s in thread.trajectory.steps] == STEPS


async def test_async_savers(tmp_path: Path) -> None:
    async with AsyncSqliteSaver.from_conn_string(str(tmp_path / "a.db")) as saver:
        compiled = build().compile(checkpointer=saver)
        for name in ("a", "b"):
            await compiled.ainvoke({"question": name}, {"configurable": {"thread_id": name}})
        found = [t async for t in aread_history(compiled, saver)]
        assert [(t.id, t.problem) for t in found] == [("b", ""), ("a", "")]
        with pytest.raises(UserMistake, match="aread_thread"):
            list(read_history(compiled, saver, ["a"]))
    memory = InMemorySaver()
    run(memory, "m")
    assert [t.id async for t in aread_history(build().compile(), memory)] == ["m"]


@pytest.mark.postgres
async def test_postgres(postgres_url: str) -> None:
    from langgraph.checkpoint.postgres import PostgresSaver
    from langgraph.checkpoint.postgres.aio import AsyncPostgresSaver

    with pytest.raises(UserMistake, match="holds no LangGraph checkpoints"), open_saver(postgres_url):
        ...
    with PostgresSaver.from_conn_string(postgres_url) as saver:
        saver.setup()
        run(saver, "a")
        run(saver, "b")
        assert thread_ids(saver) == ["b", "a"]
        saver.conn.execute(  # type: ignore[union-attr]
            "UPDATE checkpoint_blobs SET blob = '\\xc1' WHERE thread_id = 'b' AND channel = 'notes'"
        )
    with open_saver(postgres_url) as saver:
        found = {t.id: t for t in read_history(build().compile(), saver)}
        import psycopg

        with pytest.raises(psycopg.errors.ReadOnlySqlTransaction):
            run(saver, "new")
    assert found["a"].problem == ""
    assert "stored values cannot be read" in found["b"].problem
    assert all(t.trajectory and [s.id for s in t.trajectory.steps] == STEPS for t in found.values())
    async with AsyncPostgresSaver.from_conn_string(postgres_url) as reading:
        again = [t async for t in aread_history(build().compile(), reading)]
    assert [(t.id, t.problem) for t in again] == [(t.id, t.problem) for t in found.values()]


@pytest.mark.parametrize(
    ("where", "why"),
    [
        ("nowhere.db", "no such SQLite file"),
        ("mysql://host/db", "no checkpointer that can be opened"),
        ("text.db", "this is no SQLite database"),
        ("other.db", "holds no LangGraph checkpoints (its tables: things)"),
    ],
)
def test_what_is_no_checkpointer(
    where: str, why: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("text.db").write_text("hello, this is a text and no database\n" * 9)
    change(Path("other.db"), "CREATE TABLE things (a)")
    with pytest.raises(UserMistake) as refused, open_saver(where):
        ...
    assert why in str(refused.value)


@pytest.mark.postgres
def test_a_server_that_is_not_there() -> None:
    with (
        pytest.raises(UserMistake, match="cannot connect to PostgreSQL"),
        open_saver("postgresql://127.0.0.1:1/x"),
    ):
        ...
