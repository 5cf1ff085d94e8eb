"""One conformance suite: every kind of graph, from every saver; an unedited replay reproduces the final state."""

from __future__ import annotations

import hashlib
import operator
import sqlite3
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, TypedDict

import pytest
from langchain.agents import create_agent
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, SystemMessage
from langchain_core.tools import tool
from langgraph.channels.delta import DeltaChannel
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.checkpoint.sqlite import SqliteSaver
from langgraph.checkpoint.sqlite.aio import AsyncSqliteSaver
from langgraph.func import entrypoint, task
from langgraph.graph import END, START, MessagesState, StateGraph
from langgraph.types import Command, Send, interrupt
from pydantic import BaseModel

from langgraph_truce.rollout.interrupts import RunOptions
from langgraph_truce.rollout.locate import alocate
from langgraph_truce.rollout.record import Recorded, record
from langgraph_truce.rollout.replay import ReplayOptions, areplay
from langgraph_truce.seams import Change
from langgraph_truce.testing import ScriptedModel
from langgraph_truce.trajectory.downstream import calls
from langgraph_truce.trajectory.plain import deep


def said(messages: list[BaseMessage]) -> str:
    """A reply that tells what was read: any change upstream changes it."""
    text = "\n".join(f"{m.type}:{m.text}" for m in messages)
    return f"I read {hashlib.sha256(text.encode()).hexdigest()[:8]}"


MODEL = ScriptedModel(replies=said)


def ask(who: str, *what: Any) -> str:
    return MODEL.invoke([SystemMessage(who), HumanMessage(" / ".join(map(str, what)))]).text


class Notes(TypedDict, total=False):
    question: str
    notes: Annotated[list[str], operator.add]
    summary: str
    round: int


def noting(name: str) -> Any:
    return lambda state: {"notes": [f"{name}: {ask(name, state['notes'], state.get('summary'))}"]}


def summing(state: Any) -> dict[str, Any]:
    return {"summary": ask("sum", state["notes"]), "round": state.get("round", 0) + 1}


def debate(*, join: bool = False, deferred: bool = False, state: Any = Notes) -> Any:
    builder = StateGraph(state)
    builder.add_node("sum", summing, defer=deferred)
    for name in ("zoe", "ann"):
        builder.add_node(name, noting(name))
        builder.add_edge(START, name)
        if not join:
            builder.add_edge(name, "sum")
    if join:
        builder.add_edge(["zoe", "ann"], "sum")
    builder.add_conditional_edges(
        "sum", lambda s: ["zoe", "ann"] if s["round"] < 2 else END, ["zoe", "ann", END]
    )
    return builder.compile()


def chat() -> Any:
    def speaker(name: str) -> Any:
        return lambda s: {
            "messages": [AIMessage(MODEL.invoke([SystemMessage(name), *s["messages"]]).text, name=name)]
        }

    builder = StateGraph(MessagesState)
    for name, after in (("ann", START), ("bob", "ann"), ("cyd", "bob")):
        builder.add_node(name, speaker(name))
        builder.add_edge(after, name)
    return builder.compile()


@tool
def look(word: str) -> str:
    """Look a word up."""
    return f"{word} means {len(word)}"


def agent_says(messages: list[BaseMessage]) -> AIMessage:
    done = sum(m.type == "tool" for m in messages)
    if done >= 3:
        return AIMessage(said(messages))
    names = ["owl", "fox"] if done == 0 else ["bee"]
    return AIMessage(
        said(messages), tool_calls=[{"name": "look", "args": {"word": w}, "id": w} for w in names]
    )


def agent() -> Any:
    return create_agent(ScriptedModel(replies=agent_says), [look], system_prompt="Look it up.")


def nested() -> Any:
    inner = StateGraph(Notes)
    inner.add_node("a", noting("a"))
    inner.add_node("b", noting("b"))
    inner.add_edge(START, "a")
    inner.add_edge("a", "b")
    team = inner.compile()
    outer = StateGraph(Notes)
    outer.add_node("first", noting("first"))
    outer.add_node("left", middle_graph(team))
    outer.add_node("right", middle_graph(team))
    outer.add_node("sum", summing)
    outer.add_edge(START, "first")
    for side in ("left", "right"):
        outer.add_edge("first", side)
        outer.add_edge(side, "sum")
    return outer.compile()


class Said(TypedDict, total=False):
    notes: Annotated[list[str], lambda _, new: new]


def middle_graph(team: Any) -> Any:
    """A subgraph of a node and a subgraph; it gives its last note alone."""
    builder = StateGraph(Notes, output_schema=Said)
    builder.add_node("lead", noting("lead"))
    builder.add_node("team", team)
    builder.add_edge(START, "lead")
    builder.add_edge("lead", "team")
    return builder.compile()


def map_reduce() -> Any:
    def plan(state: Notes) -> dict[str, Any]:
        return {"summary": ask("plan", state["question"])}

    builder = StateGraph(Notes)
    builder.add_node("plan", plan)
    builder.add_node("work", lambda s: {"notes": [ask("work", s["item"])]})
    builder.add_node("sum", summing)
    builder.add_edge(START, "plan")
    builder.add_conditional_edges(
        "plan", lambda s: [Send("work", {"item": f"{s['summary']} {n}"}) for n in range(3)], ["work"]
    )
    builder.add_edge("work", "sum")
    return builder.compile()


def hand_offs() -> Any:
    def turn(name: str, to: str) -> Any:
        def node(state: Notes) -> Command[str]:
            on = len(state["notes"]) < 4
            return Command(goto=to if on else END, update=noting(name)(state))

        return node

    builder = StateGraph(Notes)
    builder.add_node("ann", turn("ann", "bob"), destinations=("bob", END))
    builder.add_node("bob", turn("bob", "ann"), destinations=("ann", END))
    builder.add_edge(START, "ann")
    return builder.compile()


@task
def draft(topic: str) -> str:
    return ask("draft", topic)


@task
def polish(texts: list[str]) -> str:
    return ask("polish", texts)


@entrypoint()
def pipeline(topics: list[str]) -> dict[str, Any]:
    drafts = [draft(topic) for topic in topics]
    return {"text": polish([d.result() for d in drafts]).result()}


@task
def redraft(topic: str) -> str:
    return f"{draft(topic + '!').result()}?"


def calling() -> Any:
    """A node that calls a function, a subgraph, and a function that calls a function."""
    inner = StateGraph(Notes)
    inner.add_node("a", noting("a"))
    inner.add_node("b", noting("b"))
    inner.add_edge(START, "a")
    inner.add_edge("a", "b")
    team = inner.compile()

    def node(state: Notes) -> dict[str, Any]:
        notes = team.invoke({"notes": [draft(state["question"]).result()]})["notes"]
        return {"notes": [redraft(notes[-1]).result()]}

    builder = StateGraph(Notes)
    builder.add_node("sum", summing)
    for name, run in (("node", node), ("side", noting("side"))):
        builder.add_node(name, run)
        builder.add_edge(START, name)
        builder.add_edge(name, "sum")
    return builder.compile()


class Verdict(BaseModel):
    words: str
    sure: bool = True


class Typed(BaseModel):
    question: str = ""
    verdicts: Annotated[list[Verdict], operator.add] = []
    summary: str = ""


def typed() -> Any:
    builder = StateGraph(Typed)
    for name in ("ann", "bob"):
        builder.add_node(name, lambda s, n=name: {"verdicts": [Verdict(words=ask(n, s.question))]})
        builder.add_edge(START, name)
        builder.add_edge(name, "sum")
    builder.add_node("sum", lambda s: {"summary": ask("sum", [v.words for v in s.verdicts])})
    return builder.compile()


class Deltas(TypedDict, total=False):
    question: str
    notes: Annotated[list[str], DeltaChannel(lambda so_far, new: so_far + [n for ns in new for n in ns])]
    summary: str
    round: int


def asking() -> Any:
    def person(state: Notes) -> dict[str, Any]:
        return {"notes": [f"person: {interrupt('well?')} {ask('person', state['notes'])}"]}

    builder = StateGraph(Notes)
    builder.add_node("first", noting("first"))
    builder.add_node("person", person)
    builder.add_node("sum", summing)
    builder.add_edge(START, "first")
    builder.add_edge("first", "person")
    builder.add_edge("person", "sum")
    return builder.compile()


@dataclass(frozen=True)
class Kind:
    build: Callable[[], Any]
    given: Any
    aggregator: str = ""


NOTES = {"question": "why?", "notes": []}
KINDS = {
    "debate": Kind(debate, NOTES, "sum"),
    "join": Kind(lambda: debate(join=True), NOTES, "sum"),
    "deferred": Kind(lambda: debate(deferred=True), NOTES, "sum"),
    "delta": Kind(lambda: debate(state=Deltas), NOTES, "sum"),
    "messages": Kind(chat, {"messages": [HumanMessage("hi", id="h")]}),
    "agent": Kind(agent, {"messages": [HumanMessage("hi", id="h")]}),
    "nested": Kind(nested, NOTES),
    "send": Kind(map_reduce, NOTES),
    "command": Kind(hand_offs, NOTES),
    "functional": Kind(lambda: pipeline, ["owls", "foxes"]),
    "calling": Kind(calling, NOTES),
    "pydantic": Kind(typed, {"question": "why?"}),
    "interrupt": Kind(asking, NOTES),
}
SAVERS = ["memory", "sqlite", "async sqlite"]
POSTGRES = [pytest.param(kind, marks=pytest.mark.postgres) for kind in ("postgres", "async postgres")]
PERSON = RunOptions(interrupts=lambda _: "fine")


@asynccontextmanager
async def writer(kind: str, folder: Path, url: str) -> AsyncIterator[Any]:
    """An async saver that stores where the saver of this kind reads."""
    if kind == "memory":
        yield InMemorySaver()
    elif "sqlite" in kind:
        async with AsyncSqliteSaver.from_conn_string(str(folder / "threads.db")) as saver:
            yield saver
    else:
        from langgraph.checkpoint.postgres.aio import AsyncPostgresSaver

        async with AsyncPostgresSaver.from_conn_string(url) as saver:
            await saver.setup()
            yield saver


@asynccontextmanager
async def reader(kind: str, written: Any, folder: Path, url: str) -> AsyncIterator[Any]:
    """The saver of this kind over what was written."""
    if kind == "sqlite":
        db = sqlite3.connect(folder / "threads.db", check_same_thread=False)
        yield SqliteSaver(db)
        db.close()
    elif kind == "postgres":
        from langgraph.checkpoint.postgres import PostgresSaver

        with PostgresSaver.from_conn_string(url) as saver:
            yield saver
    else:
        yield written


async def rows(saver: Any) -> list[Any]:
    return [row async for row in saver.alist(None)]


def content(state: Any) -> Any:
    """What is said in a state, without message ids."""
    return deep(state)


async def run(kind: Kind, graph: Any, saver: Any) -> Recorded:
    given = kind.given
    done = await record(graph, given, rollout="t", saver=saver, aggregator=kind.aggregator, options=PERSON)
    assert done.error is None
    return done


@pytest.mark.parametrize("name", KINDS)
@pytest.mark.parametrize("source", [*SAVERS, *POSTGRES])
async def test_an_unedited_replay_reproduces_the_final_state(
    source: str, name: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    url = request.getfixturevalue("postgres_url") if "postgres" in source else ""
    kind = KINDS[name]
    graph = kind.build()
    async with writer(source, tmp_path, url) as written:
        done = await run(kind, graph, written)
        before = await rows(written)
        async with reader(source, written, tmp_path, url) as saver:
            found = await alocate(graph, saver, "t", kind.aggregator, done.trajectory)
            assert list(found.spots) == [step.id for step in done.trajectory.steps]
            targets = [None] if source in {"sqlite", "postgres"} else [None, written]
            for target in targets:
                options = ReplayOptions(
                    trajectory=done.trajectory,
                    located=found,
                    aggregator=kind.aggregator,
                    tools={"look": "safe"},
                    target=target,
                    run=PERSON,
                )
                for step in found.spots:
                    same = await areplay(
                        graph, saver, "t", Change(steps=(step,)), rollout="fork", options=options
                    )
                    assert same is not None
                    assert same.error is None
                    assert content(same.state) == content(done.state), step
                    ids = [s.id for s in same.trajectory.steps]
                    assert set(ids) <= set(found.spots), step
                    if name != "calling":  # which comes first, a function or a subgraph, is not stored
                        assert ids == [i for i in found.spots if i in ids], step
                    rounds = {s.id: s.round for s in done.trajectory.steps}
                    assert all(s.round == rounds[s.id] for s in same.trajectory.steps), step
                    spent = sum(len(s.calls) for s in same.trajectory.steps)
                    assert spent == calls(done.trajectory, [step]), step
        assert await rows(written) == before
