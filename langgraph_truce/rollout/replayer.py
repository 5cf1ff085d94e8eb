"""Replays of kept rollouts: fork, change, run what depends on it, evaluate; journalled, seeded, and read when they exist."""

from __future__ import annotations

import asyncio
import json
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from langgraph.checkpoint.memory import InMemorySaver

from langgraph_truce.bind import RunContext
from langgraph_truce.errors import ReplayRefused
from langgraph_truce.rollout.keep import unpack
from langgraph_truce.rollout.locate import Located, alocate
from langgraph_truce.rollout.record import Recorded
from langgraph_truce.rollout.replay import ReplayOptions, areplay
from langgraph_truce.rollout.run import Rules, Runner
from langgraph_truce.rules import RuleBook
from langgraph_truce.rules.rule import content_hash
from langgraph_truce.seams import Change, Rollout
from langgraph_truce.trajectory.step import Step

Touches = Callable[[Step], bool]
"""True for a step that runs with a rule that a change's book changes."""

REPLAYS = 1_000_000
"""A replay tells its nodes the replicate number (rollout's + 1) * REPLAYS + its own: apart from those of all rollouts."""
OPEN = 256
"""Rollouts whose checkpoints are kept unpacked."""


@dataclass(frozen=True, slots=True)
class _Source:
    """The checkpoints of a rollout, and where its steps are in them."""

    saver: InMemorySaver
    located: Located


@dataclass(frozen=True, slots=True)
class _Job:
    """One replay that is asked for."""

    rollout: Rollout
    change: Change
    touches: Touches
    replicate: int
    purpose: str

    @property
    def name(self) -> str:
        """Deterministic: made of what decides it."""
        return f"{self.rollout.id}/replay/{_named(self.change)}/{self.replicate}"

    @property
    def number(self) -> int:
        """The replicate number that its nodes are told."""
        return (self.rollout.replicate + 1) * REPLAYS + self.replicate


@dataclass
class Replayer:
    """Forks rollouts that a `Runner` made and kept."""

    runner: Runner
    _sources: OrderedDict[str, asyncio.Task[_Source]] = field(default_factory=OrderedDict)
    _turns: dict[tuple[str, int], asyncio.Lock] = field(default_factory=dict)

    async def replay(
        self,
        rollout: Rollout,
        change: Change,
        touches: Touches,
        *,
        replicate: int = 0,
        purpose: str = "credit",
    ) -> Rollout:
        """Fork `rollout` and run what is downstream of the change; see `Lab.replay`.

        Replays with one replicate number share the replies of equal calls, so they take turns: which of two equal calls
        is asked first must not depend on luck. Where a new book touches no step, the rollout itself is the answer.

        Raises:
            ReplayRefused: the rollout's checkpoints were not kept, or see `rollout.replay.areplay`.
        """
        self.runner.system.in_process("a replay")
        job = _Job(rollout, change, touches, replicate, purpose)
        async with self._turns.setdefault((rollout.id, replicate), asyncio.Lock()):
            known = await self.runner.store.read_rollout(job.name)
            return known if known is not None else await self._fresh(job)

    async def _fresh(self, job: _Job) -> Rollout:
        """Run it, and keep what counts."""
        runner = self.runner
        source = await self._source(job.rollout)
        async with runner.under(job.change.book or runner.books[job.rollout.version]) as rules, runner.slot:
            try:
                done = await self._tried(job, source, rules)
            except _Untouched:
                return job.rollout
        if not done.outcome.excluded:
            await runner.store.write_rollout(done)
        return done

    async def _tried(self, job: _Job, source: _Source, rules: Rules) -> Rollout:
        runner, system = self.runner, self.runner.system
        task = runner.tasks[job.rollout.task]
        context = RunContext(rules.version, job.name, task.id, job.number, rules.prompts)
        options = ReplayOptions(
            trajectory=job.rollout.trajectory,
            located=source.located,
            aggregator=system.aggregator,
            tools=system.tools,
            touches=job.touches,
            run=runner.options(task),
        )
        scope = (*runner.scope(task, job.rollout.replicate), f"replay {job.replicate}")

        async def once() -> Recorded:
            recorded = await areplay(
                system.graph,
                source.saver,
                job.rollout.id,
                job.change,
                rollout=job.name,
                config=runner.config(context, scope, job.purpose),
                options=options,
            )
            if recorded is None:
                raise _Untouched
            return recorded

        return await runner.tried(once, task, context)

    async def _source(self, rollout: Rollout) -> _Source:
        """Unpacked once, also when several replays ask at the same time."""
        if (loading := self._sources.get(rollout.id)) is None:
            loading = asyncio.ensure_future(self._load(rollout))
            self._sources[rollout.id] = loading
            while len(self._sources) > OPEN:
                self._sources.popitem(last=False)
        self._sources.move_to_end(rollout.id)
        return await asyncio.shield(loading)

    async def _load(self, rollout: Rollout) -> _Source:
        packed = None if self.runner.keep is None else await self.runner.keep.read_checkpoints(rollout.id)
        if packed is None:
            raise ReplayRefused(
                f"the checkpoints of rollout {rollout.id!r} were not kept; use a method with forks=True, and fork train "
                "rollouts only"
            )
        saver = unpack(packed)
        graph: Any = self.runner.system.graph
        located = await alocate(graph, saver, rollout.id, self.runner.system.aggregator, rollout.trajectory)
        return _Source(saver, located)


class _Untouched(Exception):
    """The new book changes no rule that a step of the rollout ran with."""


def _named(change: Change) -> str:
    """The name of a change: equal changes have equal names."""
    book: RuleBook | None = change.book
    plain = {
        "steps": list(change.steps),
        "neutral": change.neutral,
        "instead": change.instead,
        "writes": change.writes,
        "rerun": change.rerun,
        "book": book.version if book else None,
    }
    return content_hash(json.dumps(plain, sort_keys=True, default=repr))
