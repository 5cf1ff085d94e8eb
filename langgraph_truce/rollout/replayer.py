"""Replays of kept rollouts: fork, change, run what depends on it, evaluate; journalled, seeded, and read when they exist."""

from __future__ import annotations

import asyncio
import json
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any
from weakref import WeakValueDictionary

from langgraph.checkpoint.memory import InMemorySaver

from langgraph_truce.bind import RunContext
from langgraph_truce.errors import ReplayRefused
from langgraph_truce.rollout.keep import packages_of, unpack
from langgraph_truce.rollout.locate import Located, alocate
from langgraph_truce.rollout.record import Recorded
from langgraph_truce.rollout.replay import ReplayOptions, areplay
from langgraph_truce.rollout.run import RECURSION_LIMIT, Rules, Runner
from langgraph_truce.rules import RuleBook
from langgraph_truce.rules.rule import content_hash
from langgraph_truce.seams import Change, Rollout
from langgraph_truce.trajectory.step import Step

Touches = Callable[[Step], bool]
"""True for a step that runs with a rule that a change's book changes."""

REPLAYS = 1_000_000
"""A replay tells its nodes the replicate number (rollout's + 1) * REPLAYS + its own: apart from those of all rollouts."""
AROUND = 25
"""Supersteps that a replay may take more than the recorded run: a replaced message may send a supervisor round for ever."""
OPEN = 256
"""Rollouts whose checkpoints are kept unpacked, at most."""
OPEN_BYTES = 200_000_000
"""Bytes of their values, at most; those of one rollout may be more."""


@dataclass(frozen=True, slots=True)
class _Source:
    """The checkpoints of a rollout, and where its steps are in them."""

    saver: InMemorySaver
    located: Located

    @property
    def size(self) -> int:
        """Bytes of the values of its channels and writes."""
        values = sum(len(data) for _, data in self.saver.blobs.values())
        writes = (data for task in self.saver.writes.values() for _, _, (_, data), _ in task.values())
        return values + sum(map(len, writes))


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
    _turns: WeakValueDictionary[tuple[str, int], asyncio.Lock] = field(default_factory=WeakValueDictionary)
    """A lock lives as long as somebody holds it or waits for it."""

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
        turn = self._turns.setdefault((rollout.id, replicate), asyncio.Lock())
        async with turn:
            known = await self.runner.store.read_rollout(job.name)
            return known if known is not None else await self._fresh(job)

    async def _fresh(self, job: _Job) -> Rollout:
        """Run it, and keep what counts."""
        runner = self.runner
        async with runner.under(job.change.book or runner.books[job.rollout.version]) as rules, runner.slot:
            source = await self._source(job.rollout)  # with a slot: replays that wait hold no checkpoints
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
        config = runner.config(context, scope, job.purpose)
        taken = max((step.superstep for step in job.rollout.trajectory.steps), default=0)
        config["recursion_limit"] = min(RECURSION_LIMIT, taken + AROUND)

        async def once() -> Recorded:
            recorded = await areplay(
                system.graph,
                source.saver,
                job.rollout.id,
                job.change,
                rollout=job.name,
                config=config,
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
        self._sources.move_to_end(rollout.id)
        source = await asyncio.shield(loading)
        self._forget()
        return source

    def _forget(self) -> None:
        """Keep the last ones used, within the limits."""
        loaded = [t.result() for t in self._sources.values() if _loaded(t)]
        held = sum(source.size for source in loaded)
        while len(self._sources) > 1 and (len(self._sources) > OPEN or held > OPEN_BYTES):
            _, oldest = self._sources.popitem(last=False)
            if _loaded(oldest):
                held -= oldest.result().size

    async def _load(self, rollout: Rollout) -> _Source:
        packed = None if self.runner.keep is None else await self.runner.keep.read_checkpoints(rollout.id)
        if packed is None:
            raise ReplayRefused(
                f"the checkpoints of rollout {rollout.id!r} were not kept; use a method with forks=True, and fork train "
                "rollouts only"
            )
        graph: Any = self.runner.system.graph
        saver = unpack(packed, packages=packages_of(graph))
        located = await alocate(graph, saver, rollout.id, self.runner.system.aggregator, rollout.trajectory)
        return _Source(saver, located)


def _loaded(loading: asyncio.Task[_Source]) -> bool:
    return loading.done() and not loading.cancelled() and loading.exception() is None


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
