"""The ledger: one line per edit that was tried, with its evidence and the verdict on it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from langgraph_truce.rules import apply_one
from langgraph_truce.seams import Batch


def lines(
    batch: Batch, verdict: Mapping[str, Any], errors: Sequence[Mapping[str, Any]] = ()
) -> list[dict[str, Any]]:
    """The ledger lines of one iteration, its edits in order, then what could not be written as an edit (contract 3).

    Args:
        batch: The iteration, with its edits.
        verdict: The gate's `Verdict`, as JSON.
        errors: The writer's records `{"suggestion", "error", "iteration"}`; those of other iterations are left out.

    Returns:
        len(result) == len(batch.edits) + errors of this iteration.
    """
    kept = {e["id"] for e in verdict["edits"]}
    comparison = verdict["comparison"]
    out: list[dict[str, Any]] = []
    book = batch.book
    for edit in batch.edits:
        before = batch.book.agent(edit.agent).rule(edit.rule).text if edit.rule else ""
        rule_id = edit.rule
        if edit.id in kept:
            book, rule_id = apply_one(book, edit)
        accepted = verdict["decision"] == "accept"
        out.append(
            {
                "iteration": batch.iteration,
                "edit": edit.to_json(),
                "rule_id": rule_id,
                "before": before,
                "decision": ("accept" if edit.id in kept else "pruned") if accepted else verdict["decision"],
                "words": verdict["words"],
                "estimate": comparison["estimate"],
                "low": comparison["low"],
                "high": comparison["high"],
                "p_value": comparison["p_value"],
                "alpha": verdict["alpha"],
                "fixed": comparison["fixed"],
                "broken": comparison["broken"],
            }
        )
    failed = [e for e in errors if e.get("iteration", batch.iteration) == batch.iteration]
    return [*out, *(_failed(batch.iteration, e) for e in failed)]


def _failed(iteration: int, error: Mapping[str, Any]) -> dict[str, Any]:
    """The line of a suggestion that became no edit: the sentence says why."""
    suggestion = error["suggestion"]
    wished = {"op": suggestion["op"], "agent": suggestion["agent"], "rule": suggestion["rule"]}
    edit = {
        "id": "",
        **wished,
        "old_hash": "",
        "text": suggestion["instruction"],
        "kind": suggestion["kind"],
        "task": "",
    }
    nothing: dict[str, Any] = {
        "estimate": None,
        "low": None,
        "high": None,
        "p_value": None,
        "alpha": None,
        "fixed": [],
        "broken": [],
    }
    return {
        "iteration": iteration,
        "edit": {**edit, "suggestion": suggestion},
        "rule_id": suggestion["rule"],
        "before": "",
        "decision": "error",
        "words": error["error"],
        **nothing,
    }
