"""Work on checkpoint savers written once, and done with their sync or their async methods."""

from __future__ import annotations

import asyncio
import copy
from collections.abc import Callable, Generator
from functools import partial
from typing import Any, Literal

from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.base import BaseCheckpointSaver, CheckpointTuple

from langgraph_truce.errors import ReplayRefused
from langgraph_truce.rollout.tap import LiveSerializer

Op = tuple[Literal["source", "target"], str, tuple[Any, ...]]
"""A saver's method to call, with its arguments."""
Ops = Generator[Op, Any, Any]
"""Work on savers, without saying whether they are sync or async."""


def drive(ops: Ops, source: BaseCheckpointSaver[Any], target: BaseCheckpointSaver[Any]) -> Any:
    """Do `ops` with the savers' sync methods; what the generator returns.

    Raises:
        ReplayRefused: an async saver is used on the event loop it lives on.
    """
    savers = {"source": source, "target": target}
    onward: Callable[[], Op] = partial(next, ops)
    while True:
        try:
            side, method, args = onward()
        except StopIteration as end:
            return end.value
        try:
            onward = partial(ops.send, _called(savers[side], method, args))
        except asyncio.InvalidStateError:
            name = type(savers[side]).__name__
            said = f"{name} cannot be used from sync code on the event loop it lives on; await the async function"
            onward = partial(ops.throw, ReplayRefused(said))
        except BaseException as failed:  # noqa: BLE001 (the generator cleans up, then it is raised again)
            onward = partial(ops.throw, failed)


async def adrive(ops: Ops, source: BaseCheckpointSaver[Any], target: BaseCheckpointSaver[Any]) -> Any:
    """Do `ops` with the savers' async methods, in a thread where they have none; what the generator returns."""
    savers = {"source": source, "target": target}
    onward: Callable[[], Op] = partial(next, ops)
    while True:
        try:
            side, method, args = onward()
        except StopIteration as end:
            return end.value
        try:
            onward = partial(ops.send, await _acalled(savers[side], method, args))
        except BaseException as failed:  # noqa: BLE001 (the generator cleans up, then it is raised again)
            onward = partial(ops.throw, failed)


def _called(saver: BaseCheckpointSaver[Any], method: str, args: tuple[Any, ...]) -> Any:
    result = getattr(saver, method)(*args)
    if method == "get_tuple":
        return _own(saver, result)
    return list(result) if method == "list" else result


async def _acalled(saver: BaseCheckpointSaver[Any], method: str, args: tuple[Any, ...]) -> Any:
    try:
        result = getattr(saver, f"a{method}")(*args)
        if method == "list":
            return [saved async for saved in result]
        return _own(saver, await result) if method == "get_tuple" else await result
    except NotImplementedError:  # a saver without async methods; its sync ones must not block the loop
        return await asyncio.to_thread(_called, saver, method, args)


def at(thread: str, namespace: str | None = None, checkpoint: str = "") -> RunnableConfig:
    """The config of a thread, or of one checkpoint in it."""
    place = {} if namespace is None else {"checkpoint_ns": namespace}
    return {
        "configurable": {
            "thread_id": thread,
            **place,
            **({"checkpoint_id": checkpoint} if checkpoint else {}),
        }
    }


def _own(saver: BaseCheckpointSaver[Any], saved: CheckpointTuple | None) -> CheckpointTuple | None:
    """A checkpoint that shares nothing with the saver: one that keeps live objects gives its own away."""
    if saved is None or not isinstance(saver.serde, LiveSerializer):
        return saved
    try:
        return copy.deepcopy(saved)
    except Exception as failed:
        raise ReplayRefused(
            f"the state of this run cannot be copied ({type(failed).__name__}: {failed}); "
            "keep its checkpoints in a saver that serialises"
        ) from failed
