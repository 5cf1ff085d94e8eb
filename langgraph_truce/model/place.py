"""Where in a system a model call is made: the part of its journal key that makes equal prompts different calls.

A place is, for every level of (sub)graphs, node, superstep and branch of the fan-out. The superstep fixes the visit,
so the visit needs no field of its own. Task ids and checkpoint ids are random and stay out.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from uuid import UUID

from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.messages import BaseMessage
from langchain_core.outputs import LLMResult

from langgraph_truce.model.entry import digest, model_of, usage_of

if TYPE_CHECKING:
    from langgraph_truce.model.journal import Journal


@dataclass(slots=True)
class Place:
    """One model run, from its start to its end."""

    callback: JournalCallback
    text: str
    """`team#2/solver#1` or, in a fan-out, `worker#2.0`."""
    started: float
    open: bool = True
    """False once the model run ended: a context that still holds this place is stale."""
    seen: bool = False
    """True once the cache was asked."""
    calls: list[Call] = field(default_factory=list)

    def begin(self, prompt: str, llm: str) -> Call:
        """Name the call that asks the cache now."""
        self.seen = True
        name = digest(self.callback.scope, self.text, llm, prompt)
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

    @property
    def key(self) -> str:
        """Its key in the journal."""
        return f"{self.digest}-{self.occurrence}"

    def release(self) -> None:
        """The call failed: its occurrence is free again, so a retry takes the same key."""
        if not self.settled:
            self.settled = True
            self.place.callback.give_back(self.digest, self.occurrence)


current: ContextVar[Place | None] = ContextVar("truce_place", default=None)
"""The model run this context is in; may be stale, see `Place.open`."""
pending: ContextVar[Call | None] = ContextVar("truce_call", default=None)
"""The call whose reply this context waits for."""


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
        messages: list[list[BaseMessage]],  # noqa: ARG002
        *,
        run_id: UUID,
        metadata: dict[str, Any] | None = None,
        **kwargs: Any,
    ) -> Any:
        """Put the place into the context, for the cache to find."""
        self.remember(metadata)
        text = "/".join(self._path((metadata or {}).get("langgraph_checkpoint_ns") or ""))
        place = Place(self, text, time.perf_counter())
        place.seen = kwargs.get("batch_size", 1) > 1  # of a batch, only the last run's place asks the cache
        self._open[run_id] = place
        current.set(place)

    def on_llm_end(self, response: LLMResult, *, run_id: UUID, **kwargs: Any) -> Any:  # noqa: ARG002
        """Close the place; a call that never asked the cache was paid and not journalled."""
        place = self._close(run_id)
        if place and not place.seen:
            generations = response.generations[0]
            seconds = time.perf_counter() - place.started
            self.journal.meter.paid(self.purpose, usage_of(generations), seconds, journalled=False)
            self.journal.bypassed(model_of(generations), place.text)

    def on_llm_error(self, error: BaseException, *, run_id: UUID, **kwargs: Any) -> Any:  # noqa: ARG002
        """Close the place and free the occurrences of its failed calls."""
        place = self._close(run_id)
        if place:
            self.journal.meter.failed(self.purpose)
            for call in place.calls:
                call.release()

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
