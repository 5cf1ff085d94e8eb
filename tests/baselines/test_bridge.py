"""The bridge: threads that block on one side, one event loop on the other, and nothing that goes on after the end."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from typing import Any

import pytest
from langchain_core.messages import HumanMessage
from langgraph.graph import END, START, StateGraph
from langgraph.store.memory import InMemoryStore

from langgraph_truce import System, Task
from langgraph_truce.baselines.bridge import Bridge, Halt
from langgraph_truce.errors import BudgetSpent, ModelReplyError
from langgraph_truce.evaluate import as_evaluator
from langgraph_truce.model import Journal
from langgraph_truce.optimizer.records import Records
from langgraph_truce.optimizer.sealed import Sealed
from langgraph_truce.rollout.run import Runner
from langgraph_truce.rules import RuleBook, parse
from langgraph_truce.testing import ScriptedModel

BOOK = RuleBook({"solver": parse("solver", "Solve.")})
TASK = Task("t1", {"question": "?"}, {})


@asynccontextmanager
async def bridge(node: Any, replies: Any = "fine") -> AsyncIterator[Bridge]:
    builder: Any = StateGraph(dict)
    builder.add_node("solver", node)
    builder.add_edge(START, "solver")
    builder.add_edge("solver", END)
    system = System(builder.compile(), BOOK)
    journal = Journal(InMemoryStore())
    records = await Records(InMemoryStore()).open()
    with journal.installed():
        runner = Runner(system, as_evaluator(lambda outputs: 1.0), journal, records)
        yield Bridge(runner, ScriptedModel(replies={"": replies}), journal, Sealed())
    records.close()
    journal.close()


async def test_two_threads_that_want_one_rollout_share_it() -> None:
    ran: list[int] = []

    async def slow(state: dict[str, Any]) -> dict[str, Any]:
        ran.append(1)
        await asyncio.sleep(0.05)
        return {**state, "answer": "x"}

    async with bridge(slow) as between:

        def library() -> list[float]:
            with ThreadPoolExecutor(2) as pool:
                futures = [pool.submit(between.rollout, TASK, BOOK) for _ in range(2)]
                return [f.result().outcome.score for f in futures]

        assert await between.hosting(library) == [1.0, 1.0]
    assert ran == [1]


async def test_equal_questions_are_calls_of_their_own_and_replayed_in_order() -> None:
    async def idle(state: dict[str, Any]) -> dict[str, Any]:
        return state

    async with bridge(idle, ["one", "two"]) as between:
        said = await between.hosting(
            lambda: [str(between.ask([HumanMessage("again")], None).text) for _ in range(2)]
        )
    assert said == ["one", "two"]


async def test_an_empty_reply_is_a_bad_reply_and_does_not_end_the_run() -> None:
    async def idle(state: dict[str, Any]) -> dict[str, Any]:
        return state

    async with bridge(idle, [" ", "two"]) as between:

        def library() -> str:
            with pytest.raises(ModelReplyError, match="said nothing"):
                between.ask([HumanMessage("again")], None)
            return str(between.ask([HumanMessage("again")], None).text)

        assert await between.hosting(library) == "two"
        assert between.why is None


async def test_a_stop_wakes_those_who_wait_and_nothing_is_begun_after_it() -> None:
    begun = threading.Event()

    async def endless(state: dict[str, Any]) -> dict[str, Any]:
        begun.set()
        await asyncio.sleep(60)
        return state

    async with bridge(endless) as between:

        def library() -> str:
            def stop() -> None:
                begun.wait(5)
                between.stop(BudgetSpent("spent"))

            waiting = threading.Thread(target=stop)
            waiting.start()
            with pytest.raises(Halt):
                between.rollout(TASK, BOOK)
            with pytest.raises(Halt):
                between.ask([HumanMessage("more")], None)
            waiting.join()
            return "ended"

        started = time.monotonic()
        assert await between.hosting(library) == "ended"
        assert time.monotonic() - started < 30
        assert isinstance(between.why, BudgetSpent)


async def test_the_first_reason_counts() -> None:
    async def idle(state: dict[str, Any]) -> dict[str, Any]:
        return state

    async with bridge(idle) as between:
        first = BudgetSpent("first")
        between.stop(first)
        between.stop(ValueError("second"))
        assert between.why is first
