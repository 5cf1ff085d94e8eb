"""A run with phases that is killed with -9 in the middle of the second one gives what an undisturbed run gives."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from langgraph_truce import Result, Run, optimize
from langgraph_truce.optimizer.ledger import timeless
from langgraph_truce.testing import ScriptedModel
from tests.optimizer.phased import Chain, Nodding, score, splits

ROOT = Path(__file__).parents[2]
PHASE_B = 2


def run(folder: Path, kill: str = "") -> Result:
    """Optimize; at `kill` ("stage:n", n model calls into the stage of phase B) this process ends the hard way.

    The folder's name says what phase B reads: the gate's logs, or train tasks with the new rules.
    """
    stage, _, number = kill.partition(":")
    left = {"calls": int(number or 0)}
    now: dict[str, Any] = {"stage": "", "iteration": 0}

    def end(at: str) -> None:
        if kill and at == stage and now["iteration"] == PHASE_B:
            left["calls"] -= 1
            if left["calls"] < 0:
                os.kill(os.getpid(), signal.SIGKILL)

    def counted(reply: Any) -> Any:
        def asked(*given: Any) -> Any:
            end(now["stage"])
            with folder.with_suffix(".log").open("a") as log:
                log.write(f"{now['stage']}\n")
            return reply(*given)

        return asked

    def on_event(event: Any) -> None:
        now.update(event)
        if event["stage"] in {"segment", "suggest", "write"} and not event["done"]:
            end(event["stage"])

    chain = Chain(critic=ScriptedModel(replies=counted(lambda *_: '{"text": "seen"}')))
    chain._reply = counted(chain._reply)  # type: ignore[method-assign]
    method = chain.method(order=("marker", "shouter"))
    if folder.name.startswith("train"):
        method = replace(method, gate=Nodding())
    return optimize(
        chain.system(in_flight=2),
        splits(),
        score,
        method=method,
        model=chain.critic,
        run=Run(folder, on_event=on_event),
    )


def facts(result: Result) -> Any:
    return (
        result.baseline,
        result.final,
        result.rules,
        timeless([{**line, "cost": {}} for line in result.ledger]),
        result.credits,
        result.iterations,
    )


@pytest.mark.parametrize(
    ("reads", "kills"), [("logs", ("segment", "credit:1", "suggest", "gate:4")), ("train", ("rollouts:3",))]
)
def test_a_run_killed_in_its_second_phase_goes_on_where_it_was(
    tmp_path: Path, reads: str, kills: tuple[str, ...]
) -> None:
    whole = run(tmp_path / f"{reads}-whole")
    spent = len((tmp_path / f"{reads}-whole.log").read_text().splitlines())
    assert whole.iterations[1]["source"] == ("gate logs" if reads == "logs" else "train")
    folder = tmp_path / f"{reads}-killed"
    for kill in kills:
        child = [sys.executable, "-m", "tests.optimizer.test_phases_killed", str(folder), kill]
        ended = subprocess.run(child, cwd=ROOT, timeout=60, capture_output=True, check=False)
        assert ended.returncode == -signal.SIGKILL, ended.stderr.decode()[-2000:]

    assert facts(run(folder)) == facts(whole)
    asked = len(folder.with_suffix(".log").read_text().splitlines())
    assert spent <= asked <= spent + 2 * len(kills)  # what was in flight is asked again, nothing else


if __name__ == "__main__":
    run(Path(sys.argv[1]), sys.argv[2])
