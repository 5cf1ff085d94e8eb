"""Stored threads of the kinds of graph whose checkpoints tell less: functional API, delta channels, hidden subgraphs."""

from __future__ import annotations

import operator
from collections.abc import Sequence
from typing import Annotated, Any, TypedDict

from langgraph.channels.delta import DeltaChannel
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.errors import NodeError
from langgraph.func import entrypoint, task
from langgraph.graph import START, StateGraph
from langgraph.types import Command, Send, interrupt

from langgraph_truce.rollout.history import aread_history, read_history
from langgraph_truce.rollout.record import record


class State(TypedDict, total=False):
    question: str
    notes: Annotated[list[str], operator.add]
    round: int


def appended(old: list[str], new: Sequence[list[str]]) -> list[str]:
    return [*old, *(note for part in new for note in part)]


class Delta(TypedDict, total=False):
    notes: Annotated[list[str], DeltaChannel(appended)]


def asking() -> Any:
    builder = StateGraph(State)
    builder.add_node("solver", lambda s: {"notes": ["tried"]})
    builder.add_node("judge", lambda s: {"notes": [str(interrupt("is it right?"))]})
    builder.add_edge(START, "solver")
    builder.add_edge("solver", "judge")
    return builder


@task
def summarise(text: str) -> str:
    return f"{text}!"


@task
def joined(texts: list[str]) -> str:
    parts = [summarise(t) for t in texts]
    return " ".join(part.result() for part in parts)


@entrypoint()
def pipeline(text: str) -> dict[str, str]:
    return {"text": joined(text.split()).result() + summarise("end").result()}


async def test_functions_of_the_functional_api_have_their_names() -> None:
    saver = InMemorySaver()
    done = await record(pipeline, "a b", rollout="t", saver=saver)
    (thread,) = read_history(pipeline, saver)
    assert thread.trajectory is not None
    assert [(s.id, s.writes) for s in thread.trajectory.steps] == [
        (s.id, s.writes) for s in done.trajectory.steps
    ]
    assert (thread.input, thread.state, thread.problem) == ("a b", {"text": "a! b!end!"}, "")
    (unknown,) = read_history(None, saver)
    assert "4 tasks left results whose node is not stored" in unknown.problem


def test_updates_from_outside_and_commands_are_read_as_langgraph_reads_them() -> None:
    saver = InMemorySaver()
    compiled = asking().compile(checkpointer=saver)
    config: Any = {"configurable": {"thread_id": "t"}}
    compiled.invoke({"question": "q"}, config)
    compiled.invoke(Command(resume="yes", update={"notes": ["from outside"]}), config)
    (thread,) = read_history(compiled, saver)
    assert thread.trajectory is not None
    assert thread.problem == ""
    judge = thread.trajectory.steps[1]
    assert judge.input is not None
    assert thread.trajectory.value(judge.input)["notes"] == ["tried", "from outside"]
    assert thread.state["notes"] == ["tried", "from outside", "yes"]


def test_channels_that_store_changes_alone() -> None:
    builder = StateGraph(Delta)
    builder.add_node("one", lambda s: {"notes": ["1"]})
    builder.add_node("two", lambda s: {"notes": ["2"]})
    builder.add_edge(START, "one")
    builder.add_edge("one", "two")
    saver = InMemorySaver()
    compiled = builder.compile(checkpointer=saver)
    compiled.invoke({"notes": ["0"]}, {"configurable": {"thread_id": "t"}}, durability="sync")
    (thread,) = read_history(compiled, saver)
    assert thread.trajectory is not None
    _one, two = thread.trajectory.steps
    assert two.input is not None
    assert thread.trajectory.value(two.input) == {"notes": ["0", "1"]}
    assert thread.state == {"notes": ["0", "1", "2"]}


async def test_steps_of_a_subgraph_that_langgraph_does_not_find() -> None:
    inner = StateGraph(State)
    inner.add_node("check", lambda s: {"round": 7})
    inner.add_edge(START, "check")
    graphs = {"hidden": inner.compile()}

    async def team(state: State) -> dict[str, Any]:
        done = await graphs["hid" + "den"].ainvoke({"question": state["question"]})
        return {"round": done["round"]}

    builder = StateGraph(State)
    builder.add_node("team", team)
    builder.add_edge(START, "team")
    compiled, saver = builder.compile(), InMemorySaver()
    assert not list(compiled.get_subgraphs())
    done = await record(compiled, {"question": "q"}, rollout="t", saver=saver)
    found = [t async for t in aread_history(compiled, saver)]
    assert found[0].trajectory is not None
    ids = [s.id for s in found[0].trajectory.steps]
    assert ids == [s.id for s in done.trajectory.steps]
    assert "team/check#1.0" in ids


def test_error_handlers_are_steps() -> None:
    def fails(state: State) -> dict[str, Any]:
        raise ValueError("no")

    def repair(state: State, error: NodeError) -> dict[str, Any]:
        return {"notes": [f"repaired {error.node}"]}

    builder = StateGraph(State)
    builder.add_node("fails", fails, error_handler=repair)
    builder.add_edge(START, "fails")
    saver = InMemorySaver()
    compiled = builder.compile(checkpointer=saver)
    compiled.invoke({"question": "q"}, {"configurable": {"thread_id": "t"}}, durability="sync")
    (thread,) = read_history(compiled, saver)
    assert thread.trajectory is not None
    said = [
        (s.role, s.error, [thread.trajectory.value(w) for w in s.writes.values()])
        for s in thread.trajectory.steps
    ]
    assert ("fails", "ValueError: no", []) in said
    assert [writes for role, _, writes in said if role != "fails"] == [[["repaired fails"]]]
    assert thread.finished
    assert thread.problem == ""


def test_sends_whose_bytes_are_broken_cost_their_own_tasks_alone() -> None:
    builder = StateGraph(State)
    builder.add_node("split", lambda s: {"round": 1})
    builder.add_node("part", lambda s: {"notes": ["part"]})
    builder.add_edge(START, "split")
    builder.add_conditional_edges("split", lambda s: [Send("part", {"question": "a"})], ["part"])
    saver = InMemorySaver()
    compiled = builder.compile(checkpointer=saver)
    compiled.invoke({"question": "q"}, {"configurable": {"thread_id": "t"}}, durability="sync")
    held = [place for place in saver.blobs if place[2] == "__pregel_tasks"]
    saver.blobs.update(dict.fromkeys(held, ("msgpack", b"\xc1")))
    (thread,) = read_history(compiled, saver)
    assert thread.trajectory is not None
    assert [s.id for s in thread.trajectory.steps] == ["split#1.0"]
    assert "stored values cannot be read" in thread.problem
    assert "1 tasks left results whose node is not stored" in thread.problem
    assert "Undecoded" not in thread.problem
