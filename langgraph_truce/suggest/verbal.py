"""Ψ: suggestions for single rules, per agent and task, from its credits, rules and history (TRUCE eq. 3; Algorithm 1, line 12)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from langgraph_truce.asking import keep, require_model, side_by_side
from langgraph_truce.batch import (
    credits_by_agent,
    hung,
    mean_value,
    outcome_text,
    role_of,
    rules_text,
    steps_of,
    task_text,
)
from langgraph_truce.errors import ModelReplyError
from langgraph_truce.prompts.quote import quoted
from langgraph_truce.rules.edit import Suggestion
from langgraph_truce.seams import Batch, Credit, Lab, Memory, Rollout, Suggester
from langgraph_truce.suggest.checked import Target, checked, target_of
from langgraph_truce.suggest.replies import SuggestReply
from langgraph_truce.trajectory.transcript import cut, transcript

_FEEDBACK_CHARS = 3000


@dataclass(frozen=True, slots=True)
class _Case:
    """One agent in one rollout: what Ψ is asked about."""

    target: Target
    rollout: Rollout
    credits: tuple[Credit, ...]

    @property
    def agent(self) -> str:
        return self.target.agent


def suggest_rules(
    *,
    at_most: int = 3,
    score_below: float = 1.0,
    credit_below: float | None = None,
    calls: int | None = None,
    steps_chars: int = 6000,
    others_chars: int = 2000,
) -> Suggester:
    """Ψ by an optimizer model, one call for each selected agent and each task with credit about it.

    Of a task's replicates the worst scored is asked about.

    Args:
        at_most: suggestions taken from one reply.
        score_below: ask about tasks with a score below this; 1.0 leaves solved tasks out, anything larger asks about
            them too (the paper: effective behaviours that no rule asks for become ADDs).
        credit_below: ask only where the agent's own mean credit on the task is below this; None asks always.
        calls: at most so many calls an iteration, lowest credit first; None has no limit.
        steps_chars: length of the transcript of the agent's own steps in the prompt.
        others_chars: length of the transcript of all other steps.

    Returns:
        A decision whose memory holds `rejected` (suggestions that are not valid, with the reason) and `unread`
        (replies that could not be read), and their counts.
    """

    async def suggest(batch: Batch, memory: Memory, lab: Lab) -> tuple[tuple[Suggestion, ...], Memory]:
        require_model(lab, "suggest_rules")
        cases = _cases(batch, score_below, 2.0 if credit_below is None else credit_below)
        if calls is not None:
            cases = sorted(cases, key=lambda c: (mean_value(c.credits) or 0.0, c.rollout.id, c.agent))[:calls]
        asked = await side_by_side(
            _ask(case, batch, (at_most, steps_chars, others_chars), lab) for case in cases
        )
        records = [r for _, found in asked for r in found]
        memory = keep(memory, "rejected", [r for r in records if r["kind"] == "rejected"])
        memory = keep(memory, "unread", [r for r in records if r["kind"] == "unread"])
        return tuple(s for found, _ in asked for s in found), memory

    return suggest


def _cases(batch: Batch, score_below: float, credit_below: float) -> list[_Case]:
    found: list[_Case] = []
    about = credits_by_agent(batch)
    for agent in batch.targets:
        target = target_of(batch, agent)
        worst: dict[str, Rollout] = {}
        credited = {c.rollout for c in about.get(agent, ())}
        for rollout in batch.rollouts:
            so_far = worst.get(rollout.task)
            if rollout.id in credited and (so_far is None or rollout.outcome.score < so_far.outcome.score):
                worst[rollout.task] = rollout
        for rollout in worst.values():
            own = tuple(c for c in about[agent] if c.rollout == rollout.id)
            blamed = (mean_value(own) or 0.0) < credit_below
            if rollout.outcome.score < score_below and blamed:
                found.append(_Case(target, rollout, own))
    return found


async def _ask(
    case: _Case, batch: Batch, limits: tuple[int, int, int], lab: Lab
) -> tuple[list[Suggestion], list[dict[str, Any]]]:
    where = {"agent": case.agent, "rollout": case.rollout.id}
    try:
        reply = await lab.ask("suggest", _fields(case, batch, limits, lab), SuggestReply, purpose="suggest")
    except ModelReplyError as error:
        return [], [{"kind": "unread", **where, "why": str(error)}]
    good, wrong = checked(reply.suggestions, case.target, [case.rollout], limits[0])
    return good, [{"kind": "rejected", **where, **record} for record in wrong]


def _fields(case: _Case, batch: Batch, limits: tuple[int, int, int], lab: Lab) -> dict[str, str]:
    """The prompt's fields; the marker depends on agent and rollout alone, so equal calls are journalled once."""
    rollout, own = case.rollout, steps_of(case.rollout, batch.book, case.agent)
    texts = {
        "agent": case.agent,
        "profile": lab.about(role_of(case.agent)),
        "task_context": task_text(batch.tasks[rollout.task]),
        "result_context": outcome_text(rollout.outcome),
        "result_evaluation": cut(rollout.outcome.feedback, _FEEDBACK_CHARS),
        "rules": rules_text(case.target.rules),
        "credits": "\n".join(_credit_line(c) for c in case.credits),
        "steps": transcript(rollout.trajectory, own, limit_chars=limits[1]),
        "communications": transcript(
            rollout.trajectory, rollout.trajectory.step_ids - set(own), limit_chars=limits[2]
        ),
        "history": case.target.history,
    }
    return {
        **quoted(texts, lab.rng("quote", "suggest", case.agent, rollout.id)),
        "performance": _performance(case, own),
        "at_most": str(limits[0]),
    }


def _performance(case: _Case, own: Sequence[str]) -> str:
    steps = [s for i in own if (s := case.rollout.trajectory.step(i))]
    calls = [c for s in steps for c in s.calls]
    tokens = sum((c.usage.input_tokens or 0) + (c.usage.output_tokens or 0) for c in calls)
    value = mean_value(case.credits)
    judged = "not valued" if value is None else f"{value:+.2f} on average, from -1 (harm) to +1 (help)"
    return f"{len(own)} steps, {len(calls)} model calls, {tokens} tokens in this run. Its credit: {judged}."


def _credit_line(credit: Credit) -> str:
    value = f"{credit.value:+.2f}" if credit.value is not None else f"influence {credit.influence}"
    place = credit.segment or "whole run"
    return (
        f"- {place}, {credit.role or 'all agents'}, {value}: {hung(credit.words)} [{', '.join(credit.steps)}]"
    )
