"""Critics: credit of every utterance and of every round's aggregate, and a diagnosis of every run (TSCA section 4.3).

A round costs one call, and one more for the peer view, whatever the number of roles; a failed run one for its diagnosis.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from langgraph_truce.answers import Right, RightChoice, right_choice
from langgraph_truce.asking import keep, require_model, side_by_side
from langgraph_truce.credit.contributions import worst
from langgraph_truce.credit.diagnosis import Record, unasked
from langgraph_truce.credit.diagnosis import diagnose as diagnosed
from langgraph_truce.credit.judged_round import Mark, RoundJob, ask_critic, ask_peers
from langgraph_truce.credit.structural import checked_lam, fused
from langgraph_truce.errors import UserMistake
from langgraph_truce.rounds import Round, rounds_of
from langgraph_truce.seams import Attributor, Batch, Credit, Lab, Memory, Rollout
from langgraph_truce.trajectory.step import Step
from langgraph_truce.trajectory.transcript import said

Rounds = Mapping[str, tuple[Round, ...]]
"""Rounds by rollout id."""
Found = tuple[list[Credit], list[Record]]
_ROUNDS = "rounds"


@dataclass(frozen=True, slots=True)
class _Settings:
    lam: float
    peers: bool
    right: Right
    diagnose: bool
    chars: int
    answering: frozenset[str] = frozenset()
    """Roles that answer the question; others (a rater, a ranker) have no answer that could be right or wrong."""


def critics(
    *,
    lam: float = 0.5,
    peers: bool = True,
    right: Right | None = None,
    at_most: int | None = None,
    diagnose: bool = True,
    chars: int = 6000,
) -> Attributor:
    """Structural and temporal credit by critic models.

    - For each utterance u_it one credit of its role: c = λ q + (1 - λ) p in [0, 1], with q the critic's score of the utterance
      and p the peer view of its role in that round; c = q where there is no peer view. `value` is 2 c - 1; `details` holds
      `{"kind": "role", "q", "p", "c", "right"}`.
    - For each aggregate S_t one credit of the aggregator: q_agg_t; `value` is 2 q - 1; `details` holds `{"kind":
      "aggregator", "q", "right", "agents_right", "agents"}`, the last two counted over utterances that could be scored.
    - For each run one diagnosis, without a role: `{"kind": "diagnosis", "pattern", "score", "round", "role"}`, score from 0
      to 5, `value` 2 score / 5 - 1. A solved run is NONE with 5, and nobody is asked.

    `right` beside q and c is answer credit: was this text alone the right answer? `agreement` compares the two. A role that names
    no option in any utterance of the batch (a rater) is none that answers: its `right` is None. A system without aggregator gets credits of roles and diagnoses alone.

    Args:
        lam: λ in [0, 1]; the paper names no value, ours is 0.5.
        peers: ask for the peer view; False saves one of the two calls of a round, and c = q.
        right: whether a text is the right answer of a task, or None where that cannot be told; None takes
            `answers.right_choice()`, for multiple-choice questions.
        at_most: judge so many rollouts, worst score first (ties drawn by the run's seed); None judges all.
        diagnose: diagnose each judged run.
        chars: length of a round's utterances in a prompt, in characters; each shared state has half of it.

    Returns:
        A decision whose memory holds `rejected` (judgements that were no number in their range, or about what is not there,
        and what was not judged), `unread` (replies that could not be read), and their counts. Purposes: `credit`, `diagnose`.

    Raises:
        UserMistake: λ is not in [0, 1]; at the first batch, when no rollout has a round.
    """
    settings = _Settings(checked_lam(lam), peers, right or right_choice(), diagnose, chars)

    async def credit(batch: Batch, memory: Memory, lab: Lab) -> tuple[tuple[Credit, ...], Memory]:
        require_model(lab, "critics")
        rounds = {r.id: rounds_of(r, batch.book, lab.aggregator) for r in batch.rollouts}
        if not memory.get(_ROUNDS):
            memory = {**memory, _ROUNDS: _marked(batch.rollouts, rounds, lab.aggregator)}
        runs = worst(batch.rollouts, at_most, lab.seed)
        of_batch = replace(settings, answering=_answering(batch, rounds, settings.right))
        found = await side_by_side(_of_run(run, rounds[run.id], batch, of_batch, lab) for run in runs)
        records = [r for _, wrong in found for r in wrong]
        memory = keep(memory, "rejected", [r for r in records if r["kind"] == "rejected"])
        memory = keep(memory, "unread", [r for r in records if r["kind"] == "unread"])
        return tuple(c for credits_, _ in found for c in credits_), memory

    return credit


def _marked(rollouts: Sequence[Rollout], rounds: Rounds, aggregator: str) -> bool:
    """Do rollouts show where rounds begin and end? False where all of them broke off before that.

    Raises:
        UserMistake: runs that came to their end show no round.
    """
    numbers = [r.number for found in rounds.values() for r in found]
    if max(numbers, default=0) > (0 if aggregator else 1):
        return True
    if all(r.outcome.error for r in rollouts):
        return False
    roles = sorted({s.role for r in rollouts for s in r.trajectory.steps})
    why = (
        f"the aggregator {aggregator!r} never ran"
        if aggregator
        else "no role runs again and no aggregator is named"
    )
    raise UserMistake(
        f"critics judge rounds, and none of {len(rollouts)} rollouts has one: {why}. Name the node that closes a round, "
        f'System(graph, ..., aggregator="NODE"), one of: {", ".join(roles)}; or build a graph whose roles speak '
        "again: each repetition is a round then"
    )


async def _of_run(
    run: Rollout, rounds: tuple[Round, ...], batch: Batch, settings: _Settings, lab: Lab
) -> Found:
    """Credits of one run: round by round, then its diagnosis."""
    task = batch.tasks[run.task]
    before = (None, *(r.aggregate for r in rounds))
    jobs = [
        _of_round(RoundJob(run, round_, earlier, task, settings.chars), settings, lab)
        for round_, earlier in zip(rounds, before, strict=False)
    ]
    found = await side_by_side([*jobs, _diagnosis(run, rounds, batch, settings, lab)])
    return [c for credits_, _ in found for c in credits_], [r for _, records in found for r in records]


async def _diagnosis(
    run: Rollout, rounds: tuple[Round, ...], batch: Batch, settings: _Settings, lab: Lab
) -> Found:
    if not settings.diagnose or not run.trajectory.steps:
        return [], []
    if solved := unasked(run, rounds):
        return [solved], []
    return await diagnosed(run, rounds, batch.tasks[run.task], settings.chars, lab)


async def _of_round(job: RoundJob, settings: _Settings, lab: Lab) -> Found:
    asked = [ask_critic(job, lab)]
    if settings.peers and job.round.utterances:
        asked.append(ask_peers(job, lab))
    (marks, records), *more = await side_by_side(asked)
    views: Mapping[str, Mark] = more[0][0] if more else {}
    history = job.rollout.trajectory
    right = {
        s.id: settings.right(said(history, s), job.task) if s.role in settings.answering else None
        for s in job.round.utterances
    }
    credits_: list[Credit] = []
    for step in job.round.utterances:
        if mark := marks.get(step.id):
            words, details = _structural(mark, views.get(step.role), settings.lam)
            credits_.append(_credit(job, step, details["c"], words, {**details, "right": right[step.id]}))
    closing = job.round.aggregate
    if closing and (mark := marks.get(closing.id)):
        scored = [r for r in right.values() if r is not None]
        own = settings.right(said(history, closing), job.task)
        details = {"kind": "aggregator", "q": mark.score, "right": own}
        details |= {"agents_right": sum(scored), "agents": len(scored)}
        credits_.append(_credit(job, closing, mark.score, mark.words, details))
    return credits_, [*records, *(r for _, wrong in more for r in wrong)]


def _answering(batch: Batch, rounds: Rounds, right: Right) -> frozenset[str]:
    """Roles of which some utterance in this batch names an option: one unreadable answer is wrong, none ever is no answer."""
    return frozenset(
        step.role
        for run in batch.rollouts
        for round_ in rounds[run.id]
        for step in round_.utterances
        if not isinstance(right, RightChoice)
        or right.chooses(said(run.trajectory, step), batch.tasks[run.task])
    )


def _structural(mark: Mark, view: Mark | None, lam: float) -> tuple[str, dict[str, Any]]:
    """Words and q, p and c of an utterance."""
    p = view.score if view else None
    words = f"{mark.words}\nFor the others: {view.words}" if view and view.words else mark.words
    return words, {"kind": "role", "q": mark.score, "p": p, "c": fused(mark.score, p, lam)}


def _credit(job: RoundJob, step: Step, score: float, words: str, details: Mapping[str, Any]) -> Credit:
    return Credit(
        rollout=job.rollout.id,
        task=job.rollout.task,
        steps=(step.id,),
        value=2 * score - 1,
        role=step.role,
        round=job.round.number,
        segment=f"round-{job.round.number}",
        words=words,
        details=details,
    )
