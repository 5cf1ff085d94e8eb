"""Where the steps of a rollout are stored: step id -> checkpoint and task, for forks."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from langgraph.checkpoint.base import BaseCheckpointSaver, CheckpointTuple
from xxhash import xxh3_128_hexdigest

from langgraph_truce.errors import ReplayRefused, UnknownNameError
from langgraph_truce.rollout.history_runs import gathered
from langgraph_truce.rollout.history_tasks import PUSH
from langgraph_truce.rollout.task_runs import TaskRun, ordered, path_text
from langgraph_truce.rollout.thread import aread_rows, read_rows, thread_config
from langgraph_truce.trajectory.content import Contents
from langgraph_truce.trajectory.downstream import RETURNED, is_function, owners
from langgraph_truce.trajectory.step import Step, Trajectory


@dataclass(frozen=True, slots=True)
class Spot:
    """Where one step is stored."""

    step: str
    """Its id."""
    role: str
    """Its role path."""
    namespace: str
    checkpoint: str
    """Id of the checkpoint it started from; its writes hang on it."""
    task: str
    path: str
    """LangGraph's task path."""
    channels: tuple[str, ...]
    """State channels it wrote."""
    owners: tuple[Spot, ...] = ()
    """The tasks inside which it ran, outermost first."""

    @property
    def function(self) -> bool:
        """True for a `@task` function: it is stored with its caller."""
        return self.channels == (RETURNED,)


@dataclass(frozen=True, slots=True)
class Stored:
    """One checkpoint of a thread."""

    namespace: str
    id: str
    outermost: str
    """Id of the outermost graph's checkpoint it was made under; its own where it is one of them."""


@dataclass(frozen=True, slots=True)
class Located:
    """The steps of one thread, each with its place in the saver."""

    thread: str
    spots: Mapping[str, Spot]
    """By step id, by time."""
    stored: tuple[Stored, ...] = ()
    """Every checkpoint of the thread, oldest first."""

    def spot(self, step: str) -> Spot:
        """Where `step` is stored.

        Raises:
            ReplayRefused: it is not.
        """
        if step in self.spots:
            return self.spots[step]
        raise ReplayRefused(
            f"thread {self.thread!r}: no checkpoint holds what step {step!r} wrote; it failed, or handed over to "
            "another graph (`Command(graph=Command.PARENT)`): change the step of the node that owns it"
        )


def locate(
    graph: Any,
    saver: BaseCheckpointSaver[Any],
    thread_id: str,
    aggregator: str = "",
    trajectory: Trajectory | None = None,
) -> Located:
    """Find the steps of a thread; with the recorded `trajectory` under its ids, `@task` functions included.

    Raises:
        UnknownNameError: the saver holds no finished step of this thread.
        UserMistake: an async saver is read on its own event loop; use `alocate`.
    """
    rows = read_rows(lent(graph, saver), thread_config(thread_id))
    return located(graph, rows, thread_id, aggregator, trajectory)


async def alocate(
    graph: Any,
    saver: BaseCheckpointSaver[Any],
    thread_id: str,
    aggregator: str = "",
    trajectory: Trajectory | None = None,
) -> Located:
    """As `locate`, from async code and of any saver."""
    rows = await aread_rows(lent(graph, saver), thread_config(thread_id))
    return located(graph, rows, thread_id, aggregator, trajectory)


def lent(graph: Any, saver: BaseCheckpointSaver[Any]) -> BaseCheckpointSaver[Any]:
    """The saver as LangGraph uses it for `graph`: with strict msgpack it reads the types of the graph's own state too."""
    graphs = [graph, *(inner for _, inner in graph.get_subgraphs(recurse=True))]
    types = {kind for inner in graphs for kind in getattr(inner, "_serde_allowlist", None) or ()}
    return saver.with_allowlist(types) if types else saver


def located(
    graph: Any,
    rows: Sequence[CheckpointTuple],
    thread_id: str,
    aggregator: str = "",
    trajectory: Trajectory | None = None,
) -> Located:
    """As `locate`, from the checkpoints of all namespaces.

    Raises:
        UnknownNameError: there is no finished step among them.
    """
    runs = list(gathered(graph, rows, Contents()).runs.values())
    if not runs:
        raise UnknownNameError(
            f"thread {thread_id!r}: the checkpointer holds no finished step of it, so it cannot be forked; "
            "check the thread id, and that the run kept its checkpoints"
        )
    pairs = ordered(runs, aggregator)
    steps = {run.id: step for run, step in pairs}
    if trajectory is not None:
        steps = _named([run for run, _ in pairs], trajectory)
    spots = dict(_spots([run for run, _ in pairs if run.id in steps], steps))
    if trajectory is not None:
        by_id = {_id(row): row for row in rows}
        spots |= _functions(trajectory, spots, by_id)
        spots = {s.id: spots[s.id] for s in trajectory.steps if s.id in spots}
    return Located(thread_id, spots, tuple(sorted(map(_stored, rows), key=lambda kept: kept.id)))


def _spots(runs: Sequence[TaskRun], steps: Mapping[str, Step]) -> Iterator[tuple[str, Spot]]:
    by_task: dict[str, Spot] = {}
    for run in runs:
        above = tuple(by_task[task] for _, task in run.place[:-1] if task in by_task)
        namespace, checkpoint = run.checkpoint
        step = steps[run.id]
        channels = tuple(run.writes)
        spot = Spot(step.id, run.role, namespace, checkpoint, run.id, run.path, channels, above)
        by_task[run.id] = spot
        yield step.id, spot


def _named(runs: Sequence[TaskRun], trajectory: Trajectory) -> dict[str, Step]:
    """Task id -> the trajectory's step: of steps that checkpoints do not hold, the ids of later ones are not moved.

    Both are ordered parent before interior; steps of one role and superstep inside one owner belong together, in order,
    or where some are missing by what they wrote.
    """
    above = owners(trajectory)
    wanted: dict[tuple[str, str, int], list[Step]] = defaultdict(list)
    for step in trajectory.steps:
        if not is_function(step):
            wanted[above[step.id], step.role, step.superstep].append(step)
    held: dict[tuple[str, str, int], list[TaskRun]] = defaultdict(list)
    found: dict[str, Step] = {}
    for run in runs:  # owners come first, so their steps are known
        owner = run.place[-2][1] if len(run.place) > 1 else ""
        key = (found[owner].id if owner in found else owner and "?", run.role, run.step)
        held[key].append(run)
        there = wanted[key]
        if len(held[key]) <= len(there):
            found[run.id] = there[len(held[key]) - 1]
    for key, group in held.items():
        if len(group) != len(wanted[key]):
            found |= _matched(group, wanted[key], found)
    return found


def _matched(group: Sequence[TaskRun], there: Sequence[Step], found: dict[str, Step]) -> dict[str, Step]:
    """Of a fan-out with steps that are not stored: each run with the first step that wrote the same."""
    left = list(there)
    matched: dict[str, Step] = {}
    for run in group:
        found.pop(run.id, None)
        step = next((s for s in left if dict(s.writes) == dict(run.writes)), None)
        if step is not None:
            left.remove(step)
            matched[run.id] = step
    return matched


# Functions of the functional API ---------------------------------------------------------------------------------


def _functions(
    trajectory: Trajectory, spots: Mapping[str, Spot], rows: Mapping[tuple[str, str], CheckpointTuple]
) -> dict[str, Spot]:
    """The `@task` functions: a checkpoint keeps what they gave back under ids made of caller, name and number of call."""
    above = owners(trajectory)
    inside: dict[str, list[Step]] = defaultdict(list)
    for step in trajectory.steps:
        if is_function(step):
            inside[above[step.id]].append(step)
    found: dict[str, Spot] = {}
    for owner, steps in inside.items():  # callers come first
        caller = spots.get(owner) or found.get(owner)
        if caller is None or (row := rows.get((caller.namespace, caller.checkpoint))) is None:
            continue
        returned = {task for task, channel, _ in row.pending_writes or () if channel == RETURNED}
        named: dict[str, list[tuple[str, str]]] = defaultdict(list)
        for number in range(len(returned) + len(steps)):
            for role in {step.role for step in steps}:
                task, path = _call(caller, role.rpartition("/")[2], number, row)
                if task in returned:
                    named[role].append((task, path))
        for step in steps:
            if named[step.role]:
                task, path = named[step.role].pop(0)
                place = (caller.namespace, caller.checkpoint, task, path)
                found[step.id] = Spot(step.id, step.role, *place, (RETURNED,), (*caller.owners, caller))
    return found


def _call(caller: Spot, name: str, number: int, row: CheckpointTuple) -> tuple[str, str]:
    """Task id and path of the `number`-th call (from 0) that `caller` makes, if it is one of `name`."""
    within = [spot for spot in (*caller.owners, caller) if spot.checkpoint == caller.checkpoint]
    levels = [f"{spot.role.rpartition('/')[2]}:{spot.task}" for spot in within]
    namespace = "|".join(filter(None, [caller.namespace, *levels, name]))
    step = str(row.metadata.get("step", -1) + 1)
    text = f"{namespace}{step}{name}{PUSH}{caller.path}{number}"
    digest = xxh3_128_hexdigest(bytes.fromhex(row.checkpoint["id"].replace("-", "")) + text.encode())
    task = f"{digest[:8]}-{digest[8:12]}-{digest[12:16]}-{digest[16:20]}-{digest[20:]}"
    return task, f"~{PUSH}, {caller.path}, {path_text(number)}, {path_text(1)}"


def _id(row: CheckpointTuple) -> tuple[str, str]:
    place = row.config["configurable"]
    return place.get("checkpoint_ns", ""), place["checkpoint_id"]


def _stored(row: CheckpointTuple) -> Stored:
    namespace, checkpoint = _id(row)
    return Stored(namespace, checkpoint, row.metadata.get("parents", {}).get("", checkpoint))
