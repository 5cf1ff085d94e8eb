"""Questions to a `Batch`: which rules a step was run with, what credits say of an agent, and texts for prompts."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from langgraph_truce.rules.rule import AgentRules, RuleBook
from langgraph_truce.seams import Batch, Credit, Rollout
from langgraph_truce.task import Outcome, Task
from langgraph_truce.trajectory.transcript import cut


def agent_of(book: RuleBook, role: str, round: int | None) -> str:  # noqa: A002 - the field's word
    """The agent whose rules node `role` uses in `round`: `role@round`, else `role`, else those of the graph it is in.

    A node inside a subgraph (`researcher/model` of a `create_agent`) falls to the nearest level that has rules
    (`researcher`); empty where none has.
    """
    while role:
        own = f"{role}@{round}"
        if round is not None and own in book.agents:
            return own
        if role in book.agents:
            return role
        role = role.rpartition("/")[0]
    return ""


def role_of(agent: str) -> str:
    """The role path of an agent: its name without `@ROUND`."""
    role, at, tail = agent.rpartition("@")
    return role if at and tail.isdigit() else agent


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
            agents = {agent_of(batch.book, credit.role, credit.round)}
        elif credit.role:
            rounds = [s.round for s in acting if s.role == credit.role] or [None]
            agents = {agent_of(batch.book, credit.role, n) for n in rounds}
        else:
            agents = {agent_of(batch.book, s.role, s.round) for s in acting}
        for agent in agents - {""}:
            (named if credit.role else shared)[agent].append(credit)
    return {name: tuple(named[name] or shared[name]) for name in batch.book.agents}


def mean_value(credits: Sequence[Credit]) -> float | None:  # noqa: A002 - our word
    """Mean of the values in [-1, 1]; None where no credit has one."""
    values = [c.value for c in credits if c.value is not None]
    return sum(values) / len(values) if values else None


def steps_of(rollout: Rollout, book: RuleBook, agent: str) -> tuple[str, ...]:
    """Ids of the steps that ran with `agent`'s rules, in order."""
    return tuple(s.id for s in rollout.trajectory.steps if agent_of(book, s.role, s.round) == agent)


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
        parts.append(f"the run ended with an error: {outcome.error}")
    given = outcome.result
    if given is not None:
        text = given if isinstance(given, str) else json.dumps(given, ensure_ascii=False, default=str)
        parts.append(f"answer: {cut(text, limit)}")
    return "\n".join(parts)


def rules_text(rules: AgentRules) -> str:
    """One rule a line as `id: text`, continuation lines indented, `(protected)` after the id where no edit may touch it."""

    def line(id_: str, text: str, mark: str) -> str:
        return f"{id_}{mark}: " + text.replace("\n", "\n    ")

    return "\n".join(line(r.id, r.text, " (protected)" if r.protected else "") for r in rules.rules)
