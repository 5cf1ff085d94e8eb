"""Forks of stored threads for counterfactual credit: what they will cost, and how they run."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from langgraph.checkpoint.base import BaseCheckpointSaver

from langgraph_truce.batch import agent_of
from langgraph_truce.bind import RunContext
from langgraph_truce.codec import to_json
from langgraph_truce.errors import ReplayRefused, TruceError
from langgraph_truce.evaluate import Evaluate
from langgraph_truce.model import Journal
from langgraph_truce.rollout.record import Recorded
from langgraph_truce.rollout.replay import ReplayOptions, areplay
from langgraph_truce.rollout.run import Runner
from langgraph_truce.rules import RuleBook
from langgraph_truce.rules.rule import content_hash
from langgraph_truce.seams import Batch, Change, Rollout
from langgraph_truce.system import System
from langgraph_truce.task import Task
from langgraph_truce.trajectory.downstream import first_touched
from langgraph_truce.trajectory.step import ModelCall, Step


class _Nowhere:
    """Replays of stored threads are not kept; their model replies are, in the journal."""

    async def read_rollout(self, rollout_id: str) -> Rollout | None:  # noqa: ARG002 - RolloutStore's
        return None

    async def write_rollout(self, rollout: Rollout) -> None:
        """Keeps nothing."""


@dataclass
class Forks:
    """Runs changed forks of stored threads in memory; the threads themselves stay as they are.

    A replay is `await forks(rollout, change, replicate)`; equal ones run once.
    """

    system: System
    saver: BaseCheckpointSaver[Any]
    evaluate: Evaluate
    journal: Journal
    tasks: Mapping[str, Task]
    """By thread id."""
    _done: dict[str, asyncio.Task[Rollout]] = field(default_factory=dict, init=False)

    def __post_init__(self) -> None:
        self._runner = Runner(self.system, self.evaluate, self.journal, _Nowhere())
        self._gate = asyncio.Semaphore(self.system.in_flight)

    async def __call__(self, rollout: Rollout, change: Change, replicate: int) -> Rollout:
        """The evaluated replay.

        Raises:
            ReplayRefused: it would call a tool that is not declared safe or recorded, or cannot be forked.
        """
        key = content_hash(json.dumps([rollout.id, to_json(change), replicate], sort_keys=True))
        if key not in self._done:
            self._done[key] = asyncio.ensure_future(self._replay(key, rollout, change, replicate))
        return await self._done[key]

    async def _replay(self, key: str, rollout: Rollout, change: Change, replicate: int) -> Rollout:
        task, book = self.tasks[rollout.task], self.system.book
        touches = _touches(book, change.book)
        if touches is not None and not first_touched(rollout.trajectory, touches):
            return rollout  # no step ran with a rule that changes
        async with self._gate, self._runner.under(change.book or book) as rules:
            context = RunContext(rules.version, f"fork/{key}", task.id, replicate, rules.prompts)
            scope = (self.system.fingerprint, "fork", task.id, str(replicate))
            options = ReplayOptions(
                trajectory=rollout.trajectory,
                aggregator=self.system.aggregator,
                tools=self.system.tools,
                touches=touches,
                run=self._runner.options(task),
            )

            async def once() -> Recorded:
                try:
                    done = await areplay(
                        self.system.graph,
                        self.saver,
                        rollout.id,
                        change,
                        rollout=context.rollout,
                        config=self._runner.config(context, scope, "credit"),
                        options=options,
                    )
                except TruceError:
                    raise
                except Exception as broken:
                    # what the graph raises is recorded: this is a thread whose rows cannot be read, or copied
                    first = str(broken).partition("\n")[0][:200]
                    raise ReplayRefused(
                        f"thread {rollout.id!r} cannot be forked: {type(broken).__name__}: {first}"
                    ) from broken
                assert done is not None  # something is touched
                return done

            return await self._runner.tried(once, task, context)


def counted(batch: Batch) -> Batch:
    """The batch with one model call in every innermost step that runs with rules, for estimates of cost.

    Checkpoints do not hold model calls; a node that calls several, or none, makes the estimate wrong by as much.
    """
    call = ModelCall("", None)

    def with_call(step: Step, inner: frozenset[str]) -> Step:
        speaks = step.role not in inner and agent_of(batch.book, step.role, step.round)
        return replace(step, calls=(call,)) if speaks and not step.calls else step

    def of(rollout: Rollout) -> Rollout:
        inner = frozenset(s.role.rpartition("/")[0] for s in rollout.trajectory.steps)
        steps = tuple(with_call(s, inner) for s in rollout.trajectory.steps)
        return replace(rollout, trajectory=replace(rollout.trajectory, steps=steps))

    return replace(batch, rollouts=tuple(of(r) for r in batch.rollouts))


def _touches(book: RuleBook, other: RuleBook | None) -> Any:
    """True for a step that runs with rules that differ in `other`."""
    if other is None:
        return None
    changed = {a for a, rules in book.agents.items() if a not in other.agents or other.agents[a] != rules}
    return lambda step: agent_of(book, step.role, step.round) in changed
