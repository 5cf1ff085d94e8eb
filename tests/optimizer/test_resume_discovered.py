"""A run with discovered prompts and counterfactual credit, killed with -9: the same command gives the undisturbed result."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from langgraph_truce import Result, Run, System, optimize
from langgraph_truce.gate import on_validation
from langgraph_truce.methods import counterfactual
from langgraph_truce.optimizer.ledger import timeless
from langgraph_truce.testing import ScriptedModel
from tests.optimizer.test_side_by_side import SPLITS, TASKS, app, critic, score

ROOT = Path(__file__).parents[2]


def run(folder: Path, kill: str = "") -> Result:
    """Optimize; at `kill` ("stage:n", n model calls into the stage) this process ends the hard way."""
    stage, _, number = kill.partition(":")
    left = {"calls": int(number or 0)}
    now = {"stage": ""}
    system = System.discover(app(raw=False), TASKS[:3], in_flight=2)
    reply = ScriptedModel._generate

    def counted(self: Any, *args: Any, **kwargs: Any) -> Any:
        with folder.with_suffix(".log").open("a") as log:
            log.write(f"{now['stage']}\n")
        if kill and now["stage"] == stage:
            left["calls"] -= 1
            if left["calls"] < 0:
                os.kill(os.getpid(), signal.SIGKILL)
        return reply(self, *args, **kwargs)

    def on_event(event: Any) -> None:
        now["stage"] = event["stage"]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ScriptedModel, "_generate", counted)
        method = counterfactual(replace=("neutral", "fresh", "rules"), iterations=2, gate=on_validation())
        model = ScriptedModel(replies=critic)
        return optimize(system, SPLITS, score, method=method, model=model, run=Run(folder, on_event=on_event))


def facts(result: Result) -> Any:
    return (
        result.baseline,
        result.final,
        result.rules,
        timeless(result.ledger),
        result.credits,
        result.refused,
    )


@pytest.mark.slow
def test_a_killed_run_goes_on_where_it_was(tmp_path: Path) -> None:
    whole = run(tmp_path / "whole")
    spent = len((tmp_path / "whole.log").read_text().splitlines())
    folder = tmp_path / "killed"
    kills = ("rollouts:3", "credit:2", "credit:9", "gate:4")
    for kill in kills:
        child = [sys.executable, "-m", "tests.optimizer.test_resume_discovered", str(folder), kill]
        ended = subprocess.run(child, cwd=ROOT, timeout=60, capture_output=True, check=False)
        assert ended.returncode == -signal.SIGKILL, ended.stderr.decode()[-2000:]

    assert facts(run(folder)) == facts(whole)
    asked = len((tmp_path / "killed.log").read_text().splitlines())
    assert spent <= asked <= spent + 2 * len(kills)  # what was in flight is asked again, nothing else


if __name__ == "__main__":
    run(Path(sys.argv[1]), sys.argv[2])
