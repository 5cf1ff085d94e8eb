"""Fork a thread: one checkpoint per (sub)graph is copied into a fresh thread, and what its tasks wrote stays, changes or goes.

The copies keep their checkpoint ids, so LangGraph gives the tasks their old ids and finds their writes again: run the
fork with input None and without a `checkpoint_id` and it goes on from there. Works from any saver into any saver.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Collection, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from typing import Any

from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.base import BaseCheckpointSaver, CheckpointTuple

from langgraph_truce.errors import ReplayRefused
from langgraph_truce.rollout.history_tasks import NO_TASK, RESUME
from langgraph_truce.rollout.saver_ops import Ops, adrive, at, drive
from langgraph_truce.trajectory.downstream import RETURNED

Writes = Sequence[tuple[str, Any]]
"""What one task wrote: (channel, value), in order, control channels too."""
Edit = Callable[[Writes], Writes]
"""A task's writes -> those that take their place."""


@dataclass(frozen=True, slots=True)
class ForkPoint:
    """Where a thread is forked."""

    thread: str
    """Id of the source thread."""
    checkpoints: Mapping[str, str]
    """Namespace -> checkpoint id: one for every (sub)graph that goes on from a stored state, the outermost ("") included."""
    tasks: tuple[str, ...] = ()
    """Ids of the tasks that the fork is about: all of one checkpoint."""
    owners: tuple[str, ...] = ()
    """Ids of the tasks that run the copied subgraphs: their own writes are dropped, so that they enter them again."""
    paths: Mapping[str, str] = field(default_factory=dict)
    """Task id -> LangGraph's task path, where known: the order in which writes are applied."""


def fork(
    source: BaseCheckpointSaver[Any],
    target: BaseCheckpointSaver[Any],
    point: ForkPoint,
    *,
    thread_id: str,
    edits: Mapping[str, Edit] | None = None,
    rerun: Collection[str] = (),
) -> RunnableConfig:
    """Copy `point` into the new thread `thread_id` of `target`; the source is only read.

    Args:
        source: The saver that holds the thread; any kind, sync.
        target: Where the fork goes: the same saver, or one of any other kind.
        point: Where to fork.
        thread_id: Id of the fork; nothing may be stored under it.
        edits: Task id -> what becomes of its writes.
        rerun: Ids of tasks that run again: their writes are dropped. Answers that a person gave them stay.

    Returns:
        The config to go on with: `graph.invoke(None, config)`.

    Raises:
        ReplayRefused: the checkpoint is not there, `thread_id` is taken, or a task to edit wrote nothing.
    """
    config: RunnableConfig = drive(_forking(point, thread_id, edits or {}, rerun), source, target)
    return config


async def afork(
    source: BaseCheckpointSaver[Any],
    target: BaseCheckpointSaver[Any],
    point: ForkPoint,
    *,
    thread_id: str,
    edits: Mapping[str, Edit] | None = None,
    rerun: Collection[str] = (),
) -> RunnableConfig:
    """As `fork`, from async code; savers without async methods are called in a thread."""
    config: RunnableConfig = await adrive(_forking(point, thread_id, edits or {}, rerun), source, target)
    return config


def drop_fork(target: BaseCheckpointSaver[Any], config: RunnableConfig) -> None:
    """Delete a fork: every checkpoint and write of its thread."""
    drive(_dropping(config), target, target)


async def adrop_fork(target: BaseCheckpointSaver[Any], config: RunnableConfig) -> None:
    """As `drop_fork`, from async code."""
    await adrive(_dropping(config), target, target)


@contextmanager
def forked(
    source: BaseCheckpointSaver[Any], target: BaseCheckpointSaver[Any], point: ForkPoint, **how: Any
) -> Iterator[RunnableConfig]:
    """A fork that is deleted when the block ends, also by an error. Arguments as for `fork`."""
    config = fork(source, target, point, **how)
    try:
        yield config
    finally:
        drop_fork(target, config)


@asynccontextmanager
async def aforked(
    source: BaseCheckpointSaver[Any], target: BaseCheckpointSaver[Any], point: ForkPoint, **how: Any
) -> AsyncIterator[RunnableConfig]:
    """As `forked`, from async code; also a cancelled block deletes its fork."""
    config = await afork(source, target, point, **how)
    try:
        yield config
    finally:
        await adrop_fork(target, config)


# What is copied --------------------------------------------------------------------------------------------------


def checkpoint_at(thread: str, namespace: str, checkpoint: str) -> Ops:
    """The checkpoint, of the source.

    Raises:
        ReplayRefused: it is not there, or its values cannot be copied.
    """
    saved = yield "source", "get_tuple", (at(thread, namespace, checkpoint),)
    if saved is None:
        raise ReplayRefused(
            f"thread {thread!r} has no checkpoint {checkpoint!r}{f' in {namespace!r}' if namespace else ''}; "
            "it was deleted, or the run did not keep its checkpoints"
        )
    return saved


def _forking(point: ForkPoint, thread_id: str, edits: Mapping[str, Edit], rerun: Collection[str]) -> Ops:
    if (yield "target", "get_tuple", (at(thread_id),)) is not None:
        raise ReplayRefused(
            f"thread {thread_id!r} exists already; a fork needs an id of its own, and the source stays as it is"
        )
    levels: dict[str, list[CheckpointTuple]] = {}
    for namespace, checkpoint in point.checkpoints.items():
        saved = yield from checkpoint_at(point.thread, namespace, checkpoint)
        levels[namespace] = [*(yield from _ancestors(saved)), saved]
    written = {task for chain in levels.values() for task, _, _ in chain[-1].pending_writes or ()}
    if lost := sorted(edits.keys() - written):
        raise ReplayRefused(
            f"thread {point.thread!r}: the tasks to edit wrote nothing there: {', '.join(lost)}"
        )
    try:
        for namespace, chain in levels.items():
            parent = ""
            for saved in chain:
                changes = (edits, {*rerun, *point.owners}) if saved is chain[-1] else ({}, set[str]())
                yield from _put(at(thread_id, namespace, parent), saved, point.paths, *changes)
                parent = saved.checkpoint["id"]
    except BaseException:
        yield "target", "delete_thread", (thread_id,)
        raise
    return at(thread_id)


def _ancestors(saved: CheckpointTuple) -> Ops:
    """Older checkpoints, oldest first, as far as a `DeltaChannel` needs them: its value is the writes since a snapshot."""
    open_channels = set(saved.metadata.get("counters_since_delta_snapshot") or ())
    chain: list[CheckpointTuple] = []
    current: CheckpointTuple | None = saved
    while open_channels and current is not None and current.parent_config is not None:
        current = yield "source", "get_tuple", (current.parent_config,)
        if current is not None:
            chain.append(current)
            open_channels -= current.checkpoint["channel_values"].keys()
    return chain[::-1]


def _put(
    config: RunnableConfig,
    saved: CheckpointTuple,
    paths: Mapping[str, str],
    edits: Mapping[str, Edit],
    again: Collection[str],
) -> Ops:
    """Copy one checkpoint and its tasks' writes. Every channel version is new to the target: it gets all values.

    What `@task` functions returned is kept by their ids alone: where a task runs again and they are not known by name,
    they run again too.
    """
    checkpoint = saved.checkpoint
    place = yield "target", "put", (config, checkpoint, {**saved.metadata}, checkpoint["channel_versions"])
    by_task: dict[str, list[tuple[str, Any]]] = {}
    for task, channel, value in saved.pending_writes or ():
        by_task.setdefault(task, []).append((channel, value))
    known = by_task.keys() - {NO_TASK} <= paths.keys()
    for n, (task, wrote) in enumerate(by_task.items()):
        writes: Writes = wrote
        if task in again or (
            again and task not in paths and any(channel == RETURNED for channel, _ in wrote)
        ):
            writes = [(channel, value) for channel, value in wrote if channel == RESUME]
        elif task in edits:
            writes = edits[task](wrote)
        if writes:
            # Savers apply writes by path; where paths are not known, the order in which the source gave them stands.
            path = "" if task == NO_TASK else paths[task] if known else f"{n:010d}"
            yield "target", "put_writes", (place, writes, task, path)


def _dropping(config: RunnableConfig) -> Ops:
    yield "target", "delete_thread", (config["configurable"]["thread_id"],)
