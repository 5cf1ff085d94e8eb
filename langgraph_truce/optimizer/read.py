"""A run folder's records as a `Result`."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from langgraph_truce.errors import RunError
from langgraph_truce.gate import compare
from langgraph_truce.model import open_store
from langgraph_truce.optimizer.folder import read_manifest
from langgraph_truce.optimizer.records import Records
from langgraph_truce.optimizer.result import Estimate, Result

Scores = dict[str, list[float | None]]


async def result_of(records: Records, folder: Path) -> Result:
    """The result of a finished run.

    Raises:
        RunError: the run is not finished.
    """
    test = await records.read_box(0, "test")
    if test is None:
        raise RunError(
            f"{folder}: this run is not finished; give the same optimize command again to resume it"
        )
    base, final = _scores(test["initial"]), _scores(test["final"])
    ledger = await records.ledger()
    iterations, by_role = await _iterations(records)
    return Result(
        baseline=Estimate.of(_counted(base)),
        final=Estimate.of(_counted(final)),
        difference=compare(base, final, alternative="two-sided"),
        initial=await records.read_book(test["versions"]["initial"]),
        rules=await records.read_book(test["versions"]["final"]),
        ledger=ledger,
        iterations=iterations,
        credits=by_role,
        meter=test["meter"],
        folder=folder,
        missed=test.get("missed", {}),
        refused=test.get("refused", {}),
    )


async def read_folder(path: Path) -> Result:
    """The result of the finished run in `path`.

    Raises:
        RunError: no run folder, or the run is not finished.
    """
    read_manifest(path)
    with open_store(path / "records.sqlite") as store:
        return await result_of(await Records(store).open(), path)


def _scores(outcomes: Mapping[str, Any]) -> Scores:
    """Test scores by task; None where the rollout was excluded."""
    return {task: [None if o["excluded"] else o["score"]] for task, o in outcomes.items()}


def _counted(scores: Scores) -> list[float]:
    return [s for row in scores.values() for s in row if s is not None]


async def _iterations(
    records: Records,
) -> tuple[tuple[Mapping[str, Any], ...], dict[str, dict[str, float]]]:
    rows: list[Mapping[str, Any]] = []
    values: dict[str, list[float]] = {}
    iteration = 1
    while (evaluated := await records.read_box(iteration, "evaluate")) is not None:
        verdict = await records.read_box(iteration, "gate") or {}
        comparison = verdict.get("comparison", {})
        rows.append(
            {
                "iteration": iteration,
                **evaluated,
                "decision": verdict.get("decision", ""),
                "words": verdict.get("words", ""),
                "validation_baseline": comparison.get("baseline"),
                "validation_candidate": comparison.get("candidate"),
                "p_value": comparison.get("p_value"),
                "alpha": verdict.get("alpha"),
                "trials": verdict.get("trials", []),
            }
        )
        for credit in await records.read_box(iteration, "credit") or []:
            if credit["role"] and credit["value"] is not None:
                values.setdefault(credit["role"], []).append(credit["value"])
        iteration += 1
    means = {role: {"mean": sum(v) / len(v), "n": float(len(v))} for role, v in sorted(values.items())}
    return tuple(rows), means
