"""One try of a model call, as its caller sees it: when its time began, whether it is over; time lost, and time spared."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from langgraph_truce.model.place import Place

_SHORT = 0.001
"""Seconds; shorter waits are not noted."""


class Attempt(Protocol):
    """One try of a call."""

    place: Place | None
    """Where it is made; None until LangChain starts it, and for calls of nobody we know."""

    @property
    def expired(self) -> bool:
        """True once its time is over: its caller has gone, and a reply that still comes is nobody's."""

    def begin(self, seconds: float) -> None:
        """It was let through: from now on it has so many seconds."""

    def end(self) -> bool:
        """The reply came; False where that was too late."""


attempted: ContextVar[Attempt | None] = ContextVar("truce_attempt", default=None)
"""The try that this context is in."""


class OnLoop:
    """A try in a coroutine; all on its loop's thread."""

    def __init__(self, limit: asyncio.Timeout) -> None:
        self.place: Place | None = None
        self._limit = limit
        self._left = False

    @property
    def expired(self) -> bool:
        """See `Attempt`."""
        return self._limit.expired()

    def begin(self, seconds: float) -> None:
        """See `Attempt`."""
        if not (self._left or self.expired):
            self._limit.reschedule(asyncio.get_running_loop().time() + seconds)

    def end(self) -> bool:
        """See `Attempt`."""
        if not (self._left or self.expired):
            self._limit.reschedule(None)
        return not self.expired

    def leave(self) -> None:
        """Its caller has what it came for."""
        self._left = True


class InThread:
    """A try in a thread, for which another one waits."""

    def __init__(self) -> None:
        self.place: Place | None = None
        self.expired = False
        self._changed = threading.Condition()
        self._deadline: float | None = None
        self._finished = False

    def begin(self, seconds: float) -> None:
        """See `Attempt`."""
        with self._changed:
            self._deadline = time.monotonic() + seconds
            self._changed.notify_all()

    def end(self) -> bool:
        """See `Attempt`."""
        with self._changed:
            self._deadline = None
            return not self.expired

    def finish(self) -> None:
        """The thread is through."""
        with self._changed:
            self._finished = True
            self._changed.notify_all()

    def wait(self) -> bool:
        """Wait for it; False where its time was over first."""
        with self._changed:
            while not self._finished:
                left = None if self._deadline is None else self._deadline - time.monotonic()
                if left is not None and left <= 0:
                    self.expired = True
                    return False
                self._changed.wait(left)
        return True


class Lost:
    """Seconds that the calls of one rollout waited for endpoints, or failed for their sake; together, not added up."""

    def __init__(self) -> None:
        self._spans: list[tuple[float, float]] = []
        self._open: dict[object, float] = {}
        self._lock = threading.Lock()

    @contextmanager
    def waiting(self) -> Iterator[None]:
        """While in this context, a call waits."""
        me, began = object(), time.monotonic()
        self._open[me] = began
        try:
            yield
        finally:
            del self._open[me]
            self.since(began)

    def since(self, began: float) -> None:
        """What happened since `began` (monotonic clock) was in vain."""
        now = time.monotonic()
        if now - began >= _SHORT:
            with self._lock:
                self._spans.append((began, now))

    @property
    def seconds(self) -> float:
        """Up to now."""
        now = time.monotonic()
        with self._lock:
            spans = sorted([*self._spans, *((began, now) for began in list(self._open.values()))])
        total, reached = 0.0, 0.0
        for began, ended in spans:
            total += max(0.0, ended - max(began, reached))
            reached = max(reached, ended)
        return total


@dataclass(slots=True)
class _Node:
    """What the calls at a place took, and at the places inside it."""

    own: float = 0.0
    inside: dict[str, dict[str, _Node]] = field(default_factory=dict)
    """Superstep -> place -> its part."""

    @property
    def seconds(self) -> float:
        return self.own + sum(max(n.seconds for n in step.values()) for step in self.inside.values())


class Spared:
    """Seconds that the calls of one rollout took when they were made, and were not waited for: their replies were journalled.

    Calls at one place and supersteps are added up; of what ran side by side the longest counts.
    """

    def __init__(self) -> None:
        self._root = _Node()
        self._made: set[str] = set()
        self._lock = threading.Lock()

    def made(self, key: str) -> None:
        """The rollout waited for this reply itself: to find it again spares nothing."""
        with self._lock:
            self._made.add(key)

    def add(self, place: str, seconds: float, *, key: str) -> None:
        """The reply `key` of a call at `place` (`team#2/solver#1.0`) was found; it had taken so long."""
        with self._lock:
            if key in self._made:
                return
            at = self._root
            for part in place.split("/") if place else ():
                step = part.rpartition("#")[2].partition(".")[0]
                at = at.inside.setdefault(step, {}).setdefault(part, _Node())
            at.own += seconds

    @property
    def seconds(self) -> float:
        """Up to now."""
        with self._lock:
            return self._root.seconds
