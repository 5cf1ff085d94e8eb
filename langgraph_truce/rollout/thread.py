"""Read an old thread from any checkpointer; what happened is there, prompts and usage are not.

The rows are read once. Which node a task was is proven by its id (`history_tasks`); where the rows alone do not tell
(delta channels, old layouts, updates from outside), LangGraph's own history reads the rows that are held already.
"""

from __future__ import annotations

import asyncio
from typing import Any

from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.base import BaseCheckpointSaver, CheckpointTuple

from langgraph_truce.errors import UnknownNameError, UserMistake
from langgraph_truce.rollout.heap import settled
from langgraph_truce.rollout.history_runs import gathered
from langgraph_truce.rollout.task_runs import TaskRun, in_order
from langgraph_truce.trajectory.content import Contents
from langgraph_truce.trajectory.step import Trajectory


async def aread_thread(
    graph: Any, saver: BaseCheckpointSaver[Any], thread_id: str, *, aggregator: str = ""
) -> Trajectory:
    """The trajectory of an old thread, from any checkpointer, async or not.

    Steps inside subgraphs are there too. Abandoned branches of a thread that was rewound are left out.

    Raises:
        UnknownNameError: the saver holds no finished step of this thread.
    """
    contents = Contents()
    with settled():
        runs = await agather(graph, saver, thread_config(thread_id), contents)
    return _trajectory(thread_id, runs, contents, aggregator)


def read_thread(
    graph: Any, saver: BaseCheckpointSaver[Any], thread_id: str, *, aggregator: str = ""
) -> Trajectory:
    """As `aread_thread`, outside of async code; an async saver needs `aread_thread`.

    Raises:
        UnknownNameError: the saver holds no finished step of this thread.
        UserMistake: an async saver is read on its own event loop.
    """
    contents = Contents()
    with settled():
        runs = _gather(graph, saver, thread_config(thread_id), contents)
    return _trajectory(thread_id, runs, contents, aggregator)


async def agather(
    graph: Any, saver: BaseCheckpointSaver[Any], thread: RunnableConfig, contents: Contents
) -> list[TaskRun]:
    """The node executions that the checkpoints of a thread hold."""
    return list(gathered(graph, await aread_rows(saver, thread), contents).runs.values())


def _gather(
    graph: Any, saver: BaseCheckpointSaver[Any], thread: RunnableConfig, contents: Contents
) -> list[TaskRun]:
    return list(gathered(graph, read_rows(saver, thread), contents).runs.values())


def read_rows(saver: BaseCheckpointSaver[Any], thread: RunnableConfig) -> list[CheckpointTuple]:
    """All checkpoints of a thread, of all namespaces.

    Raises:
        UserMistake: an async saver is read on its own event loop.
    """
    try:
        return list(saver.list(thread))
    except asyncio.InvalidStateError as on_loop:
        name = type(saver).__name__
        raise UserMistake(
            f"read_thread: {name} cannot be read on the event loop it lives on; use `await aread_thread(...)`"
        ) from on_loop


async def aread_rows(saver: BaseCheckpointSaver[Any], thread: RunnableConfig) -> list[CheckpointTuple]:
    """As `read_rows`; a saver without async methods is read in a thread, so that it does not block the loop."""
    try:
        return [saved async for saved in saver.alist(thread)]
    except NotImplementedError:
        return await asyncio.to_thread(read_rows, saver, thread)


def thread_config(thread_id: str) -> RunnableConfig:
    """What a saver is asked with for a whole thread."""
    return {"configurable": {"thread_id": thread_id}}


def _trajectory(thread_id: str, runs: list[TaskRun], contents: Contents, aggregator: str) -> Trajectory:
    if not runs:
        raise UnknownNameError(
            f"thread {thread_id!r}: the checkpointer holds no finished step of it; "
            "check the thread id and that this is the database the graph was run with"
        )
    steps = in_order(runs, aggregator)
    return Trajectory(thread_id, steps, contents.blobs, prompts_known=False)
