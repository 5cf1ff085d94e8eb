"""Kill -9 in every stage of a run, give the same command again: same result, no journalled reply asked for twice.

A child process optimizes a planted world (a simulation: 3 agents, 2 rounds, agents that call a chat model, a critic with
30 % garbage replies). The parent kills it when it enters a stage, or in the middle of one, counts the replies that the
journal holds at that moment, and starts the same command again. Every call that reaches a model writes a line; after
the restart there must be exactly as many lines as new journal entries. The same with counterfactual credit, which forks
the checkpoints of rollouts that an earlier process made.

Exit 0 where all kills pass.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from langgraph.store.sqlite import SqliteStore

from langgraph_truce import Result, Run, optimize
from langgraph_truce.gate import paired_gate
from langgraph_truce.methods import counterfactual, truce
from langgraph_truce.model import Journal
from langgraph_truce.optimizer.ledger import timeless
from langgraph_truce.seams import Method
from langgraph_truce.testing import PlantedWorld, ScriptedModel
from langgraph_truce.testing.planted.graph import Voice

KILLS = (
    "truce/rollouts:9",
    "truce/credit:0",
    "truce/credit:0+60",
    "truce/suggest:0",
    "truce/merge:0",
    "truce/gate:0",
    "truce/gate:20",
    "truce/test with the final rules:5",
    "counterfactual/rollouts:9",
    "counterfactual/credit:0",
    "counterfactual/credit:0+60",
    "counterfactual/gate:20",
)
QUICK = ("truce/credit:0+60", "truce/gate:20", "counterfactual/credit:0+60")
"""`METHOD/STAGE:N` kills after N rollouts of the stage, `+M` M model calls later."""


@dataclass(frozen=True)
class Outcome:
    """What a finished run says of itself."""

    version: str
    ledger: str
    final: str


def method_of(name: str) -> Method:
    gate = paired_gate(trials=3)
    if name == "counterfactual":
        return counterfactual(iterations=2, gate=gate, replace=("neutral",))
    return truce(iterations=2, gate=gate)


def run_child(folder: Path, kill: str) -> None:
    """Optimize in this process; at `kill`, end it the hard way."""
    world = PlantedWorld(11, garbage=0.3, calls=True)
    name, _, place = kill.partition("/")
    stage, _, rest = place.partition(":")
    done, _, more = rest.partition("+")
    state: dict[str, Any] = {"armed": False, "left": int(more or 0)}
    log = os.open(folder.with_suffix(".log"), os.O_CREAT | os.O_APPEND | os.O_WRONLY)

    def counted(model: type[Any]) -> None:
        """Every call of `model` takes 2 ms and writes a line when it comes back."""
        answer = model._agenerate

        async def logged(self: Any, *args: Any, **kwargs: Any) -> Any:
            await asyncio.sleep(0.002)
            result = await answer(self, *args, **kwargs)
            os.write(log, b"call\n")
            if state["armed"]:
                state["left"] -= 1
                if state["left"] < 0:
                    os.kill(os.getpid(), signal.SIGKILL)
            return result

        model._agenerate = logged  # this child's own process

    counted(ScriptedModel)
    counted(Voice)

    def on_event(event: Mapping[str, Any]) -> None:
        if stage and event["stage"] == stage and event["done"] >= int(done):
            if not more:
                os.kill(os.getpid(), signal.SIGKILL)
            state["armed"] = True

    result = optimize(
        world.system,
        world.splits(18, 30, 12),
        world.score,
        method=method_of(name),
        model=world.model,
        run=Run(folder, on_event=on_event),
        seed=5,
    )
    print(json.dumps(outcome_of(result).__dict__))


def outcome_of(result: Result) -> Outcome:
    return Outcome(
        result.rules.version, json.dumps(timeless(result.ledger), sort_keys=True), repr(result.final)
    )


def start(folder: Path, kill: str = "") -> subprocess.CompletedProcess[str]:
    command = [sys.executable, __file__, "--child", str(folder), "--kill", kill]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=600)


def journalled(folder: Path) -> int:
    """Replies that the journal of a run holds."""
    with SqliteStore.from_conn_string(str(folder / "journal.sqlite")) as store:
        store.setup()
        with Journal(store) as journal:
            return journal.meter.total.calls


def lines(folder: Path) -> int:
    file = folder.with_suffix(".log")
    return len(file.read_text().splitlines()) if file.exists() else 0


def finished(done: subprocess.CompletedProcess[str]) -> Outcome:
    if done.returncode != 0:
        raise SystemExit(f"the child failed with {done.returncode}:\n{done.stderr[-3000:]}")
    return Outcome(**json.loads(done.stdout.splitlines()[-1]))


def main(kills: Sequence[str]) -> int:
    failures = 0
    with tempfile.TemporaryDirectory() as tmp:
        clean: dict[str, Outcome] = {}
        for name in dict.fromkeys(kill.partition("/")[0] for kill in kills):
            clean_folder = Path(tmp, f"clean-{name}")
            clean[name] = finished(start(clean_folder, f"{name}/"))
            print(f"undisturbed {name}: {journalled(clean_folder)} replies, rules {clean[name].version}")
        for n, kill in enumerate(kills):
            folder = Path(tmp, f"run{n}")
            first = start(folder, kill)
            if first.returncode != -signal.SIGKILL:
                raise SystemExit(
                    f"kill at {kill!r} did not happen (exit {first.returncode}):\n{first.stderr[-2000:]}"
                )
            held, asked = journalled(folder), lines(folder)
            name = kill.partition("/")[0]
            again = finished(start(folder, f"{name}/"))
            fresh, entries = lines(folder) - asked, journalled(folder) - held
            same, once = again == clean[name], fresh == entries
            failures += not (same and once)
            print(
                f"killed at {kill}: {held} replies held, {fresh} calls after the restart for {entries} new replies; "
                f"result {'equal' if same else 'DIFFERENT'}, asked again: {fresh - entries}"
            )
    print(f"kills passed: {len(kills) - failures} of {len(kills)}")
    return 1 if failures else 0


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="three kills, within a minute")
    parser.add_argument("--child", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--kill", default="", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.child:
        run_child(given.child, given.kill)
        sys.exit(0)
    sys.exit(main(QUICK if given.quick else KILLS))
