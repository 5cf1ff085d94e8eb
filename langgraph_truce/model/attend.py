"""Makes the model calls of a run for those who make them: again where the endpoint failed, and not for ever.

The graph sees one call, however many tries it took: its nodes and tools do not run twice for a 429, and its trajectory
holds the try that counts. What is tried, and how long, is the run's `Traffic`; calls without one are left alone.

A sync call with a time limit runs in a thread of its own, with its caller's context variables. One that hangs is left
there: no code can stop a thread, so each hung call costs one (daemon) thread until its socket ends. A sync call made
on an event loop's own thread holds the whole loop: it is timed, and not tried again here.

A stream that goes past the journal (`cache=False`) is neither timed nor tried again here.
"""

from __future__ import annotations

import asyncio
import contextvars
import threading
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TypeVar

from langchain_core.runnables import RunnableConfig
from langchain_core.runnables.config import ensure_config

from langgraph_truce.model.attempt import Attempt, InThread, Lost, OnLoop, attempted
from langgraph_truce.model.door import hurried, on_a_loop
from langgraph_truce.model.failure import CallTimeout
from langgraph_truce.model.place import JournalCallback

T = TypeVar("T")


def journalling(config: RunnableConfig | None) -> JournalCallback | None:
    """The callback that tells where the calls of `config` are made; None where they are nobody's."""
    callbacks = ensure_config(config).get("callbacks")
    handlers = callbacks if isinstance(callbacks, list) else getattr(callbacks, "handlers", ())
    found = (getattr(h, "journalling", h) for h in handlers)
    return next((h for h in found if isinstance(h, JournalCallback)), None)


class Attendance:
    """See the module's description; an `entry_points.Attendant`."""

    def call(self, config: RunnableConfig | None, make: Callable[[], T]) -> T:
        """Make a sync call."""
        tries, waits = 1, not on_a_loop()
        while True:
            began, mine = time.monotonic(), InThread()
            token = attempted.set(mine)
            try:
                return _abandonable(make, mine) if _limited(config) else make()
            except Exception as error:  # noqa: BLE001 - raised again below, where it is not made good
                failed = _closed(mine, error)
                again = _again(mine, failed, tries) if waits else None
                if again is None:
                    raise failed from failed.__cause__
            finally:
                attempted.reset(token)
            tries = again.tries + 1
            again.lost.since(began)
            with again.lost.waiting():
                time.sleep(again.seconds)

    async def acall(self, config: RunnableConfig | None, make: Callable[[], Awaitable[T]]) -> T:  # noqa: ARG002
        """Make an async call."""
        tries = 1
        while True:
            began, limit = time.monotonic(), asyncio.timeout(None)
            mine = OnLoop(limit)
            token = attempted.set(mine)
            try:
                async with limit:
                    return await make()
            except Exception as error:  # noqa: BLE001 - raised again below, where it is not made good
                failed = _closed(mine, error)
                again = _again(mine, failed, tries)
                if again is None:
                    raise failed from failed.__cause__
            finally:
                mine.leave()
                attempted.reset(token)
            tries = again.tries + 1
            again.lost.since(began)
            with again.lost.waiting():
                await asyncio.sleep(again.seconds)


@dataclass(frozen=True, slots=True)
class _Next:
    """A call that is to be made again."""

    tries: int
    seconds: float
    lost: Lost


def _closed(mine: Attempt, error: Exception) -> Exception:
    """What the call ended with; one whose time was over is closed here, as LangChain has not told of its end."""
    if not mine.expired or mine.place is None:
        return error
    late = mine.place.late()
    assert late is not None
    mine.place.callback.tell_error(late, mine.place)
    return late


def _again(mine: Attempt, error: Exception, tries: int) -> _Next | None:
    place = mine.place
    door = place.callback.journal.door if place else None
    if place is None or door is None or door.traffic is None:
        return None
    # one that asked the door at its start, without waiting, waits here
    again = door.traffic.again(place.request, error, tries, patient=place.passed is None)
    if again is None:
        return None
    place.callback.tell_retried(place)
    return _Next(*again, place.callback.lost)


def _limited(config: RunnableConfig | None) -> bool:
    callback = journalling(config)
    return callback is not None and callback.journal.call_timeout is not None


def _abandonable(make: Callable[[], T], mine: InThread) -> T:
    """`make` in a thread of its own, in a copy of this context, which is taken over when it comes back in time.

    Raises:
        CallTimeout: it did not; the thread is left behind.
    """
    context = contextvars.copy_context()
    if on_a_loop():
        context.run(hurried.set, True)  # noqa: FBT003 - a variable's value
    box: list[T | BaseException] = []

    def work() -> None:
        try:
            box.append(context.run(make))
        except BaseException as error:  # noqa: BLE001 - handed to the caller's thread, whatever it is
            box.append(error)
        finally:
            mine.finish()

    threading.Thread(target=work, name="truce-call", daemon=True).start()
    if not mine.wait():
        raise CallTimeout("abandoned")
    if isinstance(box[0], BaseException):
        raise box[0]
    for variable in context:
        if variable is not hurried and variable.get(None) is not context[variable]:
            variable.set(context[variable])
    return box[0]
