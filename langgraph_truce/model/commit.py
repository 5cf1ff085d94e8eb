"""Commits in groups: one writer thread, as many entries a transaction as are waiting."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any

from langgraph.store.base import BaseStore, Op, PutOp

from langgraph_truce.errors import RunError, Unkept

_GROUP = 256  # entries a transaction at most: far below what SQLite binds in one statement
_BUSY = 4  # a group of so many says that more are on their way
_GATHER = 0.002  # seconds to wait for them: a transaction costs as much work as ten of its entries


@dataclass(frozen=True, slots=True)
class _Write:
    op: PutOp
    done: Callable[[], None]
    waiter: Future[None] | asyncio.Future[None]


def unkept(error: Exception) -> Unkept:
    """The sentence for a store that cannot take what it is given."""
    if isinstance(error, Unkept):
        return Unkept(*error.args)  # one for each who hears it: each gathers its own traceback
    said = " ".join(str(error).split())
    why = Unkept(
        f"the run's files could not be written ({type(error).__name__}: {said}); what was to be kept was not used, and "
        "nothing is half-written: the same command goes on once they can be"
    )
    why.__cause__ = error
    return why


class Committer:
    """Puts into a store, acknowledged when they are durable.

    While one transaction runs the next group gathers, so a slow disk makes groups longer, not calls slower; where many
    wait at a time, a group waits 2 ms more.
    """

    def __init__(self, store: BaseStore) -> None:
        self._store = store
        self._some = threading.Condition()
        self._waiting: list[_Write] = []
        self._thread: threading.Thread | None = None
        self._closed = False
        self.groups = 0
        """Transactions so far."""

    def put(
        self, namespace: tuple[str, ...], key: str, value: Mapping[str, Any], done: Callable[[], None]
    ) -> None:
        """Write `value` and return once it is committed; `done()` runs just before.

        Raises:
            Unkept: the store could not take it.
            RunError: the committer is closed.
        """
        waiter: Future[None] = Future()
        self._add(_Write(PutOp(namespace, key, dict(value), index=False), done, waiter))
        waiter.result()

    async def aput(
        self, namespace: tuple[str, ...], key: str, value: Mapping[str, Any], done: Callable[[], None]
    ) -> None:
        """As `put`, without holding the loop."""
        waiter = asyncio.get_running_loop().create_future()
        self._add(_Write(PutOp(namespace, key, dict(value), index=False), done, waiter))
        await waiter

    def close(self) -> None:
        """Write what is waiting and end the thread; more puts are refused."""
        with self._some:
            self._closed = True
            self._some.notify()
            thread, self._thread = self._thread, None
        if thread is not None:
            thread.join()

    def _add(self, write: _Write) -> None:
        with self._some:
            if self._closed:
                raise RunError("the run's files are closed; something came back after the end of its run")
            if self._thread is None:
                self._thread = threading.Thread(target=self._work, name="truce-commit", daemon=True)
                self._thread.start()
            self._waiting.append(write)
            self._some.notify()

    def _work(self) -> None:
        size = 0
        while True:
            with self._some:
                self._some.wait_for(lambda: self._waiting or self._closed)
            if size >= _BUSY and not self._closed:
                time.sleep(_GATHER)
            with self._some:
                group, self._waiting = self._waiting[:_GROUP], self._waiting[_GROUP:]
            if not group:
                return
            self._commit(group)
            size = len(group)

    def _commit(self, group: list[_Write]) -> None:
        ops: list[Op] = [w.op for w in group]
        why: Unkept | None = None
        try:
            self._store.batch(ops)
        except Exception as e:  # noqa: BLE001 - whatever the store raises belongs to the calls that wait
            why = unkept(e)
        else:
            self.groups += 1
            for write in group:
                write.done()
        _wake(group, why)


def _wake(group: list[_Write], why: Unkept | None) -> None:
    """Wake all who wait: one call into each event loop, not one each."""
    loops: dict[asyncio.AbstractEventLoop, list[asyncio.Future[None]]] = {}
    for write in group:
        if isinstance(write.waiter, asyncio.Future):
            loops.setdefault(write.waiter.get_loop(), []).append(write.waiter)
        else:
            _end(write.waiter, why)
    for loop, waiters in loops.items():
        try:
            loop.call_soon_threadsafe(_end_all, waiters, why)
        except RuntimeError:
            if not loop.is_closed():  # a closed loop has nobody left who waits
                raise


def _end_all(waiters: list[asyncio.Future[None]], why: Unkept | None) -> None:
    for waiter in waiters:
        if not waiter.done():  # cancelled meanwhile; the reply is committed all the same
            _end(waiter, why)


def _end(waiter: Future[None] | asyncio.Future[None], why: Unkept | None) -> None:
    if why is None:
        waiter.set_result(None)
    else:
        waiter.set_exception(why)
