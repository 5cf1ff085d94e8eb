"""Run the system on a task and evaluate it: the one place where rollouts happen."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Protocol

from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.memory import InMemorySaver

from langgraph_truce.bind import RunContext, published
from langgraph_truce.bind.intercept import candidate, intercepting
from langgraph_truce.bind.reads import Reads, reading
from langgraph_truce.errors import ReplayRefused
from langgraph_truce.evaluate import Evaluate
from langgraph_truce.model import Journal, JournalCallback, Patience
from langgraph_truce.rollout.failure import first
from langgraph_truce.rollout.heap import settled
from langgraph_truce.rollout.interrupts import RunOptions
from langgraph_truce.rollout.keep import pack
from langgraph_truce.rollout.record import Recorded, record
from langgraph_truce.rollout.shared import (
    Origins,
    Shared,
    forked,
    origin_of,
    origin_saver,
    reused,
    safe_tools,
    share,
    whole_only,
)
from langgraph_truce.rollout.tries import Tries, users
from langgraph_truce.rules import RuleBook
from langgraph_truce.seams import Rollout
from langgraph_truce.system import System
from langgraph_truce.task import Task
from langgraph_truce.threads import wide_threads

_log = logging.getLogger(__name__)

RECURSION_LIMIT = 200
"""LangGraph supersteps a rollout may take; LangGraph's own default would let a loop run for hours."""


class RolloutStore(Protocol):
    """Where finished rollouts are kept under their id."""

    async def read_rollout(self, rollout_id: str) -> Rollout | None:
        """The finished rollout, or None."""

    async def write_rollout(self, rollout: Rollout) -> None:
        """Keep a finished rollout."""


class CheckpointStore(Protocol):
    """Where the checkpoints of finished rollouts are kept."""

    async def read_checkpoints(self, rollout_id: str) -> bytes | None:
        """What `rollout.keep.pack` made of them, or None."""

    async def write_checkpoints(self, rollout_id: str, packed: bytes) -> None:
        """Keep them."""


@dataclass(frozen=True, slots=True)
class Rules:
    """How a run names its rules."""

    version: str
    """Of the published book."""
    prompts: str = ""
    """The interception that replaces hard-coded prompts; empty where nodes read their rules."""


def rollout_id(version: str, task: str, replicate: int) -> str:
    """The deterministic id of a rollout: made of what decides it."""
    return f"{version}/{task}/{replicate}"


@dataclass(frozen=True, slots=True)
class _Job:
    """One call of `run_all`."""

    rules: Rules
    replicate: int
    purpose: str
    shared: Mapping[str, Shared] = field(default_factory=dict)
    """What stands of the parent's rollouts, by task."""
    tools: Mapping[str, Any] = field(default_factory=dict)
    """What a fork may call."""
    parent: bool = False
    """True where these may be forked later."""


@dataclass
class Runner:
    """Runs tasks through a system with a rule book; finished rollouts are read, not run again."""

    system: System
    evaluate: Evaluate
    journal: Journal
    store: RolloutStore
    seed: int = 0
    on_done: Callable[[str], None] | None = None
    """Called with the purpose after every rollout, for the progress display."""
    keep: CheckpointStore | None = None
    """Where the checkpoints of train rollouts are kept, for methods that fork them; None keeps none."""
    missed: Counter[str] = field(default_factory=Counter)
    """Role path -> model calls that went out unchanged because no slot of the system's prompts has their text."""
    tasks: dict[str, Task] = field(default_factory=dict)
    """Tasks that were run, by id: what a replay is evaluated by."""
    books: dict[str, RuleBook] = field(default_factory=dict)
    """Books that were run with, by version."""
    origins: Origins = field(default_factory=Origins)
    """What is kept of the gate's baseline rollouts, so that those of candidates can go on from them."""
    ran: Counter[str] = field(default_factory=Counter)
    """Rollouts that were not read, by how: `whole`, `forked` (only what edits can have changed), `reused` (nothing)."""
    whole: str = field(init=False)
    """Why every rollout is run whole; "" where those of a candidate may share what edits cannot have changed."""
    patience: Patience = field(default_factory=Patience)
    """How often what the infrastructure spoiled is tried again."""
    slot: asyncio.Semaphore = field(init=False)
    """Held by everything that runs the system."""
    _fingerprint: str = field(init=False)

    def __post_init__(self) -> None:
        # An own semaphore and never `max_concurrency`: LangGraph queues checkpoint writes behind the tasks there.
        self.slot = asyncio.Semaphore(self.system.in_flight)
        self._fingerprint = self.system.fingerprint
        self.whole = whole_only(self.system)

    async def run_all(
        self,
        tasks: Sequence[Task],
        book: RuleBook,
        *,
        replicate: int = 0,
        purpose: str = "task",
        parent: RuleBook | None = None,
    ) -> tuple[Rollout, ...]:
        """Every task, in order: len(result) == len(tasks).

        With `parent`, what `book` cannot have changed of its rollouts is not run again (`rollout.shared`).
        """
        self.tasks.update({task.id: task for task in tasks})
        async with self.under(book) as rules:
            job = await self._job(tasks, rules, replicate, purpose, parent)
            try:
                async with asyncio.TaskGroup() as group:
                    futures = [group.create_task(self._one(task, job)) for task in tasks]
            except (
                BaseExceptionGroup
            ) as failures:  # the first says it all: its siblings were cancelled for it
                raise first(failures) from failures
        return tuple(f.result() for f in futures)

    async def _job(
        self, tasks: Sequence[Task], rules: Rules, replicate: int, purpose: str, parent: RuleBook | None
    ) -> _Job:
        """What stands of the parent's rollouts: of all that are kept, or of none."""
        if self.whole or parent is None:
            return _Job(rules, replicate, purpose, parent=purpose == "gate" and not self.whole)
        after = self.books[rules.version]
        found: dict[str, Shared] = {}
        try:
            for task in tasks:
                name = rollout_id(parent.version, task.id, replicate)
                origin = self.origins.find(name)
                ran = None if origin is None else await self.store.read_rollout(name)
                if ran is not None and origin is not None:
                    found[task.id] = share(ran, origin, parent, after)
            return _Job(rules, replicate, purpose, found, safe_tools(self.system, found.values()))
        except ReplayRefused as refused:
            _log.info("rollouts of these rules are run whole: %s", refused)
            return _Job(rules, replicate, purpose)

    @asynccontextmanager
    async def under(self, book: RuleBook) -> AsyncIterator[Rules]:
        """While in this context, rollouts that name the rules given here run with `book`.

        A system that calls models from raw threads waits here until no other book runs (`bind.turns`).
        """
        prompts = self.system.prompts
        with published(book) as version, settled(), wide_threads(self.system.in_flight):
            self.books[version] = book
            if prompts is None:
                yield Rules(version)
                return
            async with candidate(prompts, version):
                with intercepting(prompts) as interception:
                    try:
                        yield Rules(version, interception.id)
                    finally:
                        self.missed.update(interception.missed)

    async def _one(self, task: Task, job: _Job) -> Rollout:
        name = rollout_id(job.rules.version, task.id, job.replicate)
        async with self.slot:
            rollout = await self.store.read_rollout(name)
            if rollout is None:
                context = RunContext(job.rules.version, name, task.id, job.replicate, job.rules.prompts)
                rollout = await self._fresh(task, context, job)
        if self.on_done is not None:
            self.on_done(job.purpose)
        return rollout

    async def _fresh(self, task: Task, context: RunContext, job: _Job) -> Rollout:
        """What can be shared, or a run until the infrastructure holds; what is finished is kept."""
        shared = job.shared.get(task.id)
        rollout = None if shared is None or self.whole else await self._partly(task, context, job, shared)
        if rollout is None:
            rollout = await self._whole(task, context, job)
        if not rollout.outcome.excluded:  # an exclusion is not kept: a resumed run tries again
            await self.store.write_rollout(rollout)
        return rollout

    async def _partly(self, task: Task, context: RunContext, job: _Job, shared: Shared) -> Rollout | None:
        """The parent's rollout, or one that goes on from it; None where that turned out to be impossible."""
        if not shared.first:
            self.ran["reused"] += 1
            return reused(shared, context.rollout, context.version)

        async def once() -> Recorded:
            return await forked(
                self.system,
                shared,
                rollout=context.rollout,
                # the plain scope of (task, replicate): a whole run finds the same replies
                config=self.config(context, self.scope(task, context.replicate), job.purpose),
                run=self.options(task),
                tools=job.tools,
            )

        try:
            rollout = await self.tried(once, task, context)
        except ReplayRefused as refused:
            self._share_no_more(str(refused))
            return None
        self.ran["forked"] += 1
        return rollout

    async def _whole(self, task: Task, context: RunContext, job: _Job) -> Rollout:
        """Run from the start; of train rollouts the checkpoints are kept, of parents in memory what forks need."""
        saver: InMemorySaver | None = None
        recorded: Recorded | None = None
        reads = Reads()

        async def once() -> Recorded:
            nonlocal saver, recorded, reads
            saver = InMemorySaver() if self.keep is not None and job.purpose == "task" else None
            if not job.parent:
                return await self._recorded(task, context, job.purpose, saver)
            saver = origin_saver()
            with reading(context.rollout) as reads:
                recorded = await self._recorded(task, context, job.purpose, saver)
            return recorded

        self.ran["whole"] += 1
        rollout = await self.tried(once, task, context)
        if saver is None or rollout.outcome.excluded:
            return rollout
        if recorded is None:
            assert self.keep is not None
            await self.keep.write_checkpoints(rollout.id, pack(saver, rollout.id))
            return rollout
        try:
            self.origins.keep(rollout.id, origin_of(recorded, reads, saver, rollout.id))
        except ReplayRefused as refused:
            self._share_no_more(str(refused))
        return rollout

    def _share_no_more(self, why: str) -> None:
        """From now on all rollouts run whole: which ones could be shared would depend on what they did."""
        if not self.whole:
            _log.info("rollouts are run whole from now on: %s", why)
            self.whole = why
            self.origins.clear()

    async def tried(
        self, once: Callable[[], Awaitable[Recorded]], task: Task, context: RunContext
    ) -> Rollout:
        """What `once` recorded, evaluated; run again while the infrastructure fails, then excluded (`rollout.tries`)."""
        scope = (self._fingerprint, str(self.seed))
        tries = Tries(self.system, self.evaluate, self.journal, self.patience, scope, self.seed)
        return await tries.rollout(once, task, context)

    async def _recorded(
        self, task: Task, context: RunContext, purpose: str, saver: InMemorySaver | None
    ) -> Recorded:
        scope = self.scope(task, context.replicate)
        return await record(
            self.system.graph,
            users("inputs", self.system.graph_input, task, task),
            rollout=context.rollout,
            config=self.config(context, scope, purpose),
            saver=saver,
            aggregator=self.system.aggregator,
            options=self.options(task),
        )

    def scope(self, task: Task, replicate: int) -> tuple[str, ...]:
        """What the model calls of a rollout belong to, in the journal."""
        return (self._fingerprint, str(self.seed), task.id, str(replicate))

    def config(self, context: RunContext, scope: tuple[str, ...], purpose: str) -> RunnableConfig:
        """What a run of the system is told: its context, and a journal that knows where its calls belong."""
        return RunnableConfig(
            configurable=context.configurable(),
            metadata=context.configurable(),
            callbacks=[JournalCallback(self.journal, scope, purpose)],
            recursion_limit=RECURSION_LIMIT,
        )

    def options(self, task: Task) -> RunOptions:
        """Time limit, context and answers of a run on `task`."""
        context = self.system.context
        given = None if context is None else users("context", context, task.inputs, task)
        return RunOptions(self.system.timeout, given, self.system.interrupts)
