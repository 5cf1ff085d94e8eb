"""Interception in every kind of graph: role paths, chains as nodes, agents, subgraphs, fan-outs, functions."""

from __future__ import annotations

import operator
from collections import Counter
from typing import Annotated, Any, TypedDict

import pytest
from langchain.agents import create_agent
from langchain.agents.middleware import dynamic_prompt
from langchain_core.messages import AIMessage, AnyMessage, BaseMessage, HumanMessage, SystemMessage
from langchain_core.prompts import ChatPromptTemplate
from langchain_core.runnables import RunnableConfig
from langchain_core.tools import tool
from langgraph.func import entrypoint, task
from langgraph.graph import START, MessagesState, StateGraph
from langgraph.types import Send

from langgraph_truce.bind import RunContext, published
from langgraph_truce.bind.found import Prompts, Slot
from langgraph_truce.bind.intercept import Heard, intercepting, listening, role_path
from langgraph_truce.model import Journal, JournalCallback
from langgraph_truce.rules import RuleBook, parse
from langgraph_truce.testing import ScriptedModel


def edited(prompts: Prompts) -> RuleBook:
    """Every prompt with its agent's name before it."""
    book = prompts.book
    for name in book.agents:
        book = book.with_agent(parse(name, f"[{name}] {book.render(name)}"))
    return book


def texts(model: ScriptedModel, start: int = 0) -> Counter[str]:
    """System texts that reached the model."""
    return Counter(m.text for c in model.calls[start:] for m in c.messages if isinstance(m, SystemMessage))


async def sent(graph: Any, given: Any, prompts: Prompts, model: ScriptedModel) -> tuple[Counter[str], Any]:
    """System texts of an edited run; checks that an unedited one sends what the bare graph sends."""
    await graph.ainvoke(given)
    bare = texts(model)
    with intercepting(prompts) as found:
        for book in (prompts.book, edited(prompts)):
            start = len(model.calls)
            with published(book) as version:
                context = RunContext(version, "r", "t", prompts=prompts.id).configurable()
                await graph.ainvoke(given, {"configurable": context})
            if book == prompts.book:
                assert texts(model, start) == bare
    return texts(model, start), found


class State(TypedDict, total=False):
    said: Annotated[list[str], operator.add]


TEMPLATE = ChatPromptTemplate.from_messages([("system", "You check {said}."), ("human", "Go.")])


def say(model: ScriptedModel, text: str) -> str:
    return model.invoke([SystemMessage(text), HumanMessage("q")]).text


async def test_chains_in_nodes_and_as_nodes() -> None:
    model = ScriptedModel(replies={"": "ok"})

    def node(state: State) -> State:
        return {"said": [(TEMPLATE | model).invoke({"said": "x"}).text]}

    chain: Any = TEMPLATE | model | (lambda reply: {"said": [reply.text]})
    graph = (
        StateGraph(State)
        .add_node("inside", node)
        .add_node("itself", chain)
        .add_edge(START, "inside")
        .add_edge("inside", "itself")
        .compile()
    )
    prompts = Prompts(tuple(Slot(role, "You check {said}.", ("said",)) for role in ("inside", "itself")))
    found, seen = await sent(graph, {"said": []}, prompts, model)

    assert found == Counter(["[inside] You check x.", "[itself] You check ['ok']."])
    assert (seen.matched, seen.missed) == (4, {})


@tool
def look(place: str) -> str:
    """Look there."""
    return f"nothing at {place}"


def looks_first(messages: list[BaseMessage]) -> AIMessage:
    if messages[-1].type == "tool":
        return AIMessage("done")
    return AIMessage(
        "", tool_calls=[{"name": "look", "args": {"place": "x"}, "id": "c1", "type": "tool_call"}]
    )


async def test_create_agent_with_a_prompt_and_with_middleware() -> None:
    model = ScriptedModel(replies=looks_first)

    @dynamic_prompt
    def prompt(request: Any) -> str:
        return f"You have {len(request.messages)} messages."

    graph: Any = (
        StateGraph(MessagesState)
        .add_node("fixed", create_agent(model, [look], system_prompt="You look. {never}"))
        .add_node("made", create_agent(model, [look], middleware=[prompt]))
        .add_edge(START, "fixed")
        .add_edge(START, "made")
        .compile()
    )
    prompts = Prompts(
        (
            Slot("fixed/model", "You look. {never}"),
            Slot("made/model", "You have {n} messages.", ("n",)),
        )
    )
    found, seen = await sent(graph, {"messages": [HumanMessage("where?")]}, prompts, model)

    assert found == Counter(
        {
            "[fixed/model] You look. {never}": 2,
            "[made/model] You have 1 messages.": 1,
            "[made/model] You have 3 messages.": 1,
        }
    )
    assert (seen.matched, seen.missed) == (8, {})


async def test_subgraphs_called_twice_and_one_prompt_in_two_places() -> None:
    model = ScriptedModel(replies={"": "ok"})

    def solver(state: State) -> State:
        return {"said": [say(model, "You solve.")]}

    inner = StateGraph(State).add_node("solver", solver).add_edge(START, "solver").compile()

    def team(state: State) -> State:
        inner.invoke({"said": []})
        inner.invoke({"said": []})
        return {"said": [say(model, "You solve.")]}

    graph = StateGraph(State).add_node("team", team).add_edge(START, "team").compile()
    prompts = Prompts((Slot("team/solver", "You solve."), Slot("team", "You solve.")))
    found, seen = await sent(graph, {"said": []}, prompts, model)

    assert found == Counter({"[team/solver] You solve.": 2, "[team] You solve.": 1})
    assert (seen.matched, seen.missed) == (6, {})


async def test_a_send_fan_out_and_what_matches_nothing() -> None:
    model = ScriptedModel(replies={"": "ok"})

    def worker(state: Any) -> State:
        return {"said": [say(model, f"You do {state['n']}.")]}

    def stray(state: State) -> State:
        say(model, "Who knows?")
        model.invoke("no system message")
        return {}

    graph = (
        StateGraph(State)
        .add_node("worker", worker)
        .add_node("stray", stray)
        .add_conditional_edges(START, lambda _: [Send("worker", {"n": n}) for n in range(3)], ["worker"])
        .add_edge("worker", "stray")
        .compile()
    )
    prompts = Prompts((Slot("worker", "You do {n}.", ("n",)),))
    found, seen = await sent(graph, {"said": []}, prompts, model)

    assert found == Counter([*(f"[worker] You do {n}." for n in range(3)), "Who knows?"])
    assert (seen.matched, seen.missed) == (6, {"stray": 4})


async def test_the_functional_api() -> None:
    model = ScriptedModel(replies={"": "ok"})

    @task
    def draft(topic: str) -> str:
        return say(model, f"You draft {topic}.")

    @entrypoint()
    async def flow(topic: str) -> str:
        await draft(topic)
        await draft("more")
        return say(model, "You close.")

    prompts = Prompts((Slot("flow/draft", "You draft {topic}.", ("topic",)), Slot("flow", "You close.")))
    found, seen = await sent(flow, "tea", prompts, model)

    assert found == Counter(
        ["[flow/draft] You draft tea.", "[flow/draft] You draft more.", "[flow] You close."]
    )
    assert (seen.matched, seen.missed) == (6, {})


async def test_a_role_path_is_the_one_that_is_recorded() -> None:
    from langgraph_truce.rollout.record import record

    model = ScriptedModel(replies={"": "ok"})

    class Stay(TypedDict, total=False):
        messages: list[AnyMessage]

    def solver(state: Stay) -> Stay:
        model.invoke("q")
        return {}

    inner = StateGraph(Stay).add_node("12", solver).add_edge(START, "12").compile()
    graph = StateGraph(Stay).add_node("team", inner).add_edge(START, "team").compile()
    heard: list[str] = []
    with listening(lambda call: heard.append(call.role)):
        done = await record(graph, {}, rollout="r")

    assert heard == [step.role for step in done.trajectory.steps if step.calls] == ["team/12"]
    assert role_path("team:1-2|3|solver:4") == "team/solver"


@pytest.mark.parametrize("streamed", [False, True])
async def test_the_journal_sees_the_edited_prompt_and_replays_it(streamed: bool) -> None:
    """A journalled stream is asked for with invoke: still one call, rewritten and counted once."""
    from langgraph.store.memory import InMemoryStore

    model = ScriptedModel(replies={"": "ok"})
    prompts = Prompts((Slot("solver", "You solve."),))

    async def solver(state: State) -> State:
        given = [SystemMessage("You solve."), HumanMessage("q")]
        if streamed:
            return {"said": [part.text async for part in model.astream(given)]}
        return {"said": [(await model.ainvoke(given)).text]}

    graph = StateGraph(State).add_node("solver", solver).add_edge(START, "solver").compile()
    book = prompts.book.with_agent(parse("solver", "You solve. You solve."))  # holds the original text
    with Journal(InMemoryStore()) as journal, journal.installed(), intercepting(prompts) as found:
        for _ in range(2):
            with published(book) as version:
                context = RunContext(version, "r", "t", prompts=prompts.id).configurable()
                config = RunnableConfig(configurable=context, callbacks=[JournalCallback(journal, ("s",))])
                out = await graph.ainvoke({"said": []}, config)
            assert out["said"] == ["ok"]

        assert journal.meter.tally("task").hits == 1
    assert [c.messages[0].text for c in model.calls] == ["You solve. You solve."]
    assert (found.matched, found.missed) == (2, {})


async def test_a_listener_hears_its_runs_and_calls_without_run() -> None:
    model = ScriptedModel(replies={"": "ok"})
    prompts = Prompts((Slot("solver", "You solve."),))

    def solver(state: State) -> State:
        say(model, "You solve.")
        list(model.stream("q"))
        return {}

    graph = StateGraph(State).add_node("solver", solver).add_edge(START, "solver").compile()
    mine: list[Heard] = []
    every: list[Heard] = []
    with listening(mine.append, "k1"), listening(every.append), intercepting(prompts):
        with published(edited(prompts)) as version:
            context = RunContext(version, "r", "t", prompts=prompts.id).configurable()
            graph.invoke({}, {"configurable": {**context, "truce_listen": "k1"}})
        graph.invoke({}, {"configurable": {"truce_listen": "k2"}})
        model.invoke("alone")

    assert [(h.role, h.entry, h.messages[0].text) for h in mine] == [
        ("solver", "invoke", "You solve."),  # before it is edited
        ("solver", "stream", "q"),
        ("", "invoke", "alone"),
    ]
    assert mine[0].config is not None
    assert mine[0].config["configurable"]["truce_listen"] == "k1"
    assert (mine[0].model, mine[2].config) == (model, None)
    assert len(every) == 5
    assert texts(model) == Counter(["[solver] You solve.", "You solve."])
    model.invoke("after")
    assert len(every) == 5
