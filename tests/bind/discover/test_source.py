"""Prompts and clients that the code of a node holds."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from langchain.agents import create_agent
from langchain_core.messages import SystemMessage
from langchain_core.prompts import ChatPromptTemplate
from langchain_core.runnables import RunnableLambda
from langgraph.graph import END, START, StateGraph

from langgraph_truce.bind.discover.source import CodeText, nodes_of, sources
from langgraph_truce.testing import ScriptedModel

Chain = Callable[..., Any]
GLOBAL = "You are the prompt in a constant of the module."
MESSAGE = SystemMessage("You are the prompt in a message of the module.")
TEMPLATE = ChatPromptTemplate.from_messages([("system", "You are the prompt in a template about {topic}.")])


def _deeper(state: dict[str, Any]) -> str:
    return f"You are the prompt in another function for {state['who']}, {len(state)} long."


def node(state: dict[str, Any]) -> dict[str, Any]:
    """A docstring of a node is not a prompt that it sends."""
    return {
        "answer": [
            GLOBAL,
            MESSAGE,
            TEMPLATE,
            _deeper(state),
            "short",
            "You write {{json}} about {thing} now.",
        ]
    }


def texts(graph: Any, role: str) -> set[CodeText]:
    return set(sources(graph)[role].texts)


WANTED = {
    CodeText(GLOBAL),
    CodeText("You are the prompt in a message of the module."),
    CodeText("You are the prompt in a template about {topic}.", ("topic",)),
    CodeText("You are the prompt in another function for {who}, {field_2} long.", ("who", "field_2")),
    CodeText("You write {json} about {thing} now.", ("thing",)),
}


def test_constants_messages_templates_and_f_strings_are_found(chain: Chain) -> None:
    graph = chain({"a": node, "b": functools.partial(node), "c": RunnableLambda(node) | (lambda x: x)})

    assert texts(graph, "a") == texts(graph, "b") == texts(graph, "c") == WANTED


def test_agents_and_subgraphs_are_looked_into(chain: Chain) -> None:
    agent = create_agent(
        ScriptedModel(replies=lambda _: "x"), [], system_prompt="You are an agent with a prompt of its own."
    )
    graph = chain({"team": chain({"inner": node, "agent": agent})})

    assert {"team", "team/inner", "team/agent/model"} <= set(nodes_of(graph))
    assert texts(graph, "team/inner") == WANTED
    assert CodeText("You are an agent with a prompt of its own.") in texts(graph, "team/agent/model")


def test_functions_on_conditional_edges_belong_to_their_node(schema: type) -> None:
    def route(state: dict[str, Any]) -> str:
        return "a" if f"You decide where {state['question']} goes, with care." else END

    builder: StateGraph[Any] = StateGraph(schema)
    nothing: Any = lambda state: {"answer": "x"}  # noqa: E731
    builder.add_node("a", nothing)
    builder.add_conditional_edges(START, route, ["a", END])
    builder.add_conditional_edges("a", route, ["a", END])

    graph = builder.compile()

    wanted = {CodeText("You decide where {question} goes, with care.", ("question",))}
    assert texts(graph, "a") == texts(graph, "__start__") == wanted
    assert nodes_of(graph) == ("a",)


def test_clients_imported_inside_a_function_are_seen(chain: Chain) -> None:
    def calls(state: dict[str, Any]) -> dict[str, Any]:
        from litellm import completion

        return {"answer": completion(model="x")}

    def plain(state: dict[str, Any]) -> dict[str, Any]:
        return {"answer": ScriptedModel}

    found = sources(chain({"calls": calls, "plain": plain}))

    assert found["calls"].clients == ("litellm",)
    assert found["plain"].clients == ()
