"""Drive the optimizer graph from where it is to its end: resume, reviews, stops in good order."""

from __future__ import annotations

import asyncio
import contextvars
from typing import Any, cast

from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.base import BaseCheckpointSaver
from langgraph.types import Command, StateSnapshot

from langgraph_truce.errors import BudgetSpent, RunError
from langgraph_truce.optimizer.graph import build
from langgraph_truce.optimizer.reviewing import answered
from langgraph_truce.optimizer.session import Session
from langgraph_truce.optimizer.state import State
from langgraph_truce.rollout.failure import first

BOXES = ("evaluate", "segment", "credit", "select", "suggest", "merge", "write", "gate")
"""The boxes of an iteration that leave a result, in order."""
_AFTER = ("review", "apply", "tasks")
STEPS = 12
"""Supersteps of one iteration, test included."""


async def drive(session: Session, saver: BaseCheckpointSaver[Any], thread: str) -> None:
    """Begin or resume the optimizer graph until it is done.

    Raises:
        ReviewPending: a person's answer is missing.
        RunStopped: see `model.door`.
    """
    graph = build(session, saver)
    limit = (session.method.iterations + 1) * STEPS
    config = RunnableConfig(configurable={"thread_id": thread}, recursion_limit=limit)
    found = await graph.aget_state(config)
    given: State | Command[Any] | None = None
    if not found.created_at:
        given = await session.start()
    elif not found.tasks and (early := await session.untested()) is not None:
        found = await _at_test(graph, config, early)
    await _check(session, found)
    # not `next`: a task that has finished is not in it, though its superstep may not be applied yet
    while given is not None or found.tasks:
        if found.interrupts:
            given = await _answered(session, found)
        try:
            await _invoke(graph, given, config)
        except BudgetSpent as spent:
            # the best proven rules so far are the current ones: on to the test, with what was held back for it
            if not session.stop_early(spent):
                raise
            found = await _at_test(graph, config, str(spent))
        else:
            found = await graph.aget_state(config)
        given = None


async def _at_test(graph: Any, config: RunnableConfig, done: str) -> StateSnapshot:
    """The state of a run that goes to its test now."""
    await graph.aupdate_state(config, {"done": done}, as_node="apply")
    found: StateSnapshot = await graph.aget_state(config)
    return found


async def _check(session: Session, found: StateSnapshot) -> None:
    """The results that the state rests on are there: the files of a folder may be copies of different moments."""
    iteration = (found.values or {}).get("iteration", 0)
    step = found.tasks[0].name if found.tasks else ""
    here = BOXES[: BOXES.index(step)] if step in BOXES else BOXES if step in _AFTER else ()
    if (
        step == "tasks" and step not in found.next
    ):  # it has counted already, and was killed before its checkpoint
        here = ()
    wanted = [(i, box) for i in range(1, iteration) for box in BOXES]
    wanted += [(iteration, box) for box in here if iteration]
    for number, box in wanted:
        if await session.records.read_box(number, box) is None:
            raise RunError(
                f"the result of {box!r} of iteration {number} is missing, though the run is past it; if this folder was "
                "copied while its run was going on, copy it again now that the run has stopped"
            )


async def _answered(session: Session, found: StateSnapshot) -> Command[Any]:
    question = found.interrupts[0]
    answers = await answered(session, cast(State, found.values), question.value)
    return Command(resume={question.id: dict(answers)})


async def _invoke(graph: Any, given: State | Command[Any] | None, config: RunnableConfig) -> None:
    try:
        # In a context of its own: whoever calls optimize() inside a graph of theirs must not lend it their run.
        loop = asyncio.get_running_loop()
        running = graph.ainvoke(given, config, durability="sync")
        await loop.create_task(running, context=contextvars.Context())
    except BaseExceptionGroup as group:
        raise first(group) from group
