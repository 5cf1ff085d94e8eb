"""The run context: which rule book the run that is going on right now uses.

A runner *publishes* a book under its version in an in-process table and starts the graph with that version in
`configurable`; nodes then find their rules without any I/O, and concurrent candidates in one process never mix,
because the version travels with LangGraph's own run context.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from langchain_core.runnables import RunnableConfig
from langchain_core.runnables.config import var_child_runnable_config

from langgraph_truce.rules.rule import RuleBook

VERSION = "truce_version"
ROLLOUT = "truce_rollout"
TASK = "truce_task"
REPLICATE = "truce_replicate"
PROMPTS = "truce_prompts"
"""Whose hard-coded prompts are replaced in this run: `Prompts.id`, or the id of one `Interception`."""
LISTEN = "truce_listen"
"""Whose listener hears the model calls of this run; see `bind.intercept.listening`."""


@dataclass(frozen=True, slots=True)
class RunContext:
    """What a rollout tells its nodes and callbacks; it goes into `configurable` and, for callbacks, into metadata."""

    version: str
    """Version of the rule book under test; published for as long as the rollout runs."""
    rollout: str
    task: str
    replicate: int = 0
    prompts: str = ""
    """`Prompts.id` of a system with hard-coded prompts (or `Interception.id`); empty where nodes read their rules."""

    def configurable(self) -> dict[str, Any]:
        """The keys for `config["configurable"]` and `config["metadata"]`."""
        keys = {VERSION: self.version, ROLLOUT: self.rollout, TASK: self.task, REPLICATE: self.replicate}
        return {**keys, PROMPTS: self.prompts} if self.prompts else keys


class _Table:
    """Published books by version, counted, and the number of optimizations that are going on."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._books: dict[str, tuple[RuleBook, int]] = {}
        self._running = 0

    def get(self, version: str) -> RuleBook | None:
        entry = self._books.get(version)
        return entry[0] if entry else None

    def hold(self, version: str, book: RuleBook) -> None:
        with self._lock:
            _, n = self._books.get(version, (book, 0))
            self._books[version] = (book, n + 1)

    def release(self, version: str) -> None:
        with self._lock:
            book, n = self._books[version]
            if n == 1:
                del self._books[version]
            else:
                self._books[version] = (book, n - 1)

    def having(self, agents: Iterable[str]) -> tuple[str, ...]:
        """Versions of the published books that have all of `agents`."""
        wanted = frozenset(agents)
        with self._lock:
            return tuple(v for v, (book, _) in self._books.items() if wanted <= book.agents.keys())

    @property
    def running(self) -> bool:
        return self._running > 0

    def run(self, by: int) -> None:
        with self._lock:
            self._running += by


TABLE = _Table()


@contextmanager
def published(book: RuleBook) -> Iterator[str]:
    """Make `book` findable by its version, which is given, until the block ends."""
    version = book.version
    TABLE.hold(version, book)
    try:
        yield version
    finally:
        TABLE.release(version)


@contextmanager
def optimizing() -> Iterator[None]:
    """Mark that an optimization is going on: from now on `instructions()` without run context raises."""
    TABLE.run(+1)
    try:
        yield
    finally:
        TABLE.run(-1)


def current_config() -> RunnableConfig | None:
    """The config of the node that is running in this context, or None outside of any run."""
    return var_child_runnable_config.get()


def configurable() -> Mapping[str, Any]:
    """The running node's `configurable`; empty outside of any run."""
    config = current_config()
    return (config or {}).get("configurable") or {}
