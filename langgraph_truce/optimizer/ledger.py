"""The ledger: one line per edit that was tried, with its evidence and the verdict on it, then what became of it.

It is only ever appended to. A line says what it is in `kind`: `edit` (a gate decided), `error` (a suggestion could not be
written as an edit), `review` (a person decided), `revert` (it was taken back later). The last line about an edit tells how
it stands; the lines whose `version_after` differs from their `version_before` are the history of the rules.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from langgraph_truce.errors import EditError
from langgraph_truce.rules import Edit, RuleBook, apply, apply_one
from langgraph_truce.seams import Batch

Line = dict[str, Any]
TOLD = ("iteration", "edit", "decision")
"""What a suggester learns of earlier edits: never how well they scored on validation."""
GATE = "gate"
"""The approver of what nobody looked at."""
REVERT = "revert"
"""The kind of a line about an edit that was taken back."""
WAITING = "waiting"
"""How an edit stands that passed the gate while a person's answer is not there, or not carried out yet."""
FIGURES = ("estimate", "low", "high", "p_value")
NO_FIGURES: Mapping[str, Any] = {**dict.fromkeys((*FIGURES, "alpha")), "fixed": [], "broken": [], "set": []}


@dataclass(frozen=True, slots=True)
class Circumstances:
    """What all lines of one box have in common."""

    at: str
    """When it was decided, ISO 8601, UTC."""
    cost: Mapping[str, Any] = field(default_factory=dict)
    """`{"calls", "tokens", "usd"}` of the iteration up to here; "usd" is None where a price is unknown."""
    approver: str = GATE


def now() -> str:
    """The time, ISO 8601, UTC, to the second."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def cost(before: Mapping[str, Any], after: Mapping[str, Any]) -> dict[str, Any]:
    """What was paid between two meters (`sealed.metered`): `{"calls", "tokens", "usd"}`; "usd" is None where a price is unknown.

    Calls that no journal keeps are forgotten when a process is killed: never less than nothing.
    """
    old, new = before.get("total", {}), after.get("total", {})

    def more(*names: str) -> float:
        return max(0, sum(new.get(n) or 0 for n in names) - sum(old.get(n) or 0 for n in names))

    priced = new.get("usd") is not None and (not old or old.get("usd") is not None)
    return {
        "calls": more("calls"),
        "tokens": more("input_tokens", "output_tokens"),
        "usd": more("usd") if priced else None,
    }


def lines(
    batch: Batch,
    verdict: Mapping[str, Any],
    errors: Sequence[Mapping[str, Any]] = (),
    *,
    told: Circumstances,
    applied: bool = True,
) -> list[Line]:
    """The lines of one gate: its edits in order, then what could not be written as an edit (contract 3).

    Args:
        batch: The iteration, with the edits that were tested.
        verdict: The gate's `Verdict`, as JSON.
        errors: The writer's records `{"suggestion", "error", "iteration"}`; those of other iterations are left out.
        told: When, for how much, by whom.
        applied: False where a person is asked before anything changes.

    Returns:
        len(result) == len(batch.edits) + errors of this iteration.
    """
    kept = {e["id"] for e in verdict["edits"]}
    accepted = verdict["decision"] == "accept"
    before = batch.book.version
    after = (
        apply(batch.book, [e for e in batch.edits if e.id in kept]).version if kept and applied else before
    )
    comparison = verdict["comparison"]
    out: list[Line] = []
    book = batch.book
    for edit in batch.edits:
        rule_id = edit.rule
        if edit.id in kept:
            book, rule_id = apply_one(book, edit)
        decision = ("accept" if edit.id in kept else "pruned") if accepted else verdict["decision"]
        out.append(
            {
                **about(batch.book, edit, rule_id),
                "kind": "edit",
                "iteration": batch.iteration,
                "decision": decision,
                "words": verdict["words"],
                **{name: comparison[name] for name in FIGURES},
                "alpha": verdict["alpha"],
                "fixed": comparison["fixed"],
                "broken": comparison["broken"],
                "set": sorted(kept) if accepted else [e.id for e in batch.edits],
                "objective": verdict.get("objective", "score"),
                "guards": verdict.get("guards", []),
                "cost": dict(told.cost),
                "approver": told.approver if accepted else GATE,
                "version_before": before,
                "version_after": after if decision == "accept" else before,
                "at": told.at,
            }
        )
    failed = [e for e in errors if e.get("iteration", batch.iteration) == batch.iteration]
    return [*out, *(error_line(batch, e, told) for e in failed)]


def about(book: RuleBook, edit: Edit, rule_id: str = "") -> Line:
    """What an edit is, without what became of it."""
    wish = edit.suggestion
    rules = book.agents.get(edit.agent)
    before = next((r.text for r in rules.rules if r.id == edit.rule), "") if rules else ""
    return {
        "edit": edit.to_json(),
        "id": edit.id,
        "op": edit.op,
        "agent": edit.agent,
        "rule_id": rule_id or edit.rule,
        "before": before,
        "after": edit.text,
        "reason": wish.reason if wish else "",
        "support": wish.support if wish else 0.0,
        "tasks": list(wish.tasks) if wish else [],
        "evidence": list(wish.evidence) if wish else [],
    }


def error_line(batch: Batch, error: Mapping[str, Any], told: Circumstances) -> Line:
    """The line of a suggestion that became no edit: the sentence says why."""
    wish = error["suggestion"]
    wished = {"op": wish["op"], "agent": wish["agent"], "rule": wish["rule"]}
    text = {"text": wish["instruction"], "kind": wish["kind"], "task": ""}
    edit = {"id": "", **wished, "old_hash": "", **text, "suggestion": wish}
    return {
        **about(batch.book, Edit.from_json(edit)),
        "edit": edit,
        "kind": "error",
        "iteration": batch.iteration,
        "decision": "error",
        "words": error["error"],
        **NO_FIGURES,
        **_unchanged(batch, told),
    }


def unfit(batch: Batch, edit: Edit, why: str, told: Circumstances) -> Line:
    """The line of a deferred edit that did not come back, with the reason."""
    return {
        **about(batch.book, edit),
        "kind": "edit",
        "iteration": batch.iteration,
        "decision": "error",
        "words": why,
        **NO_FIGURES,
        **_unchanged(batch, told),
    }


def _unchanged(batch: Batch, told: Circumstances) -> Line:
    version = batch.book.version
    return {
        "cost": dict(told.cost),
        "approver": GATE,
        "version_before": version,
        "version_after": version,
        "at": told.at,
    }


def standing(ledger: Iterable[Mapping[str, Any]]) -> dict[str, Mapping[str, Any]]:
    """Edit id -> the last line about it, which tells how it stands, in order of first appearance."""
    return {line["id"]: line for line in ledger if line["id"]}


def is_applied(line: Mapping[str, Any]) -> bool:
    """True where the last line about an edit says that it is in the rules."""
    return bool(line.get("version_before") != line.get("version_after") and line.get("kind") != REVERT)


def told_so_far(ledger: Sequence[Mapping[str, Any]], iteration: int) -> tuple[Mapping[str, Any], ...]:
    """`Batch.history` of `iteration`: one entry per earlier edit with the last decision on it, and earlier errors."""
    earlier = [line for line in ledger if line["iteration"] < iteration]
    last = {id(line) for line in standing(earlier).values()}
    return tuple(
        {name: line[name] for name in TOLD} for line in earlier if not line["id"] or id(line) in last
    )


def with_deferred(
    book: RuleBook, fresh: Sequence[Edit], deferred: Sequence[Edit]
) -> tuple[tuple[Edit, ...], Mapping[str, str]]:
    """The joint candidate of an iteration: what is new, and what was deferred before and still fits.

    Returns:
        The edits, and for each deferred one that stays out, by id, why.
    """
    out = list(fresh)
    lost: dict[str, str] = {}
    for edit in deferred:
        again = next((e for e in fresh if _same_aim(e, edit)), None)
        if again is not None:
            lost[edit.id] = f"it was deferred; {again.id} now asks for the same place"
            continue
        try:
            apply(book, [edit])
        except EditError as e:
            lost[edit.id] = f"it was deferred and does not fit any more: {e}"
            continue
        out.append(edit)
    return tuple(out), lost


def _same_aim(new: Edit, old: Edit) -> bool:
    if new.agent != old.agent:
        return False
    return new.rule == old.rule if old.rule else new.op == "ADD" and new.text == old.text


def timeless(ledger: Iterable[Mapping[str, Any]]) -> tuple[Line, ...]:
    """The ledger without the times: a run that was killed and resumed has the same one as a run that was not."""
    return tuple({name: value for name, value in line.items() if name != "at"} for line in ledger)
