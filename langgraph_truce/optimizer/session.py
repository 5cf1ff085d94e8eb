"""A session: everything a run's boxes need that is not state: system, tasks, method, lab, records."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from langgraph_truce.codec import from_json
from langgraph_truce.errors import BudgetSpent
from langgraph_truce.model import Meter
from langgraph_truce.optimizer.lab import RunLab
from langgraph_truce.optimizer.ledger import told_so_far, with_deferred
from langgraph_truce.optimizer.phases import Phases, first_kept
from langgraph_truce.optimizer.records import Records
from langgraph_truce.optimizer.review import Reviewer
from langgraph_truce.optimizer.sealed import Sealed
from langgraph_truce.optimizer.settings import Event
from langgraph_truce.optimizer.state import State
from langgraph_truce.rules import Edit, RuleBook, Suggestion
from langgraph_truce.seams import Batch, Credit, Method, Rollout
from langgraph_truce.system import System
from langgraph_truce.task import Splits, Task
from langgraph_truce.trajectory.step import Segment


@dataclass
class Session:
    """One run in this process. The optimizer's state survives it; a new session goes on from there."""

    system: System
    splits: Splits
    method: Method
    lab: RunLab
    records: Records
    meter: Meter
    on_event: Callable[[Event], None]
    reviewer: Reviewer | None = None
    """Who answers for edits that passed the gate; None: they are applied."""
    sealed: Sealed = field(default_factory=Sealed)
    """The share of the budget that belongs to the test."""
    phases: Phases = field(init=False)
    """What its iterations read."""
    _rollouts: dict[str, Rollout] = field(default_factory=dict)
    _tasks: dict[str, Task] = field(default_factory=dict)
    _read: int = 0
    _stage: str = ""
    _iteration: int = 0
    _done: int = 0
    _total: int = 0

    def __post_init__(self) -> None:
        self.phases = Phases(self.method, self.splits, self.lab.rng)

    def rolled(self, purpose: str) -> None:
        """One more rollout is done."""
        self._done += 1
        self.say(self._stage or purpose, self._iteration, self._done, self._total)

    def expect(self, stage: str, iteration: int, total: int) -> None:
        """A stage of `total` rollouts begins."""
        self._stage, self._iteration, self._done, self._total = stage, iteration, 0, total
        self.say(stage, iteration, 0, total)

    def say(self, stage: str, iteration: int, done: int, total: int) -> None:
        """Tell the progress display where the run is."""
        meter = self.meter.snapshot()
        self.on_event({"stage": stage, "iteration": iteration, "done": done, "total": total, "meter": meter})

    def tell(self, words: str) -> None:
        """Tell the progress display why the run waits, or that it goes on."""
        at = {"stage": self._stage, "iteration": self._iteration, "done": self._done, "total": self._total}
        self.on_event({**at, "meter": self.meter.snapshot(), "words": words})

    def stop_early(self, why: BudgetSpent) -> bool:  # noqa: ARG002 - the driver keeps it
        """True where the run goes on to its test: always, for the test says where it cannot be paid."""
        return True

    async def untested(self) -> str | None:
        """Why an earlier start ended before all was done ("" where it did not), if its test could not be paid; else None."""
        test = await self.records.read_box(0, "test") or {}
        return str(test["early"]) if test.get("unpaid") else None

    def task(self, task_id: str) -> Task:
        """The train or validation task `task_id`."""
        if not self._tasks:
            self._tasks = {t.id: t for t in (*self.splits.train, *self.splits.validation)}
        return self._tasks[task_id]

    def remember(self, rollouts: Sequence[Rollout]) -> None:
        """Keep what was just run: the boxes of this iteration need not read it again."""
        self._rollouts.update({r.id: self.records.masked(r) for r in rollouts if not r.outcome.excluded})

    async def rollouts(self, state: State) -> tuple[Rollout, ...]:
        """The counted rollouts that this iteration reads, in sample order; the excluded ones are not here."""
        found: list[Rollout] = []
        names = self.phases.rollouts(state)
        if state["iteration"] != self._read:
            current = {*names.values()}
            self._rollouts = {name: r for name, r in self._rollouts.items() if name in current}
            self._read = state["iteration"]
        for name in names.values():
            rollout = self._rollouts.get(name) or await self.records.read_rollout(name)
            if rollout is not None:
                self._rollouts[name] = rollout
                found.append(rollout)
        self.sealed.learn(found)
        return tuple(found)

    async def batch(self, state: State) -> Batch:
        """What this iteration knows so far, put together from the records."""
        iteration = state["iteration"]
        book = await self.records.read_book(state["version"])
        tasks = {t: self.task(t) for t in state["sample"]}
        self.lab.learn([*self.splits.train, *tasks.values()], book)

        async def box(name: str, kind: type[Any]) -> tuple[Any, ...]:
            rows = await self.records.read_box(iteration, name)
            return tuple(from_json(kind, row) for row in rows or ())

        segments = await self.records.read_box(iteration, "segment") or {}
        merged = await self.records.read_box(iteration, "merge")
        edits = await box("write", Edit)
        if await self.records.read_box(iteration, "write") is not None:
            edits, _ = with_deferred(book, edits, await self.deferred(iteration))
        return Batch(
            iteration=iteration,
            iterations=self.method.iterations,
            book=book,
            tasks=tasks,
            validation=tuple(self.splits.validation),
            rollouts=await self.rollouts(state),
            segments={r: tuple(from_json(Segment, s) for s in rows) for r, rows in segments.items()},
            credits=await box("credit", Credit),
            targets=await box("select", str),
            suggestions=await box("suggest" if merged is None else "merge", Suggestion),
            edits=edits,
            history=told_so_far(await self.records.ledger(), iteration),
        )

    def logs(self, version: str) -> dict[str, int]:
        """Log task -> replicate number of its rollout with the rules `version`, where a gate left one."""
        order = [t.id for t in self.splits.validation if t.id in self.phases.logs]
        return first_kept(self.records.names, version, order)

    async def deferred(self, iteration: int) -> tuple[Edit, ...]:
        """Edits that a person put off to `iteration`."""
        return tuple(Edit.from_json(e) for e in await self.records.read_box(iteration, "deferred") or ())

    async def start(self) -> State:
        """The state in which a run begins: the rules as they came, and nothing done yet."""
        version = await self.records.write_book(self.system.book)
        return State(
            iteration=0, initial=version, version=version, sample=[], memory={}, decision="", idle=0, done=""
        )

    async def book(self, version: str) -> RuleBook:
        """The rule book `version`."""
        return await self.records.read_book(version)
