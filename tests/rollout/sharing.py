"""What the tests of shared rollouts share: a runner in memory, luck by tape, edits, a rollout as something to compare."""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from langgraph.store.base import BaseStore
from langgraph.store.memory import InMemoryStore

from langgraph_truce.bind import optimizing
from langgraph_truce.evaluate import as_evaluator
from langgraph_truce.model import Journal
from langgraph_truce.rollout.run import Runner
from langgraph_truce.rules import RuleBook, parse
from langgraph_truce.rules.rule import content_hash
from langgraph_truce.seams import Rollout
from langgraph_truce.system import System
from langgraph_truce.task import Task

_UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f-]{27}|[0-9a-f]{32}")


class Held:
    """Finished rollouts, in memory."""

    def __init__(self) -> None:
        self.by: dict[str, Rollout] = {}

    async def read_rollout(self, rollout_id: str) -> Rollout | None:
        return self.by.get(rollout_id)

    async def write_rollout(self, rollout: Rollout) -> None:
        self.by[rollout.id] = rollout


@dataclass
class Tape:
    """Replies by what is written; beyond its end "yes". Odometer: `advance` turns it to the next path."""

    chance: Callable[[Sequence[Any]], float]
    """Of "yes", by the messages."""
    written: list[bool] = field(default_factory=list)
    at: int = 0
    weight: float = 1.0
    """Probability of what was said."""

    def __call__(self, messages: Sequence[Any]) -> str:
        if self.at == len(self.written):
            self.written.append(True)
        said = self.written[self.at]
        self.at += 1
        p = self.chance(messages)
        self.weight *= p if said else 1 - p
        return "yes" if said else "no"

    def advance(self) -> bool:
        """The next path; False after the last."""
        self.at, self.weight = 0, 1.0
        while self.written and not self.written[-1]:
            self.written.pop()
        if self.written:
            self.written[-1] = False
        return bool(self.written)


@asynccontextmanager
async def running(
    system: System,
    *,
    store: BaseStore | None = None,
    held: Held | None = None,
    score: Any = lambda outputs: 1.0,
) -> AsyncIterator[Runner]:
    with Journal(store or InMemoryStore()) as journal, journal.installed(), optimizing():
        yield Runner(system, as_evaluator(score), journal, held or Held())


def book_of(*agents: str) -> RuleBook:
    return RuleBook({a: parse(a, f"You are {a}.\n\n- Be brief.\n") for a in agents})


def edited(book: RuleBook, agent: str, text: str = "- This rule is new.\n") -> RuleBook:
    """With another rule for `agent`; of `role@round` that the book has not, the role's own rules with it."""
    before = book.render(agent if agent in book.agents else agent.partition("@")[0])
    return RuleBook({**book.agents, agent: parse(agent, before + text)})


def tasks(n: int, **inputs: Any) -> tuple[Task, ...]:
    return tuple(Task(f"t{i}", {"case": i, **inputs}) for i in range(n))


def echo(messages: Sequence[Any]) -> str:
    """A reply that changes with every change of its prompt."""
    return "said " + content_hash("|".join(m.text for m in messages))[:12]


def paid(runner: Runner) -> int:
    return int(runner.journal.meter.snapshot()["total"]["calls"])


def told(rollout: Rollout) -> list[str]:
    """Everything of a rollout's steps that is not chance: ids, rounds, states, prompts, replies, tools."""
    whole = rollout.trajectory
    rows = [
        {
            "step": [s.id, s.role, s.superstep, s.visit, s.index, s.round, s.goto, s.error],
            "input": None if s.input is None else whole.value(s.input),
            "writes": {channel: whole.value(ref) for channel, ref in s.writes.items()},
            "calls": [
                [
                    whole.value(c.prompt),
                    None if c.output is None else whole.value(c.output),
                    str(c.usage),
                    c.error,
                ]
                for c in s.calls
            ],
            "tools": [[t["name"], whole.value(t["input"]), t["error"]] for t in s.tools],
        }
        for s in whole.steps
    ]
    return [_UUID.sub("ID", json.dumps(row, sort_keys=True, default=str)) for row in rows]
