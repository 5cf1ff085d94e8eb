"""The door: who is asked before a call, who waits, and what is told of how it ended."""

from __future__ import annotations

import asyncio
import math
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from langchain_core.messages import AIMessage, HumanMessage
from langchain_core.runnables import RunnableConfig

from langgraph_truce.errors import BudgetSpent, Drained
from langgraph_truce.model import Door, Ended, Journal, JournalCallback, Request
from langgraph_truce.testing import ScriptedModel
from langgraph_truce.trajectory.step import Usage


@dataclass
class Turnstile:
    """At most `most` calls at a time; notes what it is told."""

    most: float = math.inf
    refuse: bool = False
    inside: int = 0
    peak: int = 0
    ended: list[Ended] = field(default_factory=list)
    asked: list[Request] = field(default_factory=list)

    def wait(self, request: Request, *, patient: bool) -> float:
        self.asked.append(request)
        if self.refuse:
            raise BudgetSpent("nothing is left")
        return 0.0 if self.inside < self.most or not patient else math.inf

    def take(self, request: Request) -> None:
        self.inside += 1
        self.peak = max(self.peak, self.inside)

    def give(self, request: Request, ended: Ended) -> None:
        self.inside -= 1
        self.ended.append(ended)


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[Journal]:
    with Journal.open(tmp_path / "journal.sqlite") as journal, journal.installed():
        yield journal


def config(journal: Journal, task: str = "t") -> RunnableConfig:
    return RunnableConfig(callbacks=[JournalCallback(journal, (task,), "task")])


def echo(messages: Any, *args: Any) -> str:
    return str(messages[-1].content).upper()


async def test_only_a_call_without_a_journalled_reply_comes_by(journal: Journal) -> None:
    keeper = Turnstile()
    journal.door = Door([keeper])
    model = ScriptedModel(replies=echo)

    first = await model.ainvoke([HumanMessage("hello")], config(journal))
    again = await model.ainvoke([HumanMessage("hello")], config(journal))

    assert first.content == again.content == "HELLO"
    assert len(keeper.asked) == len(keeper.ended) == 1
    assert keeper.ended[0].error is None
    assert keeper.asked[0].input_tokens >= len("hello")


async def test_a_refused_call_is_not_made_and_the_refusal_is_noted(journal: Journal) -> None:
    journal.door = Door([Turnstile(refuse=True)])
    calls: list[str] = []

    def reply(messages: Any, *args: Any) -> str:
        calls.append("made")
        return "x"

    told = JournalCallback(journal, ("t",), "task")
    with pytest.raises(BudgetSpent, match="nothing is left"):
        await ScriptedModel(replies=reply).ainvoke("hello", RunnableConfig(callbacks=[told]))

    assert calls == []
    assert isinstance(told.refused, BudgetSpent)
    assert journal.door.in_flight == 0


async def test_async_calls_wait_for_their_turn_without_holding_the_loop() -> None:
    keeper = Turnstile(most=3)
    door = Door([keeper])

    async def call() -> None:
        let_in = await door.aenter(Request("task"))
        await asyncio.sleep(0)
        let_in.end(Ended(Usage(1, 1), 0.0))

    await asyncio.gather(*(call() for _ in range(200)))

    assert keeper.peak == 3
    assert len(keeper.ended) == 200
    assert door.in_flight == keeper.inside == 0


def test_threads_wait_for_their_turn() -> None:
    keeper = Turnstile(most=2)
    door = Door([keeper])

    def call() -> None:
        let_in = door.enter(Request("task"))
        let_in.end(Ended(Usage(), 0.0))
        let_in.end(Ended(Usage(), 0.0))  # a second time tells nothing

    threads = [threading.Thread(target=call) for _ in range(50)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)

    assert not any(thread.is_alive() for thread in threads)
    assert keeper.peak <= 2
    assert len(keeper.ended) == 50


async def test_a_stopped_door_sends_away_those_that_wait_and_those_to_come() -> None:
    door = Door([Turnstile(most=1)])
    inside = await door.aenter(Request("task"))
    waiting = [asyncio.create_task(door.aenter(Request("task"))) for _ in range(3)]
    await asyncio.sleep(0)

    door.stop(Drained("asked to end"))
    door.stop(BudgetSpent("the first reason stays"))

    for task in waiting:
        with pytest.raises(Drained, match="asked to end"):
            await task
    with pytest.raises(Drained):
        await door.aenter(Request("task"))
    inside.end(Ended(Usage(), 0.0))  # what is in flight may still end
    assert door.in_flight == 0


async def test_whoever_stops_waiting_leaves_nothing_behind() -> None:
    keeper = Turnstile(most=1)
    door = Door([keeper])
    inside = await door.aenter(Request("task"))
    waiting = asyncio.create_task(door.aenter(Request("task")))
    await asyncio.sleep(0)

    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    inside.end(Ended(Usage(), 0.0))

    assert keeper.inside == 0
    (await asyncio.wait_for(door.aenter(Request("task")), 1)).end(Ended(Usage(), 0.0))


async def test_a_failed_and_a_cancelled_call_are_told(journal: Journal) -> None:
    keeper = Turnstile()
    journal.door = Door([keeper])

    def broken(messages: Any, *args: Any) -> str:
        raise ConnectionError("gone")

    with pytest.raises(ConnectionError):
        await ScriptedModel(replies=broken).ainvoke("hello", config(journal))
    slow = asyncio.create_task(ScriptedModel(replies=echo, latency=30).ainvoke("hello", config(journal)))
    while len(keeper.asked) < 2:
        await asyncio.sleep(0.01)
    slow.cancel()
    with pytest.raises(asyncio.CancelledError):
        await slow
    await asyncio.sleep(0)

    assert [type(ended.error) for ended in keeper.ended] == [ConnectionError, asyncio.CancelledError]
    assert keeper.inside == 0


async def test_a_model_past_the_cache_asks_too(journal: Journal) -> None:
    keeper = Turnstile()
    journal.door = Door([keeper])
    model = ScriptedModel(replies=echo, cache=False)

    await model.ainvoke([HumanMessage("hello")], config(journal))
    keeper.refuse = True
    with pytest.raises(BudgetSpent):
        await model.ainvoke([HumanMessage("hello")], config(journal))

    assert len(keeper.ended) == 1
    assert keeper.inside == 0


def test_a_request_reads_limit_bytes_and_model() -> None:
    messages = [HumanMessage("größe"), AIMessage("ok")]
    told = Request.of(
        "credit",
        [messages],
        {"model": "m", "max_tokens": 50, "max_completion_tokens": 40, "tools": [{"name": "f"}]},
        {"ls_provider": "openai", "ls_max_tokens": 99},
    )
    bare = Request.of("credit", [messages], {}, {"ls_max_tokens": 0})

    assert told.endpoint == "openai:m"
    assert told.output_tokens == 40
    assert told.input_tokens > bare.input_tokens >= len("größeok".encode())
    assert bare.output_tokens is None
