"""Diagnosis of whole runs: which pattern of failure, and how good all the same (TSCA appendix D, table 5)."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from langgraph_truce.batch import outcome_text, task_text
from langgraph_truce.credit.critic_replies import DiagnosisReply
from langgraph_truce.credit.structural import in_range
from langgraph_truce.errors import ModelReplyError
from langgraph_truce.prompts.quote import quoted
from langgraph_truce.rounds import Round
from langgraph_truce.seams import Credit, Lab, Rollout
from langgraph_truce.task import Task
from langgraph_truce.trajectory.step import Step
from langgraph_truce.trajectory.transcript import cut, transcript

NONE = "NONE"
"""The pattern of a solved run."""
PATTERNS: Mapping[str, str] = MappingProxyType(
    {
        "KNOWLEDGE_DEFICIT": "a fact or rule of the subject that was needed is missing, or is used wrongly",
        "MISINTERPRET_QUESTION": "what is asked, or a condition of it, was understood wrongly",
        "INCOMPLETE_REASONING": "the reasoning leaves out a step without which the answer does not follow",
        "MISALIGNED_OBJECTIVE": "another question than the one asked was answered, perhaps well",
        "OVERGENERALIZATION": "a rule of thumb was applied without a look at the case",
        "INSUFFICIENT_JUSTIFICATION": "the conclusion is plausible, but what is said for it does not carry it",
        "DOMAIN_MISMATCH": "the reasoning comes from a subject that the question does not belong to",
        "RANDOM_OR_UNGROUNDED": "the answer is arbitrary, or rests on nothing in the task",
    }
)
"""The eight patterns of failure, in the order of the paper's table, and what each means (our words)."""
BEST = 5.0
"""Score of a right and well-founded answer; 0.0 is the worst."""
_FEEDBACK_CHARS = 3000
Record = dict[str, Any]


def unasked(rollout: Rollout, rounds: tuple[Round, ...]) -> Credit | None:
    """The diagnosis of a solved run, which asks nobody: NONE, 5; None where the run failed."""
    if rollout.outcome.score < 1.0:
        return None
    return _credit(rollout, rounds, NONE, BEST, "The run was solved.")


async def diagnose(
    rollout: Rollout, rounds: tuple[Round, ...], task: Task, chars: int, lab: Lab
) -> tuple[list[Credit], list[Record]]:
    """The diagnosis of a failed run in one call, and the record of what could not be used.

    Args:
        rollout: the run, with a score below 1.
        rounds: its rounds, perhaps none (a run that broke off).
        task: what it was to do.
        chars: length of the transcript of its last round and what came after, in characters.
        lab: asked for the purpose `diagnose`.
    """
    where = {"rollout": rollout.id, "part": "diagnosis"}
    try:
        reply = await lab.ask(
            "diagnosis", _fields(rollout, rounds, task, chars, lab), DiagnosisReply, purpose="diagnose"
        )
    except ModelReplyError as error:
        return [], [{"kind": "unread", **where, "why": str(error)}]
    name, score = reply.pattern.strip(" `\"'.").upper().replace(" ", "_"), in_range(reply.score, BEST)
    why = ""
    if name == NONE:
        why = f"{NONE} stands for solved runs, and this one scored {rollout.outcome.score:.2f}"
    elif name not in PATTERNS:
        why = f"{reply.pattern!r} is no pattern; they are: {', '.join(PATTERNS)}"
    elif score is None:
        why = f"the score must be a number from 0 to 5, got {reply.score!r}"
    if why or score is None:
        return [], [{"kind": "rejected", **where, "why": why}]
    return [_credit(rollout, rounds, name, score, reply.words.strip())], []


def _fields(rollout: Rollout, rounds: tuple[Round, ...], task: Task, chars: int, lab: Lab) -> dict[str, str]:
    last = [s.id for s in rounds[-1].utterances] if rounds else []
    shown = {*last, *(s.id for s in _last_steps(rollout, rounds))}
    texts = {
        "task_context": task_text(task),
        "global_evaluation": outcome_text(rollout.outcome),
        "evaluator": cut(rollout.outcome.feedback, _FEEDBACK_CHARS),
        "final_states": transcript(rollout.trajectory, shown, limit_chars=chars),
    }
    return {
        **quoted(texts, lab.rng("quote", "diagnosis", rollout.id)),
        "patterns": "\n".join(f"- `{name}`: {words}." for name, words in PATTERNS.items()),
    }


def _last_steps(rollout: Rollout, rounds: tuple[Round, ...]) -> tuple[Step, ...]:
    """S_R and what came after it; without aggregator the last utterances; of a run without rounds its last step."""
    steps = rollout.trajectory.steps
    if not rounds:
        return steps[-1:]
    closing = rounds[-1].aggregate
    ends = (closing,) if closing else rounds[-1].utterances
    last = {s.id for s in ends}
    after = max(n for n, step in enumerate(steps, 1) if step.id in last)
    return (*ends, *steps[after:])


def _credit(rollout: Rollout, rounds: tuple[Round, ...], pattern: str, score: float, words: str) -> Credit:
    return Credit(
        rollout=rollout.id,
        task=rollout.task,
        steps=tuple(s.id for s in _last_steps(rollout, rounds)),
        value=2 * score / BEST - 1,
        words=words,
        details={
            "kind": "diagnosis",
            "pattern": pattern,
            "score": score,
            "round": rounds[-1].number if rounds else 0,
            "role": "",
        },
    )
