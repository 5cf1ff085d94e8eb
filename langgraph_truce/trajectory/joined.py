"""A whole trajectory from what stands of an earlier one and what was run again."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from itertools import groupby
from typing import Any

from langgraph_truce.trajectory.downstream import owners
from langgraph_truce.trajectory.step import Ref, Step, Trajectory


def joined(
    source: Trajectory, replayed: Trajectory, again: Collection[str], aggregator: str = ""
) -> Trajectory:
    """The steps of `source` that are not run again, with those of `replayed`: as if it had run from the start.

    Args:
        source: What was recorded before.
        replayed: What ran from the fork on, under the ids of `source` (`trajectory.continued`).
        again: Ids of the steps of `source` that ran again, or would have.
        aggregator: Role path that closes a round; "" begins a new round when a role runs again.
    """
    place = {step.id: n for n, step in enumerate(source.steps)}
    stands = {step.id: step for step in source.steps if step.id not in again}
    new = {step.id for step in replayed.steps}
    rows = [(place[step.id], step) for step in stands.values() if step.id not in new]
    last = -1
    for step in replayed.steps:  # in order: a step that the source does not have follows the one before it
        last = max(last, place.get(step.id, last))
        # what stands beside the fork was read from checkpoints, which hold no prompts
        rows.append((last, stands.get(step.id, step)))
    steps = [step for _, step in sorted(rows, key=lambda row: row[0])]
    blobs = {**source.blobs, **replayed.blobs}
    whole = replace(replayed, steps=tuple(steps), blobs=_reached(steps, blobs))
    return whole if "/" in aggregator else replace(whole, steps=_rounds(whole, aggregator))


def _rounds(whole: Trajectory, aggregator: str) -> tuple[Step, ...]:
    """Rounds counted from the start: closed by the aggregator, or opened by a role that ran in this one already."""
    above = owners(whole)
    number, closed, seen = 1, False, set[str]()
    rounds: dict[str, int] = {}
    outer = [step for step in whole.steps if not above[step.id]]
    for _, group in groupby(outer, key=lambda step: step.superstep):
        together = list(group)
        ran = {step.role for step in together}
        if closed if aggregator else ran & seen:
            number, seen = number + 1, set()
        closed, seen = aggregator in ran, seen | ran
        rounds |= {step.id: number for step in together}
    for step in whole.steps:  # owners come first
        rounds.setdefault(step.id, rounds.get(above[step.id], number))
    return tuple(
        step if step.round == rounds[step.id] else replace(step, round=rounds[step.id])
        for step in whole.steps
    )


def _reached(steps: Sequence[Step], blobs: Mapping[Ref, Any]) -> dict[Ref, Any]:
    """The contents that `steps` refer to, directly or through another content."""
    kept: dict[Ref, Any] = {}
    todo: list[Any] = []
    for step in steps:
        todo += [step.input, *step.writes.values()]
        todo += [ref for call in step.calls for ref in (call.prompt, call.output)]
        todo += [ref for tool in step.tools for ref in (tool["input"], tool["output"])]
    while todo:
        ref = todo.pop()
        if ref is not None and ref not in kept:
            kept[ref] = blobs[ref]
            todo += _refs(blobs[ref])
    return kept


def _refs(form: Any) -> list[Ref | None]:
    """References inside one stored content: those of its members, and a list's prefix."""
    if isinstance(form, dict) and set(form) == {"$list"}:
        prefix, *items = form["$list"]
        return [prefix, *(ref for item in items for ref in _refs(item))]
    if isinstance(form, dict) and set(form) == {"$dict"}:
        return [ref for item in form["$dict"].values() for ref in _refs(item)]
    if isinstance(form, dict) and set(form) == {"$ref"}:
        return [form["$ref"]]
    return []
