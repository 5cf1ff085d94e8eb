"""The sequential gate: it stops for a win, a loss and futility, tells what it bought, and buys replicates at the end."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from langgraph_truce.errors import GateRefused
from langgraph_truce.gate import paired_gate, sequential_gate

Score = Callable[[int, int, str], float | None]


def chance(base: float, with_good: float) -> Score:
    """Coins that depend on task, replicate and instructions alone."""

    def score(n: int, r: int, text: str) -> float:
        return float(random.Random(f"{n} {r} {text}").random() < (with_good if "good" in text else base))

    return score


async def test_a_clear_win_stops_early_and_says_so(kit: Any) -> None:
    lab = kit.Bench(lambda n, r, text: float("good" in text))
    verdict, memory = await sequential_gate()(kit.batch(kit.add("e1.1", "good"), tasks=120), {}, lab)

    assert verdict.decision == "accept"
    assert verdict.comparison.p_value <= verdict.alpha
    tasks = sum(n for _, _, n in lab.runs) // 2
    assert tasks == verdict.looks[-1]["tasks"] == verdict.comparison.n < 60
    assert verdict.looks[-1]["why"] == "clear win"
    assert f"clear win at look {len(verdict.looks)}, with {2 * tasks} of 240 rollouts" in verdict.words
    assert memory == {"replicate": 1}
    assert verdict.looks[-1]["e_value"] >= 1 / verdict.alpha


async def test_a_clear_loss_stops_early(kit: Any) -> None:
    lab = kit.Bench(lambda n, r, text: float("bad" not in text))
    verdict, _ = await sequential_gate()(kit.batch(kit.add("e1.1", "bad"), tasks=120), {}, lab)

    assert verdict.decision == "reject"
    assert verdict.looks[-1]["why"] == "clear loss"
    assert verdict.looks[-1]["tasks"] < 60


async def test_what_is_in_vain_stops_early(kit: Any) -> None:
    lab = kit.Bench(lambda n, r, text: float(n % 2 == 0))
    verdict, memory = await sequential_gate()(kit.batch(kit.add("e1.1", "idle"), tasks=200), {}, lab)

    assert verdict.decision == "inconclusive"
    assert verdict.looks[-1]["why"] == "futile"
    assert "futile at look" in verdict.words
    assert sum(n for _, _, n in lab.runs) < 400
    assert memory == {"replicate": 0}


async def test_the_next_iteration_asks_for_the_same_baseline_rollouts(kit: Any) -> None:
    lab = kit.Bench(lambda n, r, text: float(n % 2 == 0))
    gate = sequential_gate()
    _, memory = await gate(kit.batch(kit.add("e1.1", "idle"), tasks=200), {}, lab)
    first = list(lab.runs)
    lab.runs.clear()
    await gate(kit.batch(kit.add("e2.1", "void"), tasks=200, iteration=2), memory, lab)
    before = [row for row in first if row[0] == kit.book.version]
    assert [row for row in lab.runs if row[0] == kit.book.version] == before
    assert lab.order[: len(lab.order) // 2] == lab.order[len(lab.order) // 2 :]


async def test_the_candidate_names_its_parent_and_the_baseline_goes_first(kit: Any) -> None:
    lab = kit.Bench(lambda n, r, text: float("good" in text))
    await sequential_gate()(kit.batch(kit.add("e1.1", "good"), tasks=60), {}, lab)
    version = kit.book.version
    assert [v == version for v, _, _ in lab.runs[:2]] == [True, False]
    assert lab.parents == {(version, None), (lab.runs[1][0], version)}


async def test_more_replicates_are_bought_while_the_verdict_is_open(kit: Any) -> None:
    lab = kit.Bench(chance(0.5, 0.66))
    batch = kit.batch(kit.add("e1.1", "good"), tasks=60)
    one, _ = await sequential_gate(replicates=1)(batch, {}, lab)
    more, memory = await sequential_gate(replicates=4)(batch, {}, lab)

    assert (one.decision, more.decision) == ("inconclusive", "accept")
    assert {look["replicates"] for look in more.looks} >= {1, 2}
    assert more.comparison.n == 60
    assert memory == {"replicate": 4}
    assert f"of {2 * 60 * 4} rollouts" in more.words


async def test_few_tasks_are_decided_as_by_the_fixed_sample_test(kit: Any) -> None:
    batch = kit.batch(kit.add("e1.1", "good"), tasks=12)
    lab = kit.Bench(lambda n, r, text: float(n % 6 == 0 or "good" in text))
    one, _ = await sequential_gate()(batch, {}, lab)
    other, _ = await paired_gate()(batch, {}, lab)
    assert one.decision == other.decision == "accept"
    assert one.comparison.p_value == other.comparison.p_value


@given(st.integers(0, 10**6), st.sampled_from([0.5, 0.6, 0.8]), st.sampled_from([24, 50, 90]))
@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_the_verdict_is_the_same_again_on_the_same_lab(
    kit: Any, seed: int, better: float, tasks: int
) -> None:
    lab = kit.Bench(chance(0.5, better), seed=seed)
    batch = kit.batch(kit.add("e1.1", "good"), kit.add("e1.2", "idle"), tasks=tasks)
    first = asyncio.run(sequential_gate()(batch, {}, lab))
    assert asyncio.run(sequential_gate()(batch, {}, lab)) == first
    assert first[0].comparison.low <= first[0].comparison.estimate <= first[0].comparison.high
    ends = [look["tasks"] for look in first[0].looks]
    assert ends == sorted(ends)


async def test_exclusions_of_the_candidate_can_cost_it_the_verdict(kit: Any) -> None:
    def flaky(n: int, r: int, text: str) -> float | None:
        return None if "good" in text and n % 2 else float("good" in text or n % 2)

    verdict, _ = await sequential_gate()(kit.batch(kit.add("e1.1", "good"), tasks=80), {}, kit.Bench(flaky))
    assert verdict.decision != "accept"
    assert verdict.comparison.excluded["candidate"] > 0


async def test_everything_excluded_is_recorded(kit: Any) -> None:
    verdict, _ = await sequential_gate()(kit.batch(kit.add("e1.1", "x")), {}, kit.Bench(lambda n, r, t: None))
    assert (verdict.decision, verdict.comparison.n) == ("inconclusive", 0)
    assert "all were excluded" in verdict.words


async def test_a_gain_under_delta_min_is_not_accepted(kit: Any) -> None:
    lab = kit.Bench(lambda n, r, text: float(n % 5 > 0 or "good" in text))
    verdict, _ = await sequential_gate(delta_min=0.5)(kit.batch(kit.add("e1.1", "good"), tasks=200), {}, lab)
    assert verdict.decision == "reject"


async def test_two_gates_in_one_iteration_spend_half_each_on_fresh_replicates(kit: Any) -> None:
    lab = kit.Bench(lambda n, r, text: float("good" in text))
    batch = replace(kit.batch(kit.add("e1.1", "good"), tasks=60), iterations=10)
    first, memory = await sequential_gate()(batch, {}, lab)
    lab.runs.clear()
    again = replace(batch, edits=(kit.add("e1.1w", "good too"),))
    second, _ = await sequential_gate()(again, memory, lab)
    assert first.alpha == second.alpha == 0.005
    assert {r for _, r, _ in lab.runs} == {1}


def test_too_few_tasks_are_refused_with_the_replicates_in_the_sentence() -> None:
    sequential_gate().check(7, 5)
    with pytest.raises(
        GateRefused, match=r"7 validation tasks.*/ 4 numbers of replicates.*at least 9.*on_validation"
    ):
        sequential_gate(replicates=4).check(7, 5)
