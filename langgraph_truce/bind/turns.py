"""Whose turn it is: a system that calls models from raw threads runs one rule book at a time in this process.

A call from a raw thread carries no run context, so its text is all that tells whose it is; which book it needs is
known only while no other book runs.
"""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import AsyncIterator
from concurrent.futures import Future
from contextlib import asynccontextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field

from langgraph_truce.bind.found import Prompts
from langgraph_truce.errors import BindError

Turn = tuple[str, str]
"""(id of the prompts, version of the book)."""


@dataclass(eq=False, slots=True)
class _Held:
    """One rollout's part in a turn."""

    turn: Turn
    open: bool = True


_held: ContextVar[_Held | None] = ContextVar("truce_turn", default=None)


@dataclass(slots=True)
class Turns:
    """One turn at a time; rollouts of the same turn overlap, others wait in order of arrival, in any loop or thread."""

    _lock: threading.Lock = field(default_factory=threading.Lock)
    _turn: Turn | None = None
    _running: int = 0
    _queue: deque[tuple[Turn, Future[None]]] = field(default_factory=deque)

    @property
    def current(self) -> Turn | None:
        """The turn that is on; None where nothing runs."""
        return self._turn

    @asynccontextmanager
    async def take(self, turn: Turn) -> AsyncIterator[None]:
        """Wait for the turn and hold it until the block ends.

        Raises:
            BindError: the block around this one holds another turn: it would wait for itself.
        """
        outer = _held.get()
        inside = outer is not None and outer.open
        if outer is not None and inside and outer.turn != turn:
            raise BindError(
                f"a rollout with rule book {turn[1]!r} was started inside one with {outer.turn[1]!r}, but the system "
                "calls models from raw threads and runs one book at a time; let the first one end before"
            )
        await self._wait(turn, inside=inside)
        held = _Held(turn)
        _held.set(held)
        try:
            yield
        finally:
            held.open = False
            _held.set(outer)  # no token: the block may be left in another context than it was entered in
            self._leave()

    async def _wait(self, turn: Turn, *, inside: bool) -> None:
        """`inside` a rollout of the same turn nobody is waited for: that rollout may be waiting for this one."""
        with self._lock:
            if (self._turn is None and not self._queue) or (
                self._turn == turn and (inside or not self._queue)
            ):
                self._turn = turn
                self._running += 1
                return
            place: Future[None] = Future()
            self._queue.append((turn, place))
        try:
            await asyncio.wrap_future(place)
        except BaseException:
            # cancelled: either before its turn came, then the place is cancelled too, or just after
            if not place.cancel() and not place.cancelled():
                self._leave()
            raise

    def _leave(self) -> None:
        with self._lock:
            self._running -= 1
            while self._running == 0 and self._queue:
                self._turn = self._queue[0][0]
                self._admit()
            if self._running == 0:
                self._turn = None

    def _admit(self) -> None:
        """Let everybody in who waits for this turn; who comes later waits behind those who wait for another."""
        waiting = list(self._queue)
        self._queue.clear()
        for turn, place in waiting:
            if turn != self._turn:
                self._queue.append((turn, place))
            elif place.set_running_or_notify_cancel():
                self._running += 1
                place.set_result(None)


TURNS = Turns()


@asynccontextmanager
async def candidate(prompts: Prompts, version: str) -> AsyncIterator[None]:
    """Around each rollout of the book `version`: with `prompts.raw_threads` only one book runs at a time.

    Rollouts of the same prompts and version overlap; others wait, in order of arrival, also those in other event loops
    and threads. Without `raw_threads` it does nothing. It may be nested with the same version.

    Raises:
        BindError: started inside a rollout with another book, which it would wait for.
    """
    if not prompts.raw_threads:
        yield
        return
    async with TURNS.take((prompts.id, version)):
        yield
