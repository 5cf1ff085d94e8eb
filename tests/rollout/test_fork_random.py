"""Random graphs: from every fork point an unedited replay reproduces the run, for the calls it was said to cost."""

from __future__ import annotations

import copy
import hashlib
import operator
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal, TypedDict

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.func import task
from langgraph.graph import END, START, StateGraph
from langgraph.graph.message import add_messages
from langgraph.types import Command, Send

from langgraph_truce.rollout.locate import alocate
from langgraph_truce.rollout.record import Recorded, record
from langgraph_truce.rollout.replay import ReplayOptions, areplay
from langgraph_truce.seams import Change
from langgraph_truce.testing import ScriptedModel
from langgraph_truce.trajectory.downstream import calls, downstream

Way = Literal["notes", "messages", "bag", "last", "total"]
Shape = Literal["row", "send", "command", "nested", "called", "loop", "functions"]


def merged(old: dict[str, str] | None, new: dict[str, str]) -> dict[str, str]:
    """A custom reducer in which order shows: the later of two keys is told of the earlier."""
    old = old or {}
    return {**old, **{key: f"{old.get(key, '')}<{value}" for key, value in new.items()}}


class State(TypedDict, total=False):
    task: str
    notes: Annotated[list[str], operator.add]
    messages: Annotated[list[BaseMessage], add_messages]
    bag: Annotated[dict[str, str], merged]
    total: Annotated[int, operator.add]
    last: str


class Result(TypedDict, total=False):
    """What a subgraph that is a node gives back: one of several in a superstep."""

    notes: Annotated[list[str], operator.add]
    total: Annotated[int, operator.add]


def digest(*parts: object) -> str:
    return hashlib.sha256(repr(parts).encode()).hexdigest()[:6]


def seen(state: Any) -> tuple[object, ...]:
    """All of a state that counts: message ids do not."""
    said = [(m.type, m.text) for m in state.get("messages", ())]
    return (said, *(state.get(key) for key in ("task", "notes", "bag", "total", "last")))


MODEL = ScriptedModel(replies=lambda messages: f"r{digest(*(m.text for m in messages))}")


@dataclass(frozen=True)
class Node:
    """What a node does: it asks the model so many times and writes in these ways."""

    asks: int
    writes: tuple[Way, ...]

    def update(self, name: str, state: Any, *, alone: bool) -> dict[str, Any]:
        said = digest(name, seen(state))
        for _ in range(self.asks):
            said = MODEL.invoke([HumanMessage(f"{name} {said}")]).text
        values = {
            "notes": [f"{name}:{said}"],
            "messages": [AIMessage(said, name=name)],
            "bag": {said[1]: said},
            "total": int(digest(said), 16) % 7,
            "last": said,
        }
        return {way: values[way] for way in self.writes if way != "last" or alone}


@dataclass(frozen=True)
class Stage:
    """A part of a graph; stages follow each other."""

    shape: Shape
    nodes: tuple[Node, ...]
    inner: tuple[Stage, ...] = ()
    """Stages of the subgraph of `nested`, `called` and, if there are any, of the workers of `send`."""
    late: bool = False
    """A deferred node beside the stage."""


def noding(node: Node, name: str, *, alone: bool) -> Any:
    async def run(state: State) -> dict[str, Any]:
        return node.update(name, state, alone=alone)

    return run


def calling(node: Node, name: str, graph: Any, times: int) -> Any:
    async def run(state: State) -> dict[str, Any]:
        told = digest(seen(state))
        for _ in range(times):
            got = await graph.ainvoke({"task": told, "notes": [], "messages": []})
            told = digest(seen(got))
        own = node.update(name, {**state, "task": digest(seen(got))}, alone=False)
        return {**own, "total": got.get("total", 0)}

    return run


def built(stages: Sequence[Stage], prefix: str = "n", result: Any = State) -> Any:
    """The graph: an entry node, the stages with a plain node after each, and the end."""
    builder: Any = StateGraph(State, output_schema=result)
    builder.add_node("enter", noding(Node(0, ("total",)), "enter", alone=True))
    builder.add_edge(START, "enter")
    before = "enter"
    for n, stage in enumerate(stages):
        after = f"{prefix}{n}z"
        builder.add_node(after, noding(Node(1, ("notes", "last")), after, alone=True))
        ADD[stage.shape](builder, stage, f"{prefix}{n}", before, after)
        if stage.late:
            builder.add_node(f"{after}late", noding(Node(1, ("notes",)), "late", alone=False), defer=True)
            builder.add_edge(before, f"{after}late")
        before = after
    builder.add_edge(before, END)
    return builder.compile()


def row(builder: Any, stage: Stage, name: str, before: str, after: str) -> None:
    for i, node in enumerate(stage.nodes):
        builder.add_node(f"{name}{i}", noding(node, f"{name}{i}", alone=len(stage.nodes) == 1))
        builder.add_edge(before, f"{name}{i}")
        builder.add_edge(f"{name}{i}", after)


def send(builder: Any, stage: Stage, name: str, before: str, after: str) -> None:
    work: Any = noding(stage.nodes[0], name, alone=False)
    builder.add_node(name, built(stage.inner, f"{name}w", Result) if stage.inner else work)

    def fan(state: State) -> Any:
        many = int(digest(name, seen(state)), 16) % 4
        return [Send(name, {"task": f"{name}{i}", "notes": []}) for i in range(many)] or after

    builder.add_conditional_edges(before, fan, [name, after])
    builder.add_edge(name, after)


def command(builder: Any, stage: Stage, name: str, before: str, after: str) -> None:
    first, *others = stage.nodes

    async def boss(state: State) -> Command[Any]:
        update = first.update(f"{name}b", state, alone=True)
        chosen = int(digest(update, seen(state)), 16) % 3
        goto: list[Any] = [f"{name}h{i}" for i in range(len(others))] if chosen else [after]
        if chosen == 2 and others:
            goto.append(Send(f"{name}h0", {"task": "sent", "notes": []}))
        return Command(goto=goto or [after], update=update)

    helpers = [f"{name}h{i}" for i in range(len(others))]
    builder.add_node(f"{name}b", boss, destinations=(*helpers, after))
    builder.add_edge(before, f"{name}b")
    for helper, node in zip(helpers, others, strict=True):
        builder.add_node(helper, noding(node, helper, alone=False))
        builder.add_edge(helper, after)


def nested(builder: Any, stage: Stage, name: str, before: str, after: str) -> None:
    names = [f"{name}g", *(f"{name}{i}" for i in range(1, len(stage.nodes)))]
    builder.add_node(names[0], built(stage.inner, f"{name}i", Result))
    for other, node in zip(names[1:], stage.nodes[1:], strict=True):
        builder.add_node(other, noding(node, other, alone=False))
    for each in names:
        builder.add_edge(before, each)
        builder.add_edge(each, after)


def called(builder: Any, stage: Stage, name: str, before: str, after: str) -> None:
    builder.add_node(
        name,
        calling(stage.nodes[0], name, built(stage.inner, f"{name}c"), len(stage.nodes) if stage.inner else 1),
    )
    builder.add_edge(before, name)
    builder.add_edge(name, after)


def functions(builder: Any, stage: Stage, name: str, before: str, after: str) -> None:
    @task
    async def step(n: int, told: str) -> dict[str, Any]:
        return stage.nodes[n].update(f"{name}{n}", {"task": told}, alone=False)

    async def run(state: State) -> dict[str, Any]:
        told = digest(seen(state))
        for n in range(len(stage.nodes)):
            told = digest(seen(await step(n, told)))
        return {"notes": [f"{name}:{told}"]}

    builder.add_node(name, run)
    builder.add_edge(before, name)
    builder.add_edge(name, after)


def loop(builder: Any, stage: Stage, name: str, before: str, after: str) -> None:
    for i, node in enumerate(stage.nodes):
        builder.add_node(f"{name}{i}", noding(node, f"{name}{i}", alone=len(stage.nodes) == 1))
        builder.add_edge(before, f"{name}{i}")
        builder.add_edge(f"{name}{i}", f"{name}j")
    builder.add_node(f"{name}j", noding(Node(1, ("notes", "bag", "last")), f"{name}j", alone=True))
    turns = len(stage.nodes) % 3 + 1
    starts = [f"{name}{i}" for i in range(len(stage.nodes))]

    def onward(state: State) -> Any:
        mine = [note for note in state["notes"] if note.startswith(f"{name}j:")]
        return starts if len(mine) % (turns + 1) else after

    builder.add_conditional_edges(f"{name}j", onward, [*starts, after])


ADD: dict[str, Any] = {
    "row": row,
    "send": send,
    "command": command,
    "nested": nested,
    "called": called,
    "loop": loop,
    "functions": functions,
}
EXAMPLES = 20
ways = st.sets(st.sampled_from(["notes", "messages", "bag", "last", "total"]), max_size=3)
nodes = st.builds(Node, st.integers(0, 2), ways.map(lambda found: tuple(sorted(found))))
some = st.lists(nodes, min_size=1, max_size=3).map(tuple)
flat = st.builds(
    Stage, st.sampled_from(["row", "send", "command", "loop", "functions"]), some, late=st.booleans()
)
deep_stage = st.builds(
    Stage,
    st.sampled_from(["nested", "called", "send"]),
    some,
    st.lists(flat, max_size=2).map(tuple),
    late=st.booleans(),
)
graphs = st.lists(flat | deep_stage, min_size=1, max_size=3)


def held(saver: InMemorySaver) -> Any:
    """All bytes of a saver."""
    return copy.deepcopy(
        ({t: dict(ns) for t, ns in saver.storage.items()}, dict(saver.blobs), dict(saver.writes))
    )


def wrote(done: Recorded) -> dict[str, Any]:
    """What each step wrote, without message ids."""
    found: dict[str, Any] = {}
    for step in done.trajectory.steps:
        found[step.id] = {c: _bare(done.trajectory.value(ref)) for c, ref in step.writes.items()}
    return found


def _bare(value: Any) -> Any:
    if isinstance(value, list):
        return [_bare(item) for item in value]
    if isinstance(value, dict):
        return {k: _bare(v) for k, v in value.items() if not (k == "id" and "content" in value)}
    return value


@settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck))
@given(graphs)
async def test_replays_reproduce_the_run(stages: list[Stage]) -> None:
    graph, saver, target = built(stages), InMemorySaver(), InMemorySaver()
    start: Any = {"task": "t", "notes": [], "messages": [HumanMessage("hi")]}
    done = await record(graph, start, rollout="t", saver=saver)
    assert done.error is None, done.error
    before, source = held(saver), wrote(done)
    located = await alocate(graph, saver, "t", trajectory=done.trajectory)
    options = ReplayOptions(trajectory=done.trajectory, located=located, target=target)
    for step in done.trajectory.steps:
        for rerun in (False, True):
            spent = len(MODEL.calls)
            again = await areplay(
                graph, saver, "t", Change((step.id,), rerun=rerun), rollout="f", options=options
            )
            assert again is not None
            assert again.error is None
            assert seen(again.state) == seen(done.state)
            assert len(MODEL.calls) - spent == calls(done.trajectory, [step.id], rerun=rerun), (
                step.id,
                rerun,
            )
            now = wrote(again)
            assert now == {name: source[name] for name in now}
            ran = {s.id for s in downstream(done.trajectory, [step.id], rerun=rerun)}
            assert ran <= now.keys()
    assert held(saver) == before
    assert held(target)[1:] == ({}, {})
