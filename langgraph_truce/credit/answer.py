"""Credit without a model: an agent's own output, scored against what the reference says for that agent."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from langgraph_truce.answers import answers, is_own, owners, same
from langgraph_truce.batch import role_of
from langgraph_truce.errors import UnknownNameError
from langgraph_truce.seams import Attributor, Batch, Credit, Lab, Memory, Rollout
from langgraph_truce.task import Task
from langgraph_truce.trajectory.step import Step

Scorer = Callable[[Mapping[str, Any], Task], float | None]
"""An agent's output by field, and the task, give a score in [0, 1]; None where there is nothing to score."""


def answer_credit(scorers: Mapping[str, Scorer] | None = None) -> Attributor:
    """Credit of every step that ran with rules, from its own output: value = 2 * score - 1 in [-1, 1].

    Without a scorer the score is the share of right ones among the fields that both the output and the reference have,
    and the words name each wrong field with what was expected and given. No credit where there is no such field, and
    none where the reference names another agent: a worker that was sent someone else's task is not to blame for it.

    Args:
        scorers: Role path -> its own scorer, where fields do not match by name.

    Raises:
        UnknownNameError: at the first batch, when a scorer's role has no rules in the book.
    """
    own = dict(scorers or {})

    async def credit(batch: Batch, memory: Memory, lab: Lab) -> tuple[tuple[Credit, ...], Memory]:  # noqa: ARG001
        roles = {role_of(agent) for agent in batch.book.agents}
        if unknown := own.keys() - roles:
            raise UnknownNameError(
                f"answer_credit has a scorer for {sorted(unknown)}, which has no rules; there are: {sorted(roles)}"
            )
        owned = owners(batch)
        found = [
            _credit(rollout, step, fields, batch.tasks[rollout.task], own.get(step.role))
            for rollout in batch.rollouts
            for agent, step, fields in answers(rollout, batch.book)
            if is_own(agent, batch.tasks[rollout.task], owned)
        ]
        return tuple(c for c in found if c is not None), memory

    return credit


def _credit(
    rollout: Rollout, step: Step, fields: Mapping[str, Any], task: Task, scorer: Scorer | None
) -> Credit | None:
    wanted = {k: v for k, v in task.reference_outputs.items() if k in fields}
    wrong = {k: {"expected": v, "given": fields[k]} for k, v in wanted.items() if not same(v, fields[k])}
    if scorer:
        score = scorer(fields, task)
    elif wanted:
        score = 1 - len(wrong) / len(wanted)
    else:
        score = None
    if score is None:
        return None
    words = "; ".join(f"{k}: expected {w['expected']!r}, gave {w['given']!r}" for k, w in wrong.items())
    right = ", ".join(k for k in wanted if k not in wrong)
    return Credit(
        rollout=rollout.id,
        task=task.id,
        steps=(step.id,),
        value=2 * score - 1,
        role=step.role,
        round=step.round,
        words=words or (f"right: {right}" if right else f"scored {score:.2f} of 1"),
        details={"wrong": wrong, "right": [k for k in wanted if k not in wrong]},
    )
