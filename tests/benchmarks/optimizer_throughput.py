"""How much of the possible rate the optimizer's rollouts reach: manager-worker graph, 64 in flight.

Two figures: with 1 s model calls the share of the ideal rate (calls overlap perfectly, nothing else costs time), and
with 100 ms calls the share of the bare graph's own rate (`graph.ainvoke`, no saver, no recording), measured in turn in
one run. The model sleeps; the journal, the records and the checkpoints are real files.

Targets: at least 0.90 and 0.80; exit 0 where both hold.
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import sys
import tempfile
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from langgraph_truce import Run, Splits, System, Task, aoptimize, graphs
from langgraph_truce.bind import RunContext, published
from langgraph_truce.gate import on_validation
from langgraph_truce.methods import truce
from langgraph_truce.seams import Batch, Lab, Memory, Method

IN_FLIGHT = 64


def score() -> float:
    return 1.0


async def nothing(batch: Batch, memory: Memory, lab: Lab) -> tuple[tuple[()], Memory]:
    return (), memory


def method() -> Method:
    base = truce(iterations=1, gate=on_validation())
    return replace(base, credit=nothing, suggest=nothing, merge=nothing, write=nothing)


def tasks(n: int) -> list[Task]:
    return [Task(f"t{i}", {"request": f"Request {i}: please help."}, {"department": "x"}) for i in range(n)]


async def bare(system: System, work: list[Task]) -> float:
    """Seconds for all tasks through the bare graph, 64 at a time."""
    gate = asyncio.Semaphore(IN_FLIGHT)
    with published(system.book) as version:

        async def one(task: Task) -> None:
            async with gate:
                context = RunContext(version, task.id, task.id)
                await system.graph.ainvoke(system.graph_input(task), {"configurable": context.configurable()})

        start = time.perf_counter()
        await asyncio.gather(*(one(t) for t in work))
        return time.perf_counter() - start


async def optimized(system: System, work: list[Task], folder: Path) -> float:
    """Seconds from the first rollout to the last, inside `aoptimize`."""
    marks: dict[str, float] = {}

    def on_event(event: Mapping[str, Any]) -> None:
        marks.setdefault(event["stage"], time.perf_counter())

    splits = Splits(work, [Task("v", {"request": "v"})], [Task("s", {"request": "s"})])
    await aoptimize(system, splits, score, method=method(), run=Run(folder, on_event=on_event))
    return marks["segment"] - marks["rollouts"]


def sleeping(seconds: float) -> System:
    """The manager-worker system on a model that sleeps and then gives a valid reply."""
    module = graphs.load("manager_worker")
    model = module.scripted_model()
    model.latency = seconds
    return replace(module.system(model), in_flight=IN_FLIGHT)


async def main(*, quick: bool) -> int:
    calls = 2  # manager and one worker
    slow_n, fast_n, repeats = (128, 320, 2) if quick else (256, 960, 3)
    with tempfile.TemporaryDirectory() as tmp:
        await optimized(sleeping(0.0), tasks(32), Path(tmp, "warm"))
        ideal = slow_n / IN_FLIGHT * calls * 1.0
        slow = await optimized(sleeping(1.0), tasks(slow_n), Path(tmp, "slow"))
        ratios: list[float] = []
        for i in range(repeats):
            system = sleeping(0.1)
            base = await bare(system, tasks(fast_n))
            ours = await optimized(system, tasks(fast_n), Path(tmp, f"fast{i}"))
            ratios.append(base / ours)
            print(
                f"100 ms calls: bare {fast_n / base:.0f} rollouts/s, optimizer {fast_n / ours:.0f}, ratio {base / ours:.2f}"
            )
    share = ideal / slow
    ratio = statistics.median(ratios)
    print(f"1 s calls: {slow_n} rollouts in {slow:.2f} s, ideal {ideal:.2f} s")
    print(
        f"share of ideal at 1 s: {share:.3f} (>= 0.90); share of the bare graph at 100 ms: {ratio:.3f} (>= 0.80)"
    )
    return 0 if share >= 0.90 and ratio >= 0.80 else 1


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="smaller, within a minute")
    sys.exit(asyncio.run(main(quick=parser.parse_args().quick)))
