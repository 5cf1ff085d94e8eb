"""Questions to a person: answered, paid once, and shown as one step; unanswered, an error that says what to do."""

from __future__ import annotations

import asyncio
from typing import Any, TypedDict

import pytest
from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import START, StateGraph
from langgraph.store.memory import InMemoryStore
from langgraph.types import interrupt

from langgraph_truce.errors import UserMistake
from langgraph_truce.model import Journal, JournalCallback
from langgraph_truce.rollout.interrupts import RunOptions, Unanswered
from langgraph_truce.rollout.record import record
from langgraph_truce.testing import ScriptedModel
from tests.rollout.kinds.agents import build_asking_tool, build_reviewed
from tests.rollout.kinds.asking import (
    ASKING,
    build_breakpoints,
    build_question,
    build_questions_side_by_side,
)
from tests.rollout.kinds.kind import Kind, talker


class State(TypedDict, total=False):
    text: str
    seen: list[str]


def _one(node: Any) -> Any:
    return StateGraph(State).add_node("asks", node).add_edge(START, "asks").compile()


@pytest.mark.parametrize("saver", [None, InMemorySaver])
async def test_without_a_callable_the_rollout_fails_and_says_what_to_give(kit: Any, saver: Any) -> None:
    graph = build_question(talker())
    done = await record(graph, {"task": "why?"}, rollout="r", saver=saver and saver())
    assert isinstance(done.error, Unanswered)
    assert str(done.error) == (
        "the rollout waits for a person: {'draft': 'asks drafts sees 2'}; give System(interrupts=...), "
        "a callable that answers"
    )
    assert done.state is None
    assert kit.of(done, "asks#1.0").error == "GraphInterrupt: the node waits for a person"
    assert len(kit.of(done, "asks#1.0").calls) == 1


@pytest.mark.parametrize("saver", [None, InMemorySaver])
async def test_a_breakpoint_needs_somebody_too(saver: Any) -> None:
    graph = build_breakpoints(talker())
    done = await record(graph, {"task": "why?"}, rollout="r", saver=saver and saver())
    assert isinstance(done.error, Unanswered)
    assert "it stops at a breakpoint (interrupt_before or interrupt_after)" in str(done.error)


async def test_the_callable_gets_every_value_and_none_at_a_breakpoint() -> None:
    seen: list[Any] = []
    options = RunOptions(interrupts=seen.append)
    await record(build_breakpoints(talker()), {"task": "why?"}, rollout="r", options=options)
    assert seen == [None, None]
    await record(build_questions_side_by_side(talker()), {"task": "why?"}, rollout="r", options=options)
    assert seen[2:] == [{"draft": "a drafts sees 2"}, {"draft": "b drafts sees 2"}]


async def test_an_async_callable_and_one_that_gives_an_awaitable() -> None:
    async def answers(value: Any) -> str:
        await asyncio.sleep(0)
        return f"yes to {value['draft']}"

    for given in (answers, lambda value: answers({**value})):
        done = await record(
            build_question(talker()), {"task": "why?"}, rollout="r", options=RunOptions(interrupts=given)
        )
        assert done.error is None
        assert done.state["notes"][1] == "asks hears yes to asks drafts  sees 2"


async def test_what_the_callable_raises_is_the_rollouts_error() -> None:
    def absent(_: Any) -> str:
        raise LookupError("nobody there")

    done = await record(
        build_question(talker()), {"task": "why?"}, rollout="r", options=RunOptions(interrupts=absent)
    )
    assert isinstance(done.error, LookupError)


async def test_a_node_that_never_stops_asking_ends_as_an_error() -> None:
    async def asks(state: State) -> State:
        while True:
            interrupt("again?")

    options = RunOptions(interrupts=lambda _: "no", at_most_interrupts=3)
    done = await record(_one(asks), {"text": ""}, rollout="r", options=options)
    assert isinstance(done.error, Unanswered)
    assert str(done.error).startswith("the rollout still waits for a person after 3 answers: again?")
    with pytest.raises(UserMistake, match="at_most_interrupts must be at least 1, got 0"):
        RunOptions(at_most_interrupts=0)


async def test_the_time_limit_holds_for_the_answers() -> None:
    async def slow(_: Any) -> str:
        await asyncio.sleep(60)
        return ""

    options = RunOptions(timeout=0.2, interrupts=slow)
    done = await record(build_question(talker()), {"task": "why?"}, rollout="r", options=options)
    assert isinstance(done.error, TimeoutError)


async def test_calls_before_the_question_are_paid_once_and_shown_once(kit: Any) -> None:
    numbers = iter(range(100))
    model = ScriptedModel(replies=lambda _: f"sample {next(numbers)}")
    options = RunOptions(interrupts=lambda value: value["draft"])
    with Journal(InMemoryStore()) as journal, journal.installed():
        config = RunnableConfig(callbacks=[JournalCallback(journal, ("t",))])
        done = await record(
            build_question(model), {"task": "why?"}, rollout="r", config=config, options=options
        )
    assert done.error is None
    assert len(model.calls) == 3
    assert done.state["notes"] == [
        "sample 0",
        "sample 1",
        "sample 2",
    ]  # it is answered about what it goes on with
    assert len(kit.of(done, "asks#1.0").calls) == 2
    assert kit.of(done, "asks#1.0").error == ""


async def test_without_journal_other_replies_of_the_first_attempt_are_kept(kit: Any) -> None:
    numbers = iter(range(100))
    model = ScriptedModel(replies=lambda _: f"sample {next(numbers)}")
    done = await record(
        build_question(model), {"task": "why?"}, rollout="r", options=RunOptions(interrupts=lambda _: "ok")
    )
    value = done.trajectory.value
    said = [value(c.output)["content"] for c in kit.of(done, "asks#1.0").calls if c.output]
    assert said == ["sample 0", "sample 1", "sample 2"]
    assert done.state["notes"] == ["sample 1", "sample 2", "sample 3"]


async def test_a_tool_that_asked_is_one_tool_call(kit: Any) -> None:
    done = await record(
        build_asking_tool(talker()),
        {"messages": [("user", "hi")]},
        rollout="r",
        options=RunOptions(interrupts=lambda question: f"yes to {question}"),
    )
    (used,) = kit.of(done, "tools#1.0").tools
    assert (used["name"], used["error"]) == ("ask_person", "")
    assert done.trajectory.value(used["output"])["content"] == "they said yes to x"


async def test_a_payload_of_middleware_comes_as_it_is_and_its_answer_counts(kit: Any) -> None:
    seen: list[Any] = []

    def edit(value: Any) -> Any:
        seen.append(value)
        edited = {"name": "add", "args": {"a": 3, "b": 4}}
        return {"decisions": [{"type": "edit", "edited_action": edited}]}

    done = await record(
        build_reviewed(talker()),
        {"messages": [("user", "hi")]},
        rollout="r",
        options=RunOptions(interrupts=edit),
    )
    assert [r["name"] for value in seen for r in value["action_requests"]] == ["add"]  # as it comes: a dict
    (wrote,) = kit.wrote(done, "desk/tools#1.0")["messages"]
    assert wrote["content"].endswith("7")
    assert kit.wrote(done, "desk/model#1.0")["messages"][0]["tool_calls"][0]["args"] == {"a": 2, "b": 2}


async def test_state_changed_in_place_before_the_question_is_as_it_was() -> None:
    async def asks(state: State) -> State:
        state["seen"].append("attempt")
        interrupt("well?")
        return {"seen": state["seen"]}

    done = await record(_one(asks), {"seen": []}, rollout="r", options=RunOptions(interrupts=lambda _: "ok"))
    assert done.state["seen"] == ["attempt"]


async def test_a_saved_thread_that_waits_goes_on(kit: Any) -> None:
    saver = InMemorySaver()
    graph = build_question(talker())
    await record(graph, {"task": "why?"}, rollout="r", saver=saver)
    options = RunOptions(interrupts=lambda _: "ok")
    done = await record(graph, None, rollout="r", saver=saver, options=options)
    assert done.error is None
    assert kit.ids(done.trajectory) == ["asks#1.0", "end#1.0"]
    assert not any(step.error for step in done.trajectory.steps)


@pytest.mark.parametrize("kind", ASKING, ids=str)
async def test_with_a_journal_no_kind_of_question_is_paid_twice(kind: Kind) -> None:
    numbers = iter(range(100))
    model = ScriptedModel(replies=lambda _: f"sample {next(numbers)}")
    options = RunOptions(interrupts=kind.answers)
    with Journal(InMemoryStore()) as journal, journal.installed():
        config = RunnableConfig(callbacks=[JournalCallback(journal, ("t",))])
        done = await record(kind.build(model), kind.given(), rollout="r", config=config, options=options)
    assert done.error is None
    assert len(model.calls) == kind.calls
    assert sum(len(step.calls) for step in done.trajectory.steps) == kind.calls
