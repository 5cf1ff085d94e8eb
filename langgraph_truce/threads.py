"""Threads for rollouts of sync graphs: a waiting node must never keep the node it waits for from running.

LangGraph runs sync nodes in the loop's default executor, cpu + 4 threads. A sync function that waits for a task's result
holds one of them: a few such rollouts side by side would wait for each other for ever.
"""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from weakref import WeakKeyDictionary

from langgraph_truce.errors import UserMistake

NESTED = 8
"""Threads of one rollout that may wait for others at a time: tasks that wait for tasks, and their fan-out."""


def home_loop(what: str, *things: object) -> asyncio.AbstractEventLoop | None:
    """The running event loop, of another thread, on which async savers and stores live; None where all live on none.

    `what` names the async function that sync code wants to replace: its own loop must not wait for the other one.

    Raises:
        UserMistake: a saver or store lives on the loop that waits here, or on one that does not run, or they live on several.
    """
    try:
        waiting = asyncio.get_running_loop()
    except RuntimeError:
        waiting = None
    homes: dict[asyncio.AbstractEventLoop, str] = {}
    for thing in things:
        home = getattr(thing, "loop", None) or getattr(thing, "_loop", None)
        if not isinstance(home, asyncio.AbstractEventLoop):
            continue
        homes[home] = type(thing).__name__
        if home is waiting or not home.is_running():
            raise UserMistake(
                f"{homes[home]} lives on an event loop that does not run while sync code waits; open it in the async "
                f"function that uses it, and `await {what}(...)` there"
            )
    if len(homes) > 1:
        raise UserMistake(f"{', '.join(homes.values())} live on different event loops; open them on one")
    return next(iter(homes), None)


@dataclass(slots=True)
class _Wide:
    """One loop's wide executor."""

    executor: ThreadPoolExecutor
    before: Any
    inside: int = 0


_loops: WeakKeyDictionary[asyncio.AbstractEventLoop, _Wide] = WeakKeyDictionary()
_lock = threading.Lock()


@contextmanager
def wide_threads(rollouts: int) -> Iterator[None]:
    """While in this context the running loop's default executor has threads for `rollouts` at a time, made when needed.

    Counted; the last one out puts the loop's own executor back. A loop that does not tell its executor keeps the wide one.
    """
    loop = asyncio.get_running_loop()
    workers = NESTED * rollouts + (os.cpu_count() or 1) + 4
    with _lock:
        wide = _loops.get(loop)
        if wide is None:
            wide = _Wide(ThreadPoolExecutor(workers, "truce-node"), getattr(loop, "_default_executor", None))
            _loops[loop] = wide
            loop.set_default_executor(wide.executor)
        wide.inside += 1
    try:
        yield
    finally:
        with _lock:
            wide.inside -= 1
            if wide.inside == 0:
                del _loops[loop]
                if getattr(loop, "_default_executor", None) is wide.executor:
                    loop._default_executor = wide.before  # type: ignore[attr-defined] # there is no public way back
                    wide.executor.shutdown(wait=False)
