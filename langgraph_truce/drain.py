"""SIGTERM: end a run in good order.

The first SIGTERM lets no new model call be made; those in flight come back and are kept; then the run ends with `Drained`.
A second one, or calls that do not come back in time, end the process at once, like a kill: nothing is lost then either,
except replies that were still on their way.
"""

from __future__ import annotations

import math
import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any, Protocol

from langgraph_truce.errors import Drained, RunStopped

GRACE = 25.0
"""Seconds for calls in flight, counted from the first signal; container platforms kill after 30 s."""


class Stoppable(Protocol):
    """A door (`model.door`), as far as it is needed here."""

    keepers: list[Any]
    in_flight: int

    def stop(self, why: RunStopped) -> None:
        """Let no call through any more."""

    def changed(self) -> None:
        """Have everybody who waits ask again."""


_lock = threading.Lock()
_doors: list[Stoppable] = []
_asked = threading.Event()


@contextmanager
def heeding(door: Stoppable) -> Iterator[None]:
    """While in this context, `door` is one of those that a SIGTERM closes."""
    with _lock:
        _doors.append(door)
        if _asked.is_set():
            _close(door)
    try:
        yield
    finally:
        with _lock:
            _doors.remove(door)


@contextmanager
def drained_by_sigterm(grace: float = GRACE) -> Iterator[None]:
    """While in this context, SIGTERM ends the runs of this process in good order; without a run it ends the process.

    Signals belong to the main thread: in any other thread, and where the program has a handler of its own or ignores the
    signal, nothing is installed.

    Args:
        grace: Seconds that calls in flight get, >= 0.
    """
    ours = threading.current_thread() is threading.main_thread()
    if not ours or signal.getsignal(signal.SIGTERM) is not signal.SIG_DFL:
        yield
        return
    signal.signal(signal.SIGTERM, _Handler(grace))
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        _asked.clear()


class _Handler:
    """The first signal drains, the second ends."""

    def __init__(self, grace: float) -> None:
        self._grace = grace

    def __call__(self, number: int, frame: FrameType | None) -> None:  # noqa: ARG002 - a handler's signature
        if _asked.is_set() or not _doors:
            _end()
        _asked.set()
        # In a thread: the signal came anywhere, perhaps while the doors' locks were held.
        threading.Thread(target=drain, name="truce-drain", daemon=True).start()
        timer = threading.Timer(self._grace, _end)
        timer.daemon = True
        timer.start()


def drain() -> None:
    """Close the doors of all runs of this process."""
    print(  # noqa: T201 - whoever sent the signal wants to know that it was heard
        "langgraph-truce: asked to end: no new model calls; waiting for those in flight (a second signal ends at once)",
        file=sys.stderr,
        flush=True,
    )
    with _lock:
        for door in _doors:
            _close(door)


def _close(door: Stoppable) -> None:
    door.keepers.append(_Closing(door))
    door.changed()


class _Closing:
    """Lets nothing through: whoever asks waits for the calls in flight, and is refused when there are none."""

    def __init__(self, door: Stoppable) -> None:
        self._door = door

    def wait(self, request: Any, *, patient: bool) -> float:  # noqa: ARG002 - a keeper's signature
        if patient and self._door.in_flight:
            return math.inf
        why = Drained("ended on request (SIGTERM); every finished model reply is kept")
        self._door.stop(why)
        raise why

    def take(self, request: Any) -> None:
        """Nothing to count."""

    def give(self, request: Any, ended: Any) -> None:
        """Nothing to count."""


def _end() -> None:
    os._exit(Drained.exit_code)  # as a kill would: no clean-up that could hang
