"""Questions to a `Batch`: which rules a step was run with, what credits say of an agent, and texts for prompts."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

from langgraph_truce.bind.discover.names import role_of
from langgraph_truce.rules.rule import AgentRules, RuleBook
from langgraph_truce.seams import Batch, Credit, Rollout
from langgraph_truce.task import Outcome, Task
from langgraph_truce.trajectory.transcript import cut

__all__ = [
    "agent_of",
    "agents_of",
    "credits_by_agent",
    "hung",
    "mean_value",
    "outcome_text",
    "role_of",
    "rules_text",
    "steps_of",
    "task_text",
    "values_text",
]

_NUMBER = re.compile(r"~(\d+)(?:@\d+)?$")


def agent_of(book: RuleBook, role: str, round: int | None) -> str:  # noqa: A002 - the field's word
    """The agent whose rules node `role` uses in `round`; the first of `agents_of`, empty where it has none."""
    return next(iter(agents_of(book, role, round)), "")


def agents_of(book: RuleBook, role: str, round: int | None) -> tuple[str, ...]:  # noqa: A002
    """The agents whose rules node `role` uses in `round`: `role@round`, else `role`; then `role~2`, `role~3`, ...

    A node inside a subgraph (`researcher/model` of a `create_agent`) falls to the nearest level that has rules
    (`researcher`); empty where none has. Which of a node's several prompts a step sent is not looked at: what is known
    of the step is about all of them.
    """
    numbered = _numbered(book)
    while role:
        first = _in_round(book, role, round)
        rest = [_in_round(book, f"{role}~{n}", round) for n in numbered.get(role, ())]
        if found := tuple(name for name in (first, *rest) if name):
            return found
        role = role.rpartition("/")[0]
    return ()


def _in_round(book: RuleBook, agent: str, round: int | None) -> str:  # noqa: A002
    own = f"{agent}@{round}"
    if round is not None and own in book.agents:
        return own
    return agent if agent in book.agents else ""


def _numbered(book: RuleBook) -> dict[str, list[int]]:
    """Role -> the numbers of its prompts from the second on, in order."""
    out: dict[str, list[int]] = {}
    for agent in book.agents:
        if "~" in agent and (number := _NUMBER.search(agent)):
            out.setdefault(role_of(agent), []).append(int(number[1]))
    return {role: sorted(set(numbers)) for role, numbers in out.items()}


def credits_by_agent(batch: Batch) -> dict[str, tuple[Credit, ...]]:
    """For every agent of the book, in its order, the credits about it.

    A credit with a role is about that role's agent. One of a whole segment is about every agent that acts in it, and
    counts only for agents of which no credit names the role: a judgement of the agent itself is better evidence.
    """
    steps = {r.id: {s.id: s for s in r.trajectory.steps} for r in batch.rollouts}
    named: dict[str, list[Credit]] = {name: [] for name in batch.book.agents}
    shared: dict[str, list[Credit]] = {name: [] for name in batch.book.agents}
    for credit in batch.credits:
        acting = [s for i in credit.steps if (s := steps.get(credit.rollout, {}).get(i))]
        rounds: list[int] | list[None]
        if credit.role and credit.round is not None:
            agents = {*agents_of(batch.book, credit.role, credit.round)}
        elif credit.role:
            rounds = [s.round for s in acting if s.role == credit.role] or [None]
            agents = {a for n in rounds for a in agents_of(batch.book, credit.role, n)}
        else:
            agents = {a for s in acting for a in agents_of(batch.book, s.role, s.round)}
        for agent in agents:
            (named if credit.role else shared)[agent].append(credit)
    return {name: tuple(named[name] or shared[name]) for name in batch.book.agents}


def mean_value(credits: Sequence[Credit]) -> float | None:  # noqa: A002 - our word
    """Mean of the values in [-1, 1]; None where no credit has one."""
    values = [c.value for c in credits if c.value is not None]
    return sum(values) / len(values) if values else None


def steps_of(rollout: Rollout, book: RuleBook, agent: str) -> tuple[str, ...]:
    """Ids of the steps that ran with `agent`'s rules, in order."""
    return tuple(s.id for s in rollout.trajectory.steps if agent in agents_of(book, s.role, s.round))


def values_text(values: Mapping[str, Any]) -> str:
    """`name: value` lines; what is no text is written as JSON."""

    def line(value: Any) -> str:
        return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)

    return "\n".join(f"{name}: {line(value)}" for name, value in values.items())


def task_text(task: Task, limit: int = 4000) -> str:
    """What the system was given, never the reference, in at most `limit` characters."""
    return cut(values_text(task.inputs), limit)


def outcome_text(outcome: Outcome, limit: int = 3000) -> str:
    """Score, answer and error of a rollout; the evaluator's words are `outcome.feedback`."""
    parts = [f"score: {outcome.score:.2f} of 1"]
    if outcome.error:
        parts.append(f"the run ended with an error: {hung(outcome.error)}")
    given = outcome.result
    if given is not None:
        text = given if isinstance(given, str) else json.dumps(given, ensure_ascii=False, default=str)
        parts.append(f"answer: {hung(cut(text, limit))}")
    return "\n".join(parts)


def hung(text: str) -> str:
    """`text` with its further lines indented: none of them can pass for the next item of the list it stands in."""
    return text.replace("\n", "\n    ")


def rules_text(rules: AgentRules) -> str:
    """One rule a line as `id: text`, continuation lines indented, `(protected)` after the id where no edit may touch it."""

    def line(id_: str, text: str, mark: str) -> str:
        return f"{id_}{mark}: {hung(text)}"

    return "\n".join(line(r.id, r.text, " (protected)" if r.protected else "") for r in rules.rules)
