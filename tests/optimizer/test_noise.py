"""`noise`: a place of its own, journalled, resumed, within a budget."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from langgraph_truce.errors import RunError, UserMistake
from langgraph_truce.model import Budget
from langgraph_truce.optimizer import Run
from langgraph_truce.optimizer.noise import NOISE, anoise, noise, read_noise
from langgraph_truce.testing import PlantedDebate

WORLD = PlantedDebate(3, noise=0.3, rounds=1, roles=2)
TASKS = WORLD.tasks(6)


def test_the_system_is_run_against_itself_and_the_figures_are_kept(tmp_path: Path) -> None:
    events: list[Any] = []
    run = Run(tmp_path / "n", on_event=events.append)
    measured = noise(WORLD.system, TASKS, WORLD.score, replicates=3, run=run)

    assert (measured.planned, measured.ran, measured.stopped) == (36, 36, "")
    assert measured.noise.comparison.n == 6
    assert measured.noise.replicates == 3
    assert 0 < measured.noise.flips <= 1
    kept = json.loads((tmp_path / "n" / NOISE).read_text())
    assert kept == json.loads(json.dumps(measured.to_json())) == read_noise(tmp_path / "n")
    assert (events[-1]["done"], events[-1]["total"], events[-1]["stage"]) == (36, 36, "noise")


async def test_the_same_call_again_pays_nothing_and_more_replicates_use_the_earlier_ones(
    tmp_path: Path,
) -> None:
    one = await anoise(WORLD.system, TASKS, WORLD.score, replicates=1, run=tmp_path / "n")
    again = await anoise(WORLD.system, TASKS, WORLD.score, replicates=1, run=tmp_path / "n")
    more = await anoise(WORLD.system, TASKS, WORLD.score, replicates=2, run=tmp_path / "n")

    calls = [m.meter["total"]["calls"] for m in (one, again, more)]
    assert calls == [12 * 4, 12 * 4, 24 * 4]
    assert again.noise == one.noise
    assert more.ran == 24


async def test_inside_a_running_loop_the_sync_face_works_too(tmp_path: Path) -> None:
    assert noise(WORLD.system, TASKS[:2], WORLD.score, replicates=1, run=tmp_path / "n").ran == 4


def test_at_the_cap_what_is_finished_counts_and_a_larger_budget_goes_on(tmp_path: Path) -> None:
    short = noise(WORLD.system, TASKS, WORLD.score, replicates=2, budget=Budget(calls=60), run=tmp_path / "n")

    assert "60" in short.stopped
    assert 12 <= short.ran <= 15
    assert not short.noise.comparison.excluded["baseline"]
    assert short.meter["total"]["calls"] <= 60
    whole = noise(WORLD.system, TASKS, WORLD.score, replicates=2, run=tmp_path / "n")
    assert (whole.ran, whole.stopped) == (24, "")
    assert whole.meter["total"]["calls"] == 24 * 4


def test_a_place_of_another_measurement_and_bad_numbers_are_refused(tmp_path: Path) -> None:
    noise(WORLD.system, TASKS[:2], WORLD.score, replicates=1, run=tmp_path / "n")
    with pytest.raises(RunError, match="another run"):
        noise(WORLD.system, TASKS[:3], WORLD.score, replicates=1, run=tmp_path / "n")
    with pytest.raises(UserMistake, match="at least one task"):
        noise(WORLD.system, (), WORLD.score, run=tmp_path / "m")
    with pytest.raises(UserMistake, match="one replicate"):
        noise(WORLD.system, TASKS, WORLD.score, replicates=0, run=tmp_path / "m")
    assert read_noise(tmp_path / "m") is None
    (tmp_path / "n" / NOISE).write_text("{")
    with pytest.raises(RunError, match="damaged"):
        read_noise(tmp_path / "n")
