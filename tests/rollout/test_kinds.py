"""Every kind of graph is recorded as what ran: in memory, with a saver and without one."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.checkpoint.sqlite.aio import AsyncSqliteSaver

from langgraph_truce.rollout.interrupts import Ended, RunOptions, answered, asked
from langgraph_truce.rollout.record import record
from langgraph_truce.trajectory.plain import deep
from tests.rollout.kinds.agents import AGENTS
from tests.rollout.kinds.asking import ASKING
from tests.rollout.kinds.functional import FUNCTIONAL
from tests.rollout.kinds.kind import Kind, talker
from tests.rollout.kinds.shapes import SHAPES
from tests.rollout.kinds.states import STATES

_UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f-]{27}")
KINDS = (*SHAPES, *STATES, *AGENTS, *FUNCTIONAL, *ASKING)


@asynccontextmanager
async def savers(kind: str, folder: Path) -> AsyncIterator[Any]:
    if kind == "sqlite":
        async with AsyncSqliteSaver.from_conn_string(str(folder / "threads.db")) as saver:
            yield saver
    else:
        yield InMemorySaver() if kind == "memory" else None


async def bare(kind: Kind) -> tuple[Any, Counter[str]]:
    """The final state of the graph run as its user runs it, and `node: writes` as LangGraph tells them."""
    graph = kind.build(talker())
    if kind.answers is not None or kind.resumes:
        graph = graph.copy({"checkpointer": InMemorySaver()})
    wrote: dict[str, str] = {}
    config: Any = {"configurable": {"thread_id": "bare"}}

    async def run(given: Any) -> Ended:
        state, questions = None, None
        modes = ["updates", "values", "tasks"]
        stream = graph.astream(given, config, context=kind.context, stream_mode=modes, subgraphs=True)
        async for space, mode, told in stream:
            if mode == "tasks" and "result" in told and not told["interrupts"]:
                wrote[told["id"]] = line(told["name"], told["result"])
            elif mode == "updates" and not space:
                questions = asked(told, questions)
            elif mode == "values" and not space:
                state = told
        return Ended(state, questions)

    state = await answered(run, kind.given(), RunOptions(interrupts=kind.answers), lambda: None)
    return state, Counter(wrote.values())


def line(node: str, writes: Any) -> str:
    return _UUID.sub("ID", f"{node}: {json.dumps(deep(writes), sort_keys=True)}")


@pytest.mark.parametrize("saver", ["none", "memory", "sqlite"])
@pytest.mark.parametrize("kind", KINDS, ids=str)
async def test_record_tells_what_ran(kind: Kind, saver: str, tmp_path: Path) -> None:
    model = talker()
    options = RunOptions(context=kind.context, interrupts=kind.answers)
    async with savers(saver, tmp_path) as kept:
        done = await record(
            kind.build(model),
            kind.given(),
            rollout="r",
            saver=kept,
            aggregator=kind.aggregator,
            options=options,
        )
    state, wrote = await bare(kind)
    steps, value = done.trajectory.steps, done.trajectory.value

    assert done.error is None
    assert line("", done.state) == line("", state)
    assert [f"{s.id}@{s.round}" for s in steps] == kind.steps.split()
    told = Counter(line(s.role.split("/")[-1], {c: value(r) for c, r in s.writes.items()}) for s in steps)
    assert not wrote - told
    if not kind.silent:
        assert not told - wrote
    assert done.unjoined == 0
    assert sum(len(s.calls) for s in steps) == kind.calls
    assert {s.id for s in steps if s.error} == set(kind.failed)
