"""Replays: what is replaced changes exactly what depends on it; nothing else runs, and nothing is left behind."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from langchain_core.messages import AIMessage, HumanMessage, SystemMessage
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.checkpoint.sqlite.aio import AsyncSqliteSaver
from langgraph.graph import END, START, StateGraph
from langgraph.store.base import BaseStore
from langgraph.store.memory import InMemoryStore

from langgraph_truce.errors import ReplayRefused, UnknownNameError, UserMistake
from langgraph_truce.rollout.locate import alocate, locate
from langgraph_truce.rollout.record import Recorded, record
from langgraph_truce.rollout.replay import ReplayOptions, areplay, replay
from langgraph_truce.rules import RuleBook
from langgraph_truce.seams import Change
from langgraph_truce.testing import ScriptedModel
from langgraph_truce.trajectory.downstream import calls
from tests.rollout.test_fork import KINDS, MODEL, PERSON, Notes, ask, noting, run, summing

NO_BOOK = RuleBook({})


class Case:
    """A recorded run of one kind of graph, to replay."""

    def __init__(self, name: str) -> None:
        self.kind = KINDS[name]
        self.graph = self.kind.build()
        self.saver = InMemorySaver()
        self.target = InMemorySaver()

    async def __aenter__(self) -> Case:
        self.done = await run(self.kind, self.graph, self.saver)
        self.before = list(self.saver.list(None))
        return self

    async def __aexit__(self, *raised: object) -> None:
        assert list(self.saver.list(None)) == self.before
        assert list(self.target.list(None)) == []

    def options(self, **more: Any) -> ReplayOptions:
        known = {"trajectory": self.done.trajectory, "target": self.target, "run": PERSON, **more}
        return ReplayOptions(aggregator=self.kind.aggregator, tools={"look": "safe"}, **known)

    async def replay(
        self, *steps: str, book: RuleBook | None = None, touches: Any = None, **how: Any
    ) -> Recorded:
        change = Change(steps, book=book, **how)
        options = self.options(touches=touches)
        done = await areplay(self.graph, self.saver, "t", change, rollout="fork", options=options)
        assert done is not None
        assert done.error is None
        return done


def called(done: Recorded) -> list[str]:
    """Ids without numbers of the steps that called a model."""
    return [step.role for step in done.trajectory.steps if step.calls]


async def test_a_replaced_contribution_changes_what_depends_on_it() -> None:
    async with Case("debate") as case:
        done = await case.replay("zoe#1.0", neutral="(nothing)")
        notes, before = done.state["notes"], case.done.state["notes"]
        assert notes[:2] == [before[0], "zoe: (nothing)"]
        assert len(notes) == 4
        assert not set(notes[2:]) & set(before[2:])
        assert done.state["summary"] != case.done.state["summary"]
        assert called(done) == ["sum", "ann", "zoe", "sum"]
        late = await case.replay("zoe#2.0", neutral="(nothing)")
        assert late.state["notes"][:3] == before[:3]
        assert called(late) == ["sum"]


@pytest.mark.parametrize(
    ("name", "step", "again"),
    [
        ("messages", "bob#1.0", ["cyd"]),
        ("nested", "left/lead#1.0", ["left/team/a", "left/team/b", "sum"]),
        ("nested", "right/team/a#1.0", ["right/team/b", "sum"]),
        ("send", "work#1.1", ["sum"]),
        ("command", "bob#1.0", ["ann", "bob", "ann"]),
        ("functional", "pipeline/draft#1.1", ["pipeline/polish"]),
        ("pydantic", "ann#1.0", ["sum"]),
        ("delta", "ann#1.0", ["sum", "ann", "zoe", "sum"]),
        ("join", "ann#2.0", ["sum"]),
        ("interrupt", "first#1.0", ["person", "sum"]),
    ],
)
async def test_only_what_is_downstream_runs_again(name: str, step: str, again: list[str]) -> None:
    async with Case(name) as case:
        done = await case.replay(step, neutral="(nothing)")
        assert called(done)[: len(again)] == again
        assert len(called(done)) == calls(case.done.trajectory, [step])
        assert "(nothing)" in str(done.state) or name in {"nested", "functional"}
        assert str(done.state) != str(case.done.state)


async def test_one_task_of_a_fan_out_runs_again_alone() -> None:
    async with Case("send") as case:
        done = await case.replay("work#1.1", rerun=True)
        assert called(done) == ["work", "sum"]
        assert done.state == case.done.state
        assert calls(case.done.trajectory, ["work#1.1"], rerun=True) == 2


async def test_a_function_of_the_functional_api_runs_again_with_those_after_it() -> None:
    async with Case("functional") as case:
        done = await case.replay("pipeline/draft#1.0", rerun=True)
        assert called(done) == ["pipeline/draft", "pipeline/draft", "pipeline/polish"]
        assert done.state == case.done.state
        last = await case.replay("pipeline/polish#1.0", writes={"__return__": "mine"})
        assert last.state == {"text": "mine"}
        whole = await case.replay("pipeline#1.0", writes={"__end__": {"text": "all"}})
        assert whole.state == {"text": "all"}


async def test_a_person_is_not_asked_again_for_an_answer_that_is_there() -> None:
    async with Case("interrupt") as case:
        asked: list[Any] = []
        done = await areplay(
            case.graph,
            case.saver,
            "t",
            Change(("person#1.0",), rerun=True),
            rollout="f",
            options=case.options(run=PERSON),
        )
        assert done is not None
        assert done.state == case.done.state
        assert asked == []


async def test_an_agent_loses_its_tool_calls_with_its_words() -> None:
    async with Case("agent") as case:
        done = await case.replay("model#1.0", neutral="(nothing)")
        assert [m.text for m in done.state["messages"]] == ["hi", "(nothing)"]
        tool = await case.replay("tools#1.1", neutral="(nothing)")
        assert [m.text for m in tool.state["messages"]][1:4] == [
            case.done.state["messages"][1].text,
            "owl means 3",
            "(nothing)",
        ]
        assert tool.state["messages"][3].tool_call_id == "fox"
        assert called(tool) == ["model", "model"]


async def test_another_steps_words_take_the_place() -> None:
    async with Case("debate") as case:
        earlier, ann = case.done.state["notes"][1], case.done.state["notes"][2]
        done = await case.replay("zoe#2.0", instead="zoe#1.0")
        assert done.state["notes"][3] == earlier
        peer = await case.replay("zoe#2.0", instead="ann#2.0")
        assert peer.state["notes"][3] == ann.replace("ann", "zoe")
    async with Case("messages") as case:
        swapped = await case.replay("cyd#1.0", instead="ann#1.0")
        said = swapped.state["messages"]
        assert [m.name for m in said] == [None, "ann", "bob", "cyd"]
        assert said[3].text == said[1].text


async def test_given_writes_take_the_place() -> None:
    async with Case("debate") as case:
        done = await case.replay("zoe#2.0", writes={"notes": ["mine"]})
        assert done.state["notes"][3] == "mine"
        added = await case.replay("sum#2.0", writes={"question": "what?"})
        assert added.state["question"] == "what?"
        with pytest.raises(
            ReplayRefused, match="no channel answer, votes; it has: notes, question, round, summary"
        ):
            await case.replay("zoe#2.0", writes={"votes": 1, "answer": 2})


async def test_a_new_book_goes_on_from_the_first_touched_step() -> None:
    async with Case("debate") as case:
        done = await case.replay(book=NO_BOOK, touches=lambda s: s.role == "sum")
        assert called(done) == ["sum", "ann", "zoe", "sum"]
        both = await case.replay(book=NO_BOOK, touches=lambda s: s.role in {"ann", "zoe"} and s.visit == 2)
        assert called(both) == ["ann", "zoe", "sum"]
        options = case.options(touches=lambda s: False)
        change = Change(book=NO_BOOK)
        assert await areplay(case.graph, case.saver, "t", change, rollout="f", options=options) is None
        with pytest.raises(ReplayRefused, match="touches"):
            await areplay(case.graph, case.saver, "t", change, rollout="f", options=case.options())
    async with Case("nested") as case:
        inner = await case.replay(book=NO_BOOK, touches=lambda s: s.role == "left/team/b")
        assert called(inner) == ["left/team/b", "sum"]
        sides = await case.replay(book=NO_BOOK, touches=lambda s: s.role.endswith("team/b"))
        assert called(sides) == [
            f"{side}/{n}" for side in ("left", "right") for n in ("lead", "team/a", "team/b")
        ] + ["sum"]
        assert sides.state == case.done.state


async def test_what_cannot_be_replayed_is_refused() -> None:
    async with Case("debate") as case:
        with pytest.raises(ReplayRefused, match="did not run in one superstep"):
            await case.replay("zoe#1.0", "sum#1.0", neutral="x")
        with pytest.raises(ReplayRefused, match=r"'nobody#1\.0'"):
            await case.replay("nobody#1.0", neutral="x")
        with pytest.raises(UnknownNameError, match="'other'"):
            await areplay(case.graph, case.saver, "other", Change(("a#1.0",)), rollout="f")
        options = case.options(target=case.saver)
        with pytest.raises(ReplayRefused, match="exists already"):
            await areplay(case.graph, case.saver, "t", Change(("zoe#1.0",)), rollout="t", options=options)


async def test_a_fork_is_gone_when_its_run_is_stopped() -> None:
    async with Case("debate") as case:
        slow = ScriptedModel(replies=lambda _: "late", latency=5)

        async def wait(state: Notes) -> dict[str, Any]:
            return {"summary": (await slow.ainvoke("?")).text, "round": 2}

        builder = StateGraph(Notes)
        for name in ("zoe", "ann"):
            builder.add_node(name, noting(name))
            builder.add_edge(START, name)
            builder.add_edge(name, "sum")
        builder.add_node("sum", wait)
        change = Change(("zoe#1.0",))
        waiting = areplay(builder.compile(), case.saver, "t", change, rollout="f", options=case.options())
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(waiting, 0.5)


def test_sync_code_replays_too() -> None:
    graph, saver = KINDS["debate"].build(), InMemorySaver()
    config: Any = {"configurable": {"thread_id": "t"}}
    before = graph.copy({"checkpointer": saver}).invoke(
        {"question": "?", "notes": []}, config, durability="sync"
    )
    found = locate(graph, saver, "t", "sum")
    options = ReplayOptions(located=found, aggregator="sum")
    same = replay(graph, saver, "t", Change(("zoe#1.0",)), rollout="f", options=options)
    assert same is not None
    assert same.state == before
    changed = replay(
        graph, saver, "t", Change(("zoe#1.0",), neutral="(nothing)"), rollout="f", options=options
    )
    assert changed is not None
    assert changed.state["notes"][1] == "(nothing)"  # without recorded replies every string is a word


async def test_sync_code_does_not_wait_for_the_loop_that_it_stops(tmp_path: Path) -> None:
    graph, change = KINDS["debate"].build(), Change(("zoe#1.0",))
    async with AsyncSqliteSaver.from_conn_string(str(tmp_path / "a.db")) as saver:
        done = await record(graph, {"question": "?", "notes": []}, rollout="t", saver=saver)
        with pytest.raises(UserMistake, match=r"AsyncSqliteSaver lives on .* `await areplay\(\.\.\.\)`"):
            replay(graph, saver, "t", change, rollout="f")
        again = await asyncio.to_thread(replay, graph, saver, "t", change, rollout="f")
        assert again is not None
        assert again.state == done.state


async def test_a_store_is_read_and_never_written() -> None:
    store = InMemoryStore()
    store.put(("facts",), "a", {"n": 1})

    def first(state: Notes) -> dict[str, Any]:
        return {"notes": [ask("first")]}

    def second(state: Notes, *, store: BaseStore) -> dict[str, Any]:
        item = store.get(("facts",), "a")
        assert item is not None
        n = item.value["n"]
        store.put(("facts",), "a", {"n": n + 1})
        return {"notes": [f"{n}"]}

    builder = StateGraph(Notes)
    builder.add_node("first", first)
    builder.add_node("second", second)
    builder.add_edge(START, "first")
    builder.add_edge("first", "second")
    builder.add_edge("second", END)
    graph, saver = builder.compile(store=store), InMemorySaver()
    done = await record(graph, {"notes": []}, rollout="t", saver=saver)
    assert done.state["notes"][1] == "1"
    again = await areplay(graph, saver, "t", Change(("first#1.0",)), rollout="f")
    assert again is not None
    assert again.state["notes"][1] == "1"
    item = store.get(("facts",), "a")
    assert item is not None
    assert item.value == {"n": 1}


async def test_earlier_calls_of_a_subgraph_and_one_that_keeps_its_state_are_there() -> None:
    inner = StateGraph(Notes)
    inner.add_node("a", noting("a"))
    inner.add_node("b", noting("b"))
    inner.add_edge(START, "a")
    inner.add_edge("a", "b")
    team = inner.compile()
    memory = inner.compile(checkpointer=True)

    async def twice(state: Notes) -> dict[str, Any]:
        one = await team.ainvoke({"notes": [state["question"]]})
        two = await team.ainvoke({"notes": one["notes"]})
        return {"notes": two["notes"][-1:]}

    async def keeps(state: Notes) -> dict[str, Any]:
        return {"notes": [str(len((await memory.ainvoke({"notes": state["notes"][-1:]}))["notes"]))]}

    builder = StateGraph(Notes)
    builder.add_node("twice", twice)
    builder.add_node("keeps", keeps)
    builder.add_node("sum", summing)
    builder.add_edge(START, "twice")
    builder.add_edge("twice", "keeps")
    builder.add_edge("keeps", "sum")
    builder.add_conditional_edges("sum", lambda s: "keeps" if s["round"] < 3 else END, ["keeps", END])
    graph, saver = builder.compile(), InMemorySaver()
    done = await record(graph, {"question": "?", "notes": []}, rollout="t", saver=saver)
    assert done.error is None
    assert done.state["notes"][1:] == ["3", "6", "9"]
    found = await alocate(graph, saver, "t", trajectory=done.trajectory)
    options = ReplayOptions(trajectory=done.trajectory, located=found)
    for step in found.spots:
        same = await areplay(graph, saver, "t", Change((step,)), rollout="f", options=options)
        assert same is not None
        assert same.error is None, step
        assert same.state == done.state, step


def test_the_model_of_the_suite_depends_on_its_prompt() -> None:
    first = MODEL.invoke([SystemMessage("a"), HumanMessage("b")])
    assert isinstance(first, AIMessage)
    assert first.text == ask("a", "b") != ask("a", "c")
