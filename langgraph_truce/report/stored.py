"""Credit from threads that ran already: trajectories and their outcomes go in, who was to blame comes out."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from langchain_core.language_models import BaseChatModel

from langgraph_truce.batch import agent_of
from langgraph_truce.errors import UserMistake
from langgraph_truce.evaluate import Evaluate, as_evaluator
from langgraph_truce.model import resolve_model
from langgraph_truce.report.credit import CreditReport, by_role, by_round, by_rule
from langgraph_truce.report.credit_lab import ThreadLab, journal_in, nothing
from langgraph_truce.rollout.history import Thread
from langgraph_truce.rules import AgentRules, RuleBook
from langgraph_truce.seams import Attributor, Batch, Credit, Lab, Memory, Rollout
from langgraph_truce.system import System
from langgraph_truce.task import Outcome, Task
from langgraph_truce.trajectory.plain import deep
from langgraph_truce.trajectory.segment import by_round as rounds_of
from langgraph_truce.trajectory.step import Trajectory

Outcomes = Mapping[str, Outcome] | Evaluate | Any
"""By thread id, or an evaluator (see `langgraph_truce.as_evaluator`) of the threads' final states."""
NAMED = 5
"""Names that a sentence lists; the rest is counted."""
EVALUATED = 16
"""Threads that are evaluated at a time."""


def credit_threads(
    threads: Iterable[Thread | Trajectory],
    credit: Attributor,
    outcomes: Outcomes,
    *,
    rules: RuleBook | None = None,
    references: Mapping[str, Mapping[str, Any]] | None = None,
    system: System | None = None,
    model: str | BaseChatModel | None = None,
    journal: Path | str | None = None,
) -> CreditReport:
    """Assign credit over stored threads, by round, role and rule; nothing is run and nothing is edited.

    Args:
        threads: From `rollout.read_history`, or trajectories (`read_trajectories`).
        credit: Any credit source of `langgraph_truce.credit` that does not run the system.
        outcomes: Outcome by thread id, or an evaluator of the final states. Threads without an outcome, and with an
            evaluator those that are not at their end, are left out and named.
        rules: The agents' rules; None takes those of `system`. Without any, every role is judged as a whole.
        references: Reference outputs by thread id, for the evaluator.
        system: What ran: gives `rules`, the answer in a final state and each role's place in the graph.
        model: The critic, an object or a name; only for sources that ask one.
        journal: File that keeps the critic's replies: a second call asks nothing again. None keeps none.

    Raises:
        UserMistake: no thread can be judged (the message names the first reason), or the source needs a model.
    """

    async def go() -> CreditReport:
        with journal_in(journal) as kept:
            critic = resolve_model(model) if isinstance(model, str) else model
            lab = ThreadLab(
                critic,
                kept,
                describe=system.about if system else nothing,
                aggregator=system.aggregator if system else "",
            )
            prepared = await aprepare(threads, outcomes, rules=rules, references=references, system=system)
            return await ajudge(prepared, credit, lab)

    with ThreadPoolExecutor(1) as pool:  # a loop of its own: this may be called where one runs
        return pool.submit(asyncio.run, go()).result()


@dataclass(frozen=True, slots=True)
class Prepared:
    """Threads with their outcomes, ready to be judged."""

    batch: Batch
    """One rollout a thread, cut into rounds."""
    problems: tuple[str, ...] = ()
    """Threads that could not be read or scored, or not all of it, a sentence each."""
    left_out: int = 0
    has_rules: bool = True
    """False: nothing is known of the rules, the batch's book names the roles alone."""


async def aprepare(
    threads: Iterable[Thread | Trajectory],
    outcomes: Outcomes,
    *,
    rules: RuleBook | None = None,
    references: Mapping[str, Mapping[str, Any]] | None = None,
    system: System | None = None,
    outputs: Callable[[Any], Any] | None = None,
) -> Prepared:
    """Read and score threads, as `credit_threads` does first.

    `outputs` gives what an evaluator sees of a final state; None takes the system's.

    Raises:
        UserMistake: no thread can be judged; the message names the first reason.
    """
    answer = outputs or (system.answer if system else None)
    read = await _read(threads, _Scoring(outcomes, references or {}, answer))
    if not read.rollouts:
        first = read.problems[0] if read.problems else "none was given"
        raise UserMistake(f"no thread can be judged: {first}")
    given = rules or (system.book if system else None)
    book = given or stand_in([r.trajectory for r in read.rollouts])
    rollouts = tuple(replace(r, version=book.version) for r in read.rollouts)
    batch = Batch(
        iteration=1,
        iterations=1,
        book=book,
        tasks=read.tasks,
        rollouts=rollouts,
        segments={r.id: rounds_of(r.trajectory) for r in rollouts},
    )
    foreign = _foreign(given, rollouts) if given else []
    return Prepared(batch, (*read.problems, *foreign), read.left_out, given is not None)


def _foreign(book: RuleBook, rollouts: Sequence[Rollout]) -> list[str]:
    """A sentence where the rules are those of another system."""
    ran = dict.fromkeys((s.role, s.round) for r in rollouts for s in r.trajectory.steps)
    if any(agent_of(book, role, round_) for role, round_ in ran):
        return []
    roles = dict.fromkeys(role for role, _ in ran)
    return [
        f"the rules are of another system: they are for {_some(list(book.agents))}, and {_some(list(roles))} ran"
    ]


def _some(names: Sequence[str]) -> str:
    more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
    return ", ".join(map(repr, names[:NAMED])) + more


async def ajudge(prepared: Prepared, credit: Attributor, lab: Lab) -> CreditReport:
    """Assign the credit and put the report together.

    Raises:
        UserMistake: the source needs a model, or something else that `lab` does not have.
    """
    batch = prepared.batch
    credits_, memory = await credit(batch, {}, lab)
    trajectories = {r.id: r.trajectory for r in batch.rollouts}
    report = CreditReport(
        source=source_name(credit),
        threads=len(batch.rollouts),
        left_out=prepared.left_out,
        score=sum(r.outcome.score for r in batch.rollouts) / len(batch.rollouts),
        rounds=by_round(credits_, trajectories),
        roles=by_role(credits_, trajectories),
        rules=by_rule(credits_, trajectories, batch.book),
        problems=(*prepared.problems, *_lost(memory)),
        credits=tuple(credits_),
    )
    unknown = _unknown(report, trajectories.values(), has_rules=prepared.has_rules)
    return replace(report, unknown=tuple(unknown))


def source_name(credit: Attributor) -> str:
    """The name of the function (or class) that made a credit source: `verbal_credit`."""
    return str(getattr(credit, "__qualname__", type(credit).__name__)).partition(".")[0]


@dataclass
class _Read:
    """Threads that can be judged, and those that cannot."""

    rollouts: list[Rollout] = field(default_factory=list)
    tasks: dict[str, Task] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)
    left_out: int = 0


@dataclass(frozen=True, slots=True)
class _Scoring:
    """Where outcomes come from."""

    outcomes: Outcomes
    references: Mapping[str, Mapping[str, Any]]
    answer: Callable[[Any], Any] | None
    """Final state -> what an evaluator sees of it; None: the state."""

    async def __call__(self, thread: Thread, task: Task) -> Outcome | str:
        """The outcome, or in words why there is none."""
        if isinstance(self.outcomes, Mapping):
            found = self.outcomes.get(thread.id)
            if found is None:
                return "no score is given for it"
            return found if found.result is not None else replace(found, result=thread.state)
        if thread.error:
            said = thread.error
            return Outcome(None, 0.0, feedback=f"The run ended with an error: {said}", error=said)
        if not thread.finished:
            return "it is not at its end, and an evaluator scores final states"
        final = thread.state if thread.final is None else thread.final
        if final is None:
            return "its final state is not known; give scores instead of an evaluator"
        evaluate = self.outcomes if isinstance(self.outcomes, Evaluate) else as_evaluator(self.outcomes)
        try:
            answer = self.answer(final) if self.answer else final
            outcome = await evaluate(task, answer, trajectory=thread.trajectory)
        except Exception as wrong:  # noqa: BLE001 (the user's code; what it raised costs its own thread and is said)
            return f"its state could not be scored ({type(wrong).__name__}: {wrong})"
        return replace(outcome, result=deep(outcome.result))


async def _read(threads: Iterable[Thread | Trajectory], scoring: _Scoring) -> _Read:
    read = _Read()
    wanted: dict[str, tuple[Thread, Trajectory, Task]] = {}
    seen: list[str] = []
    for given in threads:
        thread = Thread(given.rollout, given) if isinstance(given, Trajectory) else given
        seen.append(thread.id)
        if thread.trajectory is None:
            read.left_out += 1
            read.problems.append(thread.problem or f"thread {thread.id!r}: it has no steps")
        elif thread.id in wanted:
            read.left_out += 1
            read.problems.append(f"thread {thread.id!r}: it is there twice; the first counts")
        else:
            task = Task(thread.id, _inputs(thread), dict(scoring.references.get(thread.id, {})))
            wanted[thread.id] = (thread, thread.trajectory, task)
    gate = asyncio.Semaphore(EVALUATED)

    async def scored(thread: Thread, task: Task) -> Outcome | str:
        async with gate:
            return await scoring(thread, task)

    found = await asyncio.gather(*(scored(thread, task) for thread, _, task in wanted.values()))
    for (thread, trajectory, task), outcome in zip(wanted.values(), found, strict=True):
        if isinstance(outcome, str):
            read.left_out += 1
            why = f"{thread.problem}; " if thread.problem else f"thread {thread.id!r}: "
            read.problems.append(f"{why}{outcome}; left out")
            continue
        read.problems += [thread.problem] if thread.problem else []
        read.rollouts.append(Rollout(thread.id, task.id, 0, "", outcome, trajectory))
        read.tasks[task.id] = task
    read.problems += _strangers(scoring.outcomes, seen)
    return read


def _strangers(outcomes: Outcomes, seen: Sequence[str]) -> list[str]:
    """A sentence on scores of threads that were not there."""
    there = set(seen)
    unknown = [t for t in outcomes if t not in there] if isinstance(outcomes, Mapping) else []
    return [f"scores are given for threads that were not read: {_some(unknown)}"] if unknown else []


def _inputs(thread: Thread) -> dict[str, Any]:
    """What the thread was given; for a bare trajectory, what its first step saw."""
    given = thread.input
    if given is None and thread.trajectory is not None:
        first = next((s.input for s in thread.trajectory.steps if s.input is not None), None)
        given = None if first is None else thread.trajectory.value(first)
    return dict(given) if isinstance(given, Mapping) else {"input": given}


def stand_in(trajectories: Sequence[Trajectory]) -> RuleBook:
    """A book for systems whose rules are not known: every role of the outermost graph, without a rule."""
    roles = dict.fromkeys(s.role.partition("/")[0] for t in trajectories for s in t.steps)
    return RuleBook({role: AgentRules(role, ()) for role in roles})


def _lost(memory: Memory) -> list[str]:
    """What the credit source could not use, from its memory."""
    said = [f"{row['rollout']} {row['segment']}: no credit, {row['why']}" for row in memory.get("unread", ())]
    said += [f"{row['rollout']} {row['segment']}: {row['why']}" for row in memory.get("rejected", ())]
    more = sum(max(memory.get(f"{kind}_count", 0), 0) for kind in ("unread", "rejected")) - len(said)
    said += [f"and {more} more judgements that could not be used"] if more > 0 else []
    return [*said, *_refused(memory)]


def _refused(memory: Memory) -> Iterable[str]:
    """Contributions that no replay could value, a sentence for each role and reason: many threads share them."""
    rows = memory.get("refused", ())
    for (role, why), times in Counter((row["role"], row["why"]) for row in rows).items():
        yield f"{role}: no credit ({times} {'contribution' if times == 1 else 'contributions'}), {why}"
    if (more := memory.get("refused_count", 0) - len(rows)) > 0:
        yield f"and {more} more contributions that no replay could value"


def _unknown(report: CreditReport, trajectories: Iterable[Trajectory], *, has_rules: bool) -> Iterable[str]:
    blind = [t for t in trajectories if not t.prompts_known]
    if any(s.calls for t in blind for s in t.steps):
        yield "prompts: the server that ran the graph does not tell them; steps show what the nodes wrote"
    elif blind:
        yield "prompts, token usage and latency: checkpoints do not hold them; steps show what the nodes wrote"
    if not has_rules:
        yield "rules: none were given, so each role is judged as a whole"
    if not report.credits:
        yield f"credit: {report.source} gave none on these threads{_why_none(report)}"
        return
    if has_rules and not report.rules:
        yield f"credit by rule: {report.source} named no rule"
    if not report.rounds:
        yield f"credit by round: {report.source} does not tell rounds apart"
    if _no_roles(report.credits):
        yield f"credit by role: {report.source} named no role"


def _why_none(report: CreditReport) -> str:
    if report.score == 1:
        return "; each of them reached the full score"
    why = {"answer_credit": "; no role wrote a field that the threads' references name"}
    return why.get(report.source, "")


def _no_roles(credits_: Sequence[Credit]) -> bool:
    return not any(c.role for c in credits_)
