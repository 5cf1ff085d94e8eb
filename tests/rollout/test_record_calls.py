"""Recording: tools, agents, retries and failures stand in the steps that they belong to."""

from __future__ import annotations

import asyncio
from contextvars import Context
from typing import Any

from langchain_core.messages import AIMessage, HumanMessage
from langchain_core.runnables import RunnableConfig
from langchain_core.tools import tool
from langgraph.graph import START, StateGraph

from langgraph_truce.rollout.record import record
from langgraph_truce.testing import ScriptedModel


@tool
def add(a: int, b: int) -> int:
    """Add two numbers."""
    if a < 0:
        raise ValueError("negative")
    return a + b


def arithmetic(messages: list[Any]) -> AIMessage:
    if messages[-1].type == "tool":
        return AIMessage(f"it is {messages[-1].content}")
    calls = [
        {"name": "add", "args": {"a": 1, "b": 2}, "id": "c1", "type": "tool_call"},
        {"name": "add", "args": {"a": 3, "b": 4}, "id": "c2", "type": "tool_call"},
    ]
    return AIMessage("", tool_calls=calls)


async def test_create_agent_with_tools(kit: Any) -> None:
    from langchain.agents import create_agent

    agent = create_agent(ScriptedModel(replies=arithmetic), [add], name="calc", system_prompt="add up")
    builder = StateGraph(kit.Debate)
    builder.add_node("calc", agent)
    builder.add_edge(START, "calc")
    done = await record(
        builder.compile(), {"question": "", "messages": [HumanMessage("1+2, 3+4")]}, rollout="r"
    )
    assert kit.ids(done.trajectory) == [
        "calc#1.0",
        "calc/model#1.0",
        "calc/tools#1.0",
        "calc/tools#1.1",
        "calc/model#2.0",
    ]
    value = done.trajectory.value
    assert value(kit.of(done, "calc/model#1.0").calls[0].prompt)[0] == {"role": "system", "content": "add up"}
    ((first,), (second,)) = (kit.of(done, f"calc/tools#1.{n}").tools for n in range(2))
    assert (first["name"], value(first["input"])) == ("add", {"a": 1, "b": 2})
    assert value(second["output"])["content"] == "7"
    assert value(second["output"])["tool_call_id"] == "c2"
    assert kit.wrote(done, "calc/tools#1.0")["messages"][0]["content"] == "3"


async def test_a_failing_tool(kit: Any) -> None:
    def node(state: Any) -> dict[str, Any]:
        return {"round": add.invoke({"a": -1, "b": 1})}

    builder = StateGraph(kit.Debate)
    builder.add_node("n", node)
    builder.add_edge(START, "n")
    done = await record(builder.compile(), kit.question, rollout="r")
    assert isinstance(done.error, ValueError)
    (used,) = kit.of(done, "n#1.0").tools
    assert used["error"] == kit.of(done, "n#1.0").error == "ValueError: negative"


async def test_a_failing_node_keeps_what_ran_before_and_beside_it(kit: Any) -> None:
    async def slow(state: Any) -> dict[str, Any]:
        await kit.model.ainvoke("before the others fail")
        await asyncio.sleep(30)
        return {}

    async def bad(state: Any) -> dict[str, Any]:
        await asyncio.sleep(0.05)
        raise RuntimeError("no luck")

    builder = StateGraph(kit.Debate)
    builder.add_node("first", kit.speaker("first"))
    builder.add_node("slow", slow)
    builder.add_node("bad", bad)
    builder.add_edge(START, "first")
    builder.add_edge("first", "slow")
    builder.add_edge("first", "bad")
    done = await record(builder.compile(), kit.question, rollout="r")
    assert isinstance(done.error, RuntimeError)
    assert done.state is None
    assert kit.ids(done.trajectory) == ["first#1.0", "bad#1.0", "slow#1.0"]
    assert kit.of(done, "bad#1.0").error == "RuntimeError: no luck"
    assert kit.of(done, "slow#1.0").error.startswith("CancelledError")
    assert len(kit.of(done, "slow#1.0").calls) == 1


async def test_a_failed_model_call_and_a_retry_are_both_recorded(kit: Any) -> None:
    from langgraph.types import RetryPolicy

    model = ScriptedModel(replies={"": [ConnectionError("429"), "good"]})

    async def node(state: Any) -> dict[str, Any]:
        return {"messages": [await model.ainvoke("hello")]}

    builder = StateGraph(kit.Debate)
    builder.add_node("n", node, retry_policy=RetryPolicy(initial_interval=0.001, max_attempts=2))
    builder.add_edge(START, "n")
    done = await record(builder.compile(), kit.question, rollout="r")
    failed, good = kit.of(done, "n#1.0").calls
    assert (failed.error, failed.output) == ("ConnectionError: 429", None)
    assert good.error == kit.of(done, "n#1.0").error == ""


async def test_calls_that_langgraph_does_not_follow_are_counted(kit: Any) -> None:
    async def raw(state: Any, config: RunnableConfig) -> dict[str, Any]:
        callbacks: Any = config["callbacks"]
        alone: Any = {"callbacks": callbacks.handlers}
        await asyncio.to_thread(lambda: Context().run(lambda: kit.model.invoke("hi", alone)))
        return {}

    builder = StateGraph(kit.Debate)
    builder.add_node("n", raw)
    builder.add_edge(START, "n")
    done = await record(builder.compile(), kit.question, rollout="r")
    assert done.error is None
    assert done.unjoined == 1
    assert kit.of(done, "n#1.0").calls == ()
