"""Run the system on a task and evaluate it: the one place where rollouts happen."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.memory import InMemorySaver

from langgraph_truce.bind import RunContext, published
from langgraph_truce.bind.intercept import candidate, intercepting
from langgraph_truce.errors import SystemMismatch, TruceError
from langgraph_truce.evaluate import Evaluate
from langgraph_truce.model import Journal, JournalCallback
from langgraph_truce.rollout.failure import first, infrastructure, sentence
from langgraph_truce.rollout.heap import settled
from langgraph_truce.rollout.interrupts import RunOptions
from langgraph_truce.rollout.keep import pack
from langgraph_truce.rollout.record import Recorded, record
from langgraph_truce.rules import RuleBook
from langgraph_truce.seams import Rollout
from langgraph_truce.system import System
from langgraph_truce.task import Outcome, Task
from langgraph_truce.threads import wide_threads
from langgraph_truce.trajectory.plain import deep

RECURSION_LIMIT = 200
"""LangGraph supersteps a rollout may take; LangGraph's own default would let a loop run for hours."""
ATTEMPTS = 3
"""Tries of a rollout whose infrastructure failed, before it is excluded."""
BACK_OFF = 0.5
"""Seconds before the second try; doubled for every further one."""


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
    slot: asyncio.Semaphore = field(init=False)
    """Held by everything that runs the system."""
    _fingerprint: str = field(init=False)

    def __post_init__(self) -> None:
        # An own semaphore and never `max_concurrency`: LangGraph queues checkpoint writes behind the tasks there.
        self.slot = asyncio.Semaphore(self.system.in_flight)
        self._fingerprint = self.system.fingerprint

    async def run_all(
        self, tasks: Sequence[Task], book: RuleBook, *, replicate: int = 0, purpose: str = "task"
    ) -> tuple[Rollout, ...]:
        """Every task, in order: len(result) == len(tasks)."""
        self.tasks.update({task.id: task for task in tasks})
        async with self.under(book) as rules:
            try:
                async with asyncio.TaskGroup() as group:
                    futures = [group.create_task(self._one(t, rules, replicate, purpose)) for t in tasks]
            except (
                BaseExceptionGroup
            ) as failures:  # the first says it all: its siblings were cancelled for it
                raise first(failures) from failures
        return tuple(f.result() for f in futures)

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

    async def _one(self, task: Task, rules: Rules, replicate: int, purpose: str) -> Rollout:
        name = rollout_id(rules.version, task.id, replicate)
        async with self.slot:
            rollout = await self.store.read_rollout(name)
            if rollout is None:
                context = RunContext(rules.version, name, task.id, replicate, rules.prompts)
                rollout = await self._fresh(task, context, purpose)
        if self.on_done is not None:
            self.on_done(purpose)
        return rollout

    async def _fresh(self, task: Task, context: RunContext, purpose: str) -> Rollout:
        """Run until the infrastructure holds; what is finished is kept, its checkpoints first."""
        saver: InMemorySaver | None = None

        async def once() -> Recorded:
            nonlocal saver
            saver = InMemorySaver() if self.keep is not None and purpose == "task" else None
            return await self._recorded(task, context, purpose, saver)

        rollout = await self.tried(once, task, context)
        if not rollout.outcome.excluded:  # an exclusion is not kept: a resumed run tries again
            if saver is not None and self.keep is not None:
                await self.keep.write_checkpoints(rollout.id, pack(saver, rollout.id))
            await self.store.write_rollout(rollout)
        return rollout

    async def tried(
        self, once: Callable[[], Awaitable[Recorded]], task: Task, context: RunContext
    ) -> Rollout:
        """What `once` recorded, evaluated; run again while the infrastructure fails, then excluded."""
        for attempt in range(ATTEMPTS):
            recorded = await once()
            error = recorded.error
            if error is None or not infrastructure(error):
                outcome = await self._outcome(task, recorded)
                break
            if attempt + 1 < ATTEMPTS:
                await asyncio.sleep(BACK_OFF * 2**attempt)
        else:
            assert error is not None
            said = f"infrastructure failed {ATTEMPTS} times: {sentence(error)}"
            outcome = Outcome(None, 0.0, excluded=said)
        return Rollout(
            context.rollout, task.id, context.replicate, context.version, outcome, recorded.trajectory
        )

    async def _recorded(
        self, task: Task, context: RunContext, purpose: str, saver: InMemorySaver | None
    ) -> Recorded:
        scope = self.scope(task, context.replicate)
        return await record(
            self.system.graph,
            _own("inputs", self.system.graph_input, task, task),
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
        given = None if context is None else _own("context", context, task.inputs, task)
        return RunOptions(self.system.timeout, given, self.system.interrupts)

    async def _outcome(self, task: Task, recorded: Recorded) -> Outcome:
        if recorded.error is not None:
            said = sentence(recorded.error)
            return Outcome(None, 0.0, feedback=f"The run ended with an error: {said}", error=said)
        answer = _own("outputs", self.system.answer, recorded.state, task)
        outcome = await self.evaluate(task, answer, trajectory=recorded.trajectory)
        return replace(outcome, result=deep(outcome.result))


def _own(name: str, function: Callable[[Any], Any], value: Any, task: Task) -> Any:
    """What a function of the user's System gives, as an evaluator: one that raises is to be mended, not scored."""
    try:
        return function(value)
    except TruceError:
        raise
    except Exception as wrong:
        raise SystemMismatch(
            f"System({name}=...) raised {type(wrong).__name__} on task {task.id!r}: {wrong}; mend the function"
        ) from wrong
