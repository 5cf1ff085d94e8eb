"""Replays of the planted debate through the real path: a replaced contribution changes the outcome as the world says."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import Any

import pytest

from langgraph_truce.credit import counterfactual_credit, outcome_only, state_change_credit, verbal_credit
from langgraph_truce.errors import ReplayRefused
from langgraph_truce.optimizer.lab import RunLab
from langgraph_truce.seams import Batch, Change, Rollout
from langgraph_truce.testing import PlantedDebate, real_lab
from langgraph_truce.testing.planted.debate_graph import Sharing
from langgraph_truce.trajectory import by_round

NEUTRAL = "I don't have enough information to contribute."
ROLES = ("researcher", "calculator", "reviewer")
SHARING: tuple[Sharing, ...] = ("replicate", "prompt", "replay")


async def rollouts(lab: RunLab, world: PlantedDebate, n: int) -> tuple[Rollout, ...]:
    return await lab.rollouts(world.tasks(n), world.rules, purpose="task")


def batch_of(world: PlantedDebate, ran: tuple[Rollout, ...], n: int) -> Batch:
    segments = {r.id: by_round(r.trajectory) for r in ran}
    return Batch(1, 1, world.rules, {t.id: t for t in world.tasks(n)}, rollouts=ran, segments=segments)


async def replayed(lab: RunLab, rollout: Rollout, role: str, round_: int, **how: Any) -> float:
    change = Change(steps=(f"{role}#{round_}.0",), **how)
    return (await lab.replay(rollout, change)).outcome.score


def elsewhere(role: str, round_: int) -> tuple[tuple[str, int], ...]:
    return tuple((r, n) for r in ROLES for n in (1, 2, 3) if (r, n) != (role, round_))


@pytest.mark.parametrize("kind", ["commission", "delayed"])
async def test_without_the_guilty_words_the_outcome_is_right_and_without_others_it_stays_wrong(
    kind: Any,
) -> None:
    world = PlantedDebate(3, kinds=(kind,))
    async with real_lab(world.system, world.score) as (lab, _):
        for rollout, task in zip(await rollouts(lab, world, 9), world.tasks(9), strict=True):
            guilt = world.guilty(task)
            assert guilt is not None
            assert rollout.outcome.score == 0.0
            peer = next(r for r in ROLES if r != guilt.role)
            words = f"{peer}#{guilt.round}.0"
            assert await replayed(lab, rollout, guilt.role, guilt.round) == 0.0
            assert await replayed(lab, rollout, guilt.role, guilt.round, neutral=NEUTRAL) == 1.0
            assert await replayed(lab, rollout, guilt.role, guilt.round, instead=words) == 1.0
            for role, n in elsewhere(guilt.role, guilt.round):
                assert await replayed(lab, rollout, role, n, neutral=NEUTRAL) == 0.0


async def test_an_omission_is_repaired_by_a_peers_words_or_by_rules_and_not_by_silence() -> None:
    world = PlantedDebate(3, kinds=("omission",))
    async with real_lab(world.system, world.score) as (lab, _):
        for rollout, task in zip(await rollouts(lab, world, 9), world.tasks(9), strict=True):
            guilt = world.guilty(task)
            assert guilt is not None
            peers = [r for r in ROLES if r != guilt.role]
            assert await replayed(lab, rollout, guilt.role, guilt.round, neutral=NEUTRAL) == 0.0
            for peer in peers:
                words = f"{peer}#{guilt.round}.0"
                assert await replayed(lab, rollout, guilt.role, guilt.round, instead=words) == 1.0
                other = peers[1 - peers.index(peer)]
                assert await replayed(lab, rollout, other, guilt.round, instead=words) == 0.0
            repaired = await lab.replay(rollout, Change(book=world.repaired(task)))
            harmless = await lab.replay(rollout, Change(book=world.repaired(task, peers[0])))
            assert (repaired.outcome.score, harmless.outcome.score) == (1.0, 0.0)


async def test_a_fresh_sample_of_the_guilty_step_recovers_in_the_stated_share() -> None:
    world = PlantedDebate(3, kinds=("omission",), recovers=0.5)
    async with real_lab(world.system, world.score) as (lab, _):
        scores: list[float] = []
        for rollout, task in zip(await rollouts(lab, world, 9), world.tasks(9), strict=True):
            guilt = world.guilty(task)
            assert guilt is not None
            change = Change(steps=(f"{guilt.role}#{guilt.round}.0",), rerun=True)
            again = [lab.replay(rollout, change, replicate=n) for n in range(6)]
            scores += [r.outcome.score for r in await asyncio.gather(*again)]
    assert 0.25 < scores.count(1.0) / len(scores) < 0.75  # binomial(54, 0.5): outside of it once in 5 000


async def test_arms_with_one_replicate_share_their_luck_and_the_recorded_run_has_its_own() -> None:
    for luck in SHARING:
        world = PlantedDebate(9, kinds=("none",), noise=0.5, luck=luck)
        async with real_lab(world.system, world.score) as (lab, _):
            recorded, control, replaced = [], [], []
            for rollout in await rollouts(lab, world, 24):
                case = world.case(int(rollout.task.split("-")[1]))
                idle = next(r for r in ROLES if r != case.desks["C"])
                recorded.append(rollout.outcome.score)
                control.append(await replayed(lab, rollout, idle, 3))
                replaced.append(await replayed(lab, rollout, idle, 3, neutral=NEUTRAL))
        assert recorded != control
        assert (control == replaced) is (luck == "replicate")


async def test_counterfactual_credit_names_every_commission_for_72_calls() -> None:
    world = PlantedDebate(1, kinds=("commission",))
    async with real_lab(world.system, world.score) as (lab, meter):
        ran = await rollouts(lab, world, 9)
        credit = counterfactual_credit(roles=ROLES)
        batch = batch_of(world, ran, 9)
        said, _ = await credit(batch, {}, lab)
        assert credit.cost(batch) == 72 * 9
        assert 0 < meter.tally("credit").calls <= 72 * 9
        assert counterfactual_credit(roles=ROLES, deterministic=True).cost(batch) == 54 * 9
    for rollout in ran:
        worst = min((c for c in said if c.rollout == rollout.id), key=lambda c: c.value or 0.0)
        guilt = world.guilty(batch.tasks[rollout.task])
        assert guilt is not None
        assert (worst.role, worst.round, worst.value) == (guilt.role, guilt.round, -1.0)
        assert worst.details["kind"] == "commission"


async def test_the_simulated_critic_finds_guilt_more_often_than_chance_and_misses_some() -> None:
    world = PlantedDebate(1, kinds=("commission",))
    async with real_lab(world.system, world.score, model=world.model) as (lab, meter):
        ran = await rollouts(lab, world, 36)
        batch = batch_of(world, ran, 36)
        said, memory = await verbal_credit()(batch, {}, lab)
        assert memory["credit_errors"] == 0
        assert meter.tally("credit").calls == 36 * 4
        plain, _ = await outcome_only()(batch, {}, lab)
    hits: Counter[bool] = Counter()
    for rollout in ran:
        own = [c for c in said if c.rollout == rollout.id and c.role]
        worst = min(own, key=lambda c: c.value or 0.0)
        guilt = world.guilty(batch.tasks[rollout.task])
        assert guilt is not None
        hits[(worst.role, worst.round) == (guilt.role, guilt.round)] += 1
    assert 0.35 < hits[True] / 36 < 0.95
    assert {c.value for c in plain} == {-1.0}


async def test_a_delayed_error_is_blamed_on_round_1_with_lookahead_and_not_without() -> None:
    world = PlantedDebate(1, kinds=("delayed",))

    def progress(state: Any, task: Any) -> float:
        return world.progress(state, task.reference_outputs)

    async with real_lab(world.system, world.score) as (lab, _):
        ran = await rollouts(lab, world, 6)
        batch = batch_of(world, ran, 6)
        for lookahead in (None, 0):
            said, _ = await state_change_credit(progress=progress, lookahead=lookahead)(batch, {}, lab)
            for rollout in ran:
                own = [c for c in said if c.rollout == rollout.id and not c.role]
                blamed = min(own, key=lambda c: c.value or 0.0).round
                assert (blamed == 1) is (lookahead is None)


async def test_a_rollout_that_is_not_run_for_the_task_cannot_be_forked() -> None:
    world = PlantedDebate(1)
    async with real_lab(world.system, world.score) as (lab, _):
        ran = await lab.rollouts(world.tasks(1), world.rules)
        with pytest.raises(ReplayRefused, match="checkpoints"):
            await replayed(lab, ran[0], "researcher", 1, neutral=NEUTRAL)
