"""The demo on five fixed resplits of its data: on how many sealed tests do the new rules gain with p < 0.05?

Each resplit shuffles all requests with its own seed and deals them anew (60 train, 40 validation, 50 test), then runs
what `langgraph-truce demo` runs, on the embedded model, in a process of its own. All five are reported; four are wanted.
`--quick` takes the scripted stand-in for the model and says so: it shows that the benchmark works, not that the model
gains. The last line is the figure; exit 0 where at least four of five gain.
"""

from __future__ import annotations

import argparse
import json
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from langgraph_truce import Splits, graphs, optimize
from langgraph_truce.methods import offline

SEEDS = (101, 102, 103, 104, 105)
SIZES = (60, 40, 50)
WANTED = 4
ALPHA = 0.05


def resplit(seed: int) -> Splits:
    """All requests of the demo, dealt anew."""
    dealt = graphs.load("manager_worker").splits(full=True)
    pool = sorted((*dealt.train, *dealt.validation, *dealt.test), key=lambda t: t.id)
    random.Random(seed).shuffle(pool)
    train, validation, test = SIZES
    return Splits(pool[:train], pool[train : train + validation], pool[train + validation :][:test])


def child(seed: int, folder: str, *, scripted: bool) -> None:
    ready = graphs.load("manager_worker")
    system = ready.system(ready.scripted_model() if scripted else None)
    began = time.monotonic()
    result = optimize(system, resplit(seed), ready.score, method=offline(), run=folder, seed=seed)
    d = result.difference
    row = {
        "seed": seed,
        "before": d.baseline,
        "after": d.candidate,
        "low": d.low,
        "high": d.high,
        "p": d.p_value,
        "verdict": result.iterations[-1]["decision"],
        "calls": sum(r["calls"] for name, r in result.meter.items() if name != "total"),
        "seconds": time.monotonic() - began,
    }
    print(json.dumps(row))


def run(seed: int, folder: Path, *, scripted: bool) -> Mapping[str, Any]:
    command = [sys.executable, __file__, "--child", str(seed), "--folder", str(folder / str(seed))]
    done = subprocess.run(
        [*command, *(["--scripted"] if scripted else [])], capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        raise SystemExit(f"resplit {seed} failed:\n{done.stderr[-3000:]}")
    row: Mapping[str, Any] = json.loads(done.stdout.splitlines()[-1])
    print(
        f"resplit {row['seed']}: {row['before']:.3f} -> {row['after']:.3f} ({row['after'] - row['before']:+.3f}, "
        f"{row['low']:+.3f} to {row['high']:+.3f}), p = {row['p']:.2g}, gate: {row['verdict']}, "
        f"{row['calls']} calls, {row['seconds']:.0f} s",
        flush=True,
    )
    return row


def main(*, jobs: int, scripted: bool) -> int:
    model = "the scripted stand-in (no measurement of a model)" if scripted else "the embedded model"
    print(f"{SIZES[0]} train, {SIZES[1]} validation, {SIZES[2]} test; {model}; {jobs} at a time", flush=True)
    with tempfile.TemporaryDirectory() as tmp, ThreadPoolExecutor(jobs) as pool:
        rows = list(pool.map(lambda s: run(s, Path(tmp), scripted=scripted), SEEDS))
    gained = sum(r["p"] < ALPHA and r["after"] > r["before"] for r in rows)
    print(f"sealed tests with a gain at p < {ALPHA}: {gained} of {len(rows)} (wanted: {WANTED})")
    return 0 if gained >= WANTED else 1


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="the scripted stand-in instead of the model")
    parser.add_argument("--jobs", type=int, default=1, help="resplits at a time; each takes one core")
    parser.add_argument("--child", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--folder", default="", help=argparse.SUPPRESS)
    parser.add_argument("--scripted", action="store_true", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.child is not None:
        child(given.child, given.folder, scripted=given.scripted)
        sys.exit(0)
    sys.exit(main(jobs=given.jobs, scripted=given.quick))
