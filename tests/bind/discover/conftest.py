"""Small graphs with hard-coded prompts, and a model that repeats the end of what it was sent."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Annotated, Any, TypedDict

import pytest
from langchain_core.messages import AnyMessage, BaseMessage
from langgraph.graph import END, START, StateGraph, add_messages
from langgraph.graph.state import CompiledStateGraph

from langgraph_truce.testing import ScriptedModel

EXAMPLES = [
    {"question": "What is the capital of France?", "topic": "geography"},
    {"question": "What is the capital of Spain?", "topic": "cities"},
    {"question": "Who wrote the book about the whale?", "topic": "novels of the sea"},
]


class State(TypedDict, total=False):
    question: str
    topic: str
    answer: str
    notes: list[str]
    messages: Annotated[list[AnyMessage], add_messages]


def echo(messages: list[BaseMessage]) -> str:
    return f"reply to {messages[-1].text[-12:]}"


def chain_of(nodes: Mapping[str, Any], schema: type = State) -> CompiledStateGraph[Any]:
    """A graph that runs `nodes` one after the other."""
    builder: StateGraph[Any] = StateGraph(schema)
    last = START
    for name, node in nodes.items():
        builder.add_node(name, node)
        builder.add_edge(last, name)
        last = name
    builder.add_edge(last, END)
    return builder.compile()


@pytest.fixture
def model() -> ScriptedModel:
    return ScriptedModel(replies=echo)


@pytest.fixture
def examples() -> list[dict[str, Any]]:
    return [dict(e) for e in EXAMPLES]


@pytest.fixture
def chain() -> Callable[..., CompiledStateGraph[Any]]:
    return chain_of


@pytest.fixture
def schema() -> type:
    return State
