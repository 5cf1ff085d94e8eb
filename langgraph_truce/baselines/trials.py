"""What a search tried: instructions as rule books, and how they scored."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from langgraph_truce.baselines.instructions import reworded, unfit
from langgraph_truce.rules import RuleBook

QUOTED = 200
"""Characters of a refused text that its record keeps."""


@dataclass(slots=True)
class Candidates:
    """Instructions of all agents, in the order of the book, as rule books.

    Args:
        initial: the book that the search starts from.
        unchanged: its instructions as the library gives them back when it changed nothing.
    """

    initial: RuleBook
    unchanged: Sequence[str]
    refused: dict[tuple[str, str], str] = field(default_factory=dict)
    """(agent, text) that cannot be its instructions -> why; the agent kept its own."""
    _books: dict[tuple[str, ...], RuleBook] = field(default_factory=dict)

    def book(self, instructions: Sequence[str]) -> RuleBook:
        """The book with these instructions; an agent whose text did not change, or cannot be used, keeps its rules."""
        key = tuple(instructions)
        if key not in self._books:
            self._books[key] = self._made(key)
        return self._books[key]

    def _made(self, instructions: tuple[str, ...]) -> RuleBook:
        book = self.initial
        for agent, text, same in zip(self.initial.agents, instructions, self.unchanged, strict=True):
            old = self.initial.agents[agent]
            if text == same:
                continue
            if why := unfit(old, text):
                self.refused[agent, text] = why
            else:
                book = book.with_agent(reworded(old, text))
        return book


@dataclass(frozen=True, slots=True)
class Trial:
    """One candidate, scored once."""

    book: RuleBook
    score: float
    """Mean over its tasks, in [0, 1]."""
    tasks: int
    whole: bool
    """On all validation tasks of the search; only then it may become the result."""


@dataclass(slots=True)
class Trials:
    """All candidates that were scored, in order; the first is the book as it came."""

    rows: list[Trial] = field(default_factory=list)
    candidates: Candidates | None = None

    def add(self, instructions: Sequence[str], scores: Sequence[float], *, whole: bool) -> None:
        """One more."""
        assert self.candidates is not None
        mean = math.fsum(scores) / len(scores)
        self.rows.append(Trial(self.candidates.book(instructions), mean, len(scores), whole))

    def best(self) -> RuleBook | None:
        """The best of those on all tasks, the first among equals; None where there is none."""
        whole = [trial for trial in self.rows if trial.whole]
        return max(whole, key=lambda trial: trial.score).book if whole else None

    def to_json(self) -> list[Mapping[str, Any]]:
        """One row per trial, as `Result.iterations` has it."""
        return [
            {
                "iteration": number,
                "validation_candidate": trial.score,
                "tasks": trial.tasks,
                "whole": trial.whole,
                "version": trial.book.version,
            }
            for number, trial in enumerate(self.rows)
        ]

    def refused(self) -> list[Mapping[str, str]]:
        """Texts that could not be an agent's instructions, each with the reason."""
        found = {} if self.candidates is None else self.candidates.refused
        return [{"agent": agent, "text": text[:QUOTED], "why": why} for (agent, text), why in found.items()]
