"""Does block coordinate descent find and repair one weak role and one weak aggregator round? Real `optimize`, simulated models.

Seeds of `PlantedBottleneck` (3 roles, 3 rounds, 10 % garbage replies) through `optimize` with
`methods.temporal_structural`. Fails when

- the first prompts selected are not the weak ones in at least 95 % of the worlds: the weak role is the first of the first
  phase A that selects anybody, the weak round's aggregator alone the first of phase B, and no sound prompt is changed in the end;
- both are repaired at the end in fewer than 90 %;
- the model calls of proposing and gating, all of them (rollouts, critics, optimizer; not the final test), are more than half
  of those that `each_alone` makes on the same worlds: the same decisions, thresholds aside, for one prompt after the other, with
  train rollouts, credit, suggestions and a gate of its own for each of the N + R, and as many turns through them;
- anything is selected in a world without weak parts.

`each_alone` is run on every `--alone`-th seed in full; `sharing` is `each_alone` with one set of train rollouts per turn.

Usage: python tests/benchmarks/block_descent.py [--quick] [--seeds N] [--jobs N] [--alone N]
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

from langgraph_truce import optimize
from langgraph_truce.methods.temporal_structural import temporal_structural
from langgraph_truce.seams import Batch, Lab, Memory, Method, Selector
from langgraph_truce.testing import PlantedBottleneck

TURNS = 3
ROLES, ROUNDS = 3, 3
TRAIN, VALIDATION, TEST = 40, 120, 30
SELECTED, REPAIRED, CALLS = 0.95, 0.9, 0.5
OUTSIDE = {"test", "total"}
"""Purposes of the meter that are no proposing and no gating."""
JUDGING = {"credit", "diagnose"}
"""Purposes of critics and diagnoses."""


@dataclass(frozen=True)
class Job:
    """One run."""

    seed: int
    weak: bool
    method: str
    """`blocks`, `alone` or `sharing`."""


@dataclass(frozen=True)
class Row:
    """What came of it."""

    job: Job
    planted: tuple[str, ...]
    """The weak agents and how: `calculator-c`, `aggregator@2-o` (a harmful rule, a missing one)."""
    first: tuple[tuple[str, ...], tuple[str, ...]]
    """The agents that were selected first: of a phase A, of a phase B."""
    changed: tuple[str, ...]
    """Sound agents whose rules are others at the end."""
    left: tuple[str, ...]
    """Agents that are weak at the end."""
    before: float
    after: float
    """Test scores."""
    calls: int
    """Model calls of proposing and gating."""
    judging: int
    """Those of them that critics and diagnoses made."""
    seconds: float

    @property
    def right(self) -> bool:
        """The weak role was the first to be selected, the weak round the only one, and no sound agent was changed."""
        role, closing = (name.rpartition("-")[0] for name in self.planted)
        return self.first[0][:1] == (role,) and self.first[1] == (closing,) and not self.changed


def watched(select: Selector, seen: dict[int, tuple[str, ...]]) -> Selector:
    """`select`, with its targets written down by iteration."""

    async def watch(batch: Batch, memory: Memory, lab: Lab) -> tuple[tuple[str, ...], Memory]:
        targets, memory = await select(batch, memory, lab)
        seen[batch.iteration] = tuple(targets)
        return targets, memory

    return watch


def in_turn(agents: Sequence[str]) -> Selector:
    """One agent after the other."""

    async def select(batch: Batch, memory: Memory, lab: Lab) -> tuple[tuple[str, ...], Memory]:
        return (agents[(batch.iteration - 1) % len(agents)],), memory

    return select


def method_of(name: str, agents: Sequence[str]) -> Method:
    """The method of a job."""
    blocks = temporal_structural(iterations=TURNS)
    if name == "blocks":
        return blocks
    n = len(agents)
    alone = replace(blocks, name=f"each_{name}", select=in_turn(agents), iterations=TURNS * n, patience=2 * n)
    return replace(alone, phases=1, logs=0.0) if name == "alone" else replace(alone, phases=n)


def descend(job: Job) -> Row:
    """One run of the optimizer."""
    began = time.perf_counter()
    world = PlantedBottleneck(job.seed, ROLES, ROUNDS, job.weak, job.weak)
    agents = [a for a in world.rules.agents if a != "decide"]
    seen: dict[int, tuple[str, ...]] = {}
    method = method_of(job.method, agents)
    method = replace(method, select=watched(method.select, seen))
    with tempfile.TemporaryDirectory() as folder:
        result = optimize(
            world.system,
            world.splits(TRAIN, VALIDATION, TEST),
            world.score,
            method=method,
            model=world.model,
            run=Path(folder) / "run",
            seed=job.seed,
        )
    weak = [f.agent for f in world.planted]
    return Row(
        job,
        tuple(f"{f.agent}-{f.kind[0]}" for f in world.planted),
        (first(seen, phase=0), first(seen, phase=1)),
        tuple(
            a
            for a in agents
            if a not in weak and world.rules.render(*place(a)) != result.rules.render(*place(a))
        ),
        tuple(f.agent for f in world.active(result.rules)),
        result.baseline.mean,
        result.final.mean,
        sum(int(row["calls"]) for purpose, row in result.meter.items() if purpose not in OUTSIDE),
        sum(int(result.meter[purpose]["calls"]) for purpose in JUDGING if purpose in result.meter),
        time.perf_counter() - began,
    )


def place(agent: str) -> tuple[str, int | None]:
    """Role and round of an agent."""
    role, _, number = agent.partition("@")
    return role, int(number) if number else None


def first(seen: dict[int, tuple[str, ...]], *, phase: int) -> tuple[str, ...]:
    """What was selected in the first iteration of a phase that selected anybody."""
    return next((seen[i] for i in sorted(seen) if seen[i] and (i - 1) % 2 == phase), ())


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="two seeds, calls not compared")
    parser.add_argument("--seeds", type=int, default=40)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--alone", type=int, default=5, help="compare calls on every N-th seed; 0: nowhere")
    args = parser.parse_args()
    seeds, every = (2, 0) if args.quick else (args.seeds, args.alone)
    compared = range(0, seeds, every) if every else ()
    jobs = [Job(s, True, name) for s in compared for name in ("alone", "sharing")]
    jobs += [Job(s, weak, "blocks") for s in range(seeds) for weak in (True, False)]
    print(
        f"simulation, {seeds} seeds, {ROLES} roles, {ROUNDS} rounds, {TURNS} turns, "
        f"{TRAIN} train and {VALIDATION} validation tasks"
    )
    with ProcessPoolExecutor(args.jobs) as pool:
        rows = list(printed(pool.map(descend, jobs)))
    return report(rows)


def printed(rows: Iterator[Row]) -> Iterator[Row]:
    """The table, row by row."""
    print(
        f"{'method':<8} {'seed':>4}  {'planted, - where repaired':<32} {'first selected':<44} test, calls, seconds"
    )
    for row in rows:
        planted = " ".join(("" if p.rpartition("-")[0] in row.left else "-") + p for p in row.planted)
        chosen = " | ".join(",".join(found) or "nobody" for found in row.first)
        chosen += f" +{','.join(row.changed)}" if row.changed else ""
        scores = f"{row.before:.2f} -> {row.after:.2f} {row.calls:>7} {row.seconds:>5.0f}"
        print(
            f"{row.job.method:<8} {row.job.seed:>4}  {planted or 'none':<32} {chosen:<44} {scores}",
            flush=True,
        )
        yield row


def report(rows: Sequence[Row]) -> int:
    """Print the figures; the exit code."""
    weak = [r for r in rows if r.job.method == "blocks" and r.job.weak]
    sound = [r for r in rows if r.job.method == "blocks" and not r.job.weak]
    right = sum(r.right for r in weak) / len(weak)
    repaired = sum(not r.left for r in weak) / len(weak)
    idle = sum(any(r.first) for r in sound)
    lone = sum(len(r.first[0]) > 1 for r in weak)
    print(f"in {lone} of {len(weak)} worlds a sound role was selected behind the weak one")
    share = {name: compared(name, weak, rows) for name in ("alone", "sharing")}["alone"]
    failed = [
        *([f"right prompts selected in {right:.0%}, {SELECTED:.0%} wanted"] if right < SELECTED else []),
        *([f"both repaired in {repaired:.0%}, {REPAIRED:.0%} wanted"] if repaired < REPAIRED else []),
        *([f"{share:.0%} of the calls, at most {CALLS:.0%} wanted"] if share and share > CALLS else []),
        *([f"something selected in {idle} of {len(sound)} worlds without weak parts"] if idle else []),
    ]
    for line in failed:
        print(f"FAILED: {line}")
    calls = "calls not compared" if share is None else f"with {share:.0%} of the calls of each prompt alone"
    print(
        f"right prompts selected in {right:.0%} of {len(weak)} worlds, both repaired in {repaired:.0%}, {calls}; "
        f"nothing selected in {len(sound) - idle} of {len(sound)} sound worlds"
    )
    return int(bool(failed))


def compared(name: str, weak: Sequence[Row], rows: Sequence[Row]) -> float | None:
    """The calls of block descent as a share of another method's, on the seeds on which that was run; None where on none."""
    others = [r for r in rows if r.job.method == name]
    if not others:
        return None
    own = {r.job.seed: r.calls for r in weak}
    total = sum(r.calls for r in others)
    mine = sum(own[r.job.seed] for r in others)
    share, unjudged = mine / total, mine / (total - sum(r.judging for r in others))
    print(
        f"{name}: {total / len(others):.0f} calls a world over {len(others)} seeds, both repaired in "
        f"{sum(not r.left for r in others)}; block descent makes {share:.0%} of them, and with its own critics and without "
        f"theirs {unjudged:.0%}"
    )
    return share


if __name__ == "__main__":
    sys.exit(main())
