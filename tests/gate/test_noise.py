"""The noise floor: what it says of made-up scores, and its formulas against simulation."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence

import numpy as np
import pytest

from langgraph_truce.errors import EvaluatorError, GateRefused, UserMistake
from langgraph_truce.gate.noise import (
    GAINS,
    MOST_REPLICATES,
    noise_of,
    noise_of_rollouts,
    noise_text,
    tasks_needed,
    worth,
)
from langgraph_truce.gate.paired import sign_flip
from langgraph_truce.seams import Rollout
from langgraph_truce.task import Outcome
from langgraph_truce.trajectory import Trajectory


def coins(rng: np.random.Generator, n: int, replicates: int, lucky: float) -> Mapping[str, Sequence[float]]:
    """A share `lucky` of the tasks comes out by a coin, the others always fail."""
    return {
        f"t{i}": [float(i < lucky * n and rng.random() < 0.5) for _ in range(replicates)] for i in range(n)
    }


def test_a_system_without_luck_has_no_noise_and_tasks_that_differ() -> None:
    noise = noise_of({f"t{i}": [float(i % 2)] * 4 for i in range(20)})

    assert (noise.within, noise.deviation, noise.floor, noise.flips, noise.worst) == (0, 0, 0, 0, ())
    assert noise.between == pytest.approx(0.25 * 20 / 19)
    assert (noise.comparison.estimate, noise.comparison.p_value, noise.worth) == (0, 1, 1)


def test_flips_are_told_the_widest_first() -> None:
    scores: dict[str, list[float | None]] = {
        "same": [1.0, 1.0],
        "a bit": [0.5, 0.6],
        "all": [0.0, 1.0],
        "out": [1.0, None],
        "gone": [None, None],
    }
    noise = noise_of(scores)

    assert [row["task"] for row in noise.worst] == ["all", "a bit"]
    assert noise.worst[0]["scores"] == [0.0, 1.0]
    assert noise.flips == pytest.approx(2 / 3)
    assert (noise.comparison.n, noise.replicates) == (3, 1)
    assert noise.within == pytest.approx((0.5 + 0.005) / 3)


def test_the_variance_of_scores_is_split_into_luck_and_tasks() -> None:
    rng = np.random.default_rng(0)
    p = rng.uniform(0.2, 0.8, size=3_000)
    noise = noise_of({f"t{i}": [float(rng.random() < x) for _ in range(4)] for i, x in enumerate(p)})

    assert noise.within == pytest.approx(float(np.mean(p * (1 - p))), rel=0.05)
    assert noise.between == pytest.approx(float(np.var(p)), rel=0.15)


def test_simulation_the_deviation_is_that_of_differences_between_equal_systems() -> None:
    rng = np.random.default_rng(1)
    found = [noise_of(coins(rng, 60, 4, 0.5)) for _ in range(400)]
    differences = [noise.comparison.estimate for noise in found]

    assert np.mean([n.deviation for n in found]) == pytest.approx(np.std(differences), rel=0.12)
    assert 0.92 < np.mean([abs(n.comparison.estimate) <= n.floor for n in found]) < 0.98
    assert np.mean([n.comparison.p_value <= 0.1 for n in found]) < 0.15


@pytest.mark.parametrize(
    ("gain", "lucky", "replicates", "level"),
    [(0.10, 0.4, 2, 0.05), (0.10, 0.0, 1, 0.01), (0.20, 0.6, 1, 0.01), (0.05, 0.1, 3, 0.05)],
)
def test_simulation_the_tasks_needed_see_the_gain_with_that_power(
    gain: float, lucky: float, replicates: int, level: float
) -> None:
    rng = np.random.default_rng(2)
    n = tasks_needed(gain, 0.25 * lucky, replicates=replicates, level=level)

    def seen(tasks: int) -> float:
        """Share of trials in which the paired exact test sees a share `gain` of the tasks that fail put right."""
        hits, trials = 0, 400
        for _ in range(trials):
            coin = rng.random(tasks) < lucky
            fixed = ~coin & (rng.random(tasks) < gain / (1 - lucky))
            luck = rng.binomial(replicates, 0.5, tasks) - rng.binomial(replicates, 0.5, tasks)
            difference = np.where(coin, luck / replicates, fixed.astype(float))
            hits += sign_flip(difference, resamples=999 if level > 0.01 else 1_999) <= level
        return hits / trials

    assert 0.73 < seen(n) < 0.90
    assert seen(n // 2) < 0.68


def test_the_least_is_what_the_exact_test_asks_for() -> None:
    n = tasks_needed(0.5, 0.0, level=1e-6)

    assert n == math.ceil(-math.log2(1e-6) / 0.5)
    assert tasks_needed(0.01, 0.1) > tasks_needed(0.02, 0.1) > tasks_needed(0.02, 0.1, replicates=4)


def test_replicates_are_worth_it_as_far_as_luck_outweighs_the_tasks() -> None:
    assert worth(0.0) == 1
    r = worth(0.08)
    assert 2 * 0.08 / r <= 0.05 * 0.95 < 2 * 0.08 / (r - 1)
    assert worth(0.5) == MOST_REPLICATES


@pytest.mark.parametrize(
    "bad", [{"gain": 0}, {"gain": 1}, {"within": -1}, {"replicates": 0}, {"level": 1}, {"power": 0}]
)
def test_arguments_out_of_range_are_refused(bad: dict[str, float]) -> None:
    with pytest.raises(UserMistake, match="tasks_needed"):
        tasks_needed(**{"gain": 0.1, "within": 0.1, **bad})  # type: ignore[arg-type]


def test_nothing_that_ran_twice_is_refused() -> None:
    with pytest.raises(GateRefused, match="at least twice"):
        noise_of({"a": [1.0], "b": [None, 1.0]})
    with pytest.raises(EvaluatorError, match="'a'"):
        noise_of({"a": [1.0, 2.0]})


def test_it_is_json_and_text() -> None:
    noise = noise_of(
        {**coins(np.random.default_rng(3), 30, 4, 0.5), "lost": [1.0, None, 1.0, 1.0]}, level=0.01
    )
    told = json.loads(json.dumps(noise.to_json()))
    text = noise_text(noise, 5)

    assert [row["gain"] for row in told["needed"]] == list(GAINS)
    assert (told["deviation"], told["floor"]) == (noise.deviation, noise.floor)
    assert f"{100 * noise.floor:.1f} points" in text
    assert f"{noise.needed[0]['tasks']:,}" in text
    assert "Left out, the infrastructure failed: 1 rollouts." in text


def rollout(version: str, task: str, replicate: int, score: float, excluded: str = "") -> Rollout:
    name = f"{version}/{task}/{replicate}"
    return Rollout(
        name, task, replicate, version, Outcome(None, score, excluded=excluded), Trajectory(name, (), {})
    )


def test_the_replicates_of_a_run_tell_its_noise() -> None:
    ran = [rollout("v1", f"t{i}", r, float((i + r) % 2)) for i in range(6) for r in range(2)]
    ran += [rollout("v2", f"t{i}", 0, 1.0) for i in range(6)]
    ran += [rollout("v1", "t9", 0, 1.0), rollout("v1", "t9", 1, 0.0, "down")]
    noise = noise_of_rollouts(reversed(ran))

    assert noise is not None
    assert (noise.comparison.n, noise.flips, noise.within) == (6, 1.0, 0.5)
    assert noise_of_rollouts(ran[-8:]) is None
