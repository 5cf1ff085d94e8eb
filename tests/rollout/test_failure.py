"""Whose failure spoiled a rollout: the infrastructure's is tried again and excluded, the user's is scored."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypedDict

import httpx
import openai
import pytest
from langchain_core.runnables import Runnable
from langgraph.graph import END, START, StateGraph
from langgraph.store.memory import InMemoryStore

from langgraph_truce.errors import EvaluatorError
from langgraph_truce.evaluate import as_evaluator
from langgraph_truce.model import Journal, Patience
from langgraph_truce.rollout.failure import first
from langgraph_truce.rollout.run import Runner
from langgraph_truce.rules import RuleBook, parse
from langgraph_truce.seams import Rollout
from langgraph_truce.system import System
from langgraph_truce.task import Task
from langgraph_truce.testing import ScriptedModel
from tests.rollout.sharing import Held

QUICK = Patience(attempts=3, back_off=0.001)
BOOK = RuleBook({"solver": parse("solver", "Solve.\n")})


class State(TypedDict, total=False):
    question: str
    answer: str


def exact(outputs: Mapping[str, Any]) -> bool:
    return bool(outputs["answer"] == "yes")


async def rolled(node: Any, score: Any = exact, **settings: Any) -> Rollout:
    builder = StateGraph(State)
    builder.add_node("solver", node)
    builder.add_edge(START, "solver")
    builder.add_edge("solver", END)
    system = System(builder.compile(), BOOK, **settings)
    with Journal(InMemoryStore()) as journal, journal.installed():
        runner = Runner(system, as_evaluator(score), journal, Held())
        runner.patience = QUICK
        (rollout,) = await runner.run_all([Task("t", {"question": "?"}, {})], BOOK)
    return rollout


def asking(model: Runnable[Any, Any]) -> Callable[[State], Any]:
    async def node(state: State) -> State:
        return {"answer": str((await model.ainvoke(state["question"])).content)}

    return node


def scripted(*replies: str | BaseException) -> ScriptedModel:
    return ScriptedModel(replies={"": replies})


async def test_a_model_call_that_fails_is_tried_again_then_excluded() -> None:
    mended = await rolled(asking(scripted(ConnectionResetError("gone"), "yes")))
    assert (mended.outcome.score, mended.outcome.excluded) == (1.0, "")

    failed = scripted(*[ConnectionResetError("gone")] * 9)
    left_out = await rolled(asking(failed))
    assert left_out.outcome.excluded == "infrastructure failed 3 times: ConnectionResetError: gone"
    assert len(failed.calls) == 3


async def test_a_swallowed_failure_is_no_answer() -> None:
    model = scripted(ConnectionResetError("gone"), "yes")

    async def node(state: State) -> State:
        try:
            return {"answer": str((await model.ainvoke("?")).content)}
        except ConnectionError:
            return {"answer": "sorry"}

    assert (await rolled(node)).outcome.score == 1.0


async def test_a_fallback_makes_it_good() -> None:
    first_choice = scripted(*[ConnectionResetError("gone")] * 9)
    rollout = await rolled(asking(first_choice.with_fallbacks([scripted("yes")])))

    assert (rollout.outcome.score, rollout.outcome.excluded) == (1.0, "")
    assert len(first_choice.calls) == 1


@pytest.mark.parametrize(
    "error",
    [
        ConnectionRefusedError("search is down"),
        httpx.ConnectError("search is down"),
        TimeoutError("slow"),
        ValueError("x"),
    ],
    ids=lambda e: type(e).__name__,
)
async def test_what_the_users_own_code_raises_is_scored(error: Exception) -> None:
    tries: list[int] = []

    async def node(state: State) -> State:
        tries.append(1)
        raise error

    rollout = await rolled(node)
    assert rollout.outcome.excluded == ""
    assert rollout.outcome.error.startswith(type(error).__name__)
    assert len(tries) == 1


class SearchDown(ConnectionError):
    infrastructure = True


async def test_an_exception_says_itself_whose_fault_it_is() -> None:
    async def excluded(state: State) -> State:
        raise RuntimeError("no facts") from SearchDown("the index is rebuilt")

    model = scripted(*[ConnectionResetError("gone")] * 9)

    async def scored(state: State) -> State:
        try:
            return {"answer": str((await model.ainvoke("?")).content)}
        except ConnectionError as error:
            error.infrastructure = False  # type: ignore[attr-defined]
            raise

    assert (await rolled(excluded)).outcome.excluded.startswith("infrastructure failed 3 times")
    assert (await rolled(scored)).outcome.error == "ConnectionResetError: gone"


async def test_a_providers_client_called_past_langchain() -> None:
    async def node(state: State) -> State:
        raise openai.APIConnectionError(request=httpx.Request("POST", "http://127.0.0.1/v1"))  # type: ignore[arg-type]

    assert (await rolled(node)).outcome.excluded.startswith(
        "infrastructure failed 3 times: APIConnectionError"
    )


async def test_the_time_limit_of_a_rollout_is_the_users() -> None:
    rollout = await rolled(asking(ScriptedModel(replies={"": "yes"}, latency=30)), timeout=0.05)

    assert (rollout.outcome.excluded, rollout.outcome.error.split(":")[0]) == ("", "TimeoutError")


async def test_an_evaluator_whose_judge_is_down_is_asked_again() -> None:
    told: list[int] = []

    def judge(outputs: Mapping[str, Any]) -> bool:
        told.append(1)
        if len(told) < 3:
            raise httpx.ConnectError("the judge is down")
        return True

    model = scripted("yes")
    rollout = await rolled(asking(model), judge)
    assert (rollout.outcome.score, len(told), len(model.calls)) == (1.0, 3, 1)


async def test_an_evaluator_whose_judge_stays_down_excludes_and_one_that_is_wrong_stops() -> None:
    def judge(outputs: Mapping[str, Any]) -> bool:
        raise httpx.ConnectError("the judge is down")

    def wrong(outputs: Mapping[str, Any]) -> bool:
        raise KeyError("nothing here")

    left_out = await rolled(asking(scripted("yes")), judge)
    assert (
        left_out.outcome.excluded
        == "the evaluator's endpoint failed 3 times: ConnectError: the judge is down"
    )
    with pytest.raises(EvaluatorError, match="nothing here"):
        await rolled(asking(scripted("yes")), wrong)


def test_the_first_real_error_of_nested_groups() -> None:
    inner = ValueError("x")

    assert first(ExceptionGroup("a", [ExceptionGroup("b", [inner]), KeyError("y")])) is inner
