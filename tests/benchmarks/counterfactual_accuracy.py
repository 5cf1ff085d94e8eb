"""Does counterfactual credit name who was guilty, and in which round? The real path on a simulated debate.

`PlantedDebate` is a simulation: 3 roles, 3 rounds, one guilty role and round a task, one world for every 20 tasks. All
else is real: rollouts recorded with their checkpoints kept, forks, replays, evaluations and journal as in `optimize`.

Protocol. What is credited are failed rollouts, the first 200 of each study in order of their cases; under noise that
leaves out guilty runs that came out right by luck, and nobody looks at why a run failed. Candidates are the nine
contributions of the roles. A rollout counts as named when its guilty (role, round) has the lowest value; equal values
are ordered by a draw of the seed, so who says nothing names one in nine. Noise 0.2: with that chance a decision comes out
the other way round, in the run and anew in every replay. Which replays with one replicate number share that draw:
"shared luck", all (common random numbers); "by prompt", those whose decision reads the same, which is what a journal
leaves of a model that samples; "own luck", none.

(a) commission without noise: all named; (b) commission with noise 0.2 and five replicates, shared luck: at least 0.85
named, the other two for information; (c) omissions apart, for information; (d) innocent systems that fail by noise alone: no role and round is blamed
beyond its interval, and single credits are not more often than the level allows. Beside them verbal credit by the
simulated critic (its odds are stated in `PlantedDebate`) and outcome-only credit, on the rollouts of (b) and (c).

Usage: python tests/benchmarks/counterfactual_accuracy.py [--quick] [--tasks N] [--jobs N]
"""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
import time
from collections.abc import Mapping
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from typing import Any

from scipy.stats import binomtest

from langgraph_truce.credit import by_role_round, counterfactual_credit, outcome_only, verbal_credit
from langgraph_truce.credit.counterfactual import CounterfactualCredit
from langgraph_truce.seams import Attributor, Batch, Credit, Rollout
from langgraph_truce.seed import seeded
from langgraph_truce.testing import PlantedDebate, real_lab
from langgraph_truce.testing.planted import Guilt
from langgraph_truce.testing.planted.debate_graph import Sharing
from langgraph_truce.trajectory import by_round

os.environ["LANGSMITH_TRACING"] = "false"

ROLES = ("researcher", "calculator", "reviewer")
ROUNDS = 3
WORLD = 20
"""Failed rollouts of one world."""
NOISE, REPLICATES, LEVEL = 0.2, 5, 0.95
WANTED = 0.85
MOST = 2_000
"""Cases run in one world at most to find its failures."""


@dataclass(frozen=True)
class Study:
    """One kind of world, and what is credited in it."""

    name: str
    kind: str
    replace: tuple[str, ...]
    noise: float = NOISE
    luck: Sharing = "replicate"
    replicates: int = REPLICATES
    deterministic: bool = False
    beside: bool = False
    """True: verbal and outcome-only credit of the same rollouts too."""


STUDIES = (
    Study("a", "commission", ("neutral",), noise=0.0, replicates=1),
    Study("a, one arm", "commission", ("neutral",), noise=0.0, replicates=1, deterministic=True),
    Study("b", "commission", ("neutral",), beside=True),
    Study("b, by prompt", "commission", ("neutral",), luck="prompt"),
    Study("b, own luck", "commission", ("neutral",), luck="replay"),
    Study("c", "omission", ("neutral", "peer", "edited rules"), beside=True),
    Study("d", "none", ("neutral",)),
    Study("d, by prompt", "none", ("neutral",), luck="prompt"),
    Study("d, own luck", "none", ("neutral",), luck="replay"),
)


@dataclass
class Found:
    """What one source of credit said of some rollouts."""

    credits: list[Credit] = field(default_factory=list)
    guilty: dict[str, Guilt | None] = field(default_factory=dict)
    """Who was, by rollout id."""
    calls: int = 0
    """Model calls it makes by itself."""
    paid: int = 0
    """Those that were paid for here: replays and replies that another source had made before are read again."""
    seconds: float = 0.0

    def add(self, other: Found) -> None:
        self.credits += other.credits
        self.guilty |= other.guilty
        self.calls += other.calls
        self.paid += other.paid
        self.seconds += other.seconds

    def named(self, *, role_only: bool = False) -> int:
        """Rollouts whose guilty role and round (or role) has the lowest value."""
        lowest: dict[str, dict[tuple[str, int], float]] = {}
        for c in self.credits:
            for n in [c.round] if c.round else range(1, ROUNDS + 1):
                if c.role in ROLES and n <= ROUNDS:
                    values = lowest.setdefault(c.rollout, {})
                    values[c.role, n] = min(values.get((c.role, n), 1.0), c.value or 0.0)
        return sum(
            _first(rollout, lowest.get(rollout, {}))[: 1 if role_only else 2]
            == ((guilt.role,) if role_only else (guilt.role, guilt.round))
            for rollout, guilt in self.guilty.items()
            if guilt is not None
        )


def _first(rollout: str, values: Mapping[tuple[str, int], float]) -> tuple[Any, ...]:
    """Who is named first; contributions without a value count as 0."""
    every = [(role, n) for role in ROLES for n in range(1, ROUNDS + 1)]
    return min(every, key=lambda who: (values.get(who, 0.0), seeded(0, "tie", rollout, *who).random()))


def world_of(study: Study, number: int) -> PlantedDebate:
    kinds: Any = (study.kind,)
    return PlantedDebate(number, kinds=kinds, noise=study.noise, luck=study.luck)


async def one_world(study: Study, number: int, tasks: int) -> dict[str, Found]:
    """Credit of one world's first `tasks` failed rollouts, by source."""
    world = world_of(study, number)
    async with real_lab(world.system, world.score, model=world.model, seed=number) as (lab, meter):
        failed: list[Rollout] = []
        asked: dict[str, Any] = {}
        while len(failed) < tasks and len(asked) < MOST:
            more = world.tasks(tasks, first=len(asked))
            asked |= {t.id: t for t in more}
            rollouts = await lab.rollouts(more, world.rules, purpose="task")
            failed += [r for r in rollouts if r.outcome.score < 1.0]
        failed = failed[:tasks]
        segments = {r.id: by_round(r.trajectory) for r in failed}
        batch = Batch(1, 1, world.rules, asked, rollouts=tuple(failed), segments=segments)
        guilty = {r.id: world.guilty(asked[r.task]) for r in failed}
        found: dict[str, Found] = {}
        for name, credit in sources(study, world).items():
            began, before = time.perf_counter(), meter.tally("credit").calls
            said, memory = await credit(batch, {}, lab)
            assert not memory.get("refused_count"), memory
            paid = meter.tally("credit").calls - before
            seconds = time.perf_counter() - began
            calls = credit.cost(batch, number) if isinstance(credit, CounterfactualCredit) else paid
            found[name] = Found(list(said), guilty, calls, paid, seconds)
        return found


def sources(study: Study, world: PlantedDebate) -> dict[str, Attributor]:
    """What credits the rollouts, by name; each replacement by itself."""
    made: dict[str, Attributor] = {}
    for way in study.replace:
        made[way] = counterfactual_credit(
            replace=(world.sound if way == "edited rules" else way,),
            replicates=study.replicates,
            deterministic=study.deterministic,
            level=LEVEL,
            roles=ROLES,
        )
    if study.beside:
        made |= {"verbal": verbal_credit(), "outcome only": outcome_only()}
    return made


def work(job: tuple[Study, int, int]) -> dict[str, Found]:
    return asyncio.run(one_world(*job))


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="12 tasks a study, shared luck alone")
    parser.add_argument("--tasks", type=int, default=200)
    parser.add_argument("--jobs", type=int, default=2)
    args = parser.parse_args()
    tasks, world = (12, 6) if args.quick else (args.tasks, WORLD)
    studies = [s for s in STUDIES if not args.quick or s.luck == "replicate"]
    sizes = [min(world, tasks - first) for first in range(0, tasks, world)]
    print(f"simulation, 3 roles x 3 rounds, {tasks} failed rollouts a study, {len(sizes)} worlds")
    print(
        f"{'':>14} {'noise':>5} {'credit':>13} {'named':>7} {'95 %':>13} {'calls/task':>11} {'paid':>6} {'s/task':>7}",
        flush=True,
    )
    began = time.perf_counter()
    results: dict[str, dict[str, Found]] = {}
    with ProcessPoolExecutor(args.jobs) as pool:
        for study in studies:
            total = results.setdefault(study.name, {})
            for part in pool.map(work, [(study, n, size) for n, size in enumerate(sizes)]):
                for source, found in part.items():
                    total.setdefault(source, Found()).add(found)
            for source, found in total.items():
                print(line(study, source, found), flush=True)
    print(f"{time.perf_counter() - began:.0f} s")
    return report(results)


def line(study: Study, source: str, found: Found) -> str:
    """One row of the table."""
    n = len(found.guilty)
    named, low, high = "-", "", ""
    if study.kind != "none":
        hits = found.named(role_only=source == "edited rules")
        interval = binomtest(hits, n).proportion_ci(0.95, "wilson")
        named, low, high = f"{hits / n:.3f}", f"{interval.low:.3f}", f"{interval.high:.3f}"
    what = f"{source}*" if source == "edited rules" else source
    spread = f"{low}-{high}" if low else ""
    spent = f"{found.calls / n:>11.1f} {found.paid / n:>6.1f} {found.seconds / n:>7.2f}"
    return f"{study.name:>14} {study.noise:>5} {what:>13} {named:>7} {spread:>13} {spent}"


def blamed(found: Found) -> tuple[list[str], float]:
    """Roles and rounds that are blamed beyond their interval, and the share of single credits that are."""
    rows = by_role_round(found.credits, LEVEL)
    beyond = [f"{r.role}, round {r.round}: {r.value:+.2f}" for r in rows if r.high < 0]
    alone = [c for c in found.credits if c.details["high"] < 0]
    return beyond, len(alone) / len(found.credits)


def report(results: Mapping[str, Mapping[str, Found]]) -> int:
    """Print what (d) found and the figure; the exit code."""
    print("* names the role alone: other rules act from the role's first visit on, in every round")
    failures: list[str] = []
    share: dict[str, float] = {}
    for name in ("a", "b"):
        found = results[name]["neutral"]
        share[name] = found.named() / len(found.guilty)
    if share["a"] < 1.0:
        failures.append(f"without noise {share['a']:.3f} of the commissions are named first, all wanted")
    if share["b"] < WANTED:
        failures.append(f"with noise {share['b']:.3f} of the commissions are named first, {WANTED} wanted")
    for name in [n for n in results if n.startswith("d")]:
        found = results[name]["neutral"]
        beyond, alone = blamed(found)
        rows = by_role_round(found.credits, LEVEL)
        print(f"{name}: innocent, by role and round (value, interval):")
        print(
            "  " + "; ".join(f"{r.role} {r.round} {r.value:+.2f} [{r.low:+.2f}, {r.high:+.2f}]" for r in rows)
        )
        harm = sum((c.value or 0.0) < 0 for c in found.credits) / len(found.credits)
        print(f"  single credits: {harm:.3f} below 0, {alone:.3f} with all of the interval below 0")
        failures += [f"an innocent system is blamed ({name}): {who}" for who in beyond]
        if alone > 1 - LEVEL:
            failures.append(
                f"{alone:.3f} of the single credits blame innocents ({name}), {1 - LEVEL:.2f} allowed"
            )
    for said in failures:
        print(f"FAILED: {said}")
    peer, rules = (results["c"][way] for way in ("peer", "edited rules"))
    omitted = f"{peer.named() / len(peer.guilty):.3f} by a peer, {rules.named(role_only=True) / len(rules.guilty):.3f} by edited rules"
    verbal = results["b"]["verbal"]
    print(
        f"named first: {share['a']:.3f} without noise, {share['b']:.3f} with noise {NOISE} and {REPLICATES} replicates "
        f"(verbal {verbal.named() / len(verbal.guilty):.3f}); omissions {omitted}"
    )
    return int(bool(failures))


if __name__ == "__main__":
    sys.exit(main())
