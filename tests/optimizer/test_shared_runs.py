"""A run that shares prefixes ends as one that runs everything whole, for the same calls and fewer node executions."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from langgraph_truce.methods import truce
from langgraph_truce.optimizer import Result, optimize
from langgraph_truce.optimizer.ledger import timeless
from langgraph_truce.rollout import run as runs
from langgraph_truce.testing import PlantedDebate


def one(folder: Path) -> Result:
    world = PlantedDebate(11, roles=2, rounds=2)
    return optimize(
        world.system,
        world.splits(12, 18, 4),
        world.score,
        method=truce(iterations=1),
        model=world.model,
        run=folder,
    )


@pytest.mark.slow
def test_a_run_with_shared_prefixes_has_the_results_of_one_without(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ran: list[Counter[str]] = []
    made = runs.Runner.__post_init__

    def counted(runner: runs.Runner) -> None:
        made(runner)
        ran.append(runner.ran)

    monkeypatch.setattr(runs.Runner, "__post_init__", counted)
    shared = one(tmp_path / "shared")
    monkeypatch.setattr(runs, "whole_only", lambda _: "this is the other arm")
    whole = one(tmp_path / "whole")

    assert timeless(shared.ledger) == timeless(whole.ledger)
    assert (shared.rules, shared.final, shared.difference) == (whole.rules, whole.final, whole.difference)
    assert shared.meter["total"]["calls"] == whole.meter["total"]["calls"]
    assert ran[0]["forked"] + ran[0]["reused"] > 0
    assert ran[0].total() == ran[1]["whole"] == ran[1].total()
