"""Phases and logs as settings: the identity of a run, refusals, the plan, and what the seed draws."""

from __future__ import annotations

import json
import math
import random
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from langgraph_truce.errors import GateRefused, UserMistake
from langgraph_truce.gate import on_validation
from langgraph_truce.methods import offline
from langgraph_truce.optimizer import optimize, plan, read_run
from langgraph_truce.optimizer.phases import Phases, first_kept
from tests.optimizer.phased import Chain, calls, run, score, splits


def test_the_defaults_leave_the_identity_of_a_run_as_it_was(tmp_path: Path) -> None:
    chain = Chain()
    run(chain, tmp_path / "plain", chain.method(phases=1, logs=0.0))
    run(chain, tmp_path / "phased", chain.method())

    plain, phased = (
        json.loads((tmp_path / name / "run.json").read_text())["settings"] for name in ("plain", "phased")
    )
    assert set(plain) == {"iterations", "sample"}
    assert phased == {**plain, "phases": 2, "logs": 0.25}
    assert "source" not in read_run(tmp_path / "plain").iterations[0]


def test_a_gate_that_could_not_pass_without_the_log_tasks_is_refused_before_anything_is_spent(
    tmp_path: Path,
) -> None:
    chain = Chain()
    few = splits(n=6)  # two iterations need 2^-6; five tasks are left
    optimize(
        chain.system(), few, score, method=chain.method(logs=0.0), model=chain.critic, run=tmp_path / "whole"
    )
    before = len(chain.calls)
    with pytest.raises(GateRefused, match="5 validation tasks"):
        optimize(chain.system(), few, score, method=chain.method(), model=chain.critic, run=tmp_path / "r")
    assert len(chain.calls) == before


@pytest.mark.parametrize(
    ("wrong", "words"),
    [({"phases": 0}, "phases is at least 1"), ({"logs": 1.0}, r"\[0, 1\)"), ({"logs": -0.1}, r"\[0, 1\)")],
)
def test_settings_out_of_range_are_refused(tmp_path: Path, wrong: Mapping[str, Any], words: str) -> None:
    chain = Chain()
    with pytest.raises(UserMistake, match=words):
        run(chain, tmp_path / "r", chain.method(**wrong))


def test_one_validation_task_cannot_be_read_and_tested_on(tmp_path: Path) -> None:
    chain = Chain()
    with pytest.raises(UserMistake, match="give two at least"):
        optimize(
            chain.system(),
            splits(n=1),
            score,
            method=chain.method(gate=on_validation()),
            run=tmp_path / "r",
        )


@pytest.mark.parametrize("iterations", [2, 5])
@pytest.mark.parametrize("broken", [True, False])
def test_what_is_spent_lies_in_the_planned_range(tmp_path: Path, iterations: int, broken: bool) -> None:
    chain = Chain(broken=broken)
    method = replace(
        chain.method(iterations=iterations, patience=4, trials=8),
        asks=lambda tasks, agents: {"credit": (tasks, tasks)},
    )
    expected = plan(chain.system(), splits(), method)

    result = run(chain, tmp_path / "r", method)

    for purpose in ("task", "gate", "test", "credit"):
        row = expected.row(purpose)
        assert row.low <= calls(result, purpose) <= row.high, purpose
    assert expected.row("task").low == 12 * math.ceil(min(4, iterations) / 2)


def test_a_plan_counts_log_tasks_where_they_are_more_than_are_sampled() -> None:
    chain = Chain()

    def asks(tasks: int, agents: int) -> Mapping[str, tuple[int, int]]:
        return {"credit": (tasks, 2 * tasks)}

    method = replace(chain.method(sample=2), asks=asks)
    row = plan(chain.system(), splits(n=40), method).row("credit")
    assert (row.low, row.high) == (2, 2 * 2 * 10)


# ---- the drawing itself ----------------------------------------------------------------------------------------------


def _phases(phases: int, logs: float, seed: int, *, n: int = 12, sample: int | None = 3) -> Phases:
    method = replace(offline(), phases=phases, logs=logs, sample=sample, reuse=False)
    return Phases(method, splits(n), lambda *key: random.Random(f"{seed} {key}"))


@given(st.integers(1, 4), st.integers(1, 12), st.integers(0, 9))
@settings(max_examples=40, deadline=None)
def test_the_iterations_of_a_turn_share_number_and_sample(phases: int, iteration: int, seed: int) -> None:
    drawn = _phases(phases, 0.25, seed)
    opens = (drawn.turn(iteration) - 1) * phases + 1
    assert opens <= iteration < opens + phases
    assert drawn.later(iteration) == (iteration != opens)
    assert drawn.sample(iteration) == drawn.sample(opens)
    assert drawn.replicate(iteration) == drawn.replicate(opens) == drawn.turn(iteration) - 1
    # as it was before there were turns
    assert drawn.sample(opens) == _phases(1, 0.0, seed).sample(drawn.turn(iteration))


@given(st.integers(2, 40), st.floats(0, 0.99), st.integers(0, 9))
@settings(max_examples=40, deadline=None)
def test_log_tasks_are_the_share_of_the_validation_tasks(n: int, share: float, seed: int) -> None:
    found = _phases(2, share, seed, n=n).logs
    assert found <= {t.id for t in splits(n).validation}
    assert len(found) == (max(1, math.floor(share * n + 1e-9)) if share else 0) < n
    assert found == _phases(2, share, seed, n=n).logs
    assert _phases(1, share, seed, n=n).logs == frozenset()


def test_a_task_is_found_by_its_whole_name() -> None:
    names = ["v/a/b/0", "v/a/b/12", "v/a/3", "w/a/0", "v/a/b/0/replay/x/0", "va/a/1", "v/a/b/new"]
    assert first_kept(names, "v", ["a", "a/b", "b"]) == {"a": 3, "a/b": 0}
