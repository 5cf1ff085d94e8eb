"""Versions of rule books in a LangGraph `BaseStore`: saved once, one of them active, rollback.

Every entry has a key that is known beforehand, so nothing is searched and nothing is paged:
`books/VERSION`, `versions/NNNNNNNN` (order of saving), `activations/NNNNNNNN` (order of activation), and two heads.
A batch that was cut off and is done again overwrites equal content. One writer at a time.
"""

from __future__ import annotations

import json
from collections.abc import Generator, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from langgraph.store.base import BaseStore, GetOp, Item, Op, PutOp

from langgraph_truce.errors import NOT_JSON, RunError, UnknownNameError
from langgraph_truce.rules.rule import RuleBook

T = TypeVar("T")
_Steps = Generator[Sequence[Op], list[Any], T]
_PAGE = 100


@dataclass(frozen=True, slots=True)
class Activation:
    """One change of the active version."""

    position: int
    """1 for the first."""
    version: str
    op: str
    """`activate` or `rollback`."""
    under: int
    """Position of the activation that a rollback goes back to; 0 where there is none."""


class RuleStore:
    """Rule books by version over any `BaseStore`, sync and async (`asave`, `aload`, ...)."""

    def __init__(self, store: BaseStore, prefix: tuple[str, ...] = ("truce", "rules")) -> None:
        self._store = store
        self._prefix = prefix

    def save(self, book: RuleBook) -> str:
        """Keep `book` and return its version; saving an equal book again changes nothing."""
        return self._run(self._save(book))

    async def asave(self, book: RuleBook) -> str:
        """As `save`."""
        return await self._arun(self._save(book))

    def load(self, version: str) -> RuleBook:
        """The book saved as `version`.

        Raises:
            UnknownNameError: no such version; the message lists those there are.
            RunError: the stored content is not the one that was saved.
        """
        return self._run(self._load(version))

    async def aload(self, version: str) -> RuleBook:
        """As `load`."""
        return await self._arun(self._load(version))

    def versions(self) -> tuple[str, ...]:
        """Every saved version, oldest first."""
        return self._run(self._versions())

    async def aversions(self) -> tuple[str, ...]:
        """As `versions`."""
        return await self._arun(self._versions())

    def activate(self, version: str) -> None:
        """Make `version` the one that nodes use; a no-op where it is already.

        Raises:
            UnknownNameError: no such version; the message lists those there are.
        """
        self._run(self._activate(version))

    async def aactivate(self, version: str) -> None:
        """As `activate`."""
        await self._arun(self._activate(version))

    def active(self) -> RuleBook | None:
        """The active book; None where none was activated."""
        return self._run(self._active())

    async def aactive(self) -> RuleBook | None:
        """As `active`."""
        return await self._arun(self._active())

    def rollback(self) -> str:
        """Make the version before the active one active again and return it; a second rollback goes further back.

        Raises:
            UnknownNameError: there is no earlier version.
        """
        return self._run(self._rollback())

    async def arollback(self) -> str:
        """As `rollback`."""
        return await self._arun(self._rollback())

    def history(self) -> tuple[Activation, ...]:
        """Every activation and rollback, oldest first."""
        return self._run(self._history())

    async def ahistory(self) -> tuple[Activation, ...]:
        """As `history`."""
        return await self._arun(self._history())

    def _run(self, steps: _Steps[T]) -> T:
        results: list[Any] | None = None
        while True:
            try:
                ops = next(steps) if results is None else steps.send(results)
            except StopIteration as end:
                return end.value  # type: ignore[no-any-return]
            results = self._store.batch(ops)

    async def _arun(self, steps: _Steps[T]) -> T:
        results: list[Any] | None = None
        while True:
            try:
                ops = next(steps) if results is None else steps.send(results)
            except StopIteration as end:
                return end.value  # type: ignore[no-any-return]
            results = await self._store.abatch(ops)

    def _get(self, *path: str) -> GetOp:
        return GetOp((*self._prefix, *path[:-1]), path[-1])

    def _put(self, value: dict[str, Any], *path: str) -> PutOp:
        return PutOp((*self._prefix, *path[:-1]), path[-1], value, index=False)

    def _save(self, book: RuleBook) -> _Steps[str]:
        version = book.version
        known, head = yield [self._get("books", version), self._get("heads", "versions")]
        if known is None:
            n = _number(head, "count") + 1
            # JSON inside a string: PostgreSQL's jsonb takes neither NUL nor lone surrogates
            text = json.dumps(book.to_json(), ensure_ascii=True)
            yield [
                self._put({"version": version}, "versions", f"{n:08d}"),
                self._put({"count": n}, "heads", "versions"),
                self._put({"book": text}, "books", version),
            ]
        return version

    def _load(self, version: str) -> _Steps[RuleBook]:
        (item,) = yield [self._get("books", version)]
        if item is None:
            there = ", ".join((yield from self._versions())) or "none"
            raise UnknownNameError(f"the rule store has no version {version!r}; its versions are: {there}")
        try:
            book = RuleBook.from_json(json.loads(item.value["book"]))
        except (*NOT_JSON, LookupError, TypeError, AttributeError) as e:
            raise RunError(f"the rule store's entry {version!r} is damaged ({type(e).__name__}: {e})") from e
        if book.version != version:
            raise RunError(
                f"the rule store's entry {version!r} is damaged: its content has version {book.version}"
            )
        return book

    def _versions(self) -> _Steps[tuple[str, ...]]:
        (head,) = yield [self._get("heads", "versions")]
        items = yield from self._numbered("versions", _number(head, "count"))
        return tuple(dict.fromkeys(item.value["version"] for item in items))

    def _activate(self, version: str) -> _Steps[None]:
        yield from self._load(version)
        (head,) = yield [self._get("heads", "active")]
        if head is None or head.value["version"] != version:
            at = _number(head, "position")
            yield self._entry(Activation(at + 1, version, "activate", at))

    def _rollback(self) -> _Steps[str]:
        (head,) = yield [self._get("heads", "active")]
        under = _number(head, "under")
        if under == 0:
            now = f"only {head.value['version']!r} was activated" if head else "none was activated"
            raise UnknownNameError(f"the rule store has no earlier version to roll back to; {now}")
        (item,) = yield [self._get("activations", f"{under:08d}")]
        version: str = item.value["version"]
        yield self._entry(Activation(_number(head, "position") + 1, version, "rollback", item.value["under"]))
        return version

    def _entry(self, new: Activation) -> Sequence[Op]:
        value = {"position": new.position, "version": new.version, "op": new.op, "under": new.under}
        return [self._put(value, "activations", f"{new.position:08d}"), self._put(value, "heads", "active")]

    def _active(self) -> _Steps[RuleBook | None]:
        (head,) = yield [self._get("heads", "active")]
        return None if head is None else (yield from self._load(head.value["version"]))

    def _history(self) -> _Steps[tuple[Activation, ...]]:
        (head,) = yield [self._get("heads", "active")]
        items = yield from self._numbered("activations", _number(head, "position"))
        return tuple(Activation(**item.value) for item in items)

    def _numbered(self, kind: str, count: int) -> _Steps[list[Item]]:
        """The entries 1 to `count`, in order."""
        out: list[Item] = []
        for first in range(1, count + 1, _PAGE):
            keys = range(first, min(first + _PAGE, count + 1))
            out += yield [self._get(kind, f"{n:08d}") for n in keys]
        return out


def _number(item: Item | None, field: str) -> int:
    return int(item.value[field]) if item else 0
