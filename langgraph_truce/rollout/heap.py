"""Python's garbage collector while rollouts run: what was there before is left out of its full passes."""

from __future__ import annotations

import gc
import threading
from collections.abc import Iterator
from contextlib import contextmanager

_lock = threading.Lock()
_inside = 0
_before: tuple[int, int, int] | None = None
YOUNG = 20_000
"""Containers made before the first, cheap pass looks at them: the state of 64 rollouts in flight is about as many."""


@contextmanager
def settled() -> Iterator[None]:
    """Until the block ends, full collections look at what the block made, and at nothing older.

    LangChain and LangGraph alone are 200 000 objects; with many rollouts in flight a full pass comes every hundred
    rollouts or so and stops all of them for about 0.1 s. The cheap passes come less often, too. Counted and
    thread-safe; a process that froze its heap or switched the collector off itself is left as it is.
    """
    global _inside, _before  # noqa: PLW0603 (the collector is global too; this counts who needs it so)
    with _lock:
        if _inside == 0 and gc.isenabled() and gc.get_freeze_count() == 0:
            _before = gc.get_threshold()
            gc.set_threshold(max(YOUNG, _before[0]), *_before[1:])
            gc.freeze()
        _inside += 1
    try:
        yield
    finally:
        with _lock:
            _inside -= 1
            if _inside == 0 and _before is not None:
                gc.unfreeze()
                gc.set_threshold(*_before)
                _before = None
