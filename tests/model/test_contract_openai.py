"""What the library relies on from an OpenAI-compatible server, at the embedded model's real address."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

import pytest
from langchain_core.messages import AIMessageChunk, HumanMessage, SystemMessage
from langchain_openai import ChatOpenAI
from langgraph.store.memory import InMemoryStore
from openai import APITimeoutError, BadRequestError
from pydantic import BaseModel

from langgraph_truce.model import Journal, JournalCallback, ask, resolve_model
from langgraph_truce.model.local import ServerSettings, local_model, serve, stop_servers

pytestmark = pytest.mark.embedded

ROUTE = [
    SystemMessage("You route requests to a department."),
    HumanMessage("There is an error in my invoice. Who handles it?"),
]


class Route(BaseModel):
    """Where a request goes."""

    department: Literal["billing", "technical", "sales"]
    urgent: bool


@pytest.fixture(scope="module")
def model() -> Iterator[ChatOpenAI]:
    pytest.importorskip("xllamacpp", reason="the embedded model is not installed")
    yield local_model(max_tokens=48, slots=2)
    stop_servers()


def test_plain_reply_with_usage_and_finish_reason(model: ChatOpenAI) -> None:
    reply = model.invoke([HumanMessage("Say hello.")])
    assert reply.text
    usage = reply.usage_metadata
    assert usage
    assert usage["input_tokens"] > 5
    assert 0 < usage["output_tokens"] <= 48
    assert reply.response_metadata["finish_reason"] in {"stop", "length"}
    assert reply.response_metadata["model_name"] == "SmolLM2-135M-Instruct"


async def test_constrained_json_both_ways(model: ChatOpenAI) -> None:
    got = await model.with_structured_output(Route, method="json_schema").ainvoke(ROUTE)
    assert isinstance(got, Route)
    form = {"type": "json_schema", "json_schema": {"name": "Route", "schema": Route.model_json_schema()}}
    reply = await model.bind(response_format=form).ainvoke(ROUTE)
    assert Route.model_validate_json(reply.text)


async def test_ask_is_constrained_and_journalled(model: ChatOpenAI) -> None:
    with Journal(InMemoryStore()) as journal, journal.installed():
        answers = [
            await ask(
                model,
                "Route this request: the invoice is wrong.",
                Route,
                config={"callbacks": [JournalCallback(journal, ("ask",), "credit")]},
            )
            for _ in range(2)
        ]
        assert answers[0] == answers[1]
        tally = journal.meter.tally("credit")
        assert (tally.calls, tally.hits) == (1, 1)
        assert tally.output_tokens > 0


async def test_a_prefix_seen_before_is_cached(model: ChatOpenAI) -> None:
    prompt = [
        SystemMessage("You answer questions about the weather, briefly. " * 6),
        HumanMessage("Is it raining?"),
    ]
    short = model.bind(max_completion_tokens=4)
    await short.ainvoke(prompt)
    usage = (await short.ainvoke(prompt)).usage_metadata
    assert usage
    assert usage["input_token_details"]["cache_read"] > 40


async def test_stream(model: ChatOpenAI) -> None:
    chunks = [c async for c in model.astream("Count to five.", max_completion_tokens=12)]
    assert len([c for c in chunks if c.text]) > 2
    whole = sum(chunks[1:], chunks[0])
    assert isinstance(whole, AIMessageChunk)
    assert whole.chunk_position == "last"
    assert whole.usage_metadata
    assert whole.usage_metadata["output_tokens"] > 0


async def test_time_out_and_bad_request_have_their_types(model: ChatOpenAI) -> None:
    with pytest.raises(BadRequestError, match="temperature"):
        await model.bind(temperature="hot").ainvoke("x")
    with pytest.raises(BadRequestError, match="context size"):
        await model.ainvoke("word " * 6000)
    hasty = local_model(max_tokens=200, slots=2, timeout=0.05)
    hasty.max_retries = 0
    with pytest.raises(APITimeoutError):
        await hasty.bind(timeout=0.02).ainvoke("Write a long story about a lighthouse.")


def test_tools_are_refused_aloud(model: ChatOpenAI) -> None:
    with pytest.raises(NotImplementedError, match="calls no tools"):
        model.bind_tools([Route])


def test_one_server_a_process_and_setting(model: ChatOpenAI) -> None:
    assert serve(ServerSettings(2, 1)) == model.openai_api_base
    assert resolve_model("embedded", slots=2).__class__ is model.__class__
    name = model._get_llm_string()
    assert "SmolLM2" in name
    assert (
        "127.0.0.1" not in name
    )  # the port is of this process and would hide the journal's replies from the next
