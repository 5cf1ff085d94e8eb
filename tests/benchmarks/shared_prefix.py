"""Shared-prefix evaluation: what a candidate costs beside whole reruns, and that its rollouts have the same law.

1. Three topologies (a 3 x 3 debate with an aggregator a round and a decision; a manager with five workers, some of
   which a task never needs; a six-step pipeline), an edit of each prompt: model calls paid and nodes executed for a
   candidate, beside a whole rerun on the journal and a whole rerun without one. The least possible is counted from the
   unrolled graph alone: the calls of the edited agent, and those that depend on one of them.
2. **Simulation**: paired rollouts of a system with luck in every reply: the mean score of the shared rollouts against
   that of whole reruns with luck of their own, and of "rerun only those that visited", which is biased.
3. Small worlds by exact enumeration: every parent and every candidate with its probability; the two laws are equal.
4. Milliseconds of a reused, a forked and a whole rollout, side by side.

    python tests/benchmarks/shared_prefix.py [--quick]

Exit 0 where calls equal the minimum, the interval of the mean difference lies inside 1.5 points and the laws are equal.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import math
import random
import statistics
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from langgraph_truce.seams import Rollout
from langgraph_truce.task import Task
from langgraph_truce.testing import ScriptedModel
from tests.benchmarks.shared_prefix_worlds import World, chance, debate, edited, manager, pipeline, triage
from tests.rollout.sharing import Tape, echo, paid, running

POINTS = 0.015
"""The interval of the mean difference from whole reruns must lie inside this on both sides."""


# 1. Calls --------------------------------------------------------------------------------------------------------


async def costs(world: World, cases: int) -> bool:
    """The table of one topology; True where every edit costs the least possible."""
    tasks = [Task(f"t{n}", {"case": n, "said": []}) for n in range(cases)]
    good = True
    print(f"\n{world.name}, {cases} tasks, per candidate:")
    print(
        f"{'edit of':14} {'least':>7} {'paid':>7} {'nodes':>7} | whole rerun: {'paid':>6} {'nodes':>6} {'calls':>6}"
    )
    for agent in world.book.agents:
        row: list[int] = []
        for parent in (world.book, None):
            async with running(world.system) as runner:
                await runner.run_all(tasks, world.book, purpose="gate")
                before, nodes = paid(runner), world.ran.total()
                await runner.run_all(tasks, edited(world.book, agent), purpose="gate", parent=parent)
                row += [paid(runner) - before, world.ran.total() - nodes]
        calls = sum(len(world.unrolled(task)) for task in tasks)
        least = sum(world.least(agent, task) for task in tasks)
        holds = row[:2] == [least, least] and row[2:] == [least, calls]
        good &= holds
        per = [n / cases for n in (least, *row, calls)]
        print(
            f"{agent:14} {per[0]:7.2f} {per[1]:7.2f} {per[2]:7.2f} | {'':12} {per[3]:6.2f} {per[4]:6.2f} {per[5]:6.2f}"
            f"{'' if holds else '   MISSED'}"
        )
    return good


# 2. Bias ---------------------------------------------------------------------------------------------------------


async def bias(pairs: int, points: float, seed: int) -> bool:
    """Shared rollouts against whole reruns with luck of their own, and against the biased way.

    True where the interval of the mean difference lies inside `points` on both sides.
    """
    rng = random.Random(seed)
    model = ScriptedModel(replies=lambda m: "yes" if rng.random() < chance(m) else "no")
    world = triage(model)
    candidate = edited(world.book, "specialist")

    def value(rollout: Rollout) -> float:
        whole = rollout.trajectory
        bad = [step for step in whole.steps if whole.value(step.writes["said"]) == ["no"]]
        return 1 - len(bad) / 5

    def visited(rollout: Rollout) -> bool:
        return any(step.role == "specialist" for step in rollout.trajectory.steps)

    size = min(250, pairs)
    tasks = [Task(f"t{n}", {"case": n, "said": []}) for n in range(size)]
    unbiased: list[float] = []
    biased: list[float] = []
    ran: Counter[str] = Counter()
    for _ in range(math.ceil(pairs / size)):
        gc.collect()  # runs of thousands of rollouts are one after the other here, each with its own heap
        async with running(world.system) as runner:
            parents = await runner.run_all(tasks, world.book, purpose="gate")
            shared = await runner.run_all(tasks, candidate, purpose="gate", parent=world.book)
            ran += runner.ran
        async with running(world.system) as alone:
            whole = await alone.run_all(tasks, candidate)
        for parent, mine, other in zip(parents, shared, whole, strict=True):
            unbiased.append(value(mine) - value(other))
            biased.append((value(other) if visited(parent) else value(parent)) - value(other))
    print(f"\nsimulation, {len(unbiased)} paired rollouts ({ran['reused']} reused, {ran['forked']} forked):")
    ends = {"shared": interval(unbiased), "rerun only those that visited": interval(biased)}
    for name, (low, mean, high) in ends.items():
        print(
            f"{name:30} {100 * mean:+6.2f} points against whole reruns ({100 * low:+.2f} to {100 * high:+.2f})"
        )
    low, _, high = ends["shared"]
    seen = (
        ends["rerun only those that visited"][0] > 0
    )  # a measure that could not see a bias would prove nothing
    return max(-low, high) < points and seen


def interval(values: Sequence[float]) -> tuple[float, float, float]:
    mean = statistics.fmean(values)
    half = 1.96 * statistics.stdev(values) / math.sqrt(len(values))
    return mean - half, mean, mean + half


# 3. Laws ---------------------------------------------------------------------------------------------------------


async def law(build: Callable[[ScriptedModel], World], agent: str, *, shared: bool) -> Mapping[Any, float]:
    """What a candidate's rollout did -> its probability, over all luck of the parent and its own."""
    tape = Tape(chance)
    world = build(ScriptedModel(replies=tape))
    task = Task("t", {"case": 0, "said": []})
    found: dict[Any, float] = defaultdict(float)
    while True:
        async with running(world.system) as runner:
            if shared:
                await runner.run_all([task], world.book, purpose="gate")
            after = edited(world.book, agent)
            parent = world.book if shared else None
            (rollout,) = await runner.run_all([task], after, purpose="gate", parent=parent)
        whole = rollout.trajectory
        key = tuple((s.id, s.round, str(whole.value(s.writes["said"]))) for s in whole.steps)
        found[key] += tape.weight
        if not tape.advance():
            return found


async def laws(*, quick: bool) -> bool:
    """True where shared and whole candidates have one law in every small world."""
    worlds: dict[str, Callable[[ScriptedModel], World]] = {"triage": triage}
    if not quick:
        worlds["debate 2 x 1"] = lambda model: debate(model, ("a", "b"), 1)
    worst = 0.0
    print("\nexact laws:")
    for name, build in worlds.items():
        for agent in build(ScriptedModel(replies=["-"])).book.agents:
            mine, theirs = await law(build, agent, shared=True), await law(build, agent, shared=False)
            gap = max(abs(mine.get(k, 0.0) - theirs.get(k, 0.0)) for k in {*mine, *theirs})
            print(f"{name:14} edit of {agent:14} {len(theirs):3} outcomes, largest gap {gap:.1e}")
            worst = max(worst, gap, abs(sum(mine.values()) - 1))
    return worst < 1e-12


# 4. Time ---------------------------------------------------------------------------------------------------------


async def times(cases: int) -> None:
    """Milliseconds a rollout takes, one after the other, without model time."""
    world = manager(ScriptedModel(replies=echo))
    tasks = [Task(f"t{4 * n}", {"case": 4 * n, "said": []}) for n in range(cases)]
    ways = {
        "reused": ("worker5", True),
        "forked (2 calls)": ("worker2", True),
        "whole (5)": ("worker2", False),
    }
    print("\nmilliseconds a rollout, one after the other, without model time:")
    for name, (agent, shared) in ways.items():
        async with running(world.system) as runner:
            for task in tasks:
                await runner.run_all([task], world.book, purpose="gate")
            start = time.perf_counter()
            for task in tasks:
                parent = world.book if shared else None
                await runner.run_all([task], edited(world.book, agent), purpose="other", parent=parent)
            print(f"{name:18} {1000 * (time.perf_counter() - start) / cases:6.2f}   {dict(runner.ran)}")


async def main(*, quick: bool) -> int:
    model = ScriptedModel(replies=echo)
    cheap = [await costs(build(model), 4 if quick else 20) for build in (debate, manager, pipeline)]
    points = 2 * POINTS if quick else POINTS  # few pairs cannot tell more
    fair = await bias(1_500 if quick else 20_000, points, seed=1)
    equal = await laws(quick=quick)
    await times(20 if quick else 100)
    good = all(cheap) and fair and equal
    words = "calls equal the least possible" if all(cheap) else "calls are MORE than the least possible"
    print(
        f"{words} for every edit; the mean difference {'lies' if fair else 'does NOT lie'} inside "
        f"{100 * points:g} points; laws {'equal' if equal else 'DIFFER'}: {'holds' if good else 'MISSED'}"
    )
    return 0 if good else 1


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="fewer tasks and pairs, within a minute")
    sys.exit(asyncio.run(main(quick=parser.parse_args().quick)))
