"""The review box: the verdict goes into the ledger; where a person approves, the run waits for the answers here.

The gate has proven the joint set. All of it accepted is applied as it was proven. Any other set (an edit rejected,
deferred or reworded) is one that nobody has measured, so it goes through the gate once more, on fresh replicates and
with its own half of the iteration's error rate (`gate/spend.py`); what passes is applied, and nobody is asked twice.
Everything is kept before it is acted on, so a process killed at any moment goes on from the same answers.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from langgraph.types import interrupt

from langgraph_truce.codec import to_json
from langgraph_truce.errors import ReviewPending, UserMistake
from langgraph_truce.optimizer.ledger import (
    FIGURES,
    NO_FIGURES,
    Circumstances,
    Line,
    about,
    cost,
    lines,
    now,
    unfit,
    with_deferred,
)
from langgraph_truce.optimizer.proposal import kept_edits, propose, waiting
from langgraph_truce.optimizer.review import Answers, Reviewed, decided
from langgraph_truce.optimizer.session import Session
from langgraph_truce.optimizer.state import State
from langgraph_truce.rules import Edit, apply, apply_one
from langgraph_truce.seams import Batch

TESTS = 2
"""Gates an iteration may need where a person approves; each has its part of the error rate."""


def tests_planned(iterations: int, *, reviewed: bool) -> int:
    """How many gates share the run's error rate: K, or 2 K where a person may change what was proven."""
    return iterations * (TESTS if reviewed else 1)


async def begin(session: Session, iteration: int) -> None:
    """Note when an iteration began and what had been paid by then; begun again, the first note stands."""
    await _once(session, iteration, "begin", lambda: _begun(session))


async def review(session: Session, state: State) -> dict[str, Any]:
    """Ledger, question, answers and, where these changed the set, the second gate. Returns what changes in the state."""
    iteration = state["iteration"]
    batch = await session.batch(state)
    verdict = await session.records.read_box(iteration, "gate")
    asks = session.reviewer is not None and verdict["decision"] == "accept"
    first = await _once(
        session, iteration, "ledger", lambda: _gate_lines(session, state, batch, verdict, applied=not asks)
    )
    await _append(session, iteration, 0, first)
    if not asks:
        kept = {"edits": kept_edits(batch, verdict), "decision": state["decision"]}
        await session.records.write_box(iteration, "review", {**kept, "words": verdict["words"], "by": ""})
        return {}
    answers = await session.records.read_box(iteration, "answers")
    if answers is None:
        proposal = await _once(
            session, iteration, "proposal", lambda: propose(session.records, batch, verdict, first, now())
        )
        answers = _wait(proposal, batch, kept_edits(batch, verdict))
        await session.records.write_box(iteration, "answers", answers)
    outcome = decided(batch.book, kept_edits(batch, verdict), answers)
    await session.records.write_box(iteration + 1, "deferred", list(outcome.deferred))
    update, settled, second = await _settle(session, state, batch, verdict, outcome)
    more = await _once(
        session, iteration, "answered", lambda: _review_lines(session, batch, verdict, outcome, second)
    )
    await _append(session, iteration, len(first), more)
    await session.records.write_box(iteration, "review", settled)
    return update


async def answered(session: Session, state: State, proposal: Mapping[str, Any]) -> Answers:
    """The answers to a proposal that waits: those that are kept already, else those of the session's reviewer.

    Raises:
        ReviewPending: they are not there yet.
        UserMistake: they do not fit, and the reviewer, told so, gave them again.
    """
    iteration = state["iteration"]
    known: Answers | None = await session.records.read_box(iteration, "answers")
    if known is not None:
        return known
    if session.reviewer is None:
        raise ReviewPending(f"{waiting(proposal)}; resume the run with the approval it began with", proposal)
    batch = await session.batch(state)
    edits = kept_edits(batch, await session.records.read_box(iteration, "gate"))
    before: Answers | None = None
    session.say("review", iteration, 0, 0)
    while True:
        answers = await session.reviewer(proposal)
        if answers is None:
            raise ReviewPending(f"{waiting(proposal)}; the same command asks again", proposal)
        try:
            decided(batch.book, edits, answers)
        except UserMistake as mistake:
            if answers == before:
                raise
            before, proposal = answers, {**proposal, "problem": str(mistake)}
        else:
            return answers


def _wait(proposal: Mapping[str, Any], batch: Batch, edits: Sequence[Edit]) -> Answers:
    """Interrupt until the answers fit; each bad one is asked again with what is wrong with it."""
    asked = dict(proposal)
    while True:
        answers: Answers = interrupt(asked)
        try:
            decided(batch.book, edits, answers)
        except UserMistake as mistake:
            asked = {**proposal, "problem": str(mistake)}
        else:
            return answers


async def _settle(
    session: Session, state: State, batch: Batch, verdict: Mapping[str, Any], outcome: Reviewed
) -> tuple[dict[str, Any], dict[str, Any], dict[str, Any] | None]:
    """Update of the state, what the apply box reads, and the second verdict where there was a second gate."""
    settled = {"by": outcome.by, "edits": outcome.candidate, "decision": "accept", "words": verdict["words"]}
    if outcome.proven:
        return {}, settled, None
    if not outcome.candidate:
        decision = "deferred" if outcome.deferred else "declined"
        words = f"{decision}: nothing is left of what passed the gate, said {outcome.by}"
        return {"decision": decision}, {**settled, "edits": [], "decision": decision, "words": words}, None
    iteration, memory = state["iteration"], state["memory"]
    candidate = replace(
        batch,
        iterations=tests_planned(batch.iterations, reviewed=True),
        edits=outcome.candidate,
        validation=session.phases.tested(state),
    )
    session.expect("gate", iteration, 2 * len(candidate.validation))
    found, own = await session.method.gate(candidate, memory.get("gate", {}), session.lab)
    second: dict[str, Any] = to_json(found)
    settled |= {
        "edits": kept_edits(candidate, second),
        "decision": second["decision"],
        "words": second["words"],
    }
    settled["verdict"] = second
    kept = session.records.redact.json(dict(own))
    return {"memory": {**memory, "gate": kept}, "decision": second["decision"]}, settled, second


async def _gate_lines(
    session: Session, state: State, batch: Batch, verdict: Mapping[str, Any], *, applied: bool
) -> list[Line]:
    told = await _told(session, batch.iteration)
    errors = state["memory"].get("write", {}).get("errors", [])
    out = lines(batch, verdict, errors, told=told, applied=applied)
    earlier = await session.deferred(batch.iteration)
    fresh = [e for e in batch.edits if e.id not in {d.id for d in earlier}]
    _, lost = with_deferred(batch.book, fresh, earlier)
    return [*out, *(unfit(batch, e, lost[e.id], told) for e in earlier if e.id in lost)]


async def _review_lines(
    session: Session,
    batch: Batch,
    verdict: Mapping[str, Any],
    outcome: Reviewed,
    second: Mapping[str, Any] | None,
) -> list[Line]:
    told = await _told(session, batch.iteration, outcome.by)
    if outcome.proven:
        after = apply(batch.book, outcome.accepted).version
        return [
            {**_said(batch, verdict, e, outcome, told), "rule_id": rule_id, "version_after": after}
            for e, rule_id in zip(outcome.accepted, _ids(batch, outcome.accepted), strict=True)
        ]
    # what was rejected or deferred first: what follows is the set that was tested again
    out = [_said(batch, verdict, e, outcome, told) for e in (*outcome.declined, *outcome.deferred)]
    before = {f"{e['id']}w": Edit.from_json(e) for e in verdict["edits"]}
    out += [_said(batch, verdict, before[e.id], outcome, told) for e in outcome.reworded]
    if second is None:
        return out
    return [*out, *lines(replace(batch, edits=outcome.candidate), second, told=told)]


def _said(
    batch: Batch, verdict: Mapping[str, Any], edit: Edit, outcome: Reviewed, told: Circumstances
) -> Line:
    """The line of what a person said to an edit that the gate had accepted."""
    decision, words = "declined", f"rejected by {told.approver}"
    if edit in outcome.accepted:
        decision, words = "accept", f"accepted by {told.approver}"
    elif edit in outcome.deferred:
        decision, words = "deferred", f"deferred by {told.approver} to the next iteration"
    elif edit not in outcome.declined:
        words = f"reworded by {told.approver} as {edit.id}w, which was tested again"
    comment = outcome.comments.get(edit.id, "")
    comparison = verdict["comparison"]
    version = batch.book.version
    return {
        **about(batch.book, edit),
        **NO_FIGURES,
        "kind": "review",
        "iteration": batch.iteration,
        "decision": decision,
        "words": f"{words}: {comment}" if comment else words,
        **{name: comparison[name] for name in (*FIGURES, "fixed", "broken")},
        "alpha": verdict["alpha"],
        "set": sorted(e["id"] for e in verdict["edits"]),
        "objective": verdict.get("objective", "score"),
        "guards": verdict.get("guards", []),
        "cost": dict(told.cost),
        "approver": told.approver,
        "version_before": version,
        "version_after": version,
        "at": told.at,
    }


def _ids(batch: Batch, edits: Sequence[Edit]) -> list[str]:
    book, out = batch.book, []
    for edit in edits:
        book, rule_id = apply_one(book, edit)
        out.append(rule_id)
    return out


async def _begun(session: Session) -> dict[str, Any]:
    return {"at": now(), "meter": session.sealed.metered(session.meter)}


async def _told(session: Session, iteration: int, by: str = "gate") -> Circumstances:
    begun = await session.records.read_box(iteration, "begin") or {"meter": {}}
    return Circumstances(now(), cost(begun["meter"], session.sealed.metered(session.meter)), by)


async def _once(session: Session, iteration: int, box: str, make: Callable[[], Awaitable[Any]]) -> Any:
    """The result of a box that has a time or a price in it: made and kept the first time, read from then on."""
    found = await session.records.read_box(iteration, box)
    if found is None:
        found = to_json(await make())
        await session.records.write_box(iteration, box, found)
    return found


async def _append(session: Session, iteration: int, first: int, ledger: Sequence[Mapping[str, Any]]) -> None:
    for index, line in enumerate(ledger, first):
        await session.records.append(iteration, index, line)
