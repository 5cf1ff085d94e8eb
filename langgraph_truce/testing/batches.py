"""Small rollouts and batches written by hand, for tests of single decisions."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from langgraph_truce.rules.rule import AgentRules, Rule, RuleBook, RuleSlot, content_hash
from langgraph_truce.seams import Batch, Rollout
from langgraph_truce.task import Outcome, Task
from langgraph_truce.trajectory.segment import by_round
from langgraph_truce.trajectory.step import ModelCall, Step, Trajectory


def make_rules(agent: str, *rules: str | Rule, role_text: str = "You help.") -> AgentRules:
    """An agent with a bullet list of rules under its role text; texts get the ids r1, r2, ..."""
    parts: list[str | RuleSlot] = []
    for n, rule in enumerate(rules, 1):
        parts += [f"{role_text}\n\n- " if n == 1 else "\n- "]
        parts += [RuleSlot(rule if isinstance(rule, Rule) else Rule(f"r{n}", rule))]
    return AgentRules(agent, tuple(parts) or (role_text,), next_id=len(rules) + 1)


def make_book(*agents: AgentRules) -> RuleBook:
    """A book of these agents."""
    return RuleBook({a.agent: a for a in agents})


def make_trajectory(rollout: str, said: Sequence[tuple[str, int, str]]) -> Trajectory:
    """One step for each (role path, round, text): a node that called a model once and wrote its text to `messages`."""
    blobs: dict[str, Any] = {}
    visits: Counter[str] = Counter()

    def put(value: Any) -> str:
        ref = content_hash(json.dumps(value, sort_keys=True))
        blobs[ref] = value
        return ref

    steps: list[Step] = []
    for n, (role, round_, text) in enumerate(said, 1):
        visits[role] += 1
        prompt = put([{"role": "system", "content": f"You are {role}."}])
        call = ModelCall(prompt, put({"role": "assistant", "content": text}), model="scripted")
        steps.append(
            Step(
                id=f"{role}#{visits[role]}.0",
                role=role,
                superstep=n,
                visit=visits[role],
                index=0,
                round=round_,
                input=None,
                writes={"messages": put(text)},
                calls=(call,),
            )
        )
    return Trajectory(rollout, tuple(steps), blobs)


def make_rollout(
    task: str, said: Sequence[tuple[str, int, str]], *, score: float, feedback: str = "", replicate: int = 0
) -> Rollout:
    """A rollout `TASK.REPLICATE` that said this and got that score."""
    id_ = f"{task}.{replicate}"
    outcome = Outcome(result=said[-1][2], score=score, feedback=feedback)
    return Rollout(id_, task, replicate, "book", outcome, make_trajectory(id_, said))


def make_batch(
    book: RuleBook,
    rollouts: Sequence[Rollout] = (),
    *,
    tasks: Mapping[str, Task] | None = None,
    **parts: Any,
) -> Batch:
    """Iteration 1 of 5 over these rollouts, segmented by round; every agent of the book may be edited.

    Tasks that are not given ask "question ID?". `parts` are further fields of `Batch`.
    """
    asked = {r.task: Task(r.task, {"question": f"question {r.task}?"}) for r in rollouts}
    defaults: dict[str, Any] = {
        "iteration": 1,
        "iterations": 5,
        "book": book,
        "tasks": {**asked, **(tasks or {})},
        "rollouts": tuple(rollouts),
        "segments": {r.id: by_round(r.trajectory) for r in rollouts},
        "targets": tuple(book.agents),
    }
    return Batch(**{**defaults, **parts})
