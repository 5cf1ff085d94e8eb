"""Tools in replays: called again, given back from the recorded run, or refused before they run."""

from __future__ import annotations

from typing import Any

import pytest
from langchain.agents import create_agent
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, SystemMessage
from langchain_core.tools import BaseTool, tool
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import END, START, MessagesState, StateGraph
from langgraph.prebuilt import ToolNode

from langgraph_truce.errors import ReplayRefused
from langgraph_truce.rollout.record import Recorded, record
from langgraph_truce.rollout.replay import ReplayOptions, areplay
from langgraph_truce.rollout.tools import KEY, Guard, guarding
from langgraph_truce.seams import Change
from langgraph_truce.testing import ScriptedModel

RAN: list[str] = []


@pytest.fixture(autouse=True)
def _fresh() -> None:
    RAN.clear()


@tool
def look(word: str) -> str:
    """Look a word up."""
    RAN.append(word)
    if word == "bad":
        raise ValueError("no such word")
    return f"{word} number {len(RAN)}"


def agent_of(words: Any, **how: Any) -> Any:
    """An agent that looks up `words(messages)`, one after the other, then says what it read."""

    def reply(messages: list[BaseMessage]) -> AIMessage:
        done = sum(m.type == "tool" for m in messages)
        listed = words(messages)
        if done == len(listed):
            return AIMessage(" ".join(m.text for m in messages if m.type == "tool"))
        return AIMessage("", tool_calls=[{"name": "look", "args": {"word": listed[done]}, "id": f"c{done}"}])

    return create_agent(ScriptedModel(replies=reply), [look], **how)


async def recorded(graph: Any) -> tuple[Recorded, InMemorySaver]:
    saver = InMemorySaver()
    done = await record(graph, {"messages": [HumanMessage("hi", id="h")]}, rollout="t", saver=saver)
    assert done.error is None
    return done, saver


async def again(graph: Any, done: Recorded, saver: Any, tools: Any, change: Change, **more: Any) -> Any:
    target = InMemorySaver()
    options = ReplayOptions(trajectory=more.pop("trajectory", done.trajectory), tools=tools, target=target)
    try:
        return await areplay(graph, saver, "t", change, rollout="f", options=options)
    finally:
        assert list(target.list(None)) == []
        assert BaseTool.run.__qualname__ == "BaseTool.run"
        assert BaseTool.arun.__qualname__ == "BaseTool.arun"


FIRST = Change(("model#1.0",))


async def test_an_undeclared_tool_is_refused_before_anything_is_spent() -> None:
    graph = agent_of(lambda _: ["owl"])
    done, saver = await recorded(graph)
    with pytest.raises(ReplayRefused, match=r"step 'tools#1\.0' calls the tool 'look'.*System\(tools="):
        await again(graph, done, saver, {}, FIRST)
    with pytest.raises(ReplayRefused, match="forbidden"):
        await again(graph, done, saver, {"look": "forbidden"}, FIRST)
    assert RAN == ["owl"]
    after = await again(graph, done, saver, {}, Change(("tools#1.0",), neutral="nothing"))
    assert after.state["messages"][-1].text == "nothing"


async def test_a_safe_tool_is_called_again_and_a_recorded_one_is_not() -> None:
    graph = agent_of(lambda _: ["owl", "owl", "fox"])
    done, saver = await recorded(graph)
    said = done.state["messages"][-1].text
    assert said == "owl number 1 owl number 2 fox number 3"
    same = await again(graph, done, saver, {"look": "recorded"}, FIRST)
    assert same.state["messages"][-1].text == said
    assert len(RAN) == 3
    later = await again(
        graph, done, saver, {"look": "recorded"}, Change(("tools#1.0",), writes={"messages": []})
    )
    assert later.state["messages"][-1].text == "owl number 2 owl number 1 fox number 3"
    fresh = await again(graph, done, saver, {"look": "safe"}, FIRST)
    assert fresh.state["messages"][-1].text == "owl number 4 owl number 5 fox number 6"
    given = same.trajectory.step("tools#1.0")
    assert [t["name"] for t in given.tools] == ["look"]


async def test_a_recorded_tool_with_other_arguments_has_nothing_to_give() -> None:
    def words(messages: list[BaseMessage]) -> list[str]:
        return ["owl", "elk"] if any("nothing" in m.text for m in messages) else ["owl", "fox"]

    graph = agent_of(words)
    done, saver = await recorded(graph)
    with pytest.raises(ReplayRefused, match=r'"elk".*nothing to give back'):
        await again(graph, done, saver, {"look": "recorded"}, Change(("tools#1.0",), neutral="nothing"))
    assert RAN == ["owl", "fox"]


async def test_an_error_of_a_recorded_tool_comes_back() -> None:
    def failing(messages: list[BaseMessage]) -> AIMessage:
        if messages[-1].type == "tool":
            return AIMessage(messages[-1].text)
        return AIMessage("", tool_calls=[{"name": "look", "args": {"word": "bad"}, "id": "c"}])

    graph = _looking(failing, handle=True)
    done, saver = await recorded(graph)
    same = await again(graph, done, saver, {"look": "recorded"}, Change(("agent#1.0",)))
    assert "no such word" in same.state["messages"][-1].text
    assert same.state["messages"][-2].status == "error"
    assert same.state["messages"][-1].text == done.state["messages"][-1].text
    assert RAN == ["bad"]


def _looking(reply: Any, *, handle: bool) -> Any:
    model = ScriptedModel(replies=reply)
    builder = StateGraph(MessagesState)
    builder.add_node("agent", lambda s: {"messages": [model.invoke(s["messages"])]})
    builder.add_node("tools", ToolNode([look], handle_tool_errors=handle))
    builder.add_edge(START, "agent")
    builder.add_conditional_edges(
        "agent", lambda s: "tools" if s["messages"][-1].tool_calls else END, ["tools", END]
    )
    builder.add_edge("tools", "agent")
    return builder.compile()


async def test_a_refusal_ends_the_replay_also_where_the_node_swallows_it() -> None:
    asked: list[int] = []

    def reply(messages: list[BaseMessage]) -> AIMessage:
        asked.append(len(messages))
        if (
            messages[-1].type == "tool"
            and "nothing" not in messages[-1].text
            and "refuse" not in messages[-1].text
        ):
            return AIMessage("done")
        return AIMessage(
            "", tool_calls=[{"name": "look", "args": {"word": "owl"}, "id": f"c{len(messages)}"}]
        )

    graph = _looking(reply, handle=True)
    done, saver = await recorded(graph)
    asked.clear()
    with pytest.raises(ReplayRefused, match="the replay calls the tool 'look', which is not declared"):
        await again(graph, done, saver, {}, Change(("tools#1.0",), neutral="nothing"))
    assert RAN == ["owl"]
    assert len(asked) <= 2


async def test_old_threads_are_guarded_at_the_call() -> None:
    graph = agent_of(lambda _: ["owl"])
    done, saver = await recorded(graph)
    with pytest.raises(ReplayRefused, match="'look'"):
        await again(graph, done, saver, {}, FIRST, trajectory=None)
    assert RAN == ["owl"]


async def test_a_guard_sees_only_its_own_run() -> None:
    guard = Guard({"look": "forbidden"}, {})
    other = Guard({"look": "safe"}, {})
    with guarding(guard), guarding(other):
        assert look.invoke({"word": "a"}) == "a number 1"
        assert await look.ainvoke({"word": "b"}, {"configurable": {KEY: other.id}}) == "b number 2"
        with pytest.raises(ReplayRefused):
            look.invoke({"word": "c"}, {"configurable": {KEY: guard.id}})
    assert RAN == ["a", "b"]
    assert look.invoke({"word": "d"}, {"configurable": {KEY: guard.id}}) == "d number 3"


async def test_a_tool_called_in_a_node_is_seen() -> None:
    model = ScriptedModel(replies=lambda _: "go")

    async def node(state: MessagesState) -> dict[str, Any]:
        return {"messages": [AIMessage(await look.ainvoke({"word": "owl"}))]}

    builder = StateGraph(MessagesState)
    builder.add_node("ask", lambda s: {"messages": [model.invoke([SystemMessage("s")])]})
    builder.add_node("node", node)
    builder.add_edge(START, "ask")
    builder.add_edge("ask", "node")
    graph = builder.compile()
    done, saver = await recorded(graph)
    with pytest.raises(ReplayRefused, match=r"step 'node#1\.0'"):
        await again(graph, done, saver, {}, Change(("ask#1.0",)))
    same = await again(graph, done, saver, {"look": "recorded"}, Change(("ask#1.0",)))
    assert same.state["messages"][-1].text == "owl number 1"
    assert RAN == ["owl"]


async def test_a_tool_called_with_a_config_of_its_own_is_the_replays() -> None:
    model = ScriptedModel(replies=lambda _: "go")
    own: Any = {"configurable": {"user": "u"}}

    async def node(state: MessagesState) -> dict[str, Any]:
        return {"messages": [AIMessage(await look.ainvoke({"word": "owl"}, own))]}

    builder = StateGraph(MessagesState)
    builder.add_node("ask", lambda s: {"messages": [model.invoke([SystemMessage("s")])]})
    builder.add_node("node", node)
    builder.add_edge(START, "ask")
    builder.add_edge("ask", "node")
    graph = builder.compile()
    done, saver = await recorded(graph)
    same = await again(graph, done, saver, {"look": "recorded"}, Change(("ask#1.0",)))
    assert same.state["messages"][-1].text == "owl number 1"
    with pytest.raises(ReplayRefused, match="'look'"):
        await again(graph, done, saver, {}, Change(("ask#1.0",)), trajectory=None)
    assert RAN == ["owl"]


async def test_passing_the_turn_on_needs_no_declaration() -> None:
    from langgraph_swarm import create_handoff_tool, create_swarm

    def ann(messages: list[BaseMessage]) -> AIMessage:
        return AIMessage("", tool_calls=[{"name": "transfer_to_bob", "args": {}, "id": "c1"}])

    agents: list[Any] = [
        create_agent(ScriptedModel(replies=ann), [create_handoff_tool(agent_name="bob")], name="ann"),
        create_agent(ScriptedModel(replies=lambda m: f"read {len(m)}"), [], name="bob"),
    ]
    graph = create_swarm(agents, default_active_agent="ann").compile()
    done, saver = await recorded(graph)
    steps = [step.id for step in done.trajectory.steps]
    assert "ann/tools#1.0" in steps
    same = await again(graph, done, saver, {}, Change(("ann/model#1.0",)))
    assert [m.text for m in same.state["messages"]] == [m.text for m in done.state["messages"]]
    with pytest.raises(ReplayRefused, match="handed over"):
        await again(graph, done, saver, {}, Change(("ann/tools#1.0",), neutral="x"))
