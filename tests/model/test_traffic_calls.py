"""Calls through ChatOpenAI to a real server that misbehaves: what is tried again, what is abandoned, what is journalled."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Iterator
from typing import Any

import openai
import pytest
from langchain_core.language_models.chat_models import BaseChatModel
from langchain_core.messages import AIMessage, BaseMessage
from langchain_core.outputs import ChatGeneration, ChatResult
from langchain_core.runnables import RunnableConfig
from langgraph.store.memory import InMemoryStore
from pydantic import Field

from langgraph_truce.errors import EndpointDown
from langgraph_truce.model import Door, Ended, Journal, JournalCallback, Patience, Request, Traffic
from langgraph_truce.model.failure import CallTimeout
from tests.model.openai_server import OK, Act, OpenAIServer

QUICK = Patience(back_off=0.01, probe=0.02, longest_probe=0.05, longest_pause=20.0)


@pytest.fixture
def server() -> Iterator[OpenAIServer]:
    made = OpenAIServer().start()
    yield made
    made.stop()


class Heard:
    """A keeper that lets all through and remembers how each call ended."""

    def __init__(self) -> None:
        self.ended: list[Ended] = []

    def wait(self, request: Request, *, patient: bool) -> float:
        return 0.0

    def take(self, request: Request) -> None:
        pass

    def give(self, request: Request, ended: Ended) -> None:
        self.ended.append(ended)


class Desk:
    """A journal with a door, and calls that are journalled in it."""

    def __init__(self, patience: Patience = QUICK, call_timeout: float | None = None) -> None:
        self.journal = Journal(InMemoryStore())
        self.heard = Heard()
        self.said: list[str] = []
        door = Door([self.heard])
        door.traffic = Traffic(patience, call_timeout=call_timeout, tell=self.said.append, stop=door.stop)
        door.keepers.append(door.traffic)
        self.journal.door = self.door = door
        self.callback = JournalCallback(self.journal, ("test",))
        self.config = RunnableConfig(callbacks=[self.callback])

    def __enter__(self) -> Desk:
        self._installed = self.journal.installed()
        self._installed.__enter__()
        return self

    def __exit__(self, *exc: Any) -> None:
        self._installed.__exit__(None, None, None)
        self.journal.close()


async def in_both(model: BaseChatModel, question: str, config: RunnableConfig, way: str) -> str:
    """One call, in the way that is named."""
    if way == "ainvoke":
        return (await model.ainvoke(question, config)).text
    if way == "invoke":
        return (await asyncio.to_thread(model.invoke, question, config)).text
    if way == "astream":
        return "".join([chunk.text async for chunk in model.astream(question, config)])
    return await asyncio.to_thread(lambda: "".join(chunk.text for chunk in model.stream(question, config)))


WAYS = ("ainvoke", "invoke", "astream", "stream")


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("retries", [0, 2])
async def test_a_bad_spell_is_outlived_and_the_reply_journalled_once(
    server: OpenAIServer, way: str, retries: int
) -> None:
    spell = (Act(429, {"Retry-After": "0.05"}), Act(500), Act(reset=True))
    server.script = lambda question, n: spell[n] if n < 3 else OK
    with Desk() as desk:
        model = server.model(max_retries=retries)
        assert await in_both(model, "hello", desk.config, way) == "HELLO"
        again = JournalCallback(desk.journal, ("test",))
        assert await in_both(model, "hello", RunnableConfig(callbacks=[again]), way) == "HELLO"

        assert (len(desk.journal), len(server.asked), len(server.answered)) == (1, 4, 1)
        assert desk.callback.unanswered == {}
        assert desk.door.in_flight == 0


async def test_retry_after_is_honoured(server: OpenAIServer) -> None:
    server.script = lambda question, n: OK if n else Act(429, {"Retry-After": "0.4"})
    with Desk() as desk:
        began = time.monotonic()
        await server.model().ainvoke("hello", desk.config)

        assert time.monotonic() - began >= 0.4
        assert desk.callback.lost.seconds >= 0.4


async def test_tries_end_and_the_failure_is_noted(server: OpenAIServer) -> None:
    server.script = lambda question, n: Act(500)
    with Desk(Patience(tries=3, back_off=0.01)) as desk:
        with pytest.raises(openai.InternalServerError):
            await server.model().ainvoke("hello", desk.config)

        assert len(server.asked) == 3
        assert len(desk.callback.unanswered) == 1
        assert desk.door.in_flight == 0


async def test_a_prompt_that_is_too_long_is_not_tried_again(server: OpenAIServer) -> None:
    server.script = lambda question, n: Act(413)
    with Desk() as desk:
        with pytest.raises(openai.APIStatusError):
            await server.model().ainvoke("hello", desk.config)

        assert len(server.asked) == 1
        assert desk.callback.unanswered == {}


@pytest.mark.parametrize("way", WAYS)
async def test_a_call_that_hangs_is_abandoned_and_made_again(server: OpenAIServer, way: str) -> None:
    server.script = lambda question, n: OK if n else Act(seconds=3.0)
    with Desk(call_timeout=0.3) as desk:
        began = time.monotonic()
        assert await in_both(server.model(), "hello", desk.config, way) == "HELLO"

        assert time.monotonic() - began < 2.5
        assert [type(ended.error) for ended in desk.heard.ended] == [CallTimeout, type(None)]
        assert len(desk.journal) == 1
        assert desk.door.in_flight == 0


class Slow(BaseChatModel):
    """Sync only: the first call takes long, and its reply comes when nobody waits any more."""

    late: threading.Event
    seconds: float = 0.6
    asked: list[int] = Field(default_factory=list)

    @property
    def _llm_type(self) -> str:
        return "slow"

    def _generate(self, messages: list[BaseMessage], *args: Any, **kwargs: Any) -> ChatResult:
        self.asked.append(1)
        first = len(self.asked) == 1
        if first:
            time.sleep(self.seconds)
        try:
            message = AIMessage("late" if first else "in time")
            return ChatResult(generations=[ChatGeneration(message=message)])
        finally:
            if first:
                self.late.set()


@pytest.mark.parametrize("way", ["invoke", "ainvoke", "on the loop"])
async def test_a_reply_that_comes_late_is_nobodys(way: str) -> None:
    model = Slow(late=threading.Event())
    patience = Patience(back_off=0.01, tries=2)
    with Desk(patience, call_timeout=0.2) as desk:
        if (
            way == "on the loop"
        ):  # it holds the loop, so it is not made again, but it does not hold it for ever
            with pytest.raises(CallTimeout):
                model.invoke("?", desk.config)
            assert model.invoke("?", desk.config).text == "in time"
        else:
            assert await in_both(model, "?", desk.config, way) == "in time"
        assert model.late.wait(5)
        await asyncio.sleep(0.1)  # what the abandoned thread still does

        assert len(desk.journal) == 1
        again = JournalCallback(desk.journal, ("test",))
        assert (await model.ainvoke("?", RunnableConfig(callbacks=[again]))).text == "in time"
        assert desk.journal.meter.total.calls == 1
        assert len(desk.heard.ended) == 2


async def test_waiting_at_the_door_is_not_time_of_the_call(server: OpenAIServer) -> None:
    server.script = lambda question, n: OK if n else Act(429, {"Retry-After": "0.6"})
    with Desk(call_timeout=0.3) as desk:
        assert (await server.model().ainvoke("hello", desk.config)).text == "HELLO"


async def test_variables_of_the_context_come_back_from_a_sync_call(server: OpenAIServer) -> None:
    from langchain_core.callbacks import get_usage_metadata_callback

    with Desk(call_timeout=5.0) as desk, get_usage_metadata_callback() as usage:
        await asyncio.to_thread(server.model().invoke, "hello", desk.config)

    assert usage.usage_metadata["m"]["input_tokens"] == 3


async def test_few_at_a_time_is_learnt_from_429s(server: OpenAIServer) -> None:
    server.at_once = 4
    server.script = lambda question, n: Act(seconds=0.03)
    with Desk(Patience(back_off=0.02)) as desk:
        model = server.model()
        replies = await asyncio.gather(
            *(
                model.ainvoke(f"q{i}", {"callbacks": [JournalCallback(desk.journal, (f"{i}",))]})
                for i in range(120)
            )
        )

        assert [r.text for r in replies] == [f"Q{i}" for i in range(120)]
        assert (
            server.refused - 116 < 40
        )  # all but four of the first flight, then a probe of more now and then


async def test_a_server_that_goes_away_and_comes_back(server: OpenAIServer) -> None:
    with Desk(Patience(tries=2, back_off=0.01, trip=3, probe=0.05, longest_probe=0.1)) as desk:
        model = server.model()
        assert (await model.ainvoke("before", desk.config)).text == "BEFORE"
        server.stop()
        await asyncio.sleep(0.05)
        calls = [asyncio.create_task(model.ainvoke(f"q{i}", desk.config)) for i in range(12)]
        await asyncio.sleep(0.8)
        assert not any(call.done() for call in calls)
        assert "openai:m has not answered since" in desk.said[0]
        server.start()

        assert [r.text for r in await asyncio.gather(*calls)] == [f"Q{i}" for i in range(12)]
        assert "answers again" in desk.said[-1]
        assert len(server.answered) == len(set(server.answered)) == 13


async def test_a_server_that_stays_away_ends_the_calls(server: OpenAIServer) -> None:
    with Desk(Patience(back_off=0.01, trip=2, probe=0.05, longest_pause=0.3)) as desk:
        server.stop()
        model = server.model()
        calls = [asyncio.create_task(model.ainvoke(f"q{i}", desk.config)) for i in range(4)]
        ended = await asyncio.gather(*calls, return_exceptions=True)

        assert {type(e) for e in ended} == {EndpointDown}
        assert isinstance(desk.door.stopped, EndpointDown)
        assert isinstance(desk.callback.refused, EndpointDown)


async def test_garbage_is_a_reply(server: OpenAIServer) -> None:
    server.script = lambda question, n: Act(text="#!%& }{")
    with Desk() as desk:
        assert (await server.model().ainvoke("hello", desk.config)).text == "#!%& }{"
        assert len(server.asked) == len(desk.journal) == 1
