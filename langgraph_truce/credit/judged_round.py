"""One round before its judges: q of every utterance and of the shared state in one call, the peer view p in another."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from langgraph_truce.batch import hung, outcome_text, task_text
from langgraph_truce.credit.critic_replies import CriticReply, Judgement, PeersReply
from langgraph_truce.credit.structural import in_range
from langgraph_truce.errors import ModelReplyError
from langgraph_truce.prompts.quote import quoted
from langgraph_truce.rounds import Round
from langgraph_truce.seams import Lab, Rollout
from langgraph_truce.task import Task
from langgraph_truce.trajectory.step import Step
from langgraph_truce.trajectory.transcript import cut, transcript

_FEEDBACK_CHARS = 3000
Record = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Mark:
    """One judgement that counts."""

    score: float
    """In [0, 1]."""
    words: str


@dataclass(frozen=True, slots=True)
class RoundJob:
    """One round of one rollout, to be judged."""

    rollout: Rollout
    round: Round
    before: Step | None
    """The step that wrote S_{t-1}; None in the first round, and where there is no aggregator."""
    task: Task
    chars: int
    """Length of the utterances' transcript in a prompt; each shared state has half of it."""

    @property
    def roles(self) -> tuple[str, ...]:
        """Who speaks, in order, each once."""
        return tuple(dict.fromkeys(s.role for s in self.round.utterances))

    @property
    def where(self) -> Record:
        """The place, for records."""
        return {"rollout": self.rollout.id, "round": self.round.number}

    def shown(self, steps: Iterable[Step | None], share: float = 1.0) -> str:
        """Steps as text."""
        ids = [s.id for s in steps if s]
        return transcript(self.rollout.trajectory, ids, limit_chars=int(self.chars * share))


async def ask_critic(job: RoundJob, lab: Lab) -> tuple[Mapping[str, Mark], list[Record]]:
    """Scores q by step id, of every utterance and of the aggregate, and the records of what could not be used.

    The critic knows how the run ended. Purpose: `credit`.
    """
    texts = {
        **_common(job, lab),
        "global_evaluation": outcome_text(job.rollout.outcome),
        "evaluator": cut(job.rollout.outcome.feedback, _FEEDBACK_CHARS),
        "aggregate": job.shown([job.round.aggregate], 0.5),
    }
    try:
        reply = await lab.ask("critic", _quoted(texts, "critic", job, lab), CriticReply, purpose="credit")
    except ModelReplyError as error:
        return {}, [{"kind": "unread", **job.where, "part": "critic", "why": str(error)}]
    closing = job.round.aggregate
    said = [(_id(j, job), j) for j in reply.utterances]
    marks, wrong = _read(
        [(i, j.q, j.words) for i, j in said], [s.id for s in job.round.utterances], "q", "utterance"
    )
    if (judged := reply.aggregate) and closing:
        named = _id(judged, job) or closing.id
        more, faults = _read([(named, judged.q, judged.words)], [closing.id], "q", "shared state")
        marks, wrong = {**marks, **more}, [*wrong, *faults]
    elif judged or closing:
        wrong = [*wrong, "the shared state is not judged" if closing else "there is no shared state to judge"]
    return marks, [{"kind": "rejected", **job.where, "part": "critic", "why": why} for why in wrong]


async def ask_peers(job: RoundJob, lab: Lab) -> tuple[Mapping[str, Mark], list[Record]]:
    """Scores p by role, from one judge over the whole round, and the records of what could not be used.

    The judge sees what the group saw, and not how the run ended (ours). Purpose: `credit`.
    """
    fields = _quoted(_common(job, lab), "peers", job, lab)
    try:
        reply = await lab.ask("peers", fields, PeersReply, purpose="credit")
    except ModelReplyError as error:
        return {}, [{"kind": "unread", **job.where, "part": "peers", "why": str(error)}]
    said = [(c.role.strip(" `[]"), c.p, c.words) for c in reply.roles]
    marks, wrong = _read(said, job.roles, "p", "role")
    return marks, [{"kind": "rejected", **job.where, "part": "peers", "why": why} for why in wrong]


def _common(job: RoundJob, lab: Lab) -> dict[str, str]:
    return {
        "task_context": task_text(job.task),
        "roles": "\n".join(
            f"- {r}: {hung(about)}" if (about := lab.about(r)) else f"- {r}" for r in job.roles
        ),
        "previous": job.shown([job.before], 0.5),
        "utterances": job.shown(job.round.utterances),
    }


def _quoted(texts: Mapping[str, str], prompt: str, job: RoundJob, lab: Lab) -> dict[str, str]:
    """The marker depends on what is judged alone, so equal calls are journalled once."""
    return quoted(texts, lab.rng("quote", prompt, job.rollout.id, job.round.number))


def _id(said: Judgement, job: RoundJob) -> str:
    return said.step.strip(" `[]").removeprefix(f"{job.rollout.id}/")


def _read(
    said: Sequence[tuple[str, Any, str]], wanted: Sequence[str], score: str, what: str
) -> tuple[dict[str, Mark], list[str]]:
    """The judgements that count, by what they are about, and a sentence for each that does not or is missing."""
    marks: dict[str, Mark] = {}
    wrong: list[str] = []
    seen: set[str] = set()
    for name, value, words in said:
        number = in_range(value)
        if name not in wanted:
            wrong.append(f"{name!r} is no {what} of this round; there are: {', '.join(wanted) or 'none'}")
        elif name in seen:
            wrong.append(f"the {what} {name!r} is judged twice; the first judgement counts")
        elif number is None:
            wrong.append(f"{score} of the {what} {name!r} must be a number from 0 to 1, got {value!r}")
        else:
            marks[name] = Mark(number, words.strip())
        seen.add(name)
    wrong += [f"the {what} {name!r} is not judged" for name in wanted if name not in seen]
    return marks, wrong
