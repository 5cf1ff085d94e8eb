"""Run the system on a task and evaluate it: the one place where rollouts happen."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol

from langchain_core.runnables import RunnableConfig

from langgraph_truce.bind import RunContext, published
from langgraph_truce.evaluate import Evaluate
from langgraph_truce.model import Journal, JournalCallback
from langgraph_truce.rollout.failure import first, infrastructure, sentence
from langgraph_truce.rollout.heap import settled
from langgraph_truce.rollout.record import Recorded, record
from langgraph_truce.rules import RuleBook
from langgraph_truce.seams import Rollout
from langgraph_truce.system import System
from langgraph_truce.task import Outcome, Task
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
    _gate: asyncio.Semaphore = field(init=False)
    _fingerprint: str = field(init=False)

    def __post_init__(self) -> None:
        # An own semaphore and never `max_concurrency`: LangGraph queues checkpoint writes behind the tasks there.
        self._gate = asyncio.Semaphore(self.system.in_flight)
        self._fingerprint = self.system.fingerprint

    async def run_all(
        self, tasks: Sequence[Task], book: RuleBook, *, replicate: int = 0, purpose: str = "task"
    ) -> tuple[Rollout, ...]:
        """Every task, in order: len(result) == len(tasks)."""
        with published(book) as version, settled():
            try:
                async with asyncio.TaskGroup() as group:
                    futures = [group.create_task(self._one(t, version, replicate, purpose)) for t in tasks]
            except (
                BaseExceptionGroup
            ) as failures:  # the first says it all: its siblings were cancelled for it
                raise first(failures) from failures
        return tuple(f.result() for f in futures)

    async def _one(self, task: Task, version: str, replicate: int, purpose: str) -> Rollout:
        name = rollout_id(version, task.id, replicate)
        async with self._gate:
            rollout = await self.store.read_rollout(name)
            if rollout is None:
                rollout = await self._fresh(name, task, version, replicate, purpose)
                if not rollout.outcome.excluded:  # an exclusion is not kept: a resumed run tries again
                    await self.store.write_rollout(rollout)
        if self.on_done is not None:
            self.on_done(purpose)
        return rollout

    async def _fresh(self, name: str, task: Task, version: str, replicate: int, purpose: str) -> Rollout:
        context = RunContext(version, name, task.id, replicate)
        error: BaseException | None = None
        for attempt in range(ATTEMPTS):
            recorded = await self._recorded(task, context, purpose)
            error = recorded.error
            if error is None or not infrastructure(error):
                outcome = await self._outcome(task, recorded)
                return Rollout(name, task.id, replicate, version, outcome, recorded.trajectory)
            if attempt + 1 < ATTEMPTS:
                await asyncio.sleep(BACK_OFF * 2**attempt)
        assert error is not None
        gone = Outcome(None, 0.0, excluded=f"infrastructure failed {ATTEMPTS} times: {sentence(error)}")
        return Rollout(name, task.id, replicate, version, gone, recorded.trajectory)

    async def _recorded(self, task: Task, context: RunContext, purpose: str) -> Recorded:
        scope = (self._fingerprint, str(self.seed), task.id, str(context.replicate))
        config = RunnableConfig(
            configurable=context.configurable(),
            metadata=context.configurable(),
            callbacks=[JournalCallback(self.journal, scope, purpose)],
            recursion_limit=RECURSION_LIMIT,
        )
        running = record(
            self.system.graph,
            self.system.graph_input(task),
            rollout=context.rollout,
            config=config,
            aggregator=self.system.aggregator,
            timeout=self.system.timeout,
        )
        return await running

    async def _outcome(self, task: Task, recorded: Recorded) -> Outcome:
        if recorded.error is not None:
            said = sentence(recorded.error)
            return Outcome(None, 0.0, feedback=f"The run ended with an error: {said}", error=said)
        outcome = await self.evaluate(task, self.system.answer(recorded.state))
        return replace(outcome, result=deep(outcome.result))
