"""What a fork costs: copy one checkpoint with its three tasks' writes into a new thread, and delete it again.

Three debaters of 2 kB an answer and an aggregator, three rounds; forked before round 2. Memory to memory, SQLite to
SQLite (a file, sync and async), SQLite to memory, and PostgreSQL where it runs; medians, one after the other in turn.
Beside it a whole replay from that point in memory, without model time. Targets: fork and delete under 1 ms in memory,
under 25 ms on SQLite.

    python tests/benchmarks/fork_cost.py [--quick]

Exit 0 where the targets hold, 1 otherwise.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import os
import sqlite3
import statistics
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Annotated, Any, TypedDict

from langchain_core.messages import AIMessage, HumanMessage, SystemMessage
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.checkpoint.sqlite import SqliteSaver
from langgraph.checkpoint.sqlite.aio import AsyncSqliteSaver
from langgraph.graph import END, START, StateGraph
from langgraph.graph.message import add_messages

from langgraph_truce.rollout.fork import adrop_fork, afork, drop_fork, fork
from langgraph_truce.rollout.fork_points import fork_point
from langgraph_truce.rollout.locate import Located, alocate
from langgraph_truce.rollout.record import record
from langgraph_truce.rollout.replay import ReplayOptions, areplay, fork_saver
from langgraph_truce.seams import Change
from langgraph_truce.testing import ScriptedModel

AGENTS = ("planner", "solver", "critic")
ROUNDS = 3
IN_MEMORY, ON_SQLITE = 1.0, 25.0
"""Milliseconds a fork and its deletion may take."""
POSTGRES = os.environ.get("TRUCE_POSTGRES", "postgresql://root@127.0.0.1:5432/test")


class State(TypedDict, total=False):
    task: str
    messages: Annotated[list[Any], add_messages]
    round: int


def build() -> Any:
    model = ScriptedModel(replies=lambda m: f"{len(m)}: " + "I looked at it and think so. " * 70)

    async def ask(name: str, state: State) -> list[AIMessage]:
        prompt = [SystemMessage(f"You are the {name}."), HumanMessage(state["task"]), *state["messages"]]
        return [AIMessage((await model.ainvoke(prompt)).content, name=name)]

    def agent(name: str) -> Any:
        async def node(state: State) -> dict[str, Any]:
            return {"messages": await ask(name, state)}

        return node

    async def aggregator(state: State) -> dict[str, Any]:
        return {"messages": await ask("aggregator", state), "round": state["round"] + 1}

    builder = StateGraph(State)
    builder.add_node("aggregator", aggregator)
    for name in AGENTS:
        builder.add_node(name, agent(name))
        builder.add_edge(START, name)
        builder.add_edge(name, "aggregator")
    onward = [*AGENTS, END]
    builder.add_conditional_edges(
        "aggregator", lambda s: list(AGENTS) if s["round"] < ROUNDS else END, onward
    )
    return builder.compile()


GIVEN = {"task": "Where does the parcel go? " * 10, "messages": [], "round": 0}
STEP = "solver#2.0"


async def recorded(graph: Any, saver: Any) -> Located:
    done = await record(graph, GIVEN, rollout="t", saver=saver, aggregator="aggregator")
    if done.error is not None:
        raise done.error
    return await alocate(graph, saver, "t", "aggregator", done.trajectory)


Way = Callable[[int], Awaitable[None]]


def away(source: Any, target: Any, found: Located) -> Way:
    async def go(n: int) -> None:
        config = await afork(source, target, fork_point(found, [STEP]), thread_id=f"f{n}")
        await adrop_fork(target, config)

    return go


def way(source: Any, target: Any, found: Located) -> Way:
    async def go(n: int) -> None:
        drop_fork(target, fork(source, target, fork_point(found, [STEP]), thread_id=f"f{n}"))

    return go


@contextlib.asynccontextmanager
async def postgres() -> AsyncIterator[Any]:
    """A saver in a schema of its own; None where no PostgreSQL answers."""
    try:
        import psycopg
        from langgraph.checkpoint.postgres.aio import AsyncPostgresSaver

        db = psycopg.connect(POSTGRES, autocommit=True, connect_timeout=2)
    except Exception as away:  # noqa: BLE001 (whatever keeps it away, the rest is measured)
        print(f"no PostgreSQL ({type(away).__name__})")
        yield None
        return
    with db:
        db.execute("CREATE SCHEMA truce_fork_cost")
        try:
            url = f"{POSTGRES}?options=-csearch_path%3Dtruce_fork_cost"
            async with AsyncPostgresSaver.from_conn_string(url) as saver:
                await saver.setup()
                yield saver
        finally:
            db.execute("DROP SCHEMA truce_fork_cost CASCADE")


async def medians(ways: dict[str, Way], repeats: int) -> dict[str, float]:
    """Milliseconds, each way in turn."""
    times: dict[str, list[float]] = {name: [] for name in ways}
    for n in range(-3, repeats):
        for name, go in ways.items():
            start = time.perf_counter()
            await go(n)
            if n >= 0:  # the first three warm up
                times[name].append(time.perf_counter() - start)
    return {name: statistics.median(ts) * 1000 for name, ts in times.items()}


async def main(*, quick: bool) -> int:
    graph, memory = build(), InMemorySaver()
    found = await recorded(graph, memory)
    with tempfile.TemporaryDirectory() as folder:
        path = str(Path(folder) / "threads.db")
        async with AsyncSqliteSaver.from_conn_string(path) as asqlite, postgres() as server:
            stored = await recorded(graph, asqlite)
            db = sqlite3.connect(path, check_same_thread=False)
            sqlite = SqliteSaver(db)
            options = ReplayOptions(located=found, aggregator="aggregator")

            async def replayed(n: int) -> None:
                await areplay(graph, memory, "t", Change((STEP,)), rollout=f"r{n}", options=options)

            ways: dict[str, Way] = {
                "memory": way(memory, InMemorySaver(), found),
                "memory, async, as replays do": away(memory, fork_saver(), found),
                "SQLite": way(sqlite, sqlite, stored),
                "SQLite, async": away(asqlite, asqlite, stored),
                "SQLite to memory": away(asqlite, fork_saver(), stored),
            }
            if server is not None:
                ways["PostgreSQL, async"] = away(server, server, await recorded(graph, server))
            ways["a whole replay in memory"] = replayed
            took = await medians(ways, 30 if quick else 200)
            db.close()
    whole = took["a whole replay in memory"]
    for name, ms in took.items():
        print(f"{name:32} {ms:8.3f} ms  {100 * ms / whole:7.1f} % of a whole replay")
    fast = max(took["memory"], took["memory, async, as replays do"])
    slow = max(took["SQLite"], took["SQLite, async"])
    good = fast < IN_MEMORY and slow < ON_SQLITE
    print(
        f"a fork costs {fast:.2f} ms in memory (under {IN_MEMORY:g}), {slow:.1f} ms on SQLite (under {ON_SQLITE:g}): "
        f"{'holds' if good else 'MISSED'}"
    )
    return 0 if good else 1


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="fewer repeats, under a minute")
    sys.exit(asyncio.run(main(quick=parser.parse_args().quick)))
