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
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

from langchain_core.caches import RETURN_VAL_TYPE, BaseCache
from langgraph.store.base import BaseStore, SearchItem

from langgraph_truce.errors import RunError
from langgraph_truce.model import install
from langgraph_truce.model.commit import Committer
from langgraph_truce.model.entry import Entry, decode, encode, model_of, usage_of
from langgraph_truce.model.meter import Meter
from langgraph_truce.model.place import Call, current, pending
from langgraph_truce.model.stores import open_store

_Write = tuple[tuple[str, ...], str, Mapping[str, Any], Callable[[], None]]
_log = logging.getLogger(__name__)
_SHARD = (
    10_000  # entries a namespace holds, more or less: each is read in one page, so paging cannot lose any
)
_PAGE = 2 * _SHARD


class Journal(BaseCache):
    """Replies by key in a store; see the module's description.

    Args:
        store: Any synchronous `BaseStore`; it stays the caller's to close.
        namespace: Where in the store; one run, one namespace.

    Opening reads all keys, so a miss costs no I/O. Close it (or use it as a context manager) before the store.
    """

    def __init__(self, store: BaseStore, namespace: tuple[str, ...] = ("journal",)) -> None:
        self.meter = Meter()
        self._store = store
        self._namespace = namespace
        self._keys: dict[str, int] = {}  # key -> number of its shard
        self._committer = Committer(store)
        self._told: set[str] = set()
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

    def lookup(self, prompt: str, llm_string: str) -> RETURN_VAL_TYPE | None:
        """The journalled reply of the call this context makes; None where there is none."""
        call = self._begin(prompt, llm_string)
        if call is None or call.key not in self._keys:
            return None
        return self._found(call, self._read(call.key))

    async def alookup(self, prompt: str, llm_string: str) -> RETURN_VAL_TYPE | None:
        """As `lookup`; the store is read in a thread."""
        call = self._begin(prompt, llm_string)
        if call is None:
            return None
        if call.key in self._keys:
            return self._found(call, await asyncio.to_thread(self._read, call.key))
        # a cancelled call ends without telling its callbacks: its task tells
        task = asyncio.current_task()
        assert task
        task.add_done_callback(lambda _: call.release())
        return None

    def update(self, prompt: str, llm_string: str, return_val: RETURN_VAL_TYPE) -> None:  # noqa: ARG002
        """Commit the reply of the call this context made; returns when it is durable.

        Raises:
            RunError: it could not be written.
        """
        write = self._commit(prompt, return_val)
        if write:
            self._committer.put(*write)

    async def aupdate(self, prompt: str, llm_string: str, return_val: RETURN_VAL_TYPE) -> None:  # noqa: ARG002
        """As `update`; waits without holding the loop."""
        write = self._commit(prompt, return_val)
        if write:
            await self._committer.aput(*write)

    def clear(self, **kwargs: Any) -> None:  # noqa: ARG002 - LangChain's signature
        """Never: what was paid for is kept.

        Raises:
            RunError: always.
        """
        raise RunError(
            "the journal holds paid replies and is not cleared; start a run in a new folder instead"
        )

    def _begin(self, prompt: str, llm: str) -> Call | None:
        place = current.get()
        mine = place is not None and place.open and place.callback.journal is self
        call = place.begin(prompt, llm) if place and mine else None
        pending.set(call)
        return call

    def _found(self, call: Call, entry: Entry) -> RETURN_VAL_TYPE:
        call.settled = True
        self.meter.hit(call.place.callback.purpose)
        return decode(entry.generations)

    def _commit(self, prompt: str, reply: RETURN_VAL_TYPE) -> _Write | None:
        call = pending.get()
        if call is None or call.settled or call.prompt != prompt:
            return None
        pending.set(None)
        by = call.place.callback
        seconds = time.perf_counter() - call.started
        usage = usage_of(reply)
        entry = Entry(encode(reply), by.purpose, model_of(reply), usage, seconds, call.place.text, by.scope)
        key = call.key
        self.meter.paid(by.purpose, usage, seconds)
        call.settled = True
        if key in self._keys:  # another rollout of the same scope was first
            return None
        shard = (
            len(self._keys) // _SHARD
        )  # of what is committed: no shard is begun while an earlier one is empty
        return self._shard(shard), key, entry.to_json(), lambda: self._learn(key, shard)

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
                self.meter.paid(entry.purpose, entry.usage, entry.seconds)
            shard += 1

    def _all(self, shard: int) -> list[SearchItem]:
        items: list[SearchItem] = []
        while page := self._store.search(self._shard(shard), limit=_PAGE, offset=len(items)):
            items += page
            if len(page) < _PAGE:
                break
        return items
