"""The gate's decisions: accept, reject, inconclusive; pruning and halving; fresh replicates."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import pytest

from langgraph_truce.errors import BudgetSpent, GateRefused
from langgraph_truce.gate import paired_gate
from langgraph_truce.rules import Edit

Score = Callable[[int, int, str], float | None]


def lift(*words: str, share: int = 3) -> Score:
    """Every `share`-th task is solved only with all of `words` in the instructions; the others always."""
    return lambda n, r, text: 1.0 if n % share or all(w in text for w in words) else 0.0


def ids(edits: Iterable[Edit]) -> list[str]:
    return [e.id for e in edits]


async def test_a_gain_is_accepted_with_its_figures(kit: Any) -> None:
    lab = kit.Bench(lift("good"))
    verdict, memory = await paired_gate()(kit.batch(kit.add("e1.1", "good")), {}, lab)
    assert verdict.decision == "accept"
    assert ids(verdict.edits) == ["e1.1"]
    c = verdict.comparison
    assert c.estimate == pytest.approx(20 / 60)
    assert (len(c.fixed), c.broken) == (20, ())
    assert c.p_value <= verdict.alpha == 0.01
    assert "accept 1 of 1" in verdict.words
    assert lab.purposes == {"gate"}
    assert memory == {"replicate": 1}


async def test_a_loss_is_rejected(kit: Any) -> None:
    def worse(n: int, r: int, text: str) -> float | None:
        return 0.0 if "bad" in text and n % 3 == 0 else 1.0

    verdict, memory = await paired_gate()(kit.batch(kit.add("e1.1", "bad")), {}, kit.Bench(worse))
    assert (verdict.decision, verdict.edits) == ("reject", ())
    assert verdict.comparison.high < 0
    assert memory == {"replicate": 0}


async def test_nothing_shown_is_inconclusive(kit: Any) -> None:
    verdict, _ = await paired_gate()(kit.batch(kit.add("e1.1", "x")), {}, kit.Bench(lift("good")))
    assert (verdict.decision, verdict.edits) == ("inconclusive", ())
    assert verdict.comparison.p_value == 1.0


async def test_a_gain_below_delta_min_is_not_accepted_and_a_bounded_one_is_rejected(kit: Any) -> None:
    edits = (kit.add("e1.1", "good"),)
    gate = paired_gate(delta_min=0.25)
    some, _ = await gate(kit.batch(*edits, tasks=200), {}, kit.Bench(lift("good", share=5)))
    assert some.decision == "inconclusive"  # proven above 0, estimate 0.2, upper end above 0.25
    assert "smaller than asked for" in some.words
    little, _ = await gate(kit.batch(*edits, tasks=200), {}, kit.Bench(lift("good", share=10)))
    assert little.decision == "reject"
    much, _ = await gate(kit.batch(*edits, tasks=200), {}, kit.Bench(lift("good", share=3)))
    assert much.decision == "accept"


async def test_edits_that_can_go_without_loss_go(kit: Any) -> None:
    edits = [kit.add("e1.1", "idle", 0.9), kit.add("e1.2", "good", 0.2), kit.add("e1.3", "fine", 0.5)]
    verdict, _ = await paired_gate()(kit.batch(*edits), {}, kit.Bench(lift("good", "fine")))
    assert ids(verdict.edits) == ["e1.2", "e1.3"]
    # the weakest is tried first, and every try is told
    assert [t["edits"] for t in verdict.trials] == [
        ["e1.1", "e1.2", "e1.3"],
        ["e1.1", "e1.3"],
        ["e1.1", "e1.2"],
        ["e1.2", "e1.3"],
    ]
    assert [t["decision"] for t in verdict.trials] == ["accept", "inconclusive", "inconclusive", "accept"]
    assert "1 left out without loss" in verdict.words


async def test_of_two_equal_edits_one_goes(kit: Any) -> None:
    def either(n: int, r: int, text: str) -> float | None:
        return 1.0 if n % 3 or "good" in text else 0.0

    edits = [kit.add("e1.1", "good one"), kit.add("e1.2", "good two"), kit.add("e1.3", "good three")]
    verdict, _ = await paired_gate()(kit.batch(*edits), {}, kit.Bench(either))
    assert ids(verdict.edits) == ["e1.1"]  # of equal support, the later ones go first
    kept, _ = await paired_gate(prune=False)(kit.batch(*edits), {}, kit.Bench(either))
    assert len(kept.edits) == 3


async def test_an_edit_that_carries_a_small_gain_stays(kit: Any) -> None:
    def scores(n: int, r: int, text: str) -> float | None:
        return 1.0 if n % 3 or "good" in text else 0.5 if n == 0 and "slight" in text else 0.0

    def better(n: int, r: int, text: str) -> float | None:
        return 0.0 if n == 1 and "slight" not in text else scores(n, r, text)

    edits = [kit.add("e1.1", "good", 0.9), kit.add("e1.2", "slight", 0.1)]
    verdict, _ = await paired_gate()(kit.batch(*edits), {}, kit.Bench(better))
    assert ids(verdict.edits) == ["e1.1", "e1.2"]


async def test_a_harmful_half_is_left_behind(kit: Any) -> None:
    def mixed(n: int, r: int, text: str) -> float | None:
        if n % 3 == 0:
            return 1.0 if "good" in text else 0.0
        return 0.0 if n % 3 == 1 and "bad" in text else 1.0

    edits = [
        kit.add("e1.1", "bad"),
        kit.add("e1.2", "idle"),
        kit.add("e1.3", "good"),
        kit.add("e1.4", "void"),
    ]
    verdict, memory = await paired_gate()(kit.batch(*edits), {}, kit.Bench(mixed))
    assert ids(verdict.edits) == ["e1.3"]  # the half wins, then its idle edit goes
    assert verdict.alpha < 0.01
    assert "the joint set did not pass" in verdict.words
    assert memory == {"replicate": 1}
    alone, _ = await paired_gate(halve=False)(kit.batch(*edits), {}, kit.Bench(mixed))
    assert alone.edits == ()


async def test_halves_of_halves_are_tried_while_trials_last(kit: Any) -> None:
    def picky(n: int, r: int, text: str) -> float | None:
        if "bad" in text:
            return 0.0
        return 1.0 if n % 3 or "good" in text else 0.0

    edits = [
        kit.add("e1.1", "bad a"),
        kit.add("e1.2", "good"),
        kit.add("e1.3", "bad b"),
        kit.add("e1.4", "bad c"),
    ]
    found, _ = await paired_gate()(kit.batch(*edits), {}, kit.Bench(picky))
    assert ids(found.edits) == ["e1.2"]
    short, _ = await paired_gate(trials=3)(kit.batch(*edits), {}, kit.Bench(picky))
    assert (short.decision, len(short.trials)) == ("reject", 3)


async def test_edits_that_do_not_fit_are_recorded_and_the_rest_is_tried(kit: Any) -> None:
    stale = Edit("e1.2", "MODIFY", "solver", rule="r1", old_hash="0" * 16, text="other")
    verdict, _ = await paired_gate()(kit.batch(kit.add("e1.1", "good"), stale), {}, kit.Bench(lift("good")))
    assert ids(verdict.edits) == ["e1.1"]
    assert [t["decision"] for t in verdict.trials] == ["error", "accept", "error"]
    assert "does not fit the rules" in verdict.trials[0]["why"]
    assert verdict.trials[0]["p_value"] is None


async def test_an_edit_that_cannot_be_applied_at_all_is_inconclusive(kit: Any) -> None:
    stale = Edit("e1.1", "DELETE", "solver", rule="r9", old_hash="0" * 16)
    verdict, _ = await paired_gate()(kit.batch(stale), {}, kit.Bench(lift("good")))
    assert (verdict.decision, verdict.comparison.n) == ("inconclusive", 0)
    assert "does not fit the rules" in verdict.words


async def test_both_arms_use_the_same_replicates_and_a_new_baseline_fresh_ones(kit: Any) -> None:
    lab = kit.Bench(lift("good"))
    gate = paired_gate(replicates=2)
    edit = kit.add("e1.1", "good")
    _, memory = await gate(kit.batch(edit), {}, lab)
    assert [r for _, r, _ in lab.runs] == [0, 1, 0, 1]
    lab.runs.clear()
    _, memory = await gate(kit.batch(kit.add("e2.1", "x"), iteration=2), memory, lab)
    assert [r for _, r, _ in lab.runs] == [2, 3, 2, 3]
    lab.runs.clear()
    await gate(kit.batch(kit.add("e3.1", "y"), iteration=3), memory, lab)
    assert [r for _, r, _ in lab.runs] == [2, 3, 2, 3]  # nothing was accepted: the same baseline


async def test_replicates_make_one_observation_per_task(kit: Any) -> None:
    def noisy(n: int, r: int, text: str) -> float | None:
        return 1.0 if "good" in text and r == 0 else 0.0

    verdict, _ = await paired_gate(replicates=4)(
        kit.batch(kit.add("e1.1", "good"), tasks=10), {}, kit.Bench(noisy)
    )
    assert verdict.comparison.n == 10
    assert verdict.comparison.estimate == pytest.approx(0.25)


async def test_exclusions_of_the_candidate_can_cost_it_the_verdict(kit: Any) -> None:
    def flaky(n: int, r: int, text: str) -> float | None:
        if "good" in text and n % 3:
            return None
        return lift("good")(n, r, text)

    verdict, _ = await paired_gate()(kit.batch(kit.add("e1.1", "good")), {}, kit.Bench(flaky))
    assert verdict.decision == "reject"
    assert verdict.comparison.excluded == {"baseline": 0, "candidate": 40}
    assert "excluded 0 baseline and 40 candidate" in verdict.words


async def test_everything_excluded_is_recorded(kit: Any) -> None:
    verdict, _ = await paired_gate()(
        kit.batch(kit.add("e1.1", "good")), {}, kit.Bench(lambda n, r, text: None)
    )
    assert (verdict.decision, verdict.comparison.n) == ("inconclusive", 0)
    assert "all were excluded" in verdict.words


async def test_no_edits_cost_no_rollout(kit: Any) -> None:
    lab = kit.Bench(lift("good"))
    verdict, memory = await paired_gate()(kit.batch(), {"replicate": 3}, lab)
    assert (verdict.decision, lab.runs, memory) == ("inconclusive", [], {"replicate": 3})


async def test_too_few_tasks_are_refused(kit: Any) -> None:
    with pytest.raises(GateRefused, match="on_validation"):
        await paired_gate()(kit.batch(kit.add("e1.1", "good"), tasks=5), {}, kit.Bench(lift("good")))


async def test_the_verdict_is_the_same_every_time(kit: Any) -> None:
    def rough(n: int, r: int, text: str) -> float | None:
        return ((n * 37 + len(text) * 11) % 10) / 10

    edits = [kit.add("e1.1", "one"), kit.add("e1.2", "another")]
    first, _ = await paired_gate()(kit.batch(*edits), {}, kit.Bench(rough))
    second, _ = await paired_gate()(kit.batch(*edits), {}, kit.Bench(rough))
    assert first == second


@pytest.mark.parametrize(("joint_wins", "paid"), [(True, 2), (False, 3)])
async def test_what_is_proven_is_kept_where_the_budget_ends_the_search(
    kit: Any, joint_wins: bool, paid: int
) -> None:
    """Pruning, or the other half, cannot be paid: the set that passed stays proven."""

    class Capped(kit.Bench):  # type: ignore[misc]
        async def rollouts(self, *args: Any, **kwargs: Any) -> Any:
            if len(self.runs) == paid:
                raise BudgetSpent("the budget of 9 calls is spent")
            return await super().rollouts(*args, **kwargs)

    def scored(n: int, r: int, text: str) -> float | None:
        spoilt = not joint_wins and "spoils" in text
        return float(n % 3 > 0 or ("good" in text and not spoilt))

    edits = (kit.add("e1.1", "good", 0.9), kit.add("e1.2", "spoils", 0.1))
    verdict, memory = await paired_gate()(kit.batch(*edits), {}, Capped(scored))

    assert (verdict.decision, memory["replicate"]) == ("accept", 1)
    assert ids(verdict.edits) == (["e1.1", "e1.2"] if joint_wins else ["e1.1"])
    assert "the budget ended the search" in verdict.words


async def test_a_budget_that_ends_before_anything_is_proven_stops_the_gate(kit: Any) -> None:
    class Capped(kit.Bench):  # type: ignore[misc]
        async def rollouts(self, *args: Any, **kwargs: Any) -> Any:
            if len(self.runs) == 2:
                raise BudgetSpent("the budget of 9 calls is spent")
            return await super().rollouts(*args, **kwargs)

    edits = (kit.add("e1.1", "a"), kit.add("e1.2", "b"))
    with pytest.raises(BudgetSpent):
        await paired_gate()(kit.batch(*edits), {}, Capped(lift("good")))
