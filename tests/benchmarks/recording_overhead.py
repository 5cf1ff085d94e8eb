"""What recording costs over the bare graph: manager, two workers and an aggregator, three rounds, 12 model calls.

Latency: at 20 ms a call, one rollout at a time; bare graph (`ainvoke`, no saver), recorded in memory, recorded on a
SQLite file, in turn within one run; medians. Targets: at most 10 % over the bare graph in memory, 60 % on SQLite.

Rate, for information: 64 rollouts in flight at 100 ms a call, rollouts per second and CPU time of each, bare and
recorded; `optimizer_throughput.py` sets the target for that.

    python tests/benchmarks/recording_overhead.py [--quick]

Exit 0 where the targets hold, 1 otherwise.
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Annotated, Any, TypedDict

from langchain_core.messages import AIMessage, HumanMessage, SystemMessage
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.checkpoint.sqlite.aio import AsyncSqliteSaver
from langgraph.graph import END, START, StateGraph
from langgraph.graph.message import add_messages

from langgraph_truce.rollout.record import record
from langgraph_truce.testing import ScriptedModel

AGENTS = ("manager", "worker_a", "worker_b")
ROUNDS = 3
IN_FLIGHT = 64
Run = Callable[[int], Awaitable[Any]]


class State(TypedDict, total=False):
    task: str
    messages: Annotated[list[Any], add_messages]
    round: int


def build(seconds: float) -> Any:
    model = ScriptedModel(replies=lambda _: "I looked at it and think so. " * 8, latency=seconds)

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
    builder.add_conditional_edges(
        "aggregator", lambda s: list(AGENTS) if s["round"] < ROUNDS else END, [*AGENTS, END]
    )
    return builder.compile()


GIVEN = {"task": "Where does the parcel go? " * 10, "messages": [], "round": 0}


async def recorded(graph: Any, rollout: str, saver: Any = None) -> None:
    done = await record(graph, GIVEN, rollout=rollout, saver=saver, aggregator="aggregator")
    calls = sum(len(step.calls) for step in done.trajectory.steps)
    if done.error or calls != ROUNDS * (len(AGENTS) + 1):
        raise RuntimeError(f"recorded {calls} calls, error {done.error!r}")


async def latency(repeats: int, folder: Path) -> dict[str, float]:
    """Median milliseconds of one rollout, each way in turn."""
    graph = build(0.02)
    async with AsyncSqliteSaver.from_conn_string(str(folder / "threads.db")) as sqlite:
        await sqlite.setup()
        ways: dict[str, Run] = {
            "bare": lambda _: graph.ainvoke(GIVEN),
            "recorded in memory": lambda n: recorded(graph, f"m{n}"),
            "recorded, InMemorySaver given": lambda n: recorded(graph, f"s{n}", InMemorySaver()),
            "recorded on SQLite": lambda n: recorded(graph, f"q{n}", sqlite),
        }
        times: dict[str, list[float]] = {way: [] for way in ways}
        for n in range(-2, repeats):
            for way, run in ways.items():
                start = time.perf_counter()
                await run(n)
                if n >= 0:  # the first two warm up
                    times[way].append(time.perf_counter() - start)
    return {way: statistics.median(ts) * 1000 for way, ts in times.items()}


async def rate(rollouts: int, turns: int) -> dict[str, tuple[float, float]]:
    """Rollouts per second and CPU milliseconds per rollout, 64 in flight, medians of the turns."""
    graph = build(0.1)
    ways: dict[str, Run] = {
        "bare": lambda _: graph.ainvoke(GIVEN),
        "recorded in memory": lambda n: recorded(graph, f"m{n}"),
    }
    found: dict[str, list[tuple[float, float]]] = {way: [] for way in ways}
    for _ in range(turns):
        for way, run in ways.items():
            gate = asyncio.Semaphore(IN_FLIGHT)

            async def one(n: int, run: Run = run, gate: asyncio.Semaphore = gate) -> None:
                async with gate:
                    await run(n)

            start, cpu = time.perf_counter(), time.process_time()
            await asyncio.gather(*(one(n) for n in range(rollouts)))
            used = time.process_time() - cpu
            found[way].append((rollouts / (time.perf_counter() - start), used / rollouts * 1000))
    return {
        way: (statistics.median(r for r, _ in rows), statistics.median(c for _, c in rows))
        for way, rows in found.items()
    }


async def main(*, quick: bool) -> int:
    with tempfile.TemporaryDirectory() as folder:
        took = await latency(15 if quick else 60, Path(folder))
    bare = took["bare"]
    for way, ms in took.items():
        print(f"{way:32} {ms:7.1f} ms  {100 * (ms / bare - 1):+6.1f} %")
    rates = await rate(IN_FLIGHT * (3 if quick else 6), 3 if quick else 5)
    for way, (per_second, cpu) in rates.items():
        print(
            f"{way:32} {per_second:7.1f} rollouts/s  {cpu:5.2f} ms CPU each  ({IN_FLIGHT} in flight, 100 ms calls)"
        )
    memory = took["recorded in memory"] / bare - 1
    sqlite = took["recorded on SQLite"] / bare - 1
    share = rates["recorded in memory"][0] / rates["bare"][0]
    good = memory <= 0.10 and sqlite <= 0.60
    print(f"recorded rate: {100 * share:.0f} % of bare")
    print(
        f"recording costs {100 * memory:.1f} % in memory (at most 10), {100 * sqlite:.1f} % on SQLite (at most 60): "
        f"{'holds' if good else 'MISSED'}"
    )
    return 0 if good else 1


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="fewer repeats, under a minute")
    sys.exit(asyncio.run(main(quick=parser.parse_args().quick)))
