"""Reading stored threads: trajectories of 1,000 threads of 40 steps, against a bare read of the same rows.

Threads of a real graph on SQLite: three agents (one of them a subgraph with its own checkpoints, one that calls tools)
and an aggregator, ten rounds, 40 steps of the outermost graph, messages in the state. 20 different threads are run;
the others are copies of their rows under other thread ids (a task's id does not depend on the thread's).

Measured side by side, thread by thread in turn: `list(saver.list(thread))`, which reads and deserialises the rows, and
`read_thread`, which does that too and makes the trajectory. Linearity: time per stored byte of threads of 120 steps
against that of threads of 40, also in turn. All times are CPU time of the process, system calls included: the file is
in memory, and other processes on the machine do not count. Targets: at most 3 x the bare read, at most 1.5 x the time
per byte.

    python tests/benchmarks/history_reading.py [--quick]

Exit 0 where the targets hold, 1 otherwise.
"""

from __future__ import annotations

import argparse
import gc
import sqlite3
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, TypedDict

from langchain_core.messages import AIMessage, HumanMessage, ToolMessage
from langgraph.checkpoint.sqlite import SqliteSaver
from langgraph.graph import END, START, StateGraph
from langgraph.graph.message import add_messages

from langgraph_truce.rollout.thread import read_thread

ROUNDS, LONG = 10, 30
DIFFERENT = 20
WORDS = "The parcel went out on Monday and was seen in the depot on Tuesday; nobody has signed for it yet. "


class State(TypedDict, total=False):
    task: str
    rounds: int
    messages: Annotated[list[Any], add_messages]
    round: int


class Note(TypedDict, total=False):
    messages: Annotated[list[Any], add_messages]


def said(name: str, state: State) -> AIMessage:
    n = len(state["messages"])
    usage = {"input_tokens": 400 + n, "output_tokens": 60, "total_tokens": 460 + n}
    text = f"{name}, message {n}: {WORDS * (2 + n % 3)}"
    return AIMessage(
        text, name=name, usage_metadata=usage, response_metadata={"model_name": "m", "finish_reason": "stop"}
    )


def planner(state: State) -> dict[str, Any]:
    return {"messages": [said("planner", state)]}


def searcher(state: State) -> dict[str, Any]:
    name = f"call-{len(state['messages'])}"
    call = AIMessage("", name="searcher", tool_calls=[{"name": "find", "args": {"query": WORDS}, "id": name}])
    return {"messages": [call, ToolMessage(f"found: {WORDS}", tool_call_id=name), said("searcher", state)]}


def aggregator(state: State) -> dict[str, Any]:
    return {"messages": [said("aggregator", state)], "round": state["round"] + 1}


def build() -> Any:
    inner = StateGraph(State, output_schema=Note)
    inner.add_node("write", lambda s: {"messages": [said("writer", s)]})
    inner.add_edge(START, "write")
    builder = StateGraph(State)
    builder.add_node("planner", planner)
    builder.add_node("searcher", searcher)
    builder.add_node("writer", inner.compile())
    builder.add_node("aggregator", aggregator)
    for name in ("planner", "searcher", "writer"):
        builder.add_edge(START, name)
        builder.add_edge(name, "aggregator")
    builder.add_conditional_edges(
        "aggregator",
        lambda s: ["planner", "searcher", "writer"] if s["round"] < s["rounds"] else END,
        ["planner", "searcher", "writer", END],
    )
    return builder.compile()


def written(db: sqlite3.Connection, graph: Any, threads: int, long: int) -> tuple[list[str], list[str]]:
    """Names of the short and of the long threads, all in the database."""
    saver = SqliteSaver(db)
    compiled = graph.copy({"checkpointer": saver})

    def run(name: str, rounds: int) -> str:
        given = {"task": name, "rounds": rounds, "messages": [HumanMessage(f"{name}: {WORDS}")], "round": 0}
        compiled.invoke(given, {"configurable": {"thread_id": name}}, durability="sync")
        return name

    short = [run(f"short-{n}", ROUNDS) for n in range(min(DIFFERENT, threads))]
    for n in range(len(short), threads):
        short.append(_copy(db, short[n % DIFFERENT], f"short-{n}"))
    return short, [run(f"long-{n}", LONG) for n in range(long)]


def _copy(db: sqlite3.Connection, thread: str, name: str) -> str:
    for table in ("checkpoints", "writes"):
        columns = [row[1] for row in db.execute(f"PRAGMA table_info({table})") if row[1] != "thread_id"]
        listed = ", ".join(columns)
        db.execute(
            f"INSERT INTO {table} (thread_id, {listed}) SELECT ?, {listed} FROM {table} WHERE thread_id = ?",
            (name, thread),
        )
    db.commit()
    return name


def stored(db: sqlite3.Connection, thread: str) -> int:
    """Bytes of a thread's rows: checkpoints, metadata and writes."""
    (one,) = db.execute(
        "SELECT sum(length(checkpoint) + length(metadata)) FROM checkpoints WHERE thread_id = ?", (thread,)
    ).fetchone()
    (two,) = db.execute("SELECT sum(length(value)) FROM writes WHERE thread_id = ?", (thread,)).fetchone()
    return int(one) + int(two)


def seconds(run: Callable[[], Any]) -> float:
    """CPU seconds."""
    start = time.process_time()
    run()
    return time.process_time() - start


def main(*, quick: bool) -> int:
    graph = build()
    with tempfile.TemporaryDirectory() as folder:
        db = sqlite3.connect(str(Path(folder) / "threads.db"), check_same_thread=False)
        short, long = written(db, graph, 100 if quick else 1000, 5 if quick else 20)
        saver = SqliteSaver(db)

        def bare(thread: str) -> float:
            return seconds(lambda: list(saver.list({"configurable": {"thread_id": thread}})))

        def ours(thread: str) -> float:
            return seconds(lambda: read_thread(graph, saver, thread, aggregator="aggregator"))

        steps = read_thread(graph, saver, short[0], aggregator="aggregator").steps
        outer = sum(1 for step in steps if "/" not in step.role)
        rounds = {step.round for step in steps}
        if outer != 4 * ROUNDS or len(rounds) != ROUNDS:
            raise RuntimeError(f"read {outer} steps of the outermost graph in {len(rounds)} rounds")
        gc.collect()
        took = [(bare(thread), ours(thread)) for thread in short]
        turns = [
            (ours(a) / stored(db, a), ours(b) / stored(db, b)) for a, b in zip(short, long, strict=False)
        ]
        per_byte = dict(zip(("short", "long"), map(statistics.median, zip(*turns, strict=True)), strict=True))
        sizes = {name: stored(db, threads[0]) for name, threads in (("short", short), ("long", long))}
        db.close()
    total_bare, total_ours = (sum(column) for column in zip(*took, strict=True))
    print(
        f"{len(short)} threads of {outer} steps ({len(steps)} with the subgraph's), {sizes['short']:,} bytes each"
    )
    print(
        f"bare read and deserialisation {total_bare:7.2f} s, {1000 * total_bare / len(short):.1f} ms a thread"
    )
    print(
        f"trajectories                  {total_ours:7.2f} s, {1000 * total_ours / len(short):.1f} ms a thread"
    )
    ratio = total_ours / total_bare
    spread = statistics.quantiles([o / b for b, o in took], n=20)
    print(
        f"ratio thread by thread: median {statistics.median(o / b for b, o in took):.2f}, 5 % to 95 %: {spread[0]:.2f} to {spread[-1]:.2f}"
    )
    growth = per_byte["long"] / per_byte["short"]
    print(
        f"nanoseconds per stored byte: {1e9 * per_byte['short']:.1f} at {sizes['short']:,} bytes, "
        f"{1e9 * per_byte['long']:.1f} at {sizes['long']:,} bytes"
    )
    good = ratio <= 3 and growth <= 1.5
    print(
        f"reading costs {ratio:.2f} x the bare read (at most 3), time per byte grows {growth:.2f} x (at most 1.5): "
        f"{'holds' if good else 'MISSED'}"
    )
    return 0 if good else 1


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="fewer threads, under a minute")
    sys.exit(main(quick=parser.parse_args().quick))
