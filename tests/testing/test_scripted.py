from __future__ import annotations

import asyncio
from typing import Any

import pytest
from langchain_core.language_models.chat_models import BaseChatModel
from langchain_core.messages import AIMessage, AIMessageChunk, HumanMessage, SystemMessage
from langchain_core.tools import tool
from langchain_tests.unit_tests import ChatModelUnitTests
from pydantic import BaseModel

from langgraph_truce.testing import ScriptedModel


class TestStandard(ChatModelUnitTests):
    @property
    def chat_model_class(self) -> type[BaseChatModel]:
        return ScriptedModel

    @property
    def chat_model_params(self) -> dict[str, Any]:
        return {"replies": {"": "yes"}}


class Verdict(BaseModel):
    """A verdict."""

    good: bool
    why: str


JSON = '{"good": true, "why": "it holds"}'


async def test_each_key_counts_for_itself_in_a_fan_out() -> None:
    model = ScriptedModel(replies={"solver": ["s1", "s2"], "critic": ["c1", "c2"]}, latency=0.01)

    async def both(role: str) -> list[str]:
        return [(await model.ainvoke([SystemMessage(f"You are the {role}.")])).text for _ in range(2)]

    assert list(await asyncio.gather(both("critic"), both("solver"))) == [["c1", "c2"], ["s1", "s2"]]
    assert len(model.calls) == 4
    with pytest.raises(LookupError, match=r"call 3 of 'solver', but its script has 2"):
        await model.ainvoke([SystemMessage("solver")])
    with pytest.raises(LookupError, match="no scripted reply for the system prompt 'judge'"):
        await model.ainvoke([SystemMessage("judge")])


def test_the_longest_key_wins_and_errors_are_raised() -> None:
    model = ScriptedModel(replies={"": "any", "team lead": "lead", "team": ConnectionError("lost")})
    assert model.invoke("hello").text == "any"
    assert model.invoke([SystemMessage("the team lead")]).text == "lead"
    with pytest.raises(ConnectionError, match="lost"):
        model.invoke([SystemMessage("the team")])


def test_a_function_sees_messages_and_tools() -> None:
    @tool
    def look(place: str) -> str:
        """Look there."""
        return place

    def reply(messages: list[Any], tools: Any) -> AIMessage:
        assert [t["function"]["name"] for t in tools] == ["look"]
        return AIMessage(
            "",
            tool_calls=[
                {"name": "look", "args": {"place": messages[-1].text}, "id": "1", "type": "tool_call"}
            ],
        )

    message = ScriptedModel(replies=reply).bind_tools([look]).invoke("here")
    assert message.tool_calls[0]["args"] == {"place": "here"}
    assert message.response_metadata["finish_reason"] == "tool_calls"


@pytest.mark.parametrize("method", ["function_calling", "json_schema", "json_mode"])
async def test_structured_output(method: str) -> None:
    model = ScriptedModel(replies=lambda _: JSON)
    asked = model.with_structured_output(Verdict, method=method)
    assert await asked.ainvoke("well?") == asked.invoke("well?") == Verdict(good=True, why="it holds")
    bad = ScriptedModel(replies=lambda _: "I cannot say").with_structured_output(
        Verdict, method=method, include_raw=True
    )
    got = bad.invoke("well?")
    assert got["parsed"] is None
    assert got["raw"].text == "I cannot say"
    assert model.calls[0].response_format is None or method != "function_calling"


def test_without_structured_output_it_says_so() -> None:
    model = ScriptedModel(replies={"": JSON}, structured="none")
    with pytest.raises(NotImplementedError, match="structured='none'"):
        model.with_structured_output(Verdict)
    with pytest.raises(NotImplementedError, match="no tools"):
        model.bind_tools([Verdict])


async def test_streams_end_with_a_marked_chunk_that_carries_the_usage() -> None:
    model = ScriptedModel(replies={"": "one two three"})
    sync = list(model.stream("go"))
    chunks = [c async for c in model.astream("go")]
    for got in (sync, chunks):
        assert "".join(c.text for c in got) == "one two three"
        assert len(got) == 3
        assert [c.chunk_position for c in got] == [None, None, "last"]
        assert got[-1].usage_metadata == model.invoke("go").usage_metadata
    calls = ScriptedModel(replies={"": JSON}).bind_tools([Verdict], tool_choice="any")
    (chunk,) = calls.stream("go")
    assert isinstance(chunk, AIMessageChunk)
    assert chunk.tool_call_chunks[0]["name"] == "Verdict"


def test_its_name_holds_no_address() -> None:
    one = ScriptedModel(replies=lambda _: "a")._get_llm_string()
    assert one == ScriptedModel(replies=lambda _: "b")._get_llm_string()
    assert "0x" not in one


def test_latency_is_slept_in_the_loop() -> None:
    model = ScriptedModel(replies={"": "x"}, latency=0.05)

    async def many() -> float:
        loop = asyncio.get_running_loop()
        start = loop.time()
        await asyncio.gather(*(model.ainvoke([HumanMessage("x")]) for _ in range(20)))
        return loop.time() - start

    assert 0.05 <= asyncio.run(many()) < 0.9
