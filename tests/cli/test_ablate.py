"""`langgraph-truce ablate`: what it says before, what it prints, what it leaves, and what it refuses."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest

COMMAND = (
    "ablate",
    "runs/x",
    "app.py:system",
    "--validation",
    "validation.jsonl",
    "--evaluator",
    "ev.py:exact",
)


@pytest.fixture
def done(shop: Any) -> Any:
    """A finished run that added a rule to `triage`."""
    said = shop("optimize", *shop.job(evaluator="ev.py:exact", run="runs/x", method="offline"))
    assert said.code == 0, said
    return shop


def test_the_cost_comes_first_then_the_rows(done: Any) -> None:
    said = done(*COMMAND)

    assert said.code == 0, said
    lines = said.out.splitlines()
    assert lines[0].startswith("Ablation of triage, roles, all: ")
    assert "no error control: after the fact" in lines[1]
    assert [line.split()[0] for line in lines[2:5]] == ["triage", "roles", "all"]
    assert "ablation: " in said.err
    kept = json.loads((done.folder / "runs/x/ablation.json").read_text())
    assert [row["name"] for row in kept["rows"]] == ["triage", "roles", "all"]
    assert kept["rows"][0]["estimate"] > 0
    assert done(*COMMAND).out == said.out


def test_the_plan_runs_nothing(done: Any) -> None:
    said = done(*COMMAND, "--plan")

    assert said.code == 0, said
    assert "rollouts on" in said.out
    assert not (done.folder / "runs/x/ablation.json").exists()
    assert not (done.folder / "runs/x/ablation").exists()


def test_at_the_cap_it_says_so(done: Any) -> None:
    said = done(*COMMAND, "--budget-calls", "5")

    assert said.code == 0, said
    assert re.search(r"Ended early after [0-5] of 40 rollouts: .*5 so far", said.out)


def test_other_tasks_and_no_run_are_mistakes(done: Any) -> None:
    other = done(*(w if w != "validation.jsonl" else "test.jsonl" for w in COMMAND))
    assert other.code == 2
    assert "these are not the run's validation tasks" in other.err
    none = done(*(w if w != "runs/x" else "runs/none" for w in COMMAND))
    assert none.code in {1, 2}
    assert "no run folder" in none.err
