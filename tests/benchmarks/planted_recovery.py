"""Does TRUCE find and repair planted faults? The real optimizer on a simulated system and a simulated model.

30 seeds of `PlantedWorld` (3 agents, 2 rounds, 3 faults, 120 validation tasks, 30 % garbage replies) through
`optimize` with `methods.truce(iterations=5)`. Fails when fewer than 90 % of the faults are repaired at the end, or when
more than 1.5 edits were accepted per planted fault.

Usage: python tests/benchmarks/planted_recovery.py [--quick] [--seeds N] [--jobs N]
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from langgraph_truce import optimize
from langgraph_truce.methods import truce
from langgraph_truce.testing.planted import PlantedWorld

ITERATIONS = 5
FAULTS = 3
TRAIN, VALIDATION, TEST = 45, 120, 60
REPAIRED = 0.9
EDITS = 1.5


@dataclass(frozen=True)
class Row:
    """One seed."""

    seed: int
    repaired: int
    accepted: int
    """Edits accepted in all iterations."""
    kinds: str
    """The faults: c(ommission) or o(mission), in capitals where repaired."""
    before: float
    after: float
    """Test scores."""
    seconds: float


def recover(seed: int, iterations: int = ITERATIONS) -> Row:
    """One run of the optimizer."""
    began = time.perf_counter()
    world = PlantedWorld(seed, agents=3, rounds=2, faults=FAULTS, garbage=0.3)
    splits = world.splits(TRAIN, VALIDATION, TEST)
    method = truce(iterations=iterations)
    with tempfile.TemporaryDirectory() as folder:
        run = Path(folder) / "run"
        result = optimize(
            world.system, splits, world.score, method=method, model=world.model, run=run, seed=seed
        )
    left = world.active(result.rules)
    kinds = "".join(f.kind[0] if f in left else f.kind[0].upper() for f in world.planted)
    accepted = sum(line["decision"] == "accept" for line in result.ledger)
    seconds = time.perf_counter() - began
    return Row(seed, FAULTS - len(left), accepted, kinds, result.baseline.mean, result.final.mean, seconds)


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="two seeds, two iterations")
    parser.add_argument("--seeds", type=int, default=30)
    parser.add_argument("--jobs", type=int, default=2)
    args = parser.parse_args()
    seeds = range(2 if args.quick else args.seeds)
    iterations = 2 if args.quick else ITERATIONS
    print(f"simulation, {len(seeds)} seeds, K = {iterations}, {FAULTS} faults, {VALIDATION} validation tasks")
    print(f"{'seed':>4} {'faults':>7} {'repaired':>9} {'accepted':>9} {'test':>12} {'seconds':>8}")
    rows: list[Row] = []
    with ProcessPoolExecutor(args.jobs) as pool:
        for row in pool.map(partial(recover, iterations=iterations), seeds):
            rows.append(row)
            scores = f"{row.before:.2f} -> {row.after:.2f}"
            print(
                f"{row.seed:>4} {row.kinds:>7} {row.repaired:>9} {row.accepted:>9} {scores:>12} {row.seconds:>8.1f}",
                flush=True,
            )
    return report(rows)


def report(rows: Sequence[Row]) -> int:
    """Print the figure; the exit code."""
    planted = FAULTS * len(rows)
    repaired = sum(r.repaired for r in rows) / planted
    edits = sum(r.accepted for r in rows) / planted
    if repaired < REPAIRED:
        print(f"FAILED: {repaired:.1%} of the faults repaired, {REPAIRED:.0%} wanted")
    if edits > EDITS:
        print(f"FAILED: {edits:.2f} accepted edits per fault, at most {EDITS} wanted")
    print(f"repaired {repaired:.1%} of {planted} faults, {edits:.2f} accepted edits per fault")
    return int(repaired < REPAIRED or edits > EDITS)


if __name__ == "__main__":
    sys.exit(main())
