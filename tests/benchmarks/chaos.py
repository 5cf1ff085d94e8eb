"""Kill -9 at random moments, on SQLite and on PostgreSQL: every run finishes, equals the undisturbed one, pays once.

Each run optimizes a planted world (a **simulation**: 2 agents that call a chat model, a critic, 2 iterations) in a process
of its own, which is killed one to five times after a random time and started again. All runs on PostgreSQL share one
schema. Then the same with 30 % garbage replies, 20 % 429 and 5 % time-outs. Every model call writes the key under which the
journal would keep it; a key that the journal held when its process began is a reply that was asked for again.

Processes come from a forkserver that has the libraries loaded. Without PostgreSQL (`$TRUCE_POSTGRES`, or the server at
127.0.0.1:5432) only SQLite is shown, and the command fails.

Exit 0 where all runs pass. Usage: python tests/benchmarks/chaos.py [--quick] [--runs N] [--jobs N]
"""

from __future__ import annotations

import argparse
import asyncio
import json
import multiprocessing
import os
import random
import signal
import statistics
import sys
import tempfile
import time
import traceback
import uuid
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from multiprocessing import forkserver
from pathlib import Path
from typing import Any

from langgraph_truce import Run, optimize
from langgraph_truce.errors import RunError
from langgraph_truce.gate import paired_gate
from langgraph_truce.methods import truce
from langgraph_truce.model import Patience
from langgraph_truce.model.place import pending
from langgraph_truce.optimizer import Result
from langgraph_truce.optimizer.ledger import timeless
from langgraph_truce.optimizer.place import read_journal
from langgraph_truce.testing import PlantedWorld, ScriptedModel
from langgraph_truce.testing.planted.graph import Voice

POSTGRES = os.environ.get("TRUCE_POSTGRES", "postgresql://root@127.0.0.1:5432/test")
WORLDS = (11, 12, 13)
"""Seeds; every world is run undisturbed once."""
TROUBLE: dict[str, Any] = {"garbage": 0.3, "rate_limits": 0.2, "timeouts": 0.05}
PATIENCE = Patience(attempts=2, tries=10, back_off=0.001, longest_back_off=0.01, trip=100_000)
LATENCY = 0.001
"""Seconds a model call takes."""
QUICK = 5
"""Runs per store and condition of `--quick`: 10 on SQLite and 10 on PostgreSQL."""
MOST = 5
"""Kills of one run, at most."""
CONTEXT = multiprocessing.get_context("forkserver")


@dataclass
class Killed:
    """What became of one run."""

    kills: int = 0
    again: int = 0
    """Calls whose reply the journal held when their process began."""
    lost: int = 0
    """Replies that were under way when a process was killed, and were asked for in the next."""
    at: list[float] = field(default_factory=list)
    """Share of the undisturbed journal that was there at each kill."""
    outcome: str = ""
    error: str = ""


def work(world: int, troubled: bool, place: str, mark: str) -> None:
    """One life of a run: optimize, and leave what came out in `mark`.json."""
    log = os.open(f"{mark}.log", os.O_CREAT | os.O_APPEND | os.O_WRONLY)

    def counted(model: type[Any]) -> None:
        answer = model._agenerate

        async def logged(self: Any, *args: Any, **kwargs: Any) -> Any:
            call = pending.get()
            os.write(log, f"{call.key if call else 'unknown'}\n".encode())
            await asyncio.sleep(LATENCY)
            return await answer(self, *args, **kwargs)

        model._agenerate = logged  # this child's own process

    counted(ScriptedModel)
    counted(Voice)
    os.chdir(Path(mark).parent)
    os.dup2(os.open(f"{mark}.err", os.O_CREAT | os.O_APPEND | os.O_WRONLY), 2)
    made = PlantedWorld(
        world, agents=2, rounds=1, faults=2, with_fault=0.0, without_fault=1.0, calls=True,
        **(TROUBLE if troubled else {}),
    )  # fmt: skip
    os.write(log, b"begin\n")
    began = time.monotonic()
    try:
        result = optimize(
            made.system,
            made.splits(10, 20, 8),
            made.score,
            method=truce(iterations=2, gate=paired_gate(trials=2)),
            model=made.model,
            run=Run(place, patience=PATIENCE),
            seed=world,
        )
    except BaseException:  # noqa: BLE001 - told to the parent, whatever it is
        os.write(2, traceback.format_exc().encode())
        os._exit(1)
    Path(f"{mark}.json").write_text(json.dumps([told(result), time.monotonic() - began]), encoding="utf-8")
    os._exit(0)


def told(result: Result) -> str:
    """What must be equal: rules, ledger without its times, scores."""
    scores = [repr(result.baseline), repr(result.final), repr(result.difference)]
    return json.dumps([result.rules.version, timeless(result.ledger), scores], sort_keys=True, default=str)


def live(world: int, troubled: bool, place: str, mark: str, *, most: float | None = None) -> int | None:
    """One life, killed `most` seconds after it began its work where it is not done by then; its exit code."""
    begun = lines(mark).count("begin")
    child = CONTEXT.Process(target=work, args=(world, troubled, place, mark))
    child.start()
    if most is not None:
        deadline = time.monotonic() + 60
        while child.is_alive() and lines(mark).count("begin") == begun and time.monotonic() < deadline:
            time.sleep(0.005)
        child.join(most)
        if child.is_alive() and child.pid:
            os.kill(child.pid, signal.SIGKILL)
    child.join(300)
    return child.exitcode


def lines(mark: str) -> list[str]:
    file = Path(f"{mark}.log")
    return file.read_text().splitlines() if file.exists() else []


def said(mark: str) -> str:
    file = Path(f"{mark}.err")
    return file.read_text()[-3000:] if file.exists() else "it said nothing"


def held(place: str) -> set[str]:
    """Keys that the journal of a run holds; none where the kill came before there was one."""
    try:
        with read_journal(place) as journal:
            return set(journal._keys) if journal else set()
    except RunError:
        return set()


@dataclass(frozen=True)
class Clean:
    """An undisturbed run."""

    outcome: str
    replies: int
    seconds: float


def undisturbed(folder: Path, world: int, troubled: bool) -> Clean:
    mark = str(folder / f"clean-{world}-{troubled:d}")
    code = live(world, troubled, f"{mark}-run", mark)
    if code != 0:
        raise SystemExit(f"the undisturbed run of world {world} failed:\n{said(mark)}")
    outcome, seconds = json.loads(Path(f"{mark}.json").read_text())
    return Clean(outcome, len(held(f"{mark}-run")), seconds)


def chaos(number: int, *, folder: Path, where: str, troubled: bool, clean: dict[int, Clean]) -> Killed:
    """One run, killed at random moments until it is done."""
    draw = random.Random(f"{number}/{where}/{troubled}")
    world = list(clean)[number % len(clean)]
    span = 0.7 * clean[world].seconds
    while True:
        name = f"{'faults' if troubled else 'calm'}{number}-{uuid.uuid4().hex[:6]}"
        mark = str(folder / name)
        place = f"{where}#{name}" if where else f"{mark}-run"
        found = _killed(
            world, troubled, place, mark, [draw.uniform(0, span) for _ in range(draw.randint(1, MOST))]
        )
        found.at = [a / clean[world].replies for a in found.at]
        if found.kills or found.error:
            if not found.error and found.outcome != clean[world].outcome:
                found.error = (
                    f"another result in {place}:\n{found.outcome}\ninstead of\n{clean[world].outcome}"
                )
            return found
        span /= 2  # it was done before the first kill: once more


def _killed(world: int, troubled: bool, place: str, mark: str, delays: list[float]) -> Killed:
    found = Killed()
    asked: Counter[str] = Counter()
    for delay in [*delays, None]:
        there = held(place)
        before = len(lines(mark))
        code = live(world, troubled, place, mark, most=delay)
        calls = [key for key in lines(mark)[before:] if key != "begin"]
        found.again += sum(key in there for key in calls)
        found.lost += len({key for key in calls if asked[key]})
        asked.update(set(calls))
        if code == 0:
            found.outcome = json.loads(Path(f"{mark}.json").read_text())[0]
            return found
        if code != -signal.SIGKILL:
            found.error = f"exit {code}: {said(mark)}"
            return found
        found.kills += 1
        found.at.append(len(held(place)))
    found.error = "killed after its last kill"
    return found


@contextmanager
def schema() -> Iterator[str]:
    """A schema of PostgreSQL for all runs, dropped at the end; empty where there is no server."""
    try:
        import psycopg

        db = psycopg.connect(POSTGRES, autocommit=True, connect_timeout=3)
    except Exception as e:  # noqa: BLE001 - whatever is missing
        print(f"no PostgreSQL: {e}")
        yield ""
        return
    name = f"chaos_{uuid.uuid4().hex[:8]}"
    with db:
        db.execute(f'CREATE SCHEMA "{name}"'.encode())
        try:
            yield f"{POSTGRES}?options=-csearch_path%3D{name}"
        finally:
            db.execute(f'DROP SCHEMA "{name}" CASCADE'.encode())


def main(runs: int, jobs: int) -> int:
    # all that this file imports: a child reads it again, and would load what is not there yet
    CONTEXT.set_forkserver_preload(
        [
            "langgraph_truce.methods",
            "langgraph_truce.optimizer",
            "langgraph_truce.testing",
            "langgraph_truce.model.postgres",
        ]
    )
    failed = 0
    total = kills = again = 0
    with tempfile.TemporaryDirectory() as tmp, schema() as url, ThreadPoolExecutor(jobs) as pool:
        for troubled in (False, True):
            worlds = WORLDS[: min(runs, len(WORLDS))]
            quiet = pool.map(partial(undisturbed, Path(tmp), troubled=troubled), worlds)
            clean = dict(zip(worlds, quiet, strict=True))
            for where in ("", url) if url else ("",):
                began, burnt_before = time.monotonic(), burnt()
                one = partial(chaos, folder=Path(tmp), where=where, troubled=troubled, clean=clean)
                done = list(pool.map(one, range(runs)))
                wrong = [d for d in done if d.error]
                shares = [a for d in done for a in d.at]
                total, kills, again = (
                    total + len(done),
                    kills + len(shares),
                    again + sum(d.again for d in done),
                )
                failed += len(wrong)
                for d in wrong[:3]:
                    print(d.error)
                print(
                    f"{'PostgreSQL' if where else 'SQLite':10} {'30 % garbage, 20 % 429, 5 % time-outs' if troubled else 'calm':38} "
                    f"{len(done) - len(wrong)} of {len(done)} runs equal the undisturbed one, {len(shares)} kills at "
                    f"{_spread(shares)} of the replies, asked again {sum(d.again for d in done)}, under way when killed "
                    f"{sum(d.lost for d in done)} ({time.monotonic() - began:.0f} s, {burnt() - burnt_before:.0f} CPU s)",
                    flush=True,
                )
        ok = not failed and not again and bool(url)
        print(
            f"{total - failed} of {total} runs finished equal after {kills} kills -9, journalled replies asked again: {again}"
        )
    return 0 if ok else 1


def burnt() -> float:
    """CPU seconds of the forkserver and of all lives that are over, killed ones too; 0 where the system does not tell."""
    stat = Path(f"/proc/{forkserver._forkserver._forkserver_pid}/stat")  # type: ignore[attr-defined]
    ticks = stat.read_text().rpartition(")")[2].split()[11:15] if stat.exists() else []
    return sum(map(int, ticks)) / os.sysconf("SC_CLK_TCK")


def _spread(shares: list[float]) -> str:
    if not shares:
        return "no share"
    return f"{min(shares):.0%} to {max(shares):.0%} (median {statistics.median(shares):.0%})"


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--quick", action="store_true", help=f"{QUICK} runs per store and condition in place of 100"
    )
    parser.add_argument("--runs", type=int, default=100, help="runs per store and condition")
    parser.add_argument("--jobs", type=int, default=2, help="runs at a time")
    given = parser.parse_args()
    sys.exit(main(QUICK if given.quick else given.runs, given.jobs))
