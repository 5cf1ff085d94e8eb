"""The lab of credit from stored threads: it asks a critic and keeps the replies; it cannot run the system."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from langchain_core.language_models import BaseChatModel
from langchain_core.runnables import RunnableConfig
from langgraph.store.memory import InMemoryStore
from pydantic import BaseModel

from langgraph_truce import prompts
from langgraph_truce.errors import ReplayRefused, UserMistake
from langgraph_truce.model import Journal, JournalCallback, ask
from langgraph_truce.rules import RuleBook
from langgraph_truce.seams import Change, Rollout
from langgraph_truce.seed import seeded
from langgraph_truce.task import Task

M = TypeVar("M", bound=BaseModel)
IN_FLIGHT = 16
"""Questions to the critic at a time."""
Replay = Callable[[Rollout, Change, int], Awaitable[Rollout]]
"""Forks a stored thread: rollout, change and replicate give the evaluated rest."""


def nothing(_role: str) -> str:
    """What is known of a role where the graph is not: nothing."""
    return ""


@dataclass
class ThreadLab:
    """The `Lab` of stored threads (see `seams.Lab`)."""

    model: BaseChatModel | None
    journal: Journal
    seed: int = 0
    describe: Callable[[str], str] = nothing
    """Role -> its place in the graph, in one line."""
    fork: Replay | None = None
    """None: replays are refused."""
    aggregator: str = ""
    """Role path of the node that closes a round."""
    _gate: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(IN_FLIGHT), init=False)

    @property
    def has_model(self) -> bool:
        """True where a critic model was given."""
        return self.model is not None

    def rng(self, *key: object) -> random.Random:
        """A generator seeded by (seed, *key)."""
        return seeded(self.seed, *key)

    def about(self, role: str) -> str:
        """A role's place in the graph, in one line; empty where the graph does not tell."""
        return self.describe(role)

    async def rollouts(
        self,
        tasks: Sequence[Task],
        book: RuleBook,
        *,
        replicate: int = 0,
        purpose: str = "gate",
        parent: RuleBook | None = None,  # noqa: ARG002 - nothing is shared here
    ) -> tuple[Rollout, ...]:
        """Never: stored threads are read, not run.

        Raises:
            UserMistake: always.
        """
        raise UserMistake(
            f"{purpose} wants to run {len(tasks)} tasks (replicate {replicate}, {len(book.agents)} agents); credit from "
            "stored threads runs nothing, take another credit source or optimize()"
        )

    async def replay(
        self, rollout: Rollout, change: Change, *, replicate: int = 0, purpose: str = "credit"
    ) -> Rollout:
        """Fork the stored thread before the change and run what depends on it.

        Raises:
            ReplayRefused: nothing was given to fork threads with.
        """
        if self.fork is None:
            raise ReplayRefused(
                f"{purpose} wants to fork thread {rollout.id!r}, and there is nothing to fork it with; give the graph and "
                "the checkpointer, or take a credit source that only reads"
            )
        return await self.fork(rollout, change, replicate)

    async def ask(self, prompt: str, fields: Mapping[str, str], schema: type[M], *, purpose: str) -> M:
        """Ask the critic; an equal question gets the journalled answer."""
        if self.model is None:
            raise UserMistake(f"{purpose} asks a critic model and none was given; name one with model=")
        text = prompts.load(prompt).fill(fields)
        callback = JournalCallback(self.journal, ("ask", purpose), purpose)
        async with self._gate:
            return await ask(self.model, text, schema, config=RunnableConfig(callbacks=[callback]))


@contextmanager
def journal_in(file: Path | str | None) -> Iterator[Journal]:
    """A journal in a file (made where it is not), or for this call alone; LangChain's cache asks it meanwhile.

    Raises:
        RunError: the file cannot be opened.
    """
    if file is None:
        with Journal(InMemoryStore()) as journal, journal.installed():
            yield journal
        return
    Path(file).parent.mkdir(parents=True, exist_ok=True)
    with Journal.open(file) as journal, journal.installed():
        yield journal
