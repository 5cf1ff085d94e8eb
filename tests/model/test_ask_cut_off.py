"""Replies that a client hands over only as an exception: they are paid, so they are counted and never asked for again."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from langgraph.store.memory import InMemoryStore
from pydantic import BaseModel

from langgraph_truce.errors import ModelReplyError
from langgraph_truce.model import Journal, JournalCallback, ask
from tests.model.openai_server import Act, OpenAIServer


class Route(BaseModel):
    department: str


@pytest.fixture
def server() -> Iterator[OpenAIServer]:
    made = OpenAIServer(lambda question, n: Act(text='{"depart', finish="length")).start()
    yield made
    made.stop()


async def test_a_critics_reply_that_is_cut_off_is_metered_and_journalled(server: OpenAIServer) -> None:
    with Journal(InMemoryStore()) as journal, journal.installed():
        for _ in range(2):
            with pytest.raises(ModelReplyError, match="cut off"):
                await ask(
                    server.model(),
                    "Route this.",
                    Route,
                    config={"callbacks": [JournalCallback(journal, ("ask",), "credit")]},
                )
        tally = journal.meter.tally("credit")

    assert len(server.asked) == 2, "the question, and its repair, once"
    assert (tally.calls, tally.hits, tally.output_tokens) == (2, 2, 4)


async def test_the_form_goes_along_beside_what_the_model_sends_anyway(
    server: OpenAIServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    bodies: list[dict[str, Any]] = []
    reply = server._reply

    def keep(handler: Any, act: Act, question: str, body: Any) -> None:
        bodies.append(body)
        reply(handler, act, question, body)

    monkeypatch.setattr(server, "_reply", keep)
    server.script = lambda question, n: Act(text='{"department": "billing"}')
    made = await ask(server.model(extra_body={"top_k": 3}), "Route this.", Route)

    assert made.department == "billing"
    assert bodies[0]["top_k"] == 3
    form = bodies[0]["response_format"]
    assert form["type"] == "json_schema"
    assert form["json_schema"]["name"] == "Route"
    assert "department" in form["json_schema"]["schema"]["properties"]
