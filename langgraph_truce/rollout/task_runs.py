"""Node executions as they are gathered (from callbacks, checkpoints or an old thread), and as Steps in order."""

from __future__ import annotations

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from typing import Any

from langgraph_truce.trajectory.content import Contents
from langgraph_truce.trajectory.step import ModelCall, Step

Place = tuple[tuple[str, str], ...]
"""Where a task ran: (node name, task id) for every level of subgraphs, the task itself last; see `place_of`."""
Order = tuple[tuple[int, int, int, str], ...]
"""Time order of a task: (turn among what its parent calls, call of the subgraph, superstep, task path) for every level."""

Moment = tuple[tuple[int, int], ...]
"""Superstep path: (call of the subgraph, superstep) for every level; parallel tasks share it."""

_CALLED = "~__pregel_push, ~"
"""How the task path of a function of the functional API begins: it holds its caller's path."""
_NESTED = 2
"""Levels of the place of a task that another one called."""

HIDDEN = frozenset({"__start__", "__end__"})
"""LangGraph's own nodes; they are no steps, and are left out where runs are gathered."""


@dataclass(slots=True)
class TaskRun:
    """One execution of one node, while it is put together."""

    place: Place
    step: int
    """Superstep in its own (sub)graph."""
    path: str
    """LangGraph's task path as text; sorts as LangGraph applies the writes."""
    call: int = 0
    """Which call of this subgraph by its parent task, from 0."""
    input: str | None = None
    writes: Mapping[str, str] = field(default_factory=dict)
    calls: list[ModelCall] = field(default_factory=list)
    tools: list[Mapping[str, Any]] = field(default_factory=list)
    goto: tuple[str, ...] = ()
    latency: float | None = None
    error: str = ""
    checkpoint: tuple[str, str] = ("", "")
    """Namespace and id of the checkpoint it started from; empty where the run was not read from checkpoints."""

    @property
    def id(self) -> str:
        """LangGraph's task id: what joins checkpoints and callbacks."""
        return self.place[-1][1]

    @property
    def role(self) -> str:
        """Role path: node names through the subgraphs."""
        return "/".join(name for name, _ in self.place)


def place_of(namespace: str) -> tuple[Place, int]:
    """Names and task ids in a checkpoint namespace (`team:ID|solver:ID`), and the call number at its end.

    LangGraph puts a bare number behind the namespace of a node that calls a subgraph for the second time, and leaves
    the task id out for subgraphs that keep their state between calls; such a level has the id "".
    """
    name, colon, task = namespace.partition(":")
    if colon and "|" not in namespace:  # the outermost graph: by far the most
        return ((name, task),), 0
    place: list[tuple[str, str]] = []
    call = 0
    for part in filter(None, namespace.split("|")):
        name, colon, task = part.partition(":")
        if not colon and name.isdecimal():
            call = int(name)
        else:
            place.append((name, task))
            call = 0
    return tuple(place), call


def path_text(path: Any) -> str:
    """A task path as LangGraph writes it for its savers (numbers padded, so that texts sort like paths)."""
    if isinstance(path, (tuple, list)):
        return "~" + ", ".join(path_text(p) for p in path)
    return f"{path:010d}" if isinstance(path, int) else str(path)


def grouped(writes: Iterable[tuple[str, Any]], contents: Contents) -> dict[str, str]:
    """State writes of one task by channel; several writes to one channel become `{"$writes": [...]}`.

    Control channels (`branch:to:X`, `join:...`, LangGraph's dunder names) are left out.
    """
    by_channel: dict[str, list[Any]] = defaultdict(list)
    for channel, value in writes:
        if is_state(channel):
            by_channel[channel].append(value)
    return {c: contents.put(v[0] if len(v) == 1 else {"$writes": v}) for c, v in by_channel.items()}


_RESULTS = frozenset({"__root__", "__return__", "__end__"})


def is_state(channel: str) -> bool:
    """True for a channel of the user's state (or the value of a function of the functional API)."""
    if channel.startswith("__"):
        return channel in _RESULTS
    return not channel.startswith(("branch:", "join:"))


def in_order(runs: Sequence[TaskRun], aggregator: str = "") -> tuple[Step, ...]:
    """The steps of a rollout by time; see `ordered`."""
    return tuple(step for _, step in ordered(runs, aggregator))


def ordered(runs: Sequence[TaskRun], aggregator: str = "") -> tuple[tuple[TaskRun, Step], ...]:
    """Each run with its step, by time: by superstep, inside one by task path, a parent before its interior.

    `aggregator` is the role path that closes a round; without one a new round begins when a role of the outermost
    graph that already ran in this round runs again.
    """
    by_id = {run.id: run for run in runs}
    turns = _turns(runs)
    rows = sorted(((_order(run, by_id, turns), run) for run in runs), key=lambda row: row[0])
    moments = [tuple((call, step) for _, call, step, _ in order) for order, _ in rows]
    roles = [run.role for _, run in rows]
    rounds = _closed(roles, moments, aggregator) if aggregator else _repeated(roles, moments)
    visits = _visits(roles, moments)
    index: dict[tuple[str, int], int] = defaultdict(int)
    pairs: list[tuple[TaskRun, Step]] = []
    for (_, run), role, moment, number in zip(rows, roles, moments, rounds, strict=True):
        visit = visits[role, moment]
        place = index[role, visit]
        index[role, visit] += 1
        step = Step(
            id=f"{role}#{visit}.{place}",
            role=role,
            superstep=run.step,
            visit=visit,
            index=place,
            round=number,
            input=run.input,
            writes=run.writes,
            calls=tuple(run.calls),
            tools=tuple(run.tools),
            goto=run.goto,
            latency=run.latency,
            error=run.error,
        )
        pairs.append((run, step))
    return tuple(pairs)


def _order(run: TaskRun, by_id: Mapping[str, TaskRun], turns: Mapping[str, int]) -> Order:
    """Its ancestors' places in time, then its own: a subgraph's call number stands with its steps."""
    levels: list[tuple[int, int, int, str]] = []
    for name, task in run.place[:-1]:
        parent = by_id.get(task)
        levels.append(
            (turns.get(task, 0), parent.call, parent.step, parent.path) if parent else (0, 0, 0, name)
        )
    return (*levels, (turns.get(run.id, 0), run.call, run.step, run.path))


def _turns(runs: Sequence[TaskRun]) -> dict[str, int]:
    """Turn of a task in a parent that calls both `@task` functions and graphs: LangGraph counts the two apart.

    A graph called as the k-th (from 0) has 2k + 1, a function called after r graphs 2r. `runs` are in order of start.
    """
    tasks = [run for run in runs if run.path.startswith(_CALLED)]
    mixed = {run.place[-2][1] for run in tasks if len(run.place) > 1}
    turns: dict[str, int] = {}
    calls: dict[str, list[int]] = defaultdict(list)
    for run in runs if mixed else ():
        if len(run.place) < _NESTED or (parent := run.place[-2][1]) not in mixed:
            continue
        begun = calls[parent]
        if run.path.startswith(_CALLED):
            turns[run.id] = 2 * len(begun)
        else:
            if run.call not in begun:
                begun.append(run.call)
            turns[run.id] = 2 * begun.index(run.call) + 1
    return turns


def _visits(roles: Sequence[str], moments: Sequence[Moment]) -> dict[tuple[str, Moment], int]:
    """The n-th superstep of a role, from 1; subgraphs that run in parallel share theirs."""
    by_role: dict[str, set[Moment]] = defaultdict(set)
    for role, moment in zip(roles, moments, strict=True):
        by_role[role].add(moment)
    return {(role, m): n for role, ms in by_role.items() for n, m in enumerate(sorted(ms), 1)}


def _closed(roles: Sequence[str], moments: Sequence[Moment], aggregator: str) -> list[int]:
    """Rounds closed by the aggregator; what runs beside it or inside it belongs to the round that it closes."""
    closings = sorted({m for role, m in zip(roles, moments, strict=True) if role == aggregator})
    level = len(closings[0]) if closings else 0
    return [1 + bisect_left(closings, moment[:level]) for moment in moments]


def _repeated(roles: Sequence[str], moments: Sequence[Moment]) -> list[int]:
    """Without aggregator: a superstep of the outermost graph that repeats a role opens the next round."""
    numbers: list[int] = []
    seen: set[str] = set()
    number = 1
    pairs = zip(roles, moments, strict=True)
    for _, together in groupby(pairs, key=lambda pair: pair[1][0]):
        ran = [role for role, _ in together]
        outer = {role for role in ran if "/" not in role}
        if outer & seen:
            number, seen = number + 1, set()
        seen |= outer
        numbers += [number] * len(ran)
    return numbers
