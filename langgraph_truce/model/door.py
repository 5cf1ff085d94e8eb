"""The door: every model call of a run asks here before it is made, and tells how it ended.

A door has **keepers**: one for the budget, one for traffic (rate limits, dead endpoints), and so on. A call goes when
all of them let it; until then it waits, without holding the event loop. Replies from the journal never come by here.
"""

from __future__ import annotations

import asyncio
import json
import math
import threading
from collections.abc import Mapping, Sequence
from contextvars import ContextVar
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from langchain_core.messages import BaseMessage

from langgraph_truce.errors import RunStopped
from langgraph_truce.trajectory.step import Usage

if TYPE_CHECKING:
    from langgraph_truce.model.traffic import Traffic

PER_MESSAGE = 16
"""Tokens that a chat template puts around a message, at most; ours."""
OUTPUT_LIMITS = ("max_tokens", "max_completion_tokens", "max_output_tokens", "num_predict", "max_new_tokens")
"""What providers call the longest reply."""
hurried: ContextVar[bool] = ContextVar("truce_hurried", default=False)
"""True in a thread for which an event loop's own thread waits: as little may be waited for as there."""


@dataclass(frozen=True, slots=True)
class Request:
    """A call that is about to be made."""

    purpose: str
    """Column of the meter: `task`, `gate`, `test`, `credit`, ..."""
    provider: str = ""
    """`openai`, `anthropic`, ...; empty where LangChain does not tell."""
    model: str = ""
    """Name of the model as it is asked for."""
    input_tokens: int = 0
    """At least as many tokens as messages and tools can have: their bytes, and what a template puts around them."""
    output_tokens: int | None = None
    """Output limit of the call; None where it has none."""
    caller: str = ""
    """Whose call it is: the rollout or the question."""

    @property
    def endpoint(self) -> str:
        """What fails together: provider and model."""
        return f"{self.provider}:{self.model}"

    @property
    def name(self) -> str:
        """The model as it is asked for, `PROVIDER:MODEL`; what is known of it."""
        return self.endpoint.strip(":")

    @classmethod
    def of(
        cls,
        purpose: str,
        messages: Sequence[Sequence[BaseMessage]],
        params: Mapping[str, Any],
        metadata: Mapping[str, Any],
        caller: str = "",
    ) -> Request:
        """The request that a callback hears of: `params` are LangChain's invocation parameters."""
        bound = [int(params[name]) for name in OUTPUT_LIMITS if isinstance(params.get(name), int)]
        limit = min(bound) if bound else metadata.get("ls_max_tokens")
        return cls(
            purpose,
            str(metadata.get("ls_provider") or ""),
            str(params.get("model") or params.get("model_name") or metadata.get("ls_model_name") or ""),
            _most_tokens(messages, params),
            limit * _replies(params) if isinstance(limit, int) and limit > 0 else None,
            caller,
        )


@dataclass(frozen=True, slots=True)
class Ended:
    """How a call ended."""

    usage: Usage
    """As the provider said; empty where it did not, or the call failed."""
    seconds: float
    """From being let through to the end."""
    error: BaseException | None = None
    """Why there is no reply; `CancelledError` where nobody waited for it any more."""
    model: str = ""
    """Name of the model as its provider gives it."""
    journalled: bool = False
    """True where its reply is in the journal, so that a later start of the run finds what it cost."""


class Keeper(Protocol):
    """Decides when a call may be made. Called under the door's lock: quick, and never blocking."""

    def wait(self, request: Request, *, patient: bool) -> float:
        """Seconds after which to ask again: 0.0 lets the call go now, infinity waits for a call in flight to end.

        With `patient` False the caller cannot wait: let it go, or refuse.

        Raises:
            RunStopped: refused; the run is to end.
            BudgetRefused: what was promised could not be kept with such a call.
        """

    def take(self, request: Request) -> None:
        """The call goes now."""

    def give(self, request: Request, ended: Ended) -> None:
        """It ended."""


class Pass:
    """A call that was let through; `end` tells how it ended, once."""

    __slots__ = ("_door", "_ended", "_request")

    def __init__(self, door: Door, request: Request) -> None:
        self._door = door
        self._request = request
        self._ended = False

    def end(self, ended: Ended) -> None:
        """Tell the keepers; later calls do nothing."""
        with (
            self._door._lock
        ):  # a reply lands on the journal's thread while its caller may be cancelled on another
            if not self._ended:
                self._ended = True
                self._door._give(self._request, ended)


class Door:
    """Lets calls through, one decision at a time; thread-safe, for any number of event loops."""

    def __init__(self, keepers: Sequence[Keeper] = ()) -> None:
        self.keepers: list[Keeper] = list(keepers)
        self.stopped: RunStopped | None = None
        """Why no call is let through any more; None while it is open."""
        self.in_flight = 0
        """Calls that were let through and have not ended."""
        self.traffic: Traffic | None = None
        """The keeper that says whether a failed call is made again, and how long one may take; None: never, and any time."""
        self._lock = threading.RLock()
        self._waiting: dict[threading.Event | asyncio.Future[None], None] = {}
        # in order of arrival: who waited longest asks first

    def stop(self, why: RunStopped) -> None:
        """Let no call through any more: those that wait and those to come get `why`. The first reason stays."""
        with self._lock:
            self.stopped = self.stopped or why
            self.changed()

    def enter(self, request: Request) -> Pass:
        """Wait, in this thread, until the call may go. On an event loop's own thread nobody can wait: see `enter_now`.

        Raises:
            RunStopped: the run is to end.
            BudgetRefused: see `Keeper.wait`.
        """
        if on_a_loop() or hurried.get():
            return self.enter_now(request)
        while True:
            event = threading.Event()
            with self._lock:
                seconds = self._ask(request, patient=True)
                if seconds <= 0:
                    return self.passed(request)
                self._waiting[event] = None
            event.wait(None if math.isinf(seconds) else seconds)
            self._waiting.pop(event, None)

    async def aenter(self, request: Request) -> Pass:
        """As `enter`, without holding the loop."""
        while True:
            woken = asyncio.get_running_loop().create_future()
            with self._lock:
                seconds = self._ask(request, patient=True)
                if seconds <= 0:
                    return self.passed(request)
                self._waiting[woken] = None
            try:
                await asyncio.wait({woken}, timeout=None if math.isinf(seconds) else seconds)
            finally:
                self._waiting.pop(woken, None)

    def enter_now(self, request: Request) -> Pass:
        """Let the call go at once, or refuse it: for callers that cannot wait."""
        with self._lock:
            self._ask(request, patient=False)
            return self.passed(request)

    def passed(self, request: Request) -> Pass:
        """The pass of a call that is made, whatever the keepers say."""
        with self._lock:
            for keeper in self.keepers:
                keeper.take(request)
            self.in_flight += 1
        return Pass(self, request)

    def changed(self) -> None:
        """Something changed: whoever waits asks again."""
        with self._lock:
            waiting, self._waiting = self._waiting, {}
        for waiter in waiting:
            if isinstance(waiter, threading.Event):
                waiter.set()
            else:
                _wake(waiter)

    def _ask(self, request: Request, *, patient: bool) -> float:
        if self.stopped is not None:
            raise type(self.stopped)(*self.stopped.args)  # one of its own: each gathers its own traceback
        return max((keeper.wait(request, patient=patient) for keeper in self.keepers), default=0.0)

    def _give(self, request: Request, ended: Ended) -> None:
        with self._lock:
            self.in_flight -= 1
            for keeper in self.keepers:
                keeper.give(request, ended)
        self.changed()


def _wake(waiter: asyncio.Future[None]) -> None:
    loop = waiter.get_loop()
    try:
        loop.call_soon_threadsafe(_end, waiter)
    except RuntimeError:
        if not loop.is_closed():  # a closed loop has nobody left who waits
            raise


def _end(waiter: asyncio.Future[None]) -> None:
    if not waiter.done():  # cancelled meanwhile
        waiter.set_result(None)


def on_a_loop() -> bool:
    """True on the thread of a running event loop, which must not be held."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True


def _replies(params: Mapping[str, Any]) -> int:
    """How many replies one call asks for; each may be as long as the limit."""
    asked = params.get("n")
    return asked if isinstance(asked, int) and asked > 1 else 1


def _most_tokens(messages: Sequence[Sequence[BaseMessage]], params: Mapping[str, Any]) -> int:
    """A byte is never more than one token, in any byte-level vocabulary."""
    told = sum(_bytes(m.content) + _bytes(getattr(m, "tool_calls", None)) for row in messages for m in row)
    given = sum(_bytes(params.get(name)) for name in ("tools", "functions", "response_format", "extra_body"))
    return told + given + PER_MESSAGE * (1 + sum(len(row) for row in messages))


def _bytes(value: Any) -> int:
    if not value:
        return 0
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
    return len(text.encode("utf-8", "surrogatepass"))
