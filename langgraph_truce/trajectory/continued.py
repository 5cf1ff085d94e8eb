"""The steps of a replay under the ids that they have in the source trajectory."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Sequence
from dataclasses import replace

from langgraph_truce.trajectory.downstream import beside, is_function, line, owners
from langgraph_truce.trajectory.step import Step, Trajectory


def continued(
    replayed: Trajectory, source: Trajectory, changed: Sequence[str], again: Collection[str]
) -> Trajectory:
    """`replayed` from the fork on, visits and rounds counted on from the source: `worker#2.0` is the same place in both.

    Visits of a role that never ran after the fork in the source follow its last one. A step that the source does not
    have belongs to the round before it, or opens the next where its role ran in that one already.

    Args:
        replayed: What was recorded of the replay, counted from 1.
        source: What it was forked from.
        changed: The steps that the replay is about, of `source`.
        again: Ids of the steps of `source` that run again.
    """
    steps = _from_fork(replayed, source, changed)
    near = set(beside(source, changed))
    above = owners(source)
    first: dict[str, int] = {}
    last: dict[str, int] = defaultdict(int)
    for step in source.steps:
        last[step.role] = max(last[step.role], step.visit)
        # functions and error handlers are stored with their caller
        handler = step.role.rpartition("/")[2].startswith("__error_handler__")
        if above[step.id] in near and (is_function(step) or handler):
            near.add(step.id)
        if step.id in near or step.id in again:
            first.setdefault(step.role, step.visit)
    numbers: dict[str, dict[int, int]] = defaultdict(dict)
    renamed: list[Step] = []
    for step in steps:
        seen = numbers[step.role]
        visit = seen.setdefault(step.visit, first.get(step.role, last[step.role] + 1) + len(seen))
        index = step.index + (_missing(step, visit, replayed, source) if is_function(step) else 0)
        renamed.append(replace(step, id=f"{step.role}#{visit}.{index}", visit=visit, index=index))
    return replace(replayed, steps=_rounds(renamed, source))


def _missing(step: Step, visit: int, replayed: Trajectory, source: Trajectory) -> int:
    """Calls of the function in this visit that the replay does not hold: those before, that kept what they gave."""
    before = sum(s.role == step.role and s.visit == visit for s in source.steps)
    now = sum(s.role == step.role and s.visit == step.visit for s in replayed.steps)
    return max(before - now, 0)


def _step(trajectory: Trajectory, step_id: str) -> Step:
    step = trajectory.step(step_id)
    assert step is not None, step_id
    return step


def _from_fork(replayed: Trajectory, source: Trajectory, changed: Sequence[str]) -> list[Step]:
    """Without the steps before the fork: a fork with a `DeltaChannel` holds them too."""
    chain = [_step(source, step) for step in line(changed[0], owners(source))]
    above = owners(replayed)
    by_id = {step.id: step for step in replayed.steps}
    gone: set[str] = set()
    for step in replayed.steps:
        owner = above[step.id]
        depth = len(line(step.id, above)) - 1
        way = depth == 0 or (
            depth < len(chain)
            and (by_id[owner].role, by_id[owner].superstep)
            == (chain[depth - 1].role, chain[depth - 1].superstep)
        )
        earlier = depth < len(chain) and step.superstep < chain[depth].superstep
        if owner in gone or (way and earlier and not is_function(step)):
            gone.add(step.id)
    return [step for step in replayed.steps if step.id not in gone]


def _rounds(steps: Sequence[Step], source: Trajectory) -> tuple[Step, ...]:
    known = {step.id: step.round for step in source.steps}
    number = min((known[step.id] for step in steps if step.id in known), default=1)
    seen: set[str] = set()
    counted: list[Step] = []
    for step in steps:
        before = number
        if step.id in known:
            number = max(number, known[step.id])
        elif step.role in seen and "/" not in step.role:
            number += 1
        if number != before:
            seen = set()
        seen.add(step.role)
        counted.append(replace(step, round=number))
    return tuple(counted)
