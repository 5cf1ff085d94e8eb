"""A whole run under a budget: it ends cleanly with the best proven rules, and no call passes the cap."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from langchain_core.messages import HumanMessage, SystemMessage
from langchain_core.runnables import RunnableConfig
from langgraph.graph import END, START, StateGraph
from langgraph.types import RetryPolicy

from langgraph_truce import Budget, Result, Run, System
from langgraph_truce.bind import ainstructions, instructions
from langgraph_truce.errors import BudgetRefused
from langgraph_truce.optimizer import optimize, plan, read_run
from langgraph_truce.rules import RuleBook, parse
from langgraph_truce.testing import ScriptedModel

PRICES = {"scripted": {"input": 1.0, "output": 2.0}}
N = 8
"""Tasks a split."""


def score(outputs: Mapping[str, Any], reference_outputs: Mapping[str, Any]) -> dict[str, Any]:
    right = outputs["answer"] == reference_outputs["answer"]
    return {"key": "exact", "score": right, "comment": "right" if right else "wrong"}


class Loud:
    """The toy's solver as many a graph has it; every call that reaches the model is counted."""

    def __init__(self, **settings: Any) -> None:
        self.model = ScriptedModel(replies=self._reply, **{"max_tokens": 100, **settings})
        self.asked = 0

    def _reply(self, messages: list[Any], *_: Any) -> str:
        self.asked += 1
        question = str(messages[-1].content)
        return question.upper() if "SHOUT" in str(messages[0].content) else question

    def system(self, node: Any, policy: RetryPolicy | None = None) -> System:
        builder: Any = StateGraph(dict)
        builder.add_node("solver", node, retry_policy=policy)
        builder.add_edge(START, "solver")
        builder.add_edge("solver", END)
        return System(
            builder.compile(name="loud"), RuleBook({"solver": parse("solver", "Repeat.\n\n- Be brief.\n")})
        )


async def messages(state: Mapping[str, Any]) -> list[Any]:
    return [SystemMessage(await ainstructions("solver")), HumanMessage(state["question"])]


def plain(model: Any) -> Any:
    async def solver(state: dict[str, Any]) -> dict[str, Any]:
        return {"answer": str((await model.ainvoke(await messages(state))).content)}

    return solver


def swallowing(model: Any) -> Any:
    async def solver(state: dict[str, Any]) -> dict[str, Any]:
        for _ in range(3):
            try:
                return {"answer": str((await model.ainvoke(await messages(state))).content)}
            except Exception:  # noqa: BLE001 - that is what it does
                continue
        return {"answer": "sorry"}

    return solver


def sync(model: Any) -> Any:
    def solver(state: dict[str, Any]) -> dict[str, Any]:
        asked = [SystemMessage(instructions("solver")), HumanMessage(state["question"])]
        return {"answer": str(model.invoke(asked).content)}

    return solver


def streaming(model: Any) -> Any:
    async def solver(state: dict[str, Any]) -> dict[str, Any]:
        return {"answer": "".join([str(c.content) async for c in model.astream(await messages(state))])}

    return solver


def batching(model: Any) -> Any:
    async def solver(state: dict[str, Any]) -> dict[str, Any]:
        replies = await model.abatch([await messages(state)])
        return {"answer": str(replies[0].content)}

    return solver


def generating(model: Any) -> Any:
    async def solver(state: dict[str, Any], config: RunnableConfig) -> dict[str, Any]:
        told = await messages(state)
        result = await model.agenerate([told, told], callbacks=config["callbacks"])
        return {"answer": result.generations[0][0].text}

    return solver


def falling_back(model: Any) -> Any:
    return plain(model.with_fallbacks([model, model]))


def retrying(model: Any) -> Any:
    return plain(model.with_retry(stop_after_attempt=2, wait_exponential_jitter=False))


KINDS = {
    "plain": (plain, {}),
    "swallowing": (swallowing, {}),
    "sync": (sync, {}),
    "streaming": (streaming, {}),
    "batching": (batching, {}),
    "generating": (generating, {}),
    "falling back": (falling_back, {}),
    "retrying": (retrying, {}),
    "not cached": (plain, {"cache": False}),
    "not cached, swallowing": (swallowing, {"cache": False}),
    "not cached, streaming": (streaming, {"cache": False}),
    "not cached, sync": (sync, {"cache": False}),
}


def run(toy: Any, system: System, folder: Path, budget: Budget | None, **more: Any) -> Result:
    method = more.pop("method", None) or toy.method("SHOUT every word.")
    return optimize(
        system, toy.splits(N), more.pop("score", score), method=method, budget=budget, run=folder, **more
    )


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("cap", [{"calls": 20}, {"tokens": 330}])
def test_at_the_cap_no_call_reaches_the_model_and_the_run_ends(
    toy: Any, tmp_path: Path, kind: str, cap: dict[str, Any]
) -> None:
    node, settings = KINDS[kind]
    loud = Loud(**settings)
    result = run(toy, loud.system(node(loud.model)), tmp_path / "run", Budget(**cap))

    total = result.meter["total"]
    assert loud.asked <= cap.get("calls", loud.asked)
    assert total["input_tokens"] + total["output_tokens"] <= cap.get("tokens", 10**9)
    assert "is spent" in result.stopped
    assert result.baseline.n in (0, N)
    again = run(toy, loud.system(node(loud.model)), tmp_path / "run", Budget(**cap))
    assert loud.asked <= cap.get("calls", loud.asked)
    assert again.stopped == result.stopped or result.baseline.n == 0


def test_a_retry_policy_of_the_graph_does_not_ask_again(toy: Any, tmp_path: Path) -> None:
    loud = Loud()
    policy = RetryPolicy(max_attempts=3, initial_interval=0.001, jitter=False, retry_on=lambda e: True)
    result = run(toy, loud.system(plain(loud.model), policy), tmp_path / "run", Budget(calls=20))

    assert loud.asked <= 20
    assert "20 calls is spent" in result.stopped


def test_a_budget_that_suffices_changes_nothing(toy: Any, tmp_path: Path) -> None:
    loud = Loud()
    system = loud.system(plain(loud.model))
    free = run(toy, system, tmp_path / "free", None)
    caps = Budget(calls=1000, tokens=10**6, usd=5.0, seconds=600, prices=PRICES)
    held = run(toy, system, tmp_path / "held", caps)

    assert (held.rules, held.final, held.stopped) == (free.rules, free.final, "")
    assert free.meter["total"]["usd"] is None
    paid = held.meter["total"]
    assert paid["usd"] == pytest.approx((paid["input_tokens"] + 2 * paid["output_tokens"]) / 1e6)
    iterations = {line["iteration"]: line["cost"] for line in held.ledger}
    assert free.ledger[0]["cost"]["usd"] is None
    assert all(cost["usd"] > 0 for cost in iterations.values())
    # the ledger's iterations and the sealed test are the run
    test = held.meter["test"]["usd"]
    assert math.fsum(cost["usd"] for cost in iterations.values()) + test == pytest.approx(paid["usd"])


def test_what_was_proven_before_the_cap_is_kept_and_tested(toy: Any, tmp_path: Path) -> None:
    loud = Loud()
    method = toy.method("SHOUT every word.", iterations=4)
    # train 8 + validation 16 prove the rule; 24 more calls would be the next iterations'; 16 belong to the test
    result = run(toy, loud.system(plain(loud.model)), tmp_path / "run", Budget(calls=45), method=method)

    assert "45 calls is spent" in result.stopped
    assert "held back for the sealed test" in result.stopped
    assert "SHOUT" in result.rules.render("solver")
    assert (result.baseline.mean, result.final.mean) == (0.0, 1.0)
    assert result.difference.n == N
    assert loud.asked <= 45
    assert read_run(tmp_path / "run").stopped == result.stopped


def test_a_test_that_cannot_be_paid_is_not_half_measured_and_is_made_up_for_later(
    toy: Any, tmp_path: Path
) -> None:
    loud = Loud()
    system = loud.system(plain(loud.model))
    result = run(toy, system, tmp_path / "run", Budget(calls=5))

    assert "the sealed test could not be paid" in result.stopped
    assert (result.baseline.n, result.final.n, result.difference.n) == (0, 0, 0)
    assert result.rules == system.book
    assert loud.asked == 5

    more = run(toy, system, tmp_path / "run", Budget(calls=60))
    assert (more.baseline.n, more.final.n) == (N, N)
    assert "5 calls is spent" in more.stopped  # why it did not go on; the test is there now
    assert loud.asked <= 60


def test_a_smaller_budget_stops_a_resumed_run_at_once(toy: Any, tmp_path: Path) -> None:
    loud = Loud()
    system = loud.system(plain(loud.model))

    class PowerCut(Exception):
        pass

    def cut(event: Mapping[str, Any]) -> None:
        if event["stage"] == "gate" and event["done"] == 3:
            raise PowerCut

    with pytest.raises(PowerCut):
        run(toy, system, Run(tmp_path / "run", on_event=cut), Budget(calls=100))  # type: ignore[arg-type]
    asked = loud.asked
    result = run(toy, system, tmp_path / "run", Budget(calls=asked - 1))

    assert loud.asked == asked
    assert "the sealed test could not be paid" in result.stopped


# --- what cannot be kept ------------------------------------------------------------------------------------------


def test_a_critic_without_output_limit_is_refused_before_any_call(toy: Any, tmp_path: Path) -> None:
    loud = Loud()
    critic = ScriptedModel(replies={"": "x"}, model_name="endless")
    with pytest.raises(BudgetRefused, match=r"endless' has no output limit.*max_tokens="):
        run(toy, loud.system(plain(loud.model)), tmp_path / "run", Budget(tokens=1000), model=critic)
    with pytest.raises(BudgetRefused, match=r"price of the model .*endless' is unknown.*prices=FILE"):
        run(
            toy,
            loud.system(plain(loud.model)),
            tmp_path / "run",
            Budget(usd=1, prices=PRICES),
            model={"credit": critic.model_copy(update={"max_tokens": 10})},
        )
    assert loud.asked == 0


@pytest.mark.parametrize("node", [plain, swallowing, falling_back, sync])
def test_a_task_model_without_output_limit_ends_the_run_with_that_sentence(
    toy: Any, tmp_path: Path, node: Any
) -> None:
    loud = Loud(max_tokens=None)
    with pytest.raises(BudgetRefused, match="has no output limit"):
        run(toy, loud.system(node(loud.model)), tmp_path / "run", Budget(tokens=100_000))
    assert loud.asked == 0


# --- judges -------------------------------------------------------------------------------------------------------


class Judge:
    """An evaluator that asks a model."""

    def __init__(self, *, swallow: bool = False) -> None:
        self.model = ScriptedModel(replies=self._reply, model_name="judge", max_tokens=5)
        self.asked = 0
        self.swallow = swallow

    def _reply(self, messages: list[Any], *_: Any) -> str:
        self.asked += 1
        answer, wanted = str(messages[-1].content).split("|")[1:]
        return "yes" if answer == wanted else "no"

    def __call__(self, inputs: dict[str, Any], outputs: Any, reference_outputs: dict[str, Any]) -> bool:
        question = f"Right?|{outputs['answer']}|{reference_outputs['answer']}"
        try:
            return self.model.invoke(question).text == "yes"
        except Exception:
            if self.swallow:
                return False
            raise


def test_judges_are_metered_journalled_and_not_asked_twice(toy: Any, tmp_path: Path) -> None:
    loud, judge = Loud(), Judge()
    system = loud.system(plain(loud.model))
    result = run(toy, system, tmp_path / "run", None, score=judge)

    assert result.final.mean == 1.0
    assert result.meter["evaluate"]["calls"] == judge.asked == loud.asked
    assert result.meter["evaluate"]["unjournalled"] == 0
    run(toy, system, tmp_path / "run", None, score=judge)
    assert result.meter["evaluate"]["calls"] == judge.asked


@pytest.mark.parametrize("swallow", [False, True])
def test_judges_count_towards_the_cap(toy: Any, tmp_path: Path, swallow: bool) -> None:
    loud, judge = Loud(), Judge(swallow=swallow)
    result = run(toy, loud.system(plain(loud.model)), tmp_path / "run", Budget(calls=50), score=judge)

    assert loud.asked + judge.asked <= 50
    assert "50 calls is spent" in result.stopped


def test_a_judge_asked_the_same_of_two_runs_gives_each_its_own_reply(toy: Any, tmp_path: Path) -> None:
    loud, judge = Loud(), Judge()
    method = toy.method(
        "Whisper."
    )  # changes no answer: baseline and candidate ask their judge equal questions
    result = run(toy, loud.system(plain(loud.model)), tmp_path / "run", None, score=judge, method=method)

    assert judge.asked == result.meter["evaluate"]["calls"] == N + 2 * N + N


# --- planned and paid ---------------------------------------------------------------------------------------------


def test_what_was_planned_stands_beside_what_was_paid(toy: Any, tmp_path: Path) -> None:
    loud = Loud()
    system = loud.system(plain(loud.model))
    method = toy.method("SHOUT.")
    result = run(toy, system, tmp_path / "run", None, method=method)

    assert result.planned == plan(system, toy.splits(N), method).to_json()
    for purpose in ("task", "gate", "test"):
        low, high = result.planned[purpose]["calls"]
        assert low <= result.meter[purpose]["calls"] <= high
    run(toy, replace(system, calls=9.0), tmp_path / "run", None, method=method)
    assert read_run(tmp_path / "run").planned == result.planned
