"""The ablation without credit assignment: every agent of a rollout gets the outcome, and nothing else (TRUCE 6.4)."""

from __future__ import annotations

from langgraph_truce.batch import agent_of
from langgraph_truce.seams import Attributor, Batch, Credit, Lab, Memory


def outcome_only() -> Attributor:
    """Credit that does not look at the trajectory: value = 2 * score - 1 in [-1, 1], words = the evaluator's comment.

    One credit for each rollout and each role with rules that acted in it, resting on all steps of the role. Asks no model.
    """

    async def credit(batch: Batch, memory: Memory, lab: Lab) -> tuple[tuple[Credit, ...], Memory]:  # noqa: ARG001
        found = [
            Credit(
                rollout=rollout.id,
                task=rollout.task,
                steps=tuple(s.id for s in rollout.trajectory.steps if s.role == role),
                value=2 * rollout.outcome.score - 1,
                role=role,
                words=rollout.outcome.feedback or rollout.outcome.error,
            )
            for rollout in batch.rollouts
            for role in dict.fromkeys(
                s.role for s in rollout.trajectory.steps if agent_of(batch.book, s.role, s.round)
            )
        ]
        return tuple(found), memory

    return credit
