"""A time limit is the same for every rollout, whatever of it is found in the journal or shared with another one."""

from __future__ import annotations

import asyncio
from typing import Any, TypedDict

from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, HumanMessage, SystemMessage
from langchain_core.outputs import ChatGeneration, ChatResult
from langgraph.graph import START, StateGraph

from langgraph_truce.bind import ainstructions
from langgraph_truce.model.attempt import Spared
from langgraph_truce.rules import RuleBook
from langgraph_truce.seams import Rollout
from langgraph_truce.system import System
from tests.rollout.sharing import book_of, edited, paid, running, tasks

SECONDS = {"slow": 1.0, "at first": 0.0}


class Timed(BaseChatModel):
    """Takes as long as its task says; `at first`: the first call never comes back."""

    asked: int = 0

    @property
    def _llm_type(self) -> str:
        return "timed"

    def _generate(self, *args: Any, **kwargs: Any) -> ChatResult:
        raise NotImplementedError

    async def _agenerate(self, messages: Any, *args: Any, **kwargs: Any) -> ChatResult:
        self.asked += 1
        hangs = messages[-1].text == "at first" and self.asked == 1
        await asyncio.sleep(60 if hangs else SECONDS[messages[-1].text])
        return ChatResult(generations=[ChatGeneration(message=AIMessage("done"))])


class State(TypedDict, total=False):
    pace: str
    case: int
    one: str
    side: str
    two: str


def node(name: str, model: Timed) -> Any:
    async def run(state: State) -> dict[str, str]:
        text = [SystemMessage(await ainstructions(name)), HumanMessage(state["pace"])]
        return {name: (await model.ainvoke(text)).text}

    return run


def system(book: RuleBook, timeout: float) -> System:
    graph, model = StateGraph(State), Timed()
    for name in ("one", "side", "two"):
        graph.add_node(name, node(name, model))
    graph.add_edge(START, "one")
    graph.add_edge(START, "side")
    graph.add_edge("one", "two")
    return System(graph.compile(), rules=book, outputs=lambda s: s["two"], timeout=timeout)


async def two_arms(pace: str, timeout: float) -> tuple[Rollout, Rollout, int]:
    """The rollout of a book, that of an edit of its last agent, and how many calls that one made."""
    book = book_of("one", "side", "two")
    async with running(system(book, timeout)) as runner:
        (before,) = await runner.run_all(tasks(1, pace=pace), book, purpose="gate")
        calls = paid(runner)
        (after,) = await runner.run_all(tasks(1, pace=pace), edited(book, "two"), purpose="gate", parent=book)
        return before, after, paid(runner) - calls


async def test_replies_from_the_journal_take_the_time_they_took() -> None:
    """Else a candidate, whose prefix is found there, has more time than its baseline, and an edit of nothing wins."""
    before, after, _ = await two_arms("slow", timeout=1.6)
    assert before.outcome.error.startswith("TimeoutError")
    assert after.outcome.error.startswith("TimeoutError")


async def test_a_call_that_was_cut_off_by_the_limit_is_not_drawn_again() -> None:
    """Only finished replies are in the journal: a second chance for the others alone would favour the candidate."""
    before, after, _ = await two_arms("at first", timeout=0.6)
    assert before.outcome.error.startswith("TimeoutError")
    assert after.outcome.error.startswith("TimeoutError")


async def test_calls_side_by_side_count_once() -> None:
    before, after, calls = await two_arms("slow", timeout=2.7)  # two steps of a second, three calls of one
    assert (before.outcome.error, after.outcome.error, calls) == ("", "", 1)


def test_time_is_added_up_along_steps_and_not_beside() -> None:
    spared = Spared()
    for place, seconds in (
        ("one#1", 2.0),
        ("one#1", 1.0),  # after another in one node
        ("side#1", 4.0),
        ("team#2.0/worker#1", 5.0),
        ("team#2.0/judge#2", 5.0),
        ("team#2.1/worker#1", 7.0),
    ):
        spared.add(place, seconds, key=f"{place}-{seconds}")
    assert spared.seconds == 4.0 + 10.0
    spared.made("mine")
    spared.add("one#1", 100.0, key="mine")  # it waited for that one itself
    assert spared.seconds == 14.0
