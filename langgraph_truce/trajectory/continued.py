"""The steps of a replay under the ids that they have in the source trajectory."""

from __future__ import annotations

from collections import Counter, defaultdict
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
    places = _Places(source, changed, again)
    above = owners(replayed)
    renamed: dict[str, Step] = {}
    steps = _from_fork(replayed, source, changed)
    calls = Counter((above[step.id], step.role, step.visit) for step in steps if is_function(step))
    for step in steps:  # owners come first
        owner = renamed[above[step.id]].id if above[step.id] in renamed else above[step.id]
        visit, index = places.take(step, owner, calls[above[step.id], step.role, step.visit])
        renamed[step.id] = replace(step, id=f"{step.role}#{visit}.{index}", visit=visit, index=index)
    return replace(replayed, steps=_rounds(list(renamed.values()), source))


class _Places:
    """The places of `source` from the fork on, handed out to the steps of a replay in order."""

    def __init__(self, source: Trajectory, changed: Sequence[str], again: Collection[str]) -> None:
        near = set(beside(source, changed))
        above = owners(source)
        self._last: dict[str, int] = defaultdict(int)
        self._indexes: dict[tuple[str, str], dict[int, list[int]]] = defaultdict(dict)
        """(owner, role) -> visit -> the indexes there; the interior of one step of a fan-out has its own."""
        for step in source.steps:
            self._last[step.role] = max(self._last[step.role], step.visit)
            # functions and error handlers are stored with their caller
            handler = step.role.rpartition("/")[2].startswith("__error_handler__")
            if above[step.id] in near and (is_function(step) or handler):
                near.add(step.id)
            visits = self._indexes[above[step.id], step.role]
            if visits or step.id in near or step.id in again:
                visits.setdefault(step.visit, []).append(step.index)
        self._next: dict[tuple[str, int], int] = defaultdict(int)
        """(role, visit) -> the index after the last one there."""
        for step in source.steps:
            place = step.role, step.visit
            self._next[place] = max(self._next[place], step.index + 1)
        self._visits: dict[tuple[str, str], dict[int, int]] = defaultdict(dict)
        self._more: dict[str, dict[int, int]] = defaultdict(dict)
        self._taken: Counter[tuple[str, str, int]] = Counter()

    def take(self, step: Step, owner: str, calls: int) -> tuple[int, int]:
        """Visit and index of a replayed step inside `owner`.

        `calls` are those of its function there, else 0: a function that runs again follows those that keep what they gave.
        """
        there = self._indexes[owner, step.role]
        visits = self._visits[owner, step.role]
        if step.visit not in visits:
            known = list(there)[len(visits) :]
            more = self._more[step.role]
            visits[step.visit] = (
                known[0] if known else more.setdefault(step.visit, self._last[step.role] + 1 + len(more))
            )
        visit = visits[step.visit]
        indexes = there.get(visit, [])
        place = (owner, step.role, visit)
        n = self._taken[place] + (max(len(indexes) - calls, 0) if calls else 0)
        self._taken[place] += 1
        if n < len(indexes):
            return visit, indexes[n]
        index = self._next[step.role, visit]
        self._next[step.role, visit] += 1
        return visit, index


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
    reached: set[int] = set()  # levels at the fork: a node that calls a graph again begins to count anew
    for step in replayed.steps:
        owner = above[step.id]
        depth = len(line(step.id, above)) - 1
        way = depth == 0 or (
            depth < len(chain)
            and (by_id[owner].role, by_id[owner].superstep)
            == (chain[depth - 1].role, chain[depth - 1].superstep)
        )
        earlier = depth < len(chain) and depth not in reached and step.superstep < chain[depth].superstep
        if owner in gone or (way and earlier and not is_function(step)):
            gone.add(step.id)
        elif way and not is_function(step):
            reached.add(depth)
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
