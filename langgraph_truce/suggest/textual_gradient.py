"""The textual gradient of a prompt: one call for each agent that may be edited, over its failed runs (TSCA eq. 6 to 8)."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from langgraph_truce.asking import keep, require_model, side_by_side
from langgraph_truce.batch import hung, outcome_text, role_of, rules_text, task_text
from langgraph_truce.errors import ModelReplyError
from langgraph_truce.prompts.quote import quoted
from langgraph_truce.rules.edit import Suggestion
from langgraph_truce.seams import Batch, Credit, Lab, Memory, Suggester
from langgraph_truce.suggest.checked import Target, checked, target_of
from langgraph_truce.suggest.failed_cases import Case, failed_cases, own_credits
from langgraph_truce.suggest.replies import GradientReply
from langgraph_truce.suggest.summary import summary
from langgraph_truce.task import Task
from langgraph_truce.trajectory.transcript import cut, transcript

_HEAD = re.compile(r"^\[(?=[^\[\]\n]*#\d+\.\d+\])", re.MULTILINE)
"""The head of a step in a transcript, where its run's id is put in; what agents say cannot look so (`transcript`)."""
_TASK, _OUTCOME, _WORDS = 1500, 800, 400
"""Characters of a case's task, of its outcome and of each judgement in the list of cases."""


@dataclass(frozen=True, slots=True)
class _Limits:
    at_most: int
    cases: int
    chars: int


def textual_gradient(*, at_most: int = 3, cases: int = 6, chars: int = 6000) -> Suggester:
    """Suggestions for every selected agent from its diagnosis and its failed runs, in one call an agent.

    An aggregator (one round's, or the shared one) is shown what the roles gave it and what it made of that, rounds in
    which it lost a right answer first; a role what it said, the shared state made of it, and the last one. An agent
    without a failed run is not asked about.

    Args:
        at_most: suggestions taken from one reply.
        cases: failed runs shown, at most, one a task, most telling first.
        chars: length of each case's transcript in the prompt, in characters.

    Returns:
        A decision whose memory holds `gradients` (agent -> what should change, in words, of this iteration), `rejected`
        (suggestions that are not valid, with the reason), `unread` (replies that could not be read), and their counts.
    """
    limits = _Limits(at_most, cases, chars)

    async def suggest(batch: Batch, memory: Memory, lab: Lab) -> tuple[tuple[Suggestion, ...], Memory]:
        require_model(lab, "textual_gradient")
        known = [
            (target_of(batch, agent), failed_cases(batch, agent, lab.aggregator, cases))
            for agent in batch.targets
        ]
        asked = await side_by_side(_ask(t, shown, batch, limits, lab) for t, shown in known if shown)
        records = [r for _, found, _ in asked for r in found]
        memory = keep(memory, "rejected", [r for r in records if r["kind"] == "rejected"])
        memory = keep(memory, "unread", [r for r in records if r["kind"] == "unread"])
        gradients = {agent: cut(words, _WORDS) for _, _, said in asked for agent, words in said.items()}
        return tuple(s for found, _, _ in asked for s in found), {**memory, "gradients": gradients}

    return suggest


async def _ask(
    target: Target, cases: Sequence[Case], batch: Batch, limits: _Limits, lab: Lab
) -> tuple[list[Suggestion], list[dict[str, Any]], dict[str, str]]:
    fields = _fields(target, cases, batch, limits, lab)
    try:
        reply = await lab.ask("textual_gradient", fields, GradientReply, purpose="suggest")
    except ModelReplyError as error:
        return [], [{"kind": "unread", "agent": target.agent, "why": str(error)}], {}
    good, wrong = checked(reply.suggestions, target, [c.rollout for c in cases], limits.at_most)
    return good, [{"kind": "rejected", **r} for r in wrong], {target.agent: reply.gradient.strip()}


def _fields(target: Target, cases: Sequence[Case], batch: Batch, limits: _Limits, lab: Lab) -> dict[str, str]:
    texts = {
        "agent": target.agent,
        "profile": lab.about(role_of(target.agent)),
        "rules": rules_text(target.rules),
        "diagnosis": summary(own_credits(batch, target.agent)),
        "cases": "\n".join(_told(case, batch.tasks[case.rollout.task]) for case in cases),
        "steps": "\n\n".join(_steps(case, limits.chars) for case in cases),
        "history": target.history,
    }
    return {
        **quoted(texts, lab.rng("quote", "textual_gradient", target.agent)),
        "at_most": str(limits.at_most),
    }


def _told(case: Case, task: Task) -> str:
    """One case as an item of a list; its further lines are indented."""
    outcome = case.rollout.outcome
    parts = [task_text(task, _TASK), outcome_text(outcome, _OUTCOME)]
    if outcome.feedback:
        parts.append(f"evaluator: {cut(outcome.feedback, _WORDS)}")
    if case.diagnosis:
        said = case.diagnosis.details
        parts.append(
            f"diagnosis: {said['pattern']}, {said['score']:g} of 5: {cut(case.diagnosis.words, _WORDS)}"
        )
    parts += [_judged(c) for c in case.credits]
    return f"- {hung(case.rollout.id)}\n    " + hung("\n".join(parts))


def _judged(credit: Credit) -> str:
    right = credit.details.get("right")
    answer = "" if right is None else f", its answer was {'right' if right else 'wrong'}"
    value = "" if credit.value is None else f", {credit.value:+.2f} of 1"
    return f"critic on {', '.join(credit.steps)}{value}{answer}: {cut(credit.words, _WORDS)}"


def _steps(case: Case, chars: int) -> str:
    """The case's steps under their ids as `ROLLOUT/STEP`."""
    room = max(chars - len(case.steps) * (len(case.rollout.id) + 1), 200)
    text = transcript(case.rollout.trajectory, case.steps, limit_chars=room)
    return _HEAD.sub(lambda _: f"[{case.rollout.id}/", text)
