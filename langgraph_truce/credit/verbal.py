"""Φ: verbal credit of segments and of the agents that act in them (TRUCE eq. 2; Algorithm 1, lines 9-11; B.3)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from langgraph_truce.asking import keep, require_model, side_by_side
from langgraph_truce.batch import agent_of, outcome_text, rules_text, task_text
from langgraph_truce.credit.replies import AgentCredit, CreditReply
from langgraph_truce.errors import ModelReplyError
from langgraph_truce.prompts.quote import quoted
from langgraph_truce.rules.rule import Rule, RuleBook
from langgraph_truce.seams import Attributor, Batch, Credit, Lab, Memory, Rollout
from langgraph_truce.task import Task
from langgraph_truce.trajectory.step import Segment, Step
from langgraph_truce.trajectory.transcript import cut, transcript

RULES_CHARS = 3000
"""Characters of all rules in a prompt together; longer rules are cut in their middle, ids stay."""


def score_to_value(score: float) -> float:
    """A score of 1 to 10 as a value in [-1, 1]: 5.5 is 0. The mapping is ours."""
    return (score - 5.5) / 4.5


@dataclass(frozen=True, slots=True)
class _Job:
    """One segment of one rollout, to be judged."""

    rollout: Rollout
    number: int
    """Place of the segment in its rollout, from 0."""
    segments: tuple[Segment, ...]
    task: Task
    book: RuleBook

    @property
    def segment(self) -> Segment:
        return self.segments[self.number]

    @property
    def steps(self) -> list[Step]:
        return [s for i in self.segment.steps if (s := self.rollout.trajectory.step(i))]

    def rules_of(self, role: str) -> tuple[str, tuple[Rule, ...]]:
        """The agent whose rules a role had in this segment (in its first round there), and the rules."""
        number = next((s.round for s in self.steps if s.role == role), None)
        agent = agent_of(self.book, role, number)
        return agent, self.book.agents[agent].rules if agent else ()


def verbal_credit(
    *, at_most: int | None = None, segment_chars: int = 8000, earlier_chars: int = 2000
) -> Attributor:
    """Φ by a critic model, one call a segment.

    Args:
        at_most: credit so many rollouts, worst score first (ties drawn by the run's seed); None credits all, as the
            paper does.
        segment_chars: length of the segment's transcript in the prompt.
        earlier_chars: length of all earlier segments together.

    Returns:
        A decision whose memory holds `rejected` (credits and citations that were not valid, with the reason), `unread`
        (segments without credit because the reply could not be read) and the count of the latter, `credit_errors`.
    """

    async def credit(batch: Batch, memory: Memory, lab: Lab) -> tuple[tuple[Credit, ...], Memory]:
        require_model(lab, "verbal_credit")
        jobs = [
            _Job(rollout, n, segments, batch.tasks[rollout.task], batch.book)
            for rollout in _chosen(batch, at_most, lab)
            for segments in [batch.segments.get(rollout.id, ())]
            for n in range(len(segments))
        ]
        judged = await side_by_side(_judge(job, (segment_chars, earlier_chars), lab) for job in jobs)
        credits_ = tuple(c for found, _ in judged for c in found)
        records = [r for _, found in judged for r in found]
        memory = keep(memory, "rejected", [r for r in records if r["kind"] == "rejected"])
        memory = keep(memory, "unread", [r for r in records if r["kind"] == "unread"])
        return credits_, {**memory, "credit_errors": memory["unread_count"]}

    return credit


def _chosen(batch: Batch, at_most: int | None, lab: Lab) -> Sequence[Rollout]:
    if at_most is None or len(batch.rollouts) <= at_most:
        return batch.rollouts
    luck = {r.id: lab.rng("credit", r.id).random() for r in batch.rollouts}
    worst = sorted(batch.rollouts, key=lambda r: (r.outcome.score, luck[r.id], r.id))[:at_most]
    ids = {r.id for r in worst}
    return [r for r in batch.rollouts if r.id in ids]


async def _judge(job: _Job, limits: tuple[int, int], lab: Lab) -> tuple[list[Credit], list[dict[str, Any]]]:
    """Credits of one segment, and the records of what could not be used."""
    steps = job.steps
    agents = list(dict.fromkeys(s.role for s in steps if s.agent or agent_of(job.book, s.role, s.round)))
    try:
        reply = await lab.ask("credit", _fields(job, agents, limits, lab), CreditReply, purpose="credit")
    except ModelReplyError as error:
        return [], [
            {"kind": "unread", "rollout": job.rollout.id, "segment": job.segment.id, "why": str(error)}
        ]
    found = [_of_segment(job, steps, reply)]
    wrong: list[str] = []
    seen: set[str] = set()
    for said in reply.agents:
        cited, why = _cited(said, job, agents)
        if said.agent in seen:
            why = f"agent {said.agent!r} is judged twice; the first judgement counts"
        wrong += [why]
        if cited and said.agent not in seen:
            seen.add(said.agent)
            rules, unknown = _named(said, job)
            wrong += [unknown]
            found.append(_of_agent(job, said, cited, rules))
    place = {"kind": "rejected", "rollout": job.rollout.id, "segment": job.segment.id}
    return found, [{**place, "why": why} for why in wrong if why]


def _fields(job: _Job, agents: Sequence[str], limits: tuple[int, int], lab: Lab) -> dict[str, str]:
    """The prompt's fields; the marker depends on what is judged alone, so equal calls are journalled once."""
    history, outcome = job.rollout.trajectory, job.rollout.outcome
    earlier = job.segments[: job.number]
    texts = {
        "task_context": task_text(job.task),
        "global_evaluation": outcome_text(outcome),
        "evaluator": outcome.feedback,
        "previous_iterations": "\n\n".join(
            f"{s.label}:\n{transcript(history, s.steps, limit_chars=max(limits[1] // len(earlier), 200))}"
            for s in earlier
        ),
        "iteration_content": f"{job.segment.label}\n\n"
        + transcript(history, job.segment.steps, limit_chars=limits[0]),
        "agents": "\n".join(f"- {a}: {about}" if (about := lab.about(a)) else f"- {a}" for a in agents),
        "rules": _rules_shown(job, agents),
    }
    return {
        **quoted(texts, lab.rng("quote", "credit", job.rollout.id, job.segment.id)),
        "iteration_number": f"{job.number + 1} of {len(job.segments)}",
    }


def _rules_shown(job: _Job, agents: Sequence[str]) -> str:
    """The rules of the agents that act, each agent's once, cut to `RULES_CHARS` in all."""
    roles: dict[str, list[str]] = {}
    texts: dict[str, str] = {}
    for role in agents:
        agent, rules = job.rules_of(role)
        if rules:
            roles.setdefault(agent, []).append(role)
            texts[agent] = rules_text(job.book.agents[agent])
    if sum(map(len, texts.values())) > RULES_CHARS:
        lines = {
            agent: rules_text(job.book.agents[agent]).replace("\n    ", " ").split("\n") for agent in texts
        }
        room = max(RULES_CHARS // sum(map(len, lines.values())), 40)
        texts = {agent: "\n".join(cut(line, room) for line in listed) for agent, listed in lines.items()}
    shown = [f"{', '.join(roles[agent])}:\n{text}" for agent, text in texts.items()]
    return "\n\n".join(shown) or "(not known)"


def _named(said: AgentCredit, job: _Job) -> tuple[tuple[str, ...], str]:
    """The rules that a judgement names and its agent has, and a sentence where it names others."""
    agent, rules = job.rules_of(said.agent)
    there = {rule.id for rule in rules}
    asked = dict.fromkeys(i.strip(" `[]").rpartition("/")[2] for i in said.rules)
    unknown = [i for i in asked if i not in there]
    why = f"the credit of {said.agent!r} names rules that {agent or 'it'} does not have: {', '.join(unknown)}"
    return tuple(i for i in asked if i in there), why if unknown else ""


def _cited(said: AgentCredit, job: _Job, agents: Sequence[str]) -> tuple[tuple[str, ...], str]:
    """The valid citations, and a sentence where something was wrong with them (contract 4)."""
    if said.agent not in agents:
        return (
            (),
            f"{said.agent!r} does not act in {job.segment.id}; there are: {', '.join(agents) or 'none'}",
        )
    asked = [i.strip(" `[]").removeprefix(f"{job.rollout.id}/") for i in said.steps]
    good = tuple(dict.fromkeys(i for i in asked if i in job.segment.steps))
    bad = [i for i in asked if i not in job.segment.steps]
    if not asked:
        return (), f"the credit of {said.agent!r} cites no step"
    return (
        good,
        f"the credit of {said.agent!r} cites steps that are not there: {', '.join(bad)}" if bad else "",
    )


def _of_segment(job: _Job, steps: Sequence[Step], reply: CreditReply) -> Credit:
    """c^(k), about the segment as a whole: the mean of the three criteria, resting on all of its steps."""
    criteria = {
        name: getattr(reply, name).model_dump()
        for name in ("iteration_progress", "agent_coordination", "stage_appropriateness")
    }
    words = [f"{name}: {part['analysis']}" for name, part in criteria.items()]
    if wanted := reply.iteration_summary.areas_for_improvement:
        words.append("to improve: " + "; ".join(wanted))
    return Credit(
        rollout=job.rollout.id,
        task=job.rollout.task,
        steps=tuple(s.id for s in steps),
        value=score_to_value(reply.overall_score),
        round=_round(job.segment),
        segment=job.segment.id,
        words="\n".join(words),
        details={**criteria, "iteration_summary": reply.iteration_summary.model_dump()},
    )


def _of_agent(job: _Job, said: AgentCredit, cited: tuple[str, ...], rules: tuple[str, ...]) -> Credit:
    return Credit(
        rollout=job.rollout.id,
        task=job.rollout.task,
        steps=cited,
        value=score_to_value(said.score),
        role=said.agent,
        round=_round(job.segment),
        segment=job.segment.id,
        words=said.words,
        details={"score": said.score},
        rules=rules,
    )


def _round(segment: Segment) -> int | None:
    return segment.rounds[0] if len(segment.rounds) == 1 else None
