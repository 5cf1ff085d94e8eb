"""The journal (DESIGN section 5): every finished model reply is committed before the node sees it.

It sits on LangChain's own cache interface. A `JournalCallback` in a rollout's config says where a call is made; the
cache lookup that LangChain does before every call then finds or misses the reply, and the update after it returns
only when the reply is durable. It is cache, metering, resume and common random numbers in one:

- equal prompts at different places, of different tasks or replicates, or the n-th at one place, are different calls;
- a failed call is not journalled, and its retry takes the same key;
- two rollouts of one scope at the same time both call; the first reply that is committed is kept;
- a model with `cache=False` or a cache of its own is left alone and counted (`Tally.unjournalled`).
"""

from __future__ import annotations

import asyncio
import logging
import math
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import Any

from langchain_core.caches import RETURN_VAL_TYPE, BaseCache
from langgraph.store.base import BaseStore, SearchItem

from langgraph_truce.errors import RunError
from langgraph_truce.model import install
from langgraph_truce.model.commit import Committer, unkept
from langgraph_truce.model.door import Door, Ended
from langgraph_truce.model.entry import Entry, decode, encode, model_of, usage_of
from langgraph_truce.model.meter import Meter
from langgraph_truce.model.place import Call, current, pending
from langgraph_truce.model.stores import open_store
from langgraph_truce.redact import Redactor

_Write = tuple[tuple[str, ...], str, Mapping[str, Any], Callable[[], None]]
_log = logging.getLogger(__name__)
_SHARD = (
    10_000  # entries a namespace holds, more or less: each is read in one page, so paging cannot lose any
)
_PAGE = 2 * _SHARD
_NOTES = "notes"


class Journal(BaseCache):
    """Replies by key in a store; see the module's description.

    Args:
        store: Any synchronous `BaseStore`; it stays the caller's to close.
        namespace: Where in the store; one run, one namespace.

    Opening reads all keys, so a miss costs no I/O. Close it (or use it as a context manager) before the store.
    """

    def __init__(self, store: BaseStore, namespace: tuple[str, ...] = ("journal",)) -> None:
        self.meter = Meter()
        self.door: Door | None = None
        """Asked before every call that the journal has no reply for; None lets all through."""
        self.redact = Redactor()
        """Masks what is kept, and the prompts that name calls: a masked reply read back leads to the same next call."""
        self._store = store
        self._namespace = namespace
        self._keys: dict[str, int] = {}  # key -> number of its shard
        self._committer = Committer(store)
        self._told: set[str] = set()
        self._cut: set[str] = set()
        self._lock = threading.Lock()
        self._read_all()

    @classmethod
    @contextmanager
    def open(cls, where: str | Path, namespace: tuple[str, ...] = ("journal",)) -> Iterator[Journal]:
        """A journal in a SQLite file, or in PostgreSQL where `where` is its URL; store and journal are closed at the end.

        Raises:
            MissingExtra: a PostgreSQL URL without the `postgres` extra.
            RunError: the file or the database cannot be opened.
        """
        with open_store(where) as store, cls(store, namespace) as journal:
            yield journal

    def __enter__(self) -> Journal:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def __len__(self) -> int:
        """Replies committed so far."""
        return len(self._keys)

    def close(self) -> None:
        """Commit what is waiting; later replies are refused. Harmless when called twice."""
        self._committer.close()

    def installed(self) -> AbstractContextManager[None]:
        """While in this context, LangChain's global cache asks the journals; every trace is gone afterwards.

        Counted and thread-safe: several journals may be installed at once, each call finds its own by its place.
        Calls outside any rollout go to the cache that was there before.
        """
        return install.installed()

    def note(self, name: str, value: Mapping[str, Any]) -> None:
        """Keep a small JSON object beside the replies; durable when this returns, a few milliseconds later."""
        self._store.put((*self._namespace, _NOTES), name, dict(value), index=False)

    def noted(self, name: str) -> Mapping[str, Any] | None:
        """What `note` kept under `name` last, also by an earlier process; None where nothing was."""
        item = self._store.get((*self._namespace, _NOTES), name)
        return None if item is None else item.value

    def bypassed(self, model: str, place: str) -> None:
        """Say once per model that its replies are not journalled."""
        with self._lock:
            first = model not in self._told
            self._told.add(model)
        if first:
            _log.warning(
                "replies of model %r (at %s) are not journalled: it has cache=False or a cache of its own, streams "
                "past the cache, or the journal is not installed; they are paid again after a crash",
                model,
                place or "no node",
            )

    def cut_off(self, key: str) -> None:
        """The call `key` was given up, for its rollout's time was over; known to this process.

        A later rollout with the same call runs out of time there too: as only finished replies are kept, it would else draw
        again what was slow, and keep what was fast.
        """
        self._cut.add(key)

    def lookup(self, prompt: str, llm_string: str) -> RETURN_VAL_TYPE | None:
        """The journalled reply of the call this context makes; None where there is none."""
        call = self._begin(prompt, llm_string)
        if call is None:
            return None
        if call.key in self._keys:
            with self._kept(call):
                entry = self._read(call.key)
            return self._found(call, entry)
        self._missed(call)
        if self.door is not None:
            with call.asking():
                call.passed = (self.door.enter_now if call.inside else self.door.enter)(call.request)
            call.started = time.perf_counter()
            call.place.let_through()
        return None

    async def alookup(self, prompt: str, llm_string: str) -> RETURN_VAL_TYPE | None:
        """As `lookup`; the store is read in a thread."""
        call = self._begin(prompt, llm_string)
        if call is None:
            return None
        if call.key in self._keys:
            with self._kept(call):
                entry = await asyncio.to_thread(self._read, call.key)
            return self._found(call, entry)
        self._missed(call)
        # a cancelled call ends without telling its callbacks: its task tells
        task = asyncio.current_task()
        assert task
        task.add_done_callback(lambda done: call.release(_why(call, done)))
        if self.door is not None:
            with call.asking():
                if call.inside:
                    call.passed = self.door.enter_now(call.request)
                else:
                    call.passed = await self.door.aenter(call.request)
            call.started = time.perf_counter()
            call.place.let_through()
        return None

    def update(self, prompt: str, llm_string: str, return_val: RETURN_VAL_TYPE) -> None:  # noqa: ARG002
        """Commit the reply of the call this context made; returns when it is durable.

        Raises:
            Unkept: it could not be written.
        """
        call = pending.get()
        write = self._commit(prompt, return_val)
        if write:
            with self._kept(call):
                self._committer.put(*write)

    async def aupdate(self, prompt: str, llm_string: str, return_val: RETURN_VAL_TYPE) -> None:  # noqa: ARG002
        """As `update`; waits without holding the loop."""
        call = pending.get()
        write = self._commit(prompt, return_val)
        if write:
            with self._kept(call):
                await self._committer.aput(*write)

    def clear(self, **kwargs: Any) -> None:  # noqa: ARG002 - LangChain's signature
        """Never: what was paid for is kept.

        Raises:
            RunError: always.
        """
        raise RunError(
            "the journal holds paid replies and is not cleared; start a run in a new folder instead"
        )

    @property
    def call_timeout(self) -> float | None:
        """Seconds that a call may take; None: any time."""
        traffic = None if self.door is None else self.door.traffic
        return None if traffic is None else traffic.call_timeout

    def _missed(self, call: Call) -> None:
        """Nothing is there for it: it is made."""
        if call.key in self._cut:
            call.place.callback.spared.add(call.place.text, math.inf, key=call.key)

    @contextmanager
    def _kept(self, call: Call | None) -> Iterator[None]:
        """A store that fails stops the run; it is noted, because a node may swallow it.

        The time that it takes, for a database that is away, say, is none of the rollout's.
        """
        try:
            with nullcontext() if call is None else call.place.callback.lost.waiting():
                yield
        except Exception as e:  # noqa: BLE001 - whatever the store raises
            why = unkept(e)
            if call is not None:
                call.place.callback.refused = why
            if self.door is not None:
                self.door.stop(why)
            raise why from e.__cause__

    def _begin(self, prompt: str, llm: str) -> Call | None:
        place = current.get()
        mine = place is not None and place.open and place.callback.journal is self
        outer = pending.get()
        while outer is not None and outer.settled:
            outer = outer.outer
        call = place.begin(prompt, llm) if place and mine else None
        if call is not None:
            call.outer = outer
            bypassing = call.place.inside or call.place.passed is not None
            call.inside = bypassing or (outer is not None and outer.passed is not None)
        pending.set(call)
        return call

    def _found(self, call: Call, entry: Entry) -> RETURN_VAL_TYPE:
        call.settled = True
        by = call.place.callback
        self.meter.hit(by.purpose)
        by.spared.add(call.place.text, entry.seconds, key=call.key)
        try:
            return decode(entry.generations)
        except (ValueError, KeyError, TypeError, AttributeError) as e:
            raise RunError(f"journal entry {call.key} is damaged ({type(e).__name__}); it is not used") from e

    def _commit(self, prompt: str, reply: RETURN_VAL_TYPE) -> _Write | None:
        call = pending.get()
        while call is not None and (call.settled or call.prompt != prompt):
            call = call.outer  # it called another model before it answered
        if call is None or not call.place.in_time():
            return None
        pending.set(call.outer)
        by = call.place.callback
        seconds = time.perf_counter() - call.started
        usage = usage_of(reply)
        named, asked = model_of(reply), call.place.request.name
        entry = Entry(encode(reply), by.purpose, named, usage, seconds, call.place.text, by.scope, asked)
        key = call.key
        by.spared.made(key)
        self.meter.paid(by.purpose, usage, seconds, model=asked or named)
        call.settled = True
        if key in self._keys:  # another rollout of the same scope was first
            call.end(Ended(usage, seconds, model=named))
            return None
        told = Ended(usage, seconds, model=named, journalled=True)
        shard = (
            len(self._keys) // _SHARD
        )  # of what is committed: no shard is begun while an earlier one is empty

        def landed() -> None:
            self._learn(key, shard)
            call.end(told)  # not earlier: a reply that a kill takes back is still reserved

        kept = self.redact.json(entry.to_json())
        return self._shard(shard), key, kept, landed

    def _learn(self, key: str, shard: int) -> None:
        self._keys.setdefault(key, shard)

    def _shard(self, number: int) -> tuple[str, ...]:
        return (*self._namespace, f"{number:06d}")

    def _read(self, key: str) -> Entry:
        item = self._store.get(self._shard(self._keys[key]), key)
        if item is None:
            raise RunError(
                f"journal entry {key} is gone from the store; was it edited while the run was open?"
            )
        return Entry.from_json(item.value)

    def _read_all(self) -> None:
        shard = 0
        while items := self._all(shard):
            for item in items:
                self._learn(item.key, shard)
                entry = Entry.from_json(item.value)
                name = entry.asked or entry.model
                self.meter.paid(entry.purpose, entry.usage, entry.seconds, model=name)
            shard += 1

    def _all(self, shard: int) -> list[SearchItem]:
        items: list[SearchItem] = []
        while page := self._store.search(self._shard(shard), limit=_PAGE, offset=len(items)):
            items += page
            if len(page) < _PAGE:
                break
        return items


def _why(call: Call, done: asyncio.Task[Any]) -> BaseException | None:
    """Why a call ended without a reply; None where nobody waited for it any more."""
    return call.place.late() if done.cancelled() else done.exception()
