"""Runs without a saver: the same record as with one, and a saver for those that turn out to need one."""

from __future__ import annotations

import gc
from collections.abc import Callable
from typing import Any, TypedDict

from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import END, START, StateGraph
from langgraph.store.memory import InMemoryStore
from langgraph.types import Command, Send
from pydantic import BaseModel

from langgraph_truce.model import Journal, JournalCallback
from langgraph_truce.rollout.heap import settled
from langgraph_truce.rollout.plain_graph import plain
from langgraph_truce.rollout.record import Recorded, record
from langgraph_truce.testing import ScriptedModel


class State(TypedDict, total=False):
    text: str
    n: int


class Update(BaseModel):
    text: str = ""
    n: int = 0


def _steps(recorded: Recorded) -> list[Any]:
    kept = recorded.trajectory
    return [
        (s.id, s.superstep, s.round, s.goto, s.error, {c: kept.value(ref) for c, ref in s.writes.items()})
        for s in kept.steps
    ]


def _one(node: Callable[..., Any], *, checkpointer: bool | None = None) -> Any:
    """A graph of one node, called as its function."""
    return (
        StateGraph(State)
        .add_node(node.__name__, node)
        .add_edge(START, node.__name__)
        .compile(checkpointer=checkpointer)
    )


def _mixed() -> Any:
    """A pydantic write, a list of commands, a fan-out and a node that writes nothing."""
    graph: Any = StateGraph(State)

    async def first(_: State) -> Update:
        return Update(text="a", n=1)

    async def second(_: State) -> list[Command[Any]]:
        return [
            Command(update={"text": "b"}),
            Command(goto=[Send("third", {"n": 7}), Send("third", {"n": 8})]),
        ]

    async def third(_: State) -> None:
        return None

    graph.add_sequence([("first", first), ("second", second)]).add_edge(START, "first")
    return graph.add_node("third", third).compile()


async def test_a_run_without_saver_gives_the_steps_of_one_with_it() -> None:
    graph = _mixed()
    assert plain(graph)
    without = await record(graph, {"text": ""}, rollout="r")
    with_one = await record(graph, {"text": ""}, rollout="r", saver=InMemorySaver())
    assert without.error is None
    assert _steps(without) == _steps(with_one)
    assert _steps(without)[0][-1] == {"text": "a", "n": 1}
    assert without.state == with_one.state


async def test_a_node_that_needs_a_saver_after_all_gets_one() -> None:
    hidden: list[Any] = []

    async def counts(state: State) -> State:
        return {"n": state.get("n", 0) + 1}

    async def runs(state: State) -> State:
        inside = await hidden[0].ainvoke({"text": "x"})
        return {"text": state.get("text", "") + "x", "n": inside["n"]}

    def on(state: State) -> str:
        return "runs" if len(state["text"]) < 2 else END

    hidden.append(_one(counts, checkpointer=True))
    builder = StateGraph(State).add_node("runs", runs).add_edge(START, "runs")
    graph = builder.add_conditional_edges("runs", on, ["runs", END]).compile()
    assert plain(graph)  # a subgraph in a list cannot be seen from outside
    recorded = await record(graph, {"text": ""}, rollout="r")
    assert recorded.error is None
    assert recorded.state["n"] == 2  # the subgraph kept its state between the calls
    assert not plain(graph)


async def test_a_run_that_is_repeated_with_a_saver_pays_for_no_reply_twice() -> None:
    model = ScriptedModel(replies=lambda messages: "said")
    hidden: list[Any] = []

    async def counts(state: State) -> State:
        return {"n": state.get("n", 0) + 1}

    async def asks(state: State) -> State:
        reply = await model.ainvoke("one question")
        inside = await hidden[0].ainvoke({"text": "x"})
        return {"text": str(reply.content), "n": inside["n"]}

    hidden.append(_one(counts, checkpointer=True))
    graph = _one(asks)
    with Journal(InMemoryStore()) as journal, journal.installed():
        config = RunnableConfig(callbacks=[JournalCallback(journal, ("t",))])
        recorded = await record(graph, {"text": ""}, rollout="r", config=config)

    assert recorded.error is None
    assert not plain(graph)  # it was repeated
    assert len(model.calls) == 1


def test_the_collector_is_put_back() -> None:
    before = gc.get_threshold()
    with settled():
        with settled():
            assert gc.get_freeze_count() > 0
        assert gc.get_freeze_count() > 0
    assert gc.get_freeze_count() == 0
    assert gc.get_threshold() == before
