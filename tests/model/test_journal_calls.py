"""The journal sees every way to call a model, and leaves what others set alone."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from langchain_core.caches import InMemoryCache
from langchain_core.globals import get_llm_cache, set_llm_cache
from langchain_core.language_models.chat_models import BaseChatModel
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, SystemMessage
from langchain_core.runnables import Runnable, RunnableConfig, RunnableLambda
from langgraph.store.memory import InMemoryStore
from pydantic import BaseModel

from langgraph_truce.model import Journal, JournalCallback
from langgraph_truce.testing import ScriptedModel


def config(journal: Journal, *scope: str, purpose: str = "task") -> RunnableConfig:
    return {"callbacks": [JournalCallback(journal, scope, purpose)]}


def as_messages(text: str) -> list[BaseMessage]:
    return [SystemMessage(text)]


class Verdict(BaseModel):
    """A verdict."""

    good: bool


@pytest.mark.parametrize("method", ["function_calling", "json_schema"])
async def test_every_way_to_call_is_journalled_once(store: InMemoryStore, method: str) -> None:
    model = ScriptedModel(replies={"": '{"good": true}'})
    ways: dict[str, Callable[[], Runnable[Any, Any]]] = {
        "structured": lambda: model.with_structured_output(Verdict, method=method),
        "tools": lambda: model.bind_tools([Verdict], tool_choice="any"),
        "chain": lambda: RunnableLambda(as_messages) | model,
        "retry": model.with_retry,
    }
    with Journal(store) as journal, journal.installed():
        for name, way in ways.items():
            before = len(model.calls)
            first = way().invoke(name, config(journal, name))
            assert way().invoke(name, config(journal, name)) == first or name != "structured"
            await way().ainvoke(name, config(journal, name))
            assert way().batch([name], config(journal, name))
            assert await way().abatch([name], config(journal, name))
            assert len(model.calls) == before + 1, name
            assert way().batch([name, name + "2"], config(journal, name))
            assert len(model.calls) == before + 2, name


async def test_a_retry_takes_the_key_of_the_call_that_failed(store: InMemoryStore) -> None:
    model = ScriptedModel(replies={"": [ConnectionError("lost"), "good", "more"]})
    with Journal(store) as journal, journal.installed():
        for _ in range(2):
            cfg = config(journal, "s")
            robust = model.with_retry(wait_exponential_jitter=False)
            assert (await robust.ainvoke("q", cfg)).text == "good"
            assert (await robust.ainvoke("q", cfg)).text == "more"
        assert journal.meter.snapshot()["task"] == journal.meter.snapshot()["total"]
        assert journal.meter.tally("task").calls == 2
        assert journal.meter.tally("task").failed == 1
        assert journal.meter.tally("task").hits == 2
    assert len(model.calls) == 3


async def test_a_cancelled_call_gives_its_key_back(store: InMemoryStore) -> None:
    slow = ScriptedModel(replies={"": "late"}, latency=5)
    with Journal(store) as journal, journal.installed():
        cfg = config(journal, "s")
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(slow.ainvoke("q", cfg), 0.02)
        slow.latency = 0
        await slow.ainvoke("q", cfg)
        await slow.ainvoke("q", config(journal, "s"))
        assert len(journal) == 1
        assert journal.meter.tally("task").hits == 1


@pytest.mark.parametrize("sync", [True, False])
async def test_streams_go_through_the_journal(store: InMemoryStore, sync: bool) -> None:
    model = ScriptedModel(replies={"": "one two three"})
    before = BaseChatModel.stream, BaseChatModel.astream

    async def stream(cfg: RunnableConfig | None) -> list[Any]:
        return list(model.stream("q", cfg)) if sync else [c async for c in model.astream("q", cfg)]

    with Journal(store) as journal, journal.installed():
        (chunk,) = await stream(config(journal, "s"))
        assert (chunk.text, chunk.chunk_position) == ("one two three", "last")
        assert chunk.usage_metadata["output_tokens"] == 4
        (again,) = await stream(config(journal, "s"))
        assert again.text == chunk.text
        assert len(model.calls) == 1
        assert len(await stream(None)) == 3
    assert (BaseChatModel.stream, BaseChatModel.astream) == before
    assert len(await stream(None)) == 3


async def test_agents_and_streamed_runs_are_journalled(store: InMemoryStore) -> None:
    from langchain.agents import create_agent
    from langchain_core.tools import tool

    @tool
    def look(place: str) -> str:
        """Look there."""
        return f"nothing at {place}"

    def reply(messages: list[BaseMessage], tools: Any) -> AIMessage:
        if messages[-1].type == "tool":
            return AIMessage("done, I looked")
        call = {"name": "look", "args": {"place": "x"}, "id": "c1", "type": "tool_call"}
        return AIMessage("", tool_calls=[call])

    model = ScriptedModel(replies=reply)
    agent: Any = create_agent(model, [look])
    question = {"messages": [HumanMessage("where?")]}
    with Journal(store) as journal, journal.installed():
        first = await agent.ainvoke(question, config(journal, "s"))
        again = await agent.ainvoke(question, config(journal, "s"))
        parts = [p async for p in agent.astream(question, config(journal, "s"), stream_mode="messages")]
        events = [e async for e in agent.astream_events(question, config(journal, "s"), version="v2")]
    assert [m.text for m in first["messages"]] == [m.text for m in again["messages"]]
    assert parts
    assert events
    assert len(model.calls) == 2


async def test_a_model_that_wants_no_cache_is_left_alone_and_counted(
    store: InMemoryStore, caplog: pytest.LogCaptureFixture
) -> None:
    model = ScriptedModel(replies={"": "x"}, cache=False)
    with Journal(store) as journal, journal.installed():
        for _ in range(2):
            await model.ainvoke("q", config(journal, "s"))
        assert len([c async for c in model.astream("q", config(journal, "s"))]) == 1
        tally = journal.meter.tally("task")
    assert (tally.calls, tally.unjournalled, len(journal)) == (3, 3, 0)
    assert len([r for r in caplog.records if "not journalled" in r.message]) == 1


async def test_whole_messages_come_back(store: InMemoryStore) -> None:
    call = {"name": "look", "args": {"at": [1, None]}, "id": "c1", "type": "tool_call"}
    said = AIMessage(
        [{"type": "text", "text": "é"}],
        tool_calls=[call],
        additional_kwargs={"parsed": Verdict(good=True), "refusal": None},
        response_metadata={"model_name": "m", "finish_reason": "stop", "odd": b"x"},
    )
    model = ScriptedModel(replies={"": said})
    with Journal(store) as journal, journal.installed():
        first = await model.ainvoke("q", config(journal, "s"))
        again = await model.ainvoke("q", config(journal, "s"))
    assert type(again) is AIMessage
    assert (again.content, again.tool_calls, again.id) == (first.content, first.tool_calls, first.id)
    assert again.additional_kwargs == {"parsed": {"good": True}, "refusal": None}
    assert again.usage_metadata is not None
    assert first.usage_metadata is not None
    assert again.usage_metadata["input_tokens"] == first.usage_metadata["input_tokens"]


def test_somebody_else_may_wrap_streaming_meanwhile(store: InMemoryStore) -> None:
    original = BaseChatModel.stream
    model = ScriptedModel(replies={"": "one two"})
    try:
        with Journal(store) as journal:
            with journal.installed():
                ours = BaseChatModel.stream
                setattr(BaseChatModel, "stream", lambda *a: ours(*a))  # noqa: B010, PLW0108
            assert len(list(model.stream("q", config(journal, "s")))) == 2
    finally:
        setattr(BaseChatModel, "stream", original)  # noqa: B010


async def test_another_cache_set_meanwhile_stays(store: InMemoryStore) -> None:
    theirs = InMemoryCache()
    try:
        with Journal(store) as journal, journal.installed():
            set_llm_cache(theirs)
        assert get_llm_cache() is theirs
    finally:
        set_llm_cache(None)
