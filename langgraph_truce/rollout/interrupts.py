"""Questions to a person (`interrupt(...)`), answered by a callable: run, answer, resume, until none is open.

A node that asked runs again from its start when it is resumed, as LangGraph does it everywhere. In a rollout it finds
the journalled replies of its first attempt: the answer is about what those said, and nothing is paid twice. Calls that
bypass the journal, and tools, are made again, as in production.
"""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any

from langgraph.types import Command

from langgraph_truce.errors import UserMistake

AT_MOST = 100
"""Times a rollout is resumed, unless `RunOptions` says otherwise."""
SHOWN = 200
"""Characters of a question that an error shows."""
INTERRUPT = "__interrupt__"
"""LangGraph's key for open questions in streams and states."""

Answers = Callable[[Any], Any]
"""The value of an `interrupt(value)` -> what it is resumed with; sync (called in a thread) or async."""


class Unanswered(UserMistake):
    """A rollout that waits for a person: nobody answers, or the questions do not end."""


@dataclass(frozen=True, slots=True)
class RunOptions:
    """What a run of the user's graph is given besides input, config, saver and store.

    Raises:
        UserMistake: `at_most_interrupts` is below 1.
    """

    timeout: float | None = None
    """Seconds the run may take, answers included; beyond them it is stopped, and its error is a TimeoutError."""
    context: Any = None
    """The run's `context` for a graph with a `context_schema`: an instance, or a dict of its fields; None gives none."""
    interrupts: Answers | None = None
    """Answers questions, one at a time in LangGraph's order. At a breakpoint (`interrupt_before`, `interrupt_after`) it
    is called with None and its answer is not used. Model calls that it makes itself are not journalled."""
    at_most_interrupts: int = AT_MOST
    """Times the run is resumed, >= 1: a node that asks again and again ends as an error."""

    def __post_init__(self) -> None:
        if self.at_most_interrupts < 1:
            raise UserMistake(f"at_most_interrupts must be at least 1, got {self.at_most_interrupts}")


PLAIN = RunOptions()
"""No limit, no context, nobody who answers."""


@dataclass(frozen=True, slots=True)
class Ended:
    """How one run, or one resumed part of it, ended."""

    state: Any
    """The last state, as `ainvoke` gives it."""
    questions: Mapping[str, Any] | None = None
    """Open questions, interrupt id -> value; empty at a breakpoint; None where it ran to its end."""


def asked(update: Any, so_far: dict[str, Any] | None) -> dict[str, Any] | None:
    """The questions so far and those of one item of LangGraph's `updates` stream; None while there was no stop."""
    if not isinstance(update, dict) or INTERRUPT not in update:
        return so_far
    return {**(so_far or {}), **{question.id: question.value for question in update[INTERRUPT]}}


async def answered(
    run: Callable[[Any], Awaitable[Ended]], graph_input: Any, options: RunOptions, again: Callable[[], None]
) -> Any:
    """The final state of `run(graph_input)`, resumed until no question is open.

    Args:
        run: One run of the graph up to its end or its next questions.
        graph_input: What the first run is given; later ones get a `Command`, or None at a breakpoint.
        options: Who answers, and how often.
        again: Called before each resume.

    Raises:
        Unanswered: there is no callable, or questions are still open after `options.at_most_interrupts` resumes.
        BaseException: what the graph or the callable raises.
    """
    ended = await run(graph_input)
    resume: Command[Any] | None
    for _ in range(options.at_most_interrupts):
        if ended.questions is None:
            return ended.state
        if options.interrupts is None:
            raise Unanswered(
                f"the rollout waits for a person: {_shown(ended.questions)}; give System(interrupts=...), "
                "a callable that answers"
            )
        if ended.questions:
            replies = {name: await _answer(options.interrupts, v) for name, v in ended.questions.items()}
            resume = Command(resume=replies)
        else:
            await _answer(options.interrupts, None)
            resume = None
        again()
        ended = await run(resume)
    if ended.questions is None:
        return ended.state
    raise Unanswered(
        f"the rollout still waits for a person after {options.at_most_interrupts} answers: "
        f"{_shown(ended.questions)}; check what System(interrupts=...) answers"
    )


async def _answer(answers: Answers, value: Any) -> Any:
    """In a thread where it is sync: a slow one must not hold up the other rollouts."""
    if inspect.iscoroutinefunction(answers):
        return await answers(value)
    said = await asyncio.to_thread(answers, value)
    return await said if inspect.isawaitable(said) else said


def _shown(questions: Mapping[str, Any]) -> str:
    if not questions:
        return "it stops at a breakpoint (interrupt_before or interrupt_after)"
    texts = (str(value) for value in questions.values())
    return "; ".join(text[:SHOWN] + ("…" if len(text) > SHOWN else "") for text in texts)
