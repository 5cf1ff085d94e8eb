"""Prebuilt agents: `create_agent` with tools and middleware, langgraph-supervisor, langgraph-swarm."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

from langchain.agents import create_agent
from langchain.agents.middleware import (
    AgentMiddleware,
    HumanInTheLoopMiddleware,
    ModelRequest,
    ModelResponse,
    dynamic_prompt,
)
from langchain_core.messages import HumanMessage
from langchain_core.tools import tool
from langgraph.graph import START, MessagesState, StateGraph
from langgraph.types import interrupt
from langgraph_supervisor import create_supervisor
from langgraph_swarm import create_handoff_tool, create_swarm

from tests.rollout.kinds.kind import Kind


@tool
def add(a: int, b: int) -> int:
    """Add two numbers."""
    return a + b


@tool
def look(place: str) -> str:
    """Look somewhere."""
    return f"nothing at {place}"


def build_agent(model: Any) -> Any:
    """An agent with two tools."""
    return create_agent(model, [add, look], system_prompt="You add up.", name="adder")


class Counting(AgentMiddleware[Any, Any]):
    """Nodes before and after the model, and a wrapped call."""

    async def abefore_model(self, state: Any, runtime: Any) -> dict[str, Any] | None:
        """A node that writes nothing."""
        del state, runtime
        return None

    async def aafter_model(self, state: Any, runtime: Any) -> dict[str, Any] | None:
        """A node that writes nothing either."""
        del state, runtime
        return None

    async def awrap_model_call(
        self, request: ModelRequest[Any], handler: Callable[[ModelRequest[Any]], Any]
    ) -> ModelResponse[Any]:
        """The same call."""
        response: ModelResponse[Any] = await handler(request)
        return response


def build_middleware(model: Any) -> Any:
    """An agent inside a graph, with middleware that has nodes of its own."""

    @dynamic_prompt
    def counted(request: ModelRequest[Any]) -> str:
        return f"You see {len(request.messages)} messages."

    agent = create_agent(model, [add], middleware=[Counting(), counted], name="agent")
    return StateGraph(MessagesState).add_node("desk", agent).add_edge(START, "desk").compile()


def edit(value: Any) -> Any:
    """Lets every tool call happen, with other arguments."""
    edited = {"name": "add", "args": {"a": 3, "b": 4}}
    return {"decisions": [{"type": "edit", "edited_action": edited} for _ in value["action_requests"]]}


def build_reviewed(model: Any) -> Any:
    """An agent whose tool calls a person edits."""
    middleware: Any = HumanInTheLoopMiddleware(interrupt_on={"add": True, "look": False})
    agent = create_agent(model, [add, look], middleware=[middleware], system_prompt="You ask first.")
    return StateGraph(MessagesState).add_node("desk", agent).add_edge(START, "desk").compile()


def build_asking_tool(model: Any) -> Any:
    """A tool that asks a person."""

    @tool
    def ask_person(question: str) -> str:
        """Ask a person."""
        return f"they said {interrupt(question)}"

    return create_agent(model, [ask_person, look], system_prompt="You ask people.")


def build_supervisor(model: Any) -> Any:
    """A supervisor over two agents."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it still calls create_react_agent
        agents: list[Any] = [
            create_agent(model, [add], system_prompt="You do math.", name="math"),
            create_agent(model, [look], system_prompt="You look.", name="scout"),
        ]
        return create_supervisor(agents, model=model, prompt="You lead.").compile()


def build_swarm(model: Any) -> Any:
    """Two agents that hand over to each other."""
    to_bob, to_alice = create_handoff_tool(agent_name="bob"), create_handoff_tool(agent_name="alice")
    alice = create_agent(model, [add, to_bob], system_prompt="You are Alice.", name="alice")
    bob = create_agent(model, [to_alice], system_prompt="You are Bob.", name="bob")
    return create_swarm([alice, bob], default_active_agent="alice").compile()


def _hi() -> Any:
    return {"messages": [HumanMessage("hi")]}


AGENTS = (
    Kind(
        build_agent,
        _hi,
        "model#1.0@1 tools#1.0@1 model#2.0@2 tools#2.0@2 model#3.0@3",
        3,
    ),
    Kind(
        build_middleware,
        _hi,
        "desk#1.0@1 desk/Counting.before_model#1.0@1 desk/model#1.0@1 desk/Counting.after_model#1.0@1 "
        "desk/tools#1.0@1 "
        "desk/Counting.before_model#2.0@1 desk/model#2.0@1 desk/Counting.after_model#2.0@1",
        2,
    ),
    Kind(
        build_reviewed,
        _hi,
        "desk#1.0@1 desk/model#1.0@1 desk/HumanInTheLoopMiddleware.after_model#1.0@1 desk/tools#1.0@1 "
        "desk/model#2.0@1 desk/HumanInTheLoopMiddleware.after_model#2.0@1 desk/tools#2.0@1 "
        "desk/model#3.0@1 desk/HumanInTheLoopMiddleware.after_model#3.0@1",
        3,
        answers=edit,
    ),
    Kind(
        build_asking_tool,
        _hi,
        "model#1.0@1 tools#1.0@1 model#2.0@2 tools#2.0@2 model#3.0@3",
        3,
        answers=lambda question: f"yes to {question}",
    ),
    Kind(
        build_supervisor,
        _hi,
        "supervisor#1.0@1 supervisor/agent#1.0@1 supervisor/tools#1.0@1 "
        "math#1.0@1 math/model#1.0@1 math/tools#1.0@1 math/model#2.0@1 "
        "supervisor#2.0@2 supervisor/agent#2.0@2 supervisor/tools#2.0@2 "
        "scout#1.0@2 scout/model#1.0@2 scout/tools#1.0@2 scout/model#2.0@2 "
        "supervisor#3.0@3 supervisor/agent#3.0@3",
        7,
        silent=True,
    ),
    Kind(
        build_swarm,
        _hi,
        "alice#1.0@1 alice/model#1.0@1 alice/tools#1.0@1 alice/model#2.0@1 alice/tools#2.0@1 "
        "bob#1.0@1 bob/model#1.0@1 bob/tools#1.0@1 alice#2.0@2 alice/model#3.0@2",
        4,
        silent=True,
    ),
)
