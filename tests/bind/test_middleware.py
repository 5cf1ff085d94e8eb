"""`RuleMiddleware`: rules for agents made by `create_agent`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from langchain.agents import create_agent
from langchain_core.messages import SystemMessage
from langchain_core.runnables import RunnableConfig
from langchain_core.tools import tool
from langgraph.graph import END, START, MessagesState, StateGraph

from langgraph_truce import RuleMiddleware
from langgraph_truce.bind import RunContext, published
from langgraph_truce.rules import RuleBook, parse
from langgraph_truce.testing import ScriptedModel


@tool
def lookup(word: str) -> str:
    """Look a word up."""
    return f"meaning of {word}"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "researcher.md").write_text("You research.\n\n- Cite.\n")
    return tmp_path


def systems(model: ScriptedModel) -> list[str]:
    return [str(m.content) for call in model.calls for m in call.messages if isinstance(m, SystemMessage)]


@pytest.mark.parametrize("sync", [False, True])
async def test_every_model_call_of_the_agent_gets_the_current_rules(folder: Path, sync: bool) -> None:
    model = ScriptedModel(replies=lambda messages: "done")
    agent = create_agent(
        model, [lookup], system_prompt="old", middleware=[RuleMiddleware("researcher", beside=folder)]
    )
    inputs: Any = {"messages": [("user", "hi")]}

    if sync:
        agent.invoke(inputs)
    else:
        await agent.ainvoke(inputs)

    assert systems(model) == ["You research.\n\n- Cite."]


async def test_as_a_node_it_takes_the_candidate_of_the_run(folder: Path) -> None:
    model = ScriptedModel(replies=lambda messages: "done")
    agent = create_agent(model, [lookup], middleware=[RuleMiddleware("researcher", beside=folder)])
    builder = StateGraph(MessagesState)
    builder.add_node("researcher", agent)
    builder.add_edge(START, "researcher")
    builder.add_edge("researcher", END)
    graph = builder.compile()

    with published(RuleBook({"researcher": parse("researcher", "Candidate.")})) as version:
        config = RunnableConfig(configurable=RunContext(version, "r", "t").configurable())
        inputs: Any = {"messages": [("user", "hi")]}
        await graph.ainvoke(inputs, config)

    assert systems(model) == ["Candidate."]
