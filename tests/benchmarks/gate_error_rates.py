"""How often a gate accepts what changes nothing, how often it accepts a gain, and what it buys for that. A simulation.

The gates are the real ones; their lab draws scores instead of running graphs. Every edit changes the luck of every
rollout, as with a model that samples: with common random numbers idle edits would change nothing, and this would measure
nothing. One edit of the current rules stands for the joint set; sets of four edits go through halves and pruning too.

1. **A/A**: runs of K = 5 iterations at alpha 0.05 whose edits change nothing; a run counts when it accepts anything. Half of
   the runs propose one edit an iteration, half four, on 50, 100 or 200 tasks, in the noises below in turn. Fails above
   123 of 2,000 runs of the sequential gate (with a true rate of 5 % more come in 1 of 100 such benchmarks).
2. **Power**: one proposal that is worth 5, 10 or 20 points, at alpha / K = 1 %, on 50, 100 and 200 tasks.

Beside `sequential_gate`: `paired_gate`, the fixed-sample test at the same level; and "three": accept when the mean of three
tasks rises, as other optimizers do. Rollouts are those of both arms, in % of what the fixed-sample test buys in the same
place.

Noises: `coin` (0 or 1, even chances), `hard` (0 or 1, most tasks never or always solved), `ties` (a deterministic system: 6 % of
the tasks flip), `graded` (scores with noise), `mixed` (0, 1/2 or 1).

Usage: python tests/benchmarks/gate_error_rates.py [--quick] [--runs N] [--jobs N]
"""

from __future__ import annotations

import argparse
import asyncio
import random
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

from scipy.stats import binom

from langgraph_truce.gate import on_validation, paired_gate, sequential_gate
from langgraph_truce.rules import AgentRules, Edit, Rule, RuleBook, RuleSlot
from langgraph_truce.seams import Batch, Gate, Memory, Rollout
from langgraph_truce.seed import seeded
from langgraph_truce.task import Outcome, Task
from langgraph_truce.trajectory import Trajectory

ITERATIONS = 5
ALPHA = 0.05
RUNS = 2000
MOST = 123
"""False accepts of 2,000 runs above which the claim is rejected at 1 %."""
SIZES = (50, 100, 200)
GAINS = (0.05, 0.1, 0.2)
BOOK = RuleBook({"solver": AgentRules("solver", ("Solve.\n- ", RuleSlot(Rule("r1", "first")), "\n"), 2)})
NONE = Trajectory("", (), {})

Draw = Callable[[random.Random, random.Random, float], float]
"""(generator of the task, generator of the rollout, gain) -> score."""


def coin(task: random.Random, luck: random.Random, gain: float) -> float:
    return float(luck.random() < 0.5 + gain)


def hard(task: random.Random, luck: random.Random, gain: float) -> float:
    base = task.choice((0.05, 0.05, 0.5, 0.95, 0.95))
    lifted = base < 0.1 and task.random() < gain / (0.4 * 0.9)
    return float(luck.random() < (0.95 if lifted else base))


def ties(task: random.Random, luck: random.Random, gain: float) -> float:
    solved, lifted = task.random() < 0.5, task.random() < gain / (0.5 * 0.94)
    return float((solved or lifted) != (luck.random() < 0.03))


def graded(task: random.Random, luck: random.Random, gain: float) -> float:
    return min(1.0, max(0.0, task.gauss(0.4, 0.1) + gain + luck.gauss(0, 0.15)))


def mixed(task: random.Random, luck: random.Random, gain: float) -> float:
    return (float(luck.random() < 0.5 + gain) + float(luck.random() < 0.5 + gain)) / 2


NOISES: Mapping[str, Draw] = {"coin": coin, "hard": hard, "ties": ties, "graded": graded, "mixed": mixed}


@dataclass
class Bench:
    """A lab that draws scores; rollouts that exist are read, and `len(known)` is what was bought."""

    seed: int
    draw: Draw
    gain: float = 0.0
    """What every book but the one at the start is better by."""
    has_model: bool = False
    aggregator: str = ""
    known: dict[tuple[str, str, int], Rollout] = field(default_factory=dict)

    def rng(self, *key: object) -> random.Random:
        return seeded(self.seed, *key)

    def about(self, role: str) -> str:
        return role

    async def rollouts(
        self,
        tasks: Sequence[Task],
        book: RuleBook,
        *,
        replicate: int = 0,
        purpose: str = "gate",
        parent: RuleBook | None = None,
    ) -> tuple[Rollout, ...]:
        version = book.version
        return tuple(self._one(t.id, version, replicate) for t in tasks)

    def _one(self, task: str, version: str, replicate: int) -> Rollout:
        key = (version, task, replicate)
        if key not in self.known:
            gain = 0.0 if version == START else self.gain
            score = self.draw(seeded(self.seed, task), seeded(self.seed, *key), gain)
            self.known[key] = Rollout("", task, replicate, version, Outcome(None, score), NONE)
        return self.known[key]

    async def replay(self, *args: Any, **kwargs: Any) -> Any:
        raise AssertionError("the gate forks nothing")

    async def ask(self, *args: Any, **kwargs: Any) -> Any:
        raise AssertionError("the gate asks no model")


START = BOOK.version


def three(lab: Bench, batch: Batch) -> Batch:
    """The minibatch that other optimizers judge by: three tasks, drawn anew in every iteration."""
    chosen = lab.rng("three", batch.iteration).sample(batch.validation, 3)
    return replace(batch, validation=tuple(chosen))


GATES: Mapping[str, Gate] = {
    "sequential": sequential_gate(ALPHA),
    "fixed": paired_gate(ALPHA),
    "three": on_validation(),
}


class Case(NamedTuple):
    """One run of one gate."""

    gate: str
    noise: str
    tasks: int
    gain: float
    seed: int
    edits: int
    iterations: int
    """That are played; each may spend alpha / ITERATIONS."""


def play(case: Case) -> tuple[bool, int]:
    """Whether anything was accepted, and the rollouts bought."""
    return asyncio.run(_play(case))


async def _play(case: Case) -> tuple[bool, int]:
    lab = Bench(case.seed, NOISES[case.noise], case.gain)
    gate, memory = GATES[case.gate], dict[str, Any]()
    tasks = tuple(Task(f"t{n}", {"n": n}) for n in range(case.tasks))
    accepted = False
    for i in range(1, case.iterations + 1):
        edits = tuple(Edit(f"e{i}.{n}", "ADD", "solver", text=f"Idle {i}.{n}.") for n in range(case.edits))
        batch = Batch(i, ITERATIONS, BOOK, {}, validation=tasks, edits=edits)
        seen: Memory = memory
        verdict, seen = await gate(three(lab, batch) if case.gate == "three" else batch, seen, lab)
        memory = dict(seen)
        if verdict.decision == "accept":
            accepted = True
            break
    return accepted, len(lab.known)


def null_cases(gate: str, runs: int) -> Iterator[Case]:
    """A/A runs: noises, sizes and numbers of edits in turn."""
    noises = tuple(NOISES)
    for seed in range(runs):
        place, edits = divmod(seed, 2)
        size = SIZES[place // len(noises) % len(SIZES)]
        yield Case(gate, noises[place % len(noises)], size, 0.0, seed, 4 if edits else 1, ITERATIONS)


def gain_cases(gate: str, tasks: int, gain: float, runs: int) -> Iterator[Case]:
    """Single proposals with a gain: all noises, `runs` in all."""
    noises = tuple(NOISES)
    for seed in range(runs):
        yield Case(gate, noises[seed % len(noises)], tasks, gain, 10**6 + seed, 1, 1)


Found = dict[tuple[str, int, float], list[tuple[Case, bool, int]]]


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="100 A/A runs, 30 proposals a cell")
    parser.add_argument("--runs", type=int, default=RUNS, help="A/A runs of the sequential gate")
    parser.add_argument("--jobs", type=int, default=2)
    args = parser.parse_args()
    runs = 100 if args.quick else args.runs
    cell = 30 if args.quick else 300
    cases = [c for g in GATES for c in null_cases(g, runs if g == "sequential" else min(runs, 400))]
    for gate in GATES:
        cases += [c for size in SIZES for gain in GAINS for c in gain_cases(gate, size, gain, cell)]
    with ProcessPoolExecutor(args.jobs) as pool:
        played = list(pool.map(play, cases, chunksize=20))
    found: Found = {}
    for case, (accepted, bought) in zip(cases, played, strict=True):
        key = (case.gate, 0 if not case.gain else case.tasks, case.gain)
        found.setdefault(key, []).append((case, accepted, bought))
    return report(found)


def report(found: Found) -> int:
    """Print the tables and the figure; the exit code."""
    null = found["sequential", 0, 0.0]
    print(
        f"simulation; alpha {ALPHA}, K = {ITERATIONS}; accepted, and rollouts bought in % of the fixed test's"
    )
    print(f"{'':>24} " + " ".join(f"{gate:>20}" for gate in GATES))
    print(f"{'A/A, runs that accept':>24} " + " ".join(_null(found, gate) for gate in GATES))
    for gain in GAINS:
        for size in SIZES:
            name = f"+{100 * gain:.0f} points, {size} tasks"
            print(f"{name:>24} " + " ".join(_power(found, gate, size, gain) for gate in GATES))
    print("by noise, over all gains and sizes:")
    for noise in NOISES:
        print(f"{noise:>24} " + " ".join(_noise(found, gate, noise) for gate in GATES))
    false = sum(accepted for _, accepted, _ in null)
    most = MOST if len(null) == RUNS else _most(len(null))
    if false > most:
        print(f"FAILED: {false} of {len(null)} A/A runs accepted something, more than {most}")
    power = {
        gate: _mean([a for k, rows in found.items() for _, a, _ in rows if k[0] == gate and k[1]])
        for gate in GATES
    }
    print(
        f"false accepts {false}/{len(null)} ({false / len(null):.1%}, at most {most}), mean power "
        f"{power['sequential']:.3f} (fixed {power['fixed']:.3f}) with {_share(found, 'sequential'):.0%} of its rollouts"
    )
    return int(false > most)


def _most(runs: int) -> int:
    """False accepts of `runs` that a true rate of alpha exceeds in 1 of 100 benchmarks."""
    return int(binom.ppf(0.99, runs, ALPHA))


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)


def _null(found: Found, gate: str) -> str:
    rows = found[gate, 0, 0.0]
    took = sum(accepted for _, accepted, _ in rows)
    # the runs that the fixed test also played
    mine, fixed = (found[g, 0, 0.0][: len(found["fixed", 0, 0.0])] for g in (gate, "fixed"))
    share = sum(b for _, _, b in mine) / sum(b for _, _, b in fixed)
    return f"{took:>5}/{len(rows):<5}{took / len(rows):>5.1%} {share:>4.0%}"[:20].rjust(20)


def _power(found: Found, gate: str, size: int, gain: float) -> str:
    rows, fixed = found[gate, size, gain], found["fixed", size, gain]
    share = sum(b for _, _, b in rows) / sum(b for _, _, b in fixed)
    return f"{_mean([a for _, a, _ in rows]):.3f} {share:>4.0%}".rjust(20)


def _noise(found: Found, gate: str, noise: str) -> str:
    rows, fixed = (
        [
            row
            for k, all_rows in found.items()
            if k[0] == g and k[1]
            for row in all_rows
            if row[0].noise == noise
        ]
        for g in (gate, "fixed")
    )
    share = sum(b for _, _, b in rows) / sum(b for _, _, b in fixed)
    return f"{_mean([a for _, a, _ in rows]):.3f} {share:>4.0%}".rjust(20)


def _share(found: Found, gate: str) -> float:
    both = [
        sum(b for k, rows in found.items() if k[0] == g and k[1] for _, _, b in rows) for g in (gate, "fixed")
    ]
    return both[0] / both[1]


if __name__ == "__main__":
    sys.exit(main())
