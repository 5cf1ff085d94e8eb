"""A run folder's records as a `Result`, or, of a run that is not finished too, as a `Story`."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from langgraph_truce.errors import RunError
from langgraph_truce.optimizer.place import Place, read_journal, read_manifest, read_place
from langgraph_truce.optimizer.records import Records
from langgraph_truce.optimizer.result import Estimate, Result
from langgraph_truce.optimizer.story import difference_of, scores_of, story_of
from langgraph_truce.optimizer.story_turns import Boxes, boxes, stands
from langgraph_truce.report.story import Cell, Story
from langgraph_truce.seams import Comparison

NOT_MEASURED = Comparison(0, 0.0, -1.0, 1.0, 0.95, 1.0, 0.0, 0.0)
"""The difference of a run whose test was not measured: nothing is bounded."""


async def result_of(records: Records, where: Place | Path | str) -> Result:
    """The result of a finished run.

    Raises:
        RunError: the run is not finished.
    """
    place = Place.of(where)
    test = await records.read_box(0, "test")
    if test is None:
        raise RunError(
            f"{place}: this run is not finished; give the same optimize command again to resume it"
        )
    done, ledger = await boxes(records), await records.ledger()
    story = await story_of(records, place, read_manifest(place), done)
    return Result(
        baseline=_estimate(test.get("initial") or {}),
        final=_estimate(test.get("final") or {}),
        difference=difference_of(test) or NOT_MEASURED,
        initial=await records.read_book(test["versions"]["initial"]),
        rules=await records.read_book(story.versions["rules as they are now"]),
        ledger=ledger,
        iterations=_iterations(done, ledger),
        credits=_by_role(story.credit),
        meter=test["meter"],
        stopped=test.get("stopped", ""),
        planned=test.get("planned", {}),
        folder=place.folder,
        missed=story.missed,
        refused=story.refused,
        story=story,
    )


async def read_folder(where: Place | Path | str) -> Result:
    """The result of the finished run in a folder or database.

    Raises:
        RunError: no run, or it is not finished.
    """
    async with read_place(where) as records:
        return await result_of(records, where)


def read_story(where: Place | Path | str) -> Story:
    """As `aread_story`, for sync code."""
    return asyncio.run(aread_story(where))


async def aread_story(where: Place | Path | str) -> Story:
    """The story of a run, finished or not; nothing is run.

    Raises:
        RunError: no run, or a damaged one.
    """
    place = Place.of(where)
    async with read_place(place) as records:
        meter = _so_far(place) if await records.read_box(0, "test") is None else None
        return await story_of(records, place, read_manifest(place), await boxes(records), meter)


def _so_far(place: Place) -> Mapping[str, Mapping[str, Any]] | None:
    """What a run that has no test yet has paid, by its journal."""
    with read_journal(place) as journal:
        return journal.meter.snapshot() if journal else None


def _estimate(outcomes: Mapping[str, Any]) -> Estimate:
    return Estimate.of([s for row in scores_of(outcomes).values() for s in row if s is not None])


def _iterations(done: Iterable[Boxes], ledger: Sequence[Mapping[str, Any]]) -> tuple[Mapping[str, Any], ...]:
    rows: list[Mapping[str, Any]] = []
    for box in done:
        verdict = box.verdict or {}
        comparison = verdict.get("comparison", {})
        how = stands(box, ledger)
        rows.append(
            {
                "iteration": box.iteration,
                **box.evaluate,
                "decision": how.decision,
                "words": how.words,
                "approver": how.approver,
                "validation_baseline": comparison.get("baseline"),
                "validation_candidate": comparison.get("candidate"),
                "p_value": comparison.get("p_value"),
                "alpha": verdict.get("alpha"),
                "trials": verdict.get("trials", []),
            }
        )
    return tuple(rows)


def _by_role(cells: Sequence[Cell]) -> dict[str, dict[str, float]]:
    """Mean credit by role, over all rounds."""
    roles = sorted({c.role for c in cells if c.role})
    own = {role: [c for c in cells if c.role == role] for role in roles}
    return {
        role: {
            "mean": sum(c.mean * c.n for c in found) / sum(c.n for c in found),
            "n": float(sum(c.n for c in found)),
        }
        for role, found in own.items()
    }
