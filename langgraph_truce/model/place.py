"""Where in a system a model call is made: the part of its journal key that makes equal prompts different calls.

A place is, for every level of (sub)graphs, node, superstep and branch of the fan-out. The superstep fixes the visit,
so the visit needs no field of its own. Task ids and checkpoint ids are random and stay out.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Protocol
from uuid import UUID

from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.messages import BaseMessage
from langchain_core.outputs import LLMResult

from langgraph_truce.model.attempt import Attempt, Lost, Spared, attempted
from langgraph_truce.model.door import Ended, Pass, Request, on_a_loop
from langgraph_truce.model.entry import digest, model_of, usage_of
from langgraph_truce.model.failure import CallTimeout, failure
from langgraph_truce.trajectory.step import Usage

if TYPE_CHECKING:
    from langgraph_truce.model.journal import Journal


@dataclass(slots=True)
class Place:
    """One model run, from its start to its end."""

    callback: JournalCallback
    text: str
    """`team#2/solver#1` or, in a fan-out, `worker#2.0`."""
    started: float
    request: Request
    """What the door is told of its calls."""
    passed: Pass | None = None
    """Of a model that does not ask the cache; others have one for each call."""
    open: bool = True
    """False once the model run ended: a context that still holds this place is stale."""
    seen: bool = False
    """True once the cache was asked."""
    bypassing: bool = False
    """True for a model that will not ask the cache; a model that it calls may, in its place."""
    inside: bool = False
    """True where it is called by a model that bypasses the cache and cannot end before it."""
    batch: bool = False
    """True in `generate` with several prompts: the last one's place is the place of all."""
    calls: list[Call] = field(default_factory=list)
    run_id: UUID | None = None
    """LangChain's."""
    attempt: Attempt | None = None
    """The try of its caller; None where nobody attends the call."""

    def give_up(self) -> None:
        """Whoever made the call is gone; harmless where it has ended."""
        if self.passed is not None:
            seconds = time.perf_counter() - self.started
            self.passed.end(Ended(Usage(), seconds, asyncio.CancelledError()))

    def let_through(self) -> None:
        """The door let its call pass: its time begins."""
        seconds = self.callback.journal.call_timeout
        if self.attempt is not None and seconds is not None:
            self.attempt.begin(seconds)

    def in_time(self) -> bool:
        """The reply came: True where its caller still waits for it."""
        return self.attempt is None or self.attempt.end()

    def late(self) -> CallTimeout | None:
        """Why its caller has gone; None where it has not, or for another reason."""
        if self.attempt is None or not self.attempt.expired:
            return None
        seconds = self.callback.journal.call_timeout
        return CallTimeout(
            f"no reply of {self.request.name or 'the model'} within {seconds:g} s (call_timeout)"
        )

    def begin(self, prompt: str, llm: str) -> Call:
        """Name the call that asks the cache now."""
        self.seen = True
        name = digest(self.callback.scope, self.text, llm, prompt, self.callback.journal.redact.text)
        call = Call(self, name, self.callback.take(name), prompt, time.perf_counter())
        self.calls.append(call)
        return call


@dataclass(slots=True)
class Call:
    """One call of a model, named."""

    place: Place
    digest: str
    occurrence: int
    """n-th equal prompt at this place in this rollout, from 0."""
    prompt: str
    started: float
    settled: bool = False
    """True once a reply was found or is being committed."""
    passed: Pass | None = None
    """Where a door let it through."""
    inside: bool = False
    """True in a call of another model, which cannot end before this one: it is not to wait for calls in flight."""
    outer: Call | None = None
    """The call of that model."""

    @property
    def key(self) -> str:
        """Its key in the journal."""
        return f"{self.digest}-{self.occurrence}"

    @property
    def request(self) -> Request:
        """What the door is told of it."""
        told = self.place.request
        # a batch's place knows one of the prompts; written as JSON, a prompt is no shorter than its bytes
        return replace(told, input_tokens=told.input_tokens + len(self.prompt)) if self.place.batch else told

    @contextmanager
    def asking(self) -> Iterator[None]:
        """While the door is asked: a refusal is noted, because a node may swallow it."""
        try:
            with self.place.callback.lost.waiting():
                yield
        except Exception as refused:  # not by a keeper's bug either is a rollout scored
            self.place.callback.refused = refused
            raise

    def settle(self, ended: Ended) -> None:
        """The call came back: its reply is being committed."""
        self.settled = True
        self.end(ended)

    def end(self, ended: Ended) -> None:
        """Tell the door, where one let it through; once."""
        if self.passed is not None:
            self.passed.end(ended)

    def release(self, error: BaseException | None = None) -> None:
        """The call failed, or was cancelled: its occurrence is free again, so a retry takes the same key."""
        if not self.settled:
            self.settle(Ended(Usage(), time.perf_counter() - self.started, error or asyncio.CancelledError()))
            self.place.callback.give_back(self.digest, self.occurrence)
        elif error is not None:  # its reply could not be kept
            self.end(Ended(Usage(), time.perf_counter() - self.started, error))


current: ContextVar[Place | None] = ContextVar("truce_place", default=None)
"""The model run this context is in; may be stale, see `Place.open`."""
pending: ContextVar[Call | None] = ContextVar("truce_call", default=None)
"""The call whose reply this context waits for."""
uncached: ContextVar[bool] = ContextVar("truce_uncached", default=False)
"""True while a model is called that will not ask LangChain's global cache."""


class Recorder(Protocol):
    """Hears of calls, and tells its `JournalCallback`."""

    def on_llm_error(self, error: BaseException, *, run_id: UUID) -> Any:
        """A call failed."""

    def retried(self, run_id: UUID) -> None:
        """This failed call is made again."""


class JournalCallback(BaseCallbackHandler):
    """Tells a journal where each model call is made. One object a rollout (or a single question), in `config["callbacks"]`.

    A new object for the same `scope` counts from the start and so finds what an earlier one journalled.

    Args:
        journal: Where replies go.
        scope: What the calls belong to: (system fingerprint, task, replicate) for a rollout.
        purpose: Column of the meter: `task`, `credit`, `suggest`, `merge`, `write`.
    """

    run_inline = True  # the place must be set in the caller's own context
    raise_error = True  # a call without a place would not be journalled: never quietly

    def __init__(self, journal: Journal, scope: Sequence[str], purpose: str = "task") -> None:
        self.journal = journal
        self.scope = tuple(scope)
        self.purpose = purpose
        self.refused: Exception | None = None
        """Why the door refused one of its calls: then what the run ended with does not count."""
        self.unanswered: dict[str, BaseException] = {}
        """Place -> why the endpoint failed there, where nothing made it good since: no later call, no fallback."""
        self.lost = Lost()
        """Time that went to waiting for endpoints."""
        self.spared = Spared()
        """Time that journalled replies took when they were paid for."""
        self.recorder: Recorder | None = None
        """Who hears of the calls before this callback does, and passes that on."""
        self._base: str | None = (
            None  # namespace of whoever started the rollout: an optimizer's node, or none
        )
        self._levels: dict[str, str] = {}
        self._open: dict[UUID, Place] = {}
        self._taken: dict[str, set[int]] = {}
        self._lock = threading.Lock()

    def restart(self) -> None:
        """Count from the start again: the rollout is run once more and finds what it journalled the first time."""
        with self._lock:
            self._taken.clear()
            self._levels.clear()
            self._base = None
            self.unanswered.clear()

    def cut_off(self) -> None:
        """The rollout's time is over: tell the journal which calls are given up for that."""
        for call in [call for place in list(self._open.values()) for call in place.calls]:
            if not call.settled and (call.passed is not None or self.journal.door is None):
                self.journal.cut_off(call.key)

    def take(self, name: str) -> int:
        """Smallest occurrence of `name` that no running or finished call has."""
        with self._lock:
            taken = self._taken.setdefault(name, set())
            n = next(i for i in range(len(taken) + 1) if i not in taken)
            taken.add(n)
            return n

    def give_back(self, name: str, occurrence: int) -> None:
        """Make an occurrence free again."""
        with self._lock:
            self._taken[name].discard(occurrence)

    def on_chain_start(
        self,
        serialized: dict[str, Any],  # noqa: ARG002 - LangChain's signature
        inputs: Any,  # noqa: ARG002
        *,
        run_id: UUID,  # noqa: ARG002
        metadata: dict[str, Any] | None = None,
        **kwargs: Any,  # noqa: ARG002
    ) -> Any:
        """Remember step and branch of a node: model calls in its subgraphs only say their own."""
        self.remember(metadata)

    def on_chat_model_start(
        self,
        serialized: dict[str, Any],  # noqa: ARG002
        messages: list[list[BaseMessage]],
        *,
        run_id: UUID,
        metadata: dict[str, Any] | None = None,
        **kwargs: Any,
    ) -> Any:
        """Put the place into the context, for the cache to find."""
        self.remember(metadata)
        text = "/".join(self._path((metadata or {}).get("langgraph_checkpoint_ns") or ""))
        request = Request(self.purpose)
        if self.journal.door is not None:
            params = kwargs.get("invocation_params") or {}
            request = Request.of(self.purpose, messages, params, metadata or {}, "/".join(self.scope))
        place = Place(self, text, time.perf_counter(), request, run_id=run_id, attempt=attempted.get())
        around = current.get()
        place.inside = around is not None and around.open and (around.inside or around.passed is not None)
        place.bypassing = uncached.get()
        if place.attempt is not None:
            place.attempt.place = place
        place.batch = kwargs.get("batch_size", 1) > 1
        place.seen = (
            place.batch and not place.bypassing
        )  # of a batch, only the last run's place asks the cache
        if place.bypassing and self.journal.door is not None:
            try:
                place.passed = self.journal.door.enter_now(request)
            except Exception as refused:
                self.refused = refused
                raise
            place.let_through()
            if on_a_loop() and (task := asyncio.current_task()):
                # a cancelled call ends without telling its callbacks: its task tells
                task.add_done_callback(lambda _: place.give_up())
        self._open[run_id] = place
        current.set(place)

    def on_llm_end(self, response: LLMResult, *, run_id: UUID, **kwargs: Any) -> Any:  # noqa: ARG002
        """Close the place; a call that never asked the cache was paid and not journalled."""
        place = self._close(run_id)
        if place:
            place.in_time()
            self.unanswered.pop(place.text, None)
        if place and (place.bypassing or not place.seen):
            generations = response.generations[0]
            usage, model = usage_of(generations), model_of(generations)
            seconds = time.perf_counter() - place.started
            asked = place.request.name or model
            self.journal.meter.paid(self.purpose, usage, seconds, model=asked, journalled=False)
            self.journal.bypassed(model, place.text)
            if self.journal.door is not None:
                ended = Ended(usage, seconds, model=model)
                # one that came by no hook (`generate`) is counted afterwards
                (place.passed or self.journal.door.passed(place.request)).end(ended)

    def on_llm_error(self, error: BaseException, *, run_id: UUID, **kwargs: Any) -> Any:  # noqa: ARG002
        """Close the place and free the occurrences of its failed calls."""
        place = self._close(run_id)
        if place:
            if failure(error, of_call=True):
                self.unanswered[place.text] = error
            self.journal.meter.failed(self.purpose)
            at = current.get() if place.batch else None
            for call in [*place.calls, *(at.calls if at else ())]:
                call.release(error)
            if place.passed is not None:
                place.passed.end(Ended(Usage(), time.perf_counter() - place.started, error))

    def tell_error(self, error: BaseException, place: Place) -> None:
        """A call ended without LangChain's saying so: its caller has left it."""
        assert place.run_id is not None
        (self.recorder or self).on_llm_error(error, run_id=place.run_id)

    def tell_retried(self, place: Place) -> None:
        """A call failed and is made again."""
        if self.recorder is not None and place.run_id is not None:
            self.recorder.retried(place.run_id)

    def _close(self, run_id: UUID) -> Place | None:
        place = self._open.pop(run_id, None)
        if place:
            place.open = False
        return place

    def remember(self, metadata: Mapping[str, Any] | None) -> None:
        """Note step and branch of the node that `metadata` tells of."""
        ns = (metadata or {}).get("langgraph_checkpoint_ns") or ""
        if self._base is None:
            self._base = ns
        if ns and ns not in self._levels:
            assert metadata
            branch = ".".join(_branch(metadata.get("langgraph_path") or ()))
            at = f"#{metadata.get('langgraph_step')}"
            self._levels[ns] = f"{at}.{branch}" if branch else at

    def _path(self, ns: str) -> Iterator[str]:
        levels = ns.split("|") if ns else []
        first = self._base.count("|") + 1 if self._base and ns.startswith(self._base) else 0
        while first < len(levels) and levels[first].isdigit():
            first += 1  # LangGraph counts the graphs a node starts, in order of start: that is chance
        for n in range(first, len(levels)):
            yield levels[n].split(":", 1)[0] + self._levels.get("|".join(levels[: n + 1]), "")


def _branch(path: Sequence[Any]) -> Iterator[str]:
    """Numbers of a task path: the place in a `Send` fan-out, or the n-th call of a task; an error handler is marked."""
    for part in path:
        if isinstance(part, tuple | list):
            yield from _branch(part)
        elif isinstance(part, int) and not isinstance(part, bool):
            yield str(part)
        elif part == "node_error_handler":
            yield "error"
