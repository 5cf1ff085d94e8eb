"""Replays of a run: counted calls, shared luck, kept results, and forks after a resume."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, TypedDict

import pytest
from langgraph.graph import END, START, StateGraph

from langgraph_truce.errors import ReplayRefused
from langgraph_truce.evaluate import as_evaluator
from langgraph_truce.model import Journal, Meter, open_store
from langgraph_truce.optimizer.lab import RunLab
from langgraph_truce.optimizer.records import Records
from langgraph_truce.rollout.run import Runner
from langgraph_truce.rules import RuleBook, parse
from langgraph_truce.seams import Change, Rollout
from langgraph_truce.system import System
from langgraph_truce.testing import PlantedDebate, ScriptedModel
from langgraph_truce.trajectory.downstream import calls

WORLD = PlantedDebate(7)


class Said(TypedDict, total=False):
    plan: str
    said: str


SILENCE = "I have nothing to add."


@asynccontextmanager
async def opened(
    folder: Path, *, keep: bool = True, system: System = WORLD.system
) -> AsyncIterator[tuple[RunLab, Meter]]:
    with open_store(folder / "records.sqlite") as store, Journal.open(folder / "journal.sqlite") as journal:
        records = await Records(store).open()
        try:
            with journal.installed():
                score = as_evaluator(WORLD.score)
                runner = Runner(system, score, journal, records, keep=records if keep else None)
                yield RunLab(runner, {}, journal, 0), journal.meter
        finally:
            records.close()


async def ran(lab: RunLab, number: int = 0) -> Rollout:
    task = WORLD.tasks(number + 1)[number]
    return (await lab.rollouts([task], WORLD.rules, purpose="task"))[0]


def paid(meter: Meter) -> float:
    return meter.snapshot()["total"]["calls"]


def made(meter: Meter) -> float:
    """Model calls, those that the journal answered too: equal calls of two replays are paid once."""
    total = meter.snapshot()["total"]
    return total["calls"] + total["hits"]


async def test_nine_replaced_contributions_cost_the_calls_downstream_of_each(tmp_path: Path) -> None:
    async with opened(tmp_path) as (lab, meter):
        rollout = await ran(lab)
        before = made(meter)
        notes = [s for s in rollout.trajectory.steps if s.role not in {"aggregator", "decision"}]
        changed = [
            await lab.replay(rollout, Change(steps=(s.id,), neutral=f"{SILENCE} ({n})"))
            for n, s in enumerate(notes)
        ]
        spent = made(meter) - before
        rounds = [next(s.id for s in notes if s.round == n) for n in (1, 2, 3)]
        control = [await lab.replay(rollout, Change(steps=(s,))) for s in rounds]

        assert before == 13
        assert spent == sum(calls(rollout.trajectory, [s.id]) for s in notes) == 54
        assert made(meter) - before == 72
        assert paid(meter) - before <= 72
        assert [len(r.trajectory.steps) for r in control] == [
            13,
            9,
            5,
        ]  # the fork's own superstep, and what ran again
        assert len({r.id for r in [*changed, *control]}) == 12


async def test_an_unedited_replay_of_a_run_without_luck_has_its_outcome(tmp_path: Path) -> None:
    async with opened(tmp_path) as (lab, _):
        for number in range(4):
            rollout = await ran(lab, number)
            again = await lab.replay(rollout, Change(steps=("aggregator#2.0",)))

            assert again.outcome.score == rollout.outcome.score
            assert again.outcome.result == rollout.outcome.result


async def test_replays_at_the_same_time_share_the_replies_of_equal_calls(tmp_path: Path) -> None:
    async with opened(tmp_path) as (lab, meter):
        rollout = await ran(lab)
        steps = [
            s.id
            for s in rollout.trajectory.steps
            if s.round == 3 and s.role not in {"aggregator", "decision"}
        ]
        before = paid(meter)
        # the same words in place of different steps of one round: their aggregators read different notes
        await asyncio.gather(*(lab.replay(rollout, Change(steps=(steps[0],))) for _ in range(5)))

        assert paid(meter) - before == 2


async def test_another_replicate_is_another_replay(tmp_path: Path) -> None:
    async with opened(tmp_path) as (lab, meter):
        rollout = await ran(lab)
        before = paid(meter)
        one, two = [await lab.replay(rollout, Change(steps=("aggregator#3.0",)), replicate=n) for n in (0, 1)]

        assert one.id != two.id
        assert paid(meter) - before == 2


async def test_a_new_process_reads_old_replays_and_forks_old_rollouts(tmp_path: Path) -> None:
    change = Change(steps=("aggregator#2.0",), neutral=SILENCE)
    async with opened(tmp_path) as (lab, _):
        first = await lab.replay(await ran(lab), change)
    async with opened(tmp_path) as (lab, meter):
        before = paid(meter)
        rollout = await ran(lab)
        again = await lab.replay(rollout, change)
        assert paid(meter) == before
        await lab.replay(rollout, Change(steps=("aggregator#2.0",), neutral="Otherwise."))

        assert paid(meter) > before
    assert again == first


async def test_a_new_book_goes_on_from_the_first_step_it_touches(tmp_path: Path) -> None:
    async with opened(tmp_path) as (lab, meter):
        task = next(t for t in WORLD.tasks(40) if (g := WORLD.guilty(t)) and g.kind == "commission")
        rollout = (await lab.rollouts([task], WORLD.rules, purpose="task"))[0]
        assert rollout.outcome.score == 0
        replayed = await lab.replay(rollout, Change(book=WORLD.repaired(task)))

        assert replayed.outcome.score == 1
        assert replayed.version == WORLD.repaired(task).version
        before = paid(meter)
        assert await lab.replay(rollout, Change(book=WORLD.rules)) == rollout
        assert paid(meter) == before


async def test_a_replay_that_goes_round_for_ever_ends_soon(tmp_path: Path) -> None:
    model = ScriptedModel(replies=lambda messages: "go on" if messages[-1].text == SILENCE else "done")

    async def plan(state: Said) -> dict[str, Any]:
        return {"plan": (await model.ainvoke("What is to be done?")).text}

    async def boss(state: Said) -> dict[str, Any]:
        return {"said": (await model.ainvoke(state["plan"])).text}

    builder = StateGraph(Said).add_node("plan", plan).add_node("boss", boss)
    builder.add_edge(START, "plan").add_edge("plan", "boss")
    builder.add_conditional_edges("boss", lambda s: END if s["said"] == "done" else "boss", ["boss", END])
    book = RuleBook({"plan": parse("plan", "Plan.")})
    system = System(builder.compile(), book, inputs=lambda given: {})
    async with opened(tmp_path, system=system) as (lab, meter):
        rollout = await ran(lab)
        assert len(rollout.trajectory.steps) == 2
        before = made(meter)
        lost = await lab.replay(rollout, Change(("plan#1.0",), neutral=SILENCE))

        assert "GraphRecursionError" in lost.outcome.error
        assert 0 < made(meter) - before < 30


async def test_unpacked_checkpoints_are_bounded_by_their_bytes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from langgraph_truce.rollout import replayer

    monkeypatch.setattr(replayer, "OPEN_BYTES", 1)
    async with opened(tmp_path) as (lab, _):
        rollouts = [await ran(lab, n) for n in range(4)]
        change = Change(steps=("aggregator#2.0",))
        await asyncio.gather(*(lab.replay(r, change, replicate=n) for r in rollouts for n in (0, 1)))

        assert len(lab._replayer._sources) == 1
        assert not lab._replayer._turns


async def test_a_rollout_without_kept_checkpoints_is_not_forked(tmp_path: Path) -> None:
    async with opened(tmp_path, keep=False) as (lab, _):
        rollout = await ran(lab)
        with pytest.raises(ReplayRefused, match="were not kept; use a method with forks=True"):
            await lab.replay(rollout, Change(steps=("aggregator#1.0",)))
