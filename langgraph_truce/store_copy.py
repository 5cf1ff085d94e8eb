"""A long-term store's copy for one run: what it reads comes from the original, what it writes stays in the copy.

Nothing is copied up front: reads fall through, so a large store costs nothing, and vector indexes are not built again.
The copy shows the original as it is now, not as it was when a recorded run began. Time to live does not run in it.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Generator, Iterable, Sequence
from itertools import islice
from typing import Any

from langgraph.store.base import (
    BaseStore,
    GetOp,
    Item,
    ListNamespacesOp,
    Op,
    PutOp,
    Result,
    SearchItem,
    SearchOp,
)
from langgraph.store.memory import InMemoryStore

_PAGE = 500
"""Items or namespaces read at a time."""
_Place = tuple[tuple[str, ...], str]
"""Namespace and key."""
_Reads = Generator[tuple[BaseStore, Op], Any, Any]
"""Reads of the original or of what was written, without saying whether they are sync or async."""


class StoreCopy(BaseStore):
    """`original` as one run sees it. The original is never written.

    Searches with a query rank by score, as both sides give it; those without list what the original has, in its order,
    then what was written, in the order of writing.
    """

    def __init__(self, original: BaseStore) -> None:
        self.original = original
        self.supports_ttl = original.supports_ttl
        self.ttl_config = original.ttl_config
        self.written = InMemoryStore(index=getattr(original, "index_config", None))
        """What the run wrote; indexed as the original is."""
        self._hidden: set[_Place] = set()
        """Items of the original that were written over or deleted."""

    def batch(self, ops: Iterable[Op]) -> list[Result]:
        """Reads and writes in order; see `BaseStore`."""
        return [_done(self._one(op), lambda store, read: store.batch([read])[0]) for op in ops]

    async def abatch(self, ops: Iterable[Op]) -> list[Result]:
        """As `batch`, with the original's async methods."""

        async def read(store: BaseStore, op: Op) -> Result:
            return (await store.abatch([op]))[0]

        return [await _adone(self._one(op), read) for op in ops]

    def _one(self, op: Op) -> _Reads:
        if isinstance(op, PutOp):
            self._hidden.add((op.namespace, op.key))
            yield self.written, op._replace(ttl=None)
            return None
        if isinstance(op, GetOp):
            hidden = (op.namespace, op.key) in self._hidden
            return (yield self.written if hidden else self.original, op)
        if isinstance(op, SearchOp):
            return (yield from self._search(op))
        return (yield from self._namespaces(op))

    def _search(self, op: SearchOp) -> _Reads:
        last = op.offset + op.limit
        own: Sequence[SearchItem] = yield self.written, op._replace(offset=0, limit=last)
        below = [n for n, _ in self._hidden if n[: len(op.namespace_prefix)] == op.namespace_prefix]
        theirs: Sequence[SearchItem] = yield (
            self.original,
            op._replace(offset=0, limit=last + len(below)),
        )
        seen = [item for item in theirs if (item.namespace, item.key) not in self._hidden]
        merged = [*seen, *own]
        if op.query and all(item.score is not None for item in merged):
            merged.sort(key=lambda item: -(item.score or 0.0))
        return merged[op.offset : last]

    def _namespaces(self, op: ListNamespacesOp) -> _Reads:
        every = op._replace(max_depth=None, offset=0, limit=_PAGE)
        touched = {namespace for namespace, _ in self._hidden}
        found: set[tuple[str, ...]] = set()
        for store in (self.written, self.original):
            for namespace in (yield from _all(store, every)):
                if namespace not in touched or (yield from self._left(store, namespace)):
                    found.add(namespace)
        cut = sorted({namespace[: op.max_depth] for namespace in found})
        return list(islice(cut, op.offset, op.offset + op.limit))

    def _left(self, store: BaseStore, namespace: tuple[str, ...]) -> _Reads:
        """True where a namespace still has items: of the original those that were not deleted or written over."""
        items: list[Item] = yield from _all(store, SearchOp(namespace, limit=_PAGE))
        hidden = self._hidden if store is self.original else set[_Place]()
        return any(i.namespace == namespace and (i.namespace, i.key) not in hidden for i in items)


def store_copy(store: BaseStore | None) -> BaseStore | None:
    """A copy of `store` for one run; None for None."""
    return None if store is None else StoreCopy(store)


def _all(store: BaseStore, op: SearchOp | ListNamespacesOp) -> _Reads:
    """Every result, page by page."""
    found: list[Any] = []
    while True:
        page = yield store, op._replace(offset=len(found))
        found += page
        if len(page) < op.limit:
            return found


def _done(reads: _Reads, read: Callable[[BaseStore, Op], Any]) -> Any:
    given: Any = None
    while True:
        try:
            store, op = reads.send(given)
        except StopIteration as end:
            return end.value
        given = read(store, op)


async def _adone(reads: _Reads, read: Callable[[BaseStore, Op], Awaitable[Any]]) -> Any:
    given: Any = None
    while True:
        try:
            store, op = reads.send(given)
        except StopIteration as end:
            return end.value
        given = await read(store, op)
