"""How often a run accepts edits that do nothing, and how often it accepts a gain of 20 points. A simulation.

The gate is the real one; its lab reads scores off `PlantedWorld.outcome` instead of running graphs. Every edit changes
the luck of the agent it touches (`fresh_luck`), as with a model that samples: with common random numbers idle edits
would change nothing, and this would measure nothing.

1. False accepts: worlds without faults at the noisiest level (0.5), K = 5 iterations of one to five idle edits on
   n = 100 tasks; a run counts when it accepts anything. Fails when Clopper-Pearson at 99 % rejects a rate of at most
   5 % (200 runs: more than 18).
2. Power: every iteration proposes, in words of its own, edits that are together worth 20 points on n = 100 tasks, and
   idle edits for the other agents, so that no luck is shared; a run counts when it accepts. Fails when fewer than 90 %
   of the runs do. Worlds as planted (0.2 with the fault, 0.9 without: two of seven faults). For information: the first
   iteration alone, and worlds at the noisiest level (0.4 to 0.6 on every task).

Usage: python tests/benchmarks/false_accepts.py [--quick] [--seeds N] [--jobs N]
"""

from __future__ import annotations

import argparse
import asyncio
import random
import sys
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from typing import Any

from scipy.stats import binomtest

from langgraph_truce.gate import paired_gate
from langgraph_truce.rules import Edit, RuleBook, Suggestion, apply
from langgraph_truce.seams import Batch, Memory, Rollout
from langgraph_truce.task import Outcome, Task
from langgraph_truce.testing.planted import Fault, PlantedWorld
from langgraph_truce.trajectory import Trajectory

ITERATIONS = 5
TASKS = 100
ALPHA = 0.05
POWER = 0.9
IDLE = (
    "Answer with care.",
    "Think it over.",
    "Name your source.",
    "Stay calm.",
    "Be quick.",
    "Use plain words.",
)


@dataclass
class SimulatedLab:
    """Rollouts read off the simulation; no graph is run and no model asked."""

    world: PlantedWorld
    has_model: bool = False
    _known: dict[tuple[str, str, int], Rollout] = field(default_factory=dict)

    @property
    def seed(self) -> int:
        return self.world.seed

    def rng(self, *key: object) -> random.Random:
        return random.Random(repr((self.seed, *key)))

    def about(self, role: str) -> str:
        return role

    async def rollouts(
        self, tasks: Sequence[Task], book: RuleBook, *, replicate: int = 0, purpose: str = "gate"
    ) -> tuple[Rollout, ...]:
        version = book.version
        return tuple(self._one(t, book, version, replicate) for t in tasks)

    def _one(self, task: Task, book: RuleBook, version: str, replicate: int) -> Rollout:
        key = (version, task.id, replicate)
        if key not in self._known:
            name = "/".join(map(str, key))
            score = self.world.outcome(task, replicate, book)
            outcome = Outcome(None, 0.0, excluded="429") if score is None else Outcome(None, score)
            history = Trajectory(name, (), {})
            self._known[key] = Rollout(name, task.id, replicate, version, outcome, history)
        return self._known[key]

    async def replay(self, *args: Any, **kwargs: Any) -> Any:
        raise AssertionError("the gate forks nothing")

    async def ask(self, *args: Any, **kwargs: Any) -> Any:
        raise AssertionError("the gate asks no model")


Propose = Callable[[RuleBook, int, random.Random], tuple[Edit, ...]]
"""(rule book, iteration, generator) -> the joint candidate."""


async def run(world: PlantedWorld, book: RuleBook, propose: Propose) -> int:
    """Iteration in which a run accepted something; 0 where it never did."""
    lab, gate = SimulatedLab(world), paired_gate(ALPHA)
    tasks = tuple(world.splits(1, TASKS, 1).validation)
    memory: Memory = {}
    for i in range(1, ITERATIONS + 1):
        batch = Batch(i, ITERATIONS, book, {}, validation=tasks, edits=propose(book, i, lab.rng("edits", i)))
        verdict, memory = await gate(batch, memory, lab)
        if verdict.decision == "accept":
            return i
    return 0


def null_run(seed: int) -> int:
    """Idle edits in a world without faults."""
    world = PlantedWorld(seed, faults=0, without_fault=0.5, fresh_luck=True)
    return asyncio.run(run(world, world.rules, idle_edits(world)))


def gain_run(seed: int) -> int:
    """Two of seven faults are left: their repair is worth 0.7 * 2 / 7 = 20 points."""
    world = PlantedWorld(seed, faults=7, fresh_luck=True)
    book = apply(world.rules, [repair(world, f, f"e0.{n}", "") for n, f in enumerate(world.planted[2:])])
    return asyncio.run(run(world, book, with_repairs(world, world.planted[:2])))


def noisy_run(seed: int) -> int:
    """One fault on every task: its repair lifts all of them from 0.4 to 0.6."""
    world = PlantedWorld(seed, faults=1, with_fault=0.4, without_fault=0.6, fresh_luck=True)
    return asyncio.run(run(world, world.rules, with_repairs(world, world.planted)))


def with_repairs(world: PlantedWorld, faults: Sequence[Fault]) -> Propose:
    """The repairs of `faults`, and an idle edit for every other agent that has tasks."""

    def propose(book: RuleBook, i: int, rng: random.Random) -> tuple[Edit, ...]:
        touched = {f.agent for f in faults}
        idle = sorted({f.agent for f in world.planted} - touched)
        edits = [repair(world, f, f"e{i}.{n}", f" ({i})") for n, f in enumerate(faults)]
        more = [Edit(f"e{i}.{len(edits) + n}", "ADD", a, text=idle_rule(rng)) for n, a in enumerate(idle)]
        return (*edits, *more)

    return propose


def idle_edits(world: PlantedWorld) -> Propose:
    """One to five added rules that say nothing of any task, spread over the agents that tasks hang on."""
    agents = sorted({f.agent for f in world.planted})

    def propose(book: RuleBook, i: int, rng: random.Random) -> tuple[Edit, ...]:
        edits = []
        for n in range(rng.randint(1, 5)):
            agent, text, support = rng.choice(agents), idle_rule(rng), rng.random()
            wish = Suggestion("ADD", agent, text, support=support)
            edits.append(Edit(f"e{i}.{n}", "ADD", agent, text=text, suggestion=wish))
        return tuple(edits)

    return propose


def idle_rule(rng: random.Random) -> str:
    return f"{rng.choice(IDLE)} ({rng.randrange(10**6)})"


def repair(world: PlantedWorld, fault: Fault, name: str, words: str) -> Edit:
    """The edit that puts a fault right."""
    text = fault.topic.remedies[0] + words
    for rule in world.rules.agents[fault.agent].rules:
        if rule.text == fault.topic.harm_rule:
            return Edit(name, "MODIFY", fault.agent, rule.id, rule.hash, text)
    return Edit(name, "ADD", fault.agent, text=text)


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="40 seeds")
    parser.add_argument("--seeds", type=int, default=200)
    parser.add_argument("--jobs", type=int, default=2)
    args = parser.parse_args()
    seeds = range(40 if args.quick else args.seeds)
    with ProcessPoolExecutor(args.jobs) as pool:
        rows = {name: list(pool.map(job, seeds, chunksize=5)) for name, job in JOBS.items()}
    return report(rows)


JOBS = {"idle edits": null_run, "+20 points": gain_run, "+20, noisiest": noisy_run}


def report(rows: Mapping[str, Sequence[int]]) -> int:
    """Print the table and the figure; the exit code."""
    idle, gain = rows["idle edits"], rows["+20 points"]
    n = len(idle)
    print(f"simulation, {n} seeds, n = {TASKS} tasks, K = {ITERATIONS}, alpha = {ALPHA}; runs that accept")
    print(f"{'':>14} " + " ".join(f"in {i}" for i in range(1, ITERATIONS + 1)) + "   any  share")
    for name, row in rows.items():
        counts = " ".join(f"{row.count(i):>4}" for i in range(1, ITERATIONS + 1))
        took = n - row.count(0)
        print(f"{name:>14} {counts} {took:>5}  {took / n:.3f}")
    false, power = n - idle.count(0), 1 - gain.count(0) / n
    low = binomtest(false, n).proportion_ci(0.98, "exact").low  # one-sided at 99 %
    if low > ALPHA:
        print(f"FAILED: the false-accept rate is above {ALPHA:.0%}: at least {low:.1%}")
    if power < POWER:
        print(f"FAILED: power {power:.3f} is below {POWER}")
    words = f"{gain.count(1) / n:.3f} in the first iteration alone"
    print(f"false accepts {false}/{n} ({false / n:.1%}), power for +20 points {power:.3f} ({words})")
    return int(low > ALPHA or power < POWER)


if __name__ == "__main__":
    sys.exit(main())
