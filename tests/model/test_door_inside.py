"""Calls inside calls, and calls that are given up: every one is settled, and none waits for the one around it."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from langchain_core.runnables import RunnableConfig
from langgraph.store.memory import InMemoryStore

from langgraph_truce.errors import BudgetSpent
from langgraph_truce.model import Budget, Door, Journal, JournalCallback, Request
from langgraph_truce.model.cost import Cost
from langgraph_truce.model.spending import Spending
from langgraph_truce.testing import ScriptedModel

ASK = Request("task", "p", "m", 100, 50)


def door(journal: Journal, calls: int) -> tuple[Door, Spending]:
    spending = Spending(Budget(calls=calls), journal)
    return Door([spending]), spending


async def test_a_call_inside_a_call_does_not_wait_for_it(store: InMemoryStore) -> None:
    inner = ScriptedModel(replies={"": "inner"}, max_tokens=10)

    class Outer(ScriptedModel):
        async def _agenerate(self, *args: Any, **kwargs: Any) -> Any:
            await inner.ainvoke("question")
            return await super()._agenerate(*args, **kwargs)

    with Journal(store) as journal, journal.installed():
        journal.door, _ = door(journal, calls=1)
        config = RunnableConfig(callbacks=[JournalCallback(journal, ("s",))])
        with pytest.raises(BudgetSpent):
            await asyncio.wait_for(Outer(replies={"": "outer"}, max_tokens=10).ainvoke("q", config), 5)
    assert inner.calls == ()


class Wrapper(ScriptedModel):
    """Asks another model before it answers."""

    inner: ScriptedModel

    def _generate(self, *args: Any, **kwargs: Any) -> Any:
        self.inner.invoke("question")
        return super()._generate(*args, **kwargs)

    async def _agenerate(self, *args: Any, **kwargs: Any) -> Any:
        await self.inner.ainvoke("question")
        return await super()._agenerate(*args, **kwargs)


def wrapped(**more: Any) -> Wrapper:
    inner = ScriptedModel(replies={"": "inner"}, max_tokens=10)
    return Wrapper(replies={"": "outer"}, max_tokens=10, inner=inner, **more)


@pytest.mark.parametrize("sync", [True, False])
@pytest.mark.parametrize("cache", [None, False])
async def test_a_call_around_another_is_settled_and_journalled(
    store: InMemoryStore, cache: bool | None, *, sync: bool
) -> None:
    model = wrapped(cache=cache)
    with Journal(store) as journal, journal.installed():
        journal.door, spending = door(journal, calls=9)
        for _ in range(2):
            config = RunnableConfig(callbacks=[JournalCallback(journal, ("s",))])
            await (asyncio.to_thread(model.invoke, "q", config) if sync else model.ainvoke("q", config))
        assert (journal.door.in_flight, spending.reserved) == (0, Cost())
        asked = len(model.calls) + len(model.inner.calls)
        assert asked == (2 if cache is None else 3)  # what bypasses the journal is asked again
        assert spending.spent.calls == asked == journal.meter.snapshot()["total"]["calls"]


async def test_a_call_inside_one_that_bypasses_the_journal_does_not_wait_for_it(store: InMemoryStore) -> None:
    with Journal(store) as journal, journal.installed():
        journal.door, _ = door(journal, calls=1)
        config = RunnableConfig(callbacks=[JournalCallback(journal, ("s",))])
        with pytest.raises(BudgetSpent):
            await asyncio.wait_for(wrapped(cache=False).ainvoke("q", config), 5)


async def test_a_cancelled_call_that_bypasses_the_journal_is_settled(store: InMemoryStore) -> None:
    """Else nobody would ever be refused: the next call would wait for it for ever."""
    model = ScriptedModel(replies={"": "late"}, latency=30, max_tokens=10, cache=False)
    with Journal(store) as journal, journal.installed():
        journal.door, spending = door(journal, calls=1)
        config = RunnableConfig(callbacks=[JournalCallback(journal, ("s",))])
        running = asyncio.create_task(model.ainvoke("q", config))
        await asyncio.sleep(0.05)
        running.cancel()
        await asyncio.wait({running})
        assert (journal.door.in_flight, spending.spent.calls) == (0, 1)
        with pytest.raises(BudgetSpent):
            await asyncio.wait_for(journal.door.aenter(ASK), 5)
