"""A bench for gates: a rule book of words, and a lab whose scores are a function of the rendered rules."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest

from langgraph_truce.rules import AgentRules, Edit, Rule, RuleBook, RuleSlot, Suggestion
from langgraph_truce.seams import Batch, Rollout
from langgraph_truce.task import Outcome, Task
from langgraph_truce.trajectory import ModelCall, Step, Trajectory, Usage

Score = Callable[[int, int, str], float | None]
"""(task number, replicate, the solver's instructions) -> score; None excludes the rollout."""


@dataclass
class Bench:
    """The part of a lab that gates use; counts what it ran."""

    score: Score
    seed: int = 0
    has_model: bool = False
    aggregator: str = ""
    runs: list[tuple[str, int, int]] = field(default_factory=list)
    """(version, replicate, tasks) of every call."""
    purposes: set[str] = field(default_factory=set)
    parents: set[tuple[str, str | None]] = field(default_factory=set)
    """(version, version of the parent that was named) of every call."""
    order: list[str] = field(default_factory=list)
    """Task ids, as they were asked for."""
    scores: Callable[[int, str], dict[str, float]] | None = None
    """(task number, the solver's instructions) -> scores under other keys."""
    tokens: Callable[[int, str], int | None] | None = None
    """(task number, the solver's instructions) -> tokens of the rollout's one call."""

    def rng(self, *key: object) -> random.Random:
        return random.Random(repr((self.seed, *key)))

    def about(self, role: str) -> str:
        return role

    async def rollouts(
        self,
        tasks: Sequence[Task],
        book: RuleBook,
        *,
        replicate: int = 0,
        purpose: str = "gate",
        parent: RuleBook | None = None,
    ) -> tuple[Rollout, ...]:
        self.runs.append((book.version, replicate, len(tasks)))
        self.purposes.add(purpose)
        self.parents.add((book.version, parent.version if parent else None))
        self.order += [t.id for t in tasks]
        text = book.render("solver")
        return tuple(self._one(t, book.version, replicate, text) for t in tasks)

    def _one(self, task: Task, version: str, replicate: int, text: str) -> Rollout:
        name = f"{version}/{task.id}/{replicate}"
        score = self.score(int(task.inputs["n"]), replicate, text)
        if score is None:
            return Rollout(
                name,
                task.id,
                replicate,
                version,
                Outcome(None, 0.0, excluded="429"),
                Trajectory(name, (), {}),
            )
        more = self.scores(int(task.inputs["n"]), text) if self.scores else {}
        keys = {"quality": score, **more} if more else {}
        outcome = Outcome("x", score, scores=keys)
        return Rollout(name, task.id, replicate, version, outcome, self._history(name, task, text))

    def _history(self, name: str, task: Task, text: str) -> Trajectory:
        if self.tokens is None:
            return Trajectory(name, (), {})
        spent = self.tokens(int(task.inputs["n"]), text)
        call = ModelCall("p", "o", usage=Usage(spent, 0 if spent is not None else None))
        return Trajectory(name, (Step("solver#1.0", "solver", 1, 1, 0, 1, None, calls=(call,)),), {})

    async def ask(self, *args: Any, **kwargs: Any) -> Any:
        raise AssertionError("a gate asks no model")


BOOK = RuleBook(
    {"solver": AgentRules("solver", ("Solve.\n- ", RuleSlot(Rule("r1", "first")), "\n"), next_id=2)}
)


def add(name: str, text: str, support: float = 0.5) -> Edit:
    """An edit that adds a rule."""
    wish = Suggestion("ADD", "solver", text, support=support)
    return Edit(name, "ADD", "solver", text=text, suggestion=wish)


def batch(*edits: Edit, tasks: int = 60, iteration: int = 1, book: RuleBook = BOOK) -> Batch:
    """A batch as the gate gets it, K = 5."""
    validation = tuple(Task(f"t{i}", {"n": i}) for i in range(tasks))
    return Batch(iteration, 5, book, {}, validation=validation, edits=edits)


@dataclass(frozen=True)
class Kit:
    """What the tests of this folder share."""

    Bench: type[Bench] = Bench
    book: RuleBook = BOOK
    add: Callable[..., Edit] = add
    batch: Callable[..., Batch] = batch


@pytest.fixture
def kit() -> Kit:
    return Kit()
