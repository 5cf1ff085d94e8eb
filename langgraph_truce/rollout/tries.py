"""One rollout, tried until the infrastructure holds, and judged; whose failure it was, `rollout.failure` says."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from typing import Any

from langchain_core.runnables import RunnableConfig
from langgraph.pregel.remote import RemoteGraph

from langgraph_truce.bind import RunContext
from langgraph_truce.errors import EvaluatorError, SystemMismatch, TruceError
from langgraph_truce.evaluate import Evaluate
from langgraph_truce.model import Journal, JournalCallback, Patience
from langgraph_truce.model.failure import infrastructure, retry_after, sentence
from langgraph_truce.rollout.failure import fault
from langgraph_truce.rollout.record import Recorded
from langgraph_truce.seams import Rollout
from langgraph_truce.seed import seeded
from langgraph_truce.system import System
from langgraph_truce.task import Outcome, Task
from langgraph_truce.trajectory.plain import deep
from langgraph_truce.trajectory.step import Trajectory


@dataclass(frozen=True, slots=True)
class Tries:
    """How the rollouts of one system are tried, and who judges them."""

    system: System
    evaluate: Evaluate
    journal: Journal
    patience: Patience
    """How often what the infrastructure spoiled is tried again."""
    scope: tuple[str, ...]
    """What the calls of the evaluator's judges belong to, in the journal."""
    seed: int
    """Of the jitter between tries."""

    async def rollout(
        self, once: Callable[[], Awaitable[Recorded]], task: Task, context: RunContext
    ) -> Rollout:
        """What `once` recorded, evaluated; run again while the infrastructure fails, then excluded."""
        remote = isinstance(self.system.graph, RemoteGraph)
        attempt = 0
        while True:
            attempt += 1
            recorded = await once()
            # a node may have swallowed it: what the run ended with does not count
            if recorded.refused is not None:
                raise recorded.refused
            error = fault(recorded, remote=remote)
            if error is None:
                outcome = await self._outcome(task, recorded)
                break
            if attempt >= self.patience.attempts:
                outcome = _excluded("infrastructure", attempt, error)
                break
            await self._back_off(context.rollout, attempt, error)
        return Rollout(
            context.rollout, task.id, context.replicate, context.version, outcome, recorded.trajectory
        )

    async def _outcome(self, task: Task, recorded: Recorded) -> Outcome:
        if recorded.error is not None:
            said = sentence(recorded.error)
            return Outcome(None, 0.0, feedback=f"The run ended with an error: {said}", error=said)
        answer = users("outputs", self.system.answer, recorded.state, task)
        outcome = await self._judged(task, answer, recorded.trajectory)
        return replace(outcome, result=deep(outcome.result))

    async def _judged(self, task: Task, answer: Any, trajectory: Trajectory) -> Outcome:
        """The evaluator's word; asked again while the endpoint of its judge fails, then excluded."""
        attempt = 0
        while True:
            attempt += 1
            judges = JournalCallback(self.journal, (*self.scope, trajectory.rollout, "evaluate"), "evaluate")
            config = RunnableConfig(callbacks=[judges])
            try:
                outcome = await self.evaluate(task, answer, trajectory=trajectory, config=config)
                error = next(iter(judges.unanswered.values()), None)  # swallowed: its score means nothing
            except EvaluatorError as failed:
                error = failed.__cause__
                if judges.refused is None and (error is None or not infrastructure(error)):
                    raise
            if judges.refused is not None:  # whatever the evaluator made of it
                raise judges.refused
            if error is None:
                return outcome
            if attempt >= self.patience.attempts:
                return _excluded("the evaluator's endpoint", attempt, error)
            await self._back_off(trajectory.rollout, attempt, error)

    async def _back_off(self, rollout: str, attempt: int, error: BaseException) -> None:
        jitter = seeded(self.seed, "back off", rollout, attempt).random()
        await asyncio.sleep(max(self.patience.pause(attempt, jitter), retry_after(error) or 0.0))


def users(name: str, function: Callable[[Any], Any], value: Any, task: Task) -> Any:
    """What a function of the user's System gives, as an evaluator: one that raises is to be mended, not scored.

    Raises:
        SystemMismatch: it raised.
    """
    try:
        return function(value)
    except TruceError:
        raise
    except Exception as wrong:
        raise SystemMismatch(
            f"System({name}=...) raised {type(wrong).__name__} on task {task.id!r}: {wrong}; mend the function"
        ) from wrong


def _excluded(what: str, times: int, error: BaseException) -> Outcome:
    return Outcome(None, 0.0, excluded=f"{what} failed {times} times: {sentence(error)}")
