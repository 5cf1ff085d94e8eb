"""Evaluators: every form LangSmith allows is read alike, and what is no score is one sentence."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from langsmith.evaluation import EvaluationResult, run_evaluator
from langsmith.schemas import Example, Run

from langgraph_truce.errors import EvaluatorError
from langgraph_truce.evaluate import as_evaluator
from langgraph_truce.task import Task

TASK = Task("t7", {"question": "2+2?"}, {"answer": "4"}, {"level": "easy"})


def returns(value: Any) -> Callable[..., Any]:
    def score(outputs: Any) -> Any:
        return value

    return score


@pytest.mark.parametrize(
    ("value", "expected", "feedback"),
    [
        (0.25, 0.25, ""),
        (1, 1.0, ""),
        (True, 1.0, ""),
        (False, 0.0, ""),
        (np.float32(0.5), 0.5, ""),
        (np.bool_(True), 1.0, ""),
        ({"key": "right", "score": 0.5, "comment": "half"}, 0.5, "half"),
        ({"score": True}, 1.0, ""),
        (EvaluationResult(key="k", score=0.75, comment="near"), 0.75, "near"),
        ([{"key": "k", "score": 0.1}], 0.1, ""),
        ({"results": [EvaluationResult(key="k", score=0.2)]}, 0.2, ""),
        (1 + 1e-12, 1.0, ""),
    ],
)
async def test_every_form_langsmith_allows_is_read(value: Any, expected: float, feedback: str) -> None:
    outcome = await as_evaluator(returns(value))(TASK, {"answer": "4"})

    assert outcome.score == pytest.approx(expected)
    assert outcome.feedback == feedback
    assert outcome.result == {"answer": "4"}
    assert list(outcome.scores.values()) == [outcome.score]


async def test_parameters_are_given_by_name() -> None:
    seen: dict[str, Any] = {}

    async def score(
        reference_outputs: dict[str, Any],
        inputs: dict[str, Any],
        run: Run,
        example: Example,
        strict: bool = True,
    ) -> float:
        seen.update(reference=reference_outputs, inputs=inputs, run=run, example=example, strict=strict)
        return 1.0

    await as_evaluator(score)(TASK, "four")

    assert seen["reference"] == {"answer": "4"}
    assert seen["inputs"] == {"question": "2+2?"}
    assert seen["run"].outputs == {"output": "four"}
    assert seen["run"].reference_example_id == seen["example"].id
    assert seen["example"].outputs == {"answer": "4"}
    assert seen["example"].metadata == {"level": "easy"}
    assert seen["strict"] is True


async def test_a_run_that_is_given_is_handed_on() -> None:
    def score(run: Any) -> float:
        return 1.0 if run == "mine" else 0.0

    assert (await as_evaluator(score)(TASK, "x", run="mine")).score == 1.0


async def test_run_evaluators_of_langsmith_work() -> None:
    @run_evaluator
    def right(run: Run, example: Example | None) -> dict[str, Any]:
        assert example is not None
        assert run.outputs is not None
        assert example.outputs is not None
        return {"key": "right", "score": run.outputs["answer"] == example.outputs["answer"]}

    evaluate = as_evaluator(right)

    assert (await evaluate(TASK, {"answer": "4"})).scores == {"right": 1.0}
    assert (await evaluate(TASK, {"answer": "5"})).score == 0.0


async def test_the_objective_is_primary_and_the_other_keys_are_kept() -> None:
    both = [
        {"key": "short", "score": 0.0, "comment": "too long"},
        {"key": "right", "score": 1.0, "comment": "exact"},
    ]

    outcome = await as_evaluator(returns(both), objective="right")(TASK, "x")

    assert outcome.score == 1.0
    assert outcome.scores == {"short": 0.0, "right": 1.0}
    assert outcome.feedback == "exact\nshort: too long"


@given(st.floats(-1e6, 1e6), st.floats(1e-3, 1e6), st.floats(0, 1))
def test_a_declared_range_becomes_0_to_1(low: float, width: float, share: float) -> None:
    import asyncio

    high = low + width
    score = min(high, max(low, low + share * width))

    outcome = asyncio.run(as_evaluator(returns(score), low=low, high=high)(TASK, "x"))

    assert 0.0 <= outcome.score <= 1.0
    assert outcome.score == pytest.approx(share, abs=1e-6)


@pytest.mark.parametrize(
    ("value", "says"),
    [
        (math.nan, "nan"),
        (math.inf, "inf"),
        (1.5, "1.5"),
        (-0.1, "-0.1"),
        (None, "NoneType"),
        ("good", "'good' (str)"),
        (1j, "complex"),
        ([], "no score"),
        ({"key": "k", "comment": "no score here"}, "without 'score'"),
        ({"key": "k", "score": None}, "NoneType"),
        ([{"key": "a", "score": 1}, {"key": "a", "score": 0}], "'a' twice"),
        ([{"key": "a", "score": 1}, {"key": "b", "score": 0}], "objective="),
    ],
)
async def test_what_is_no_score_is_one_sentence(value: Any, says: str) -> None:
    with pytest.raises(EvaluatorError) as caught:
        await as_evaluator(returns(value))(TASK, "x")

    message = str(caught.value)
    assert says in message
    assert "'t7'" in message
    assert "'score'" in message
    assert "\n" not in message


async def test_an_evaluator_that_raises_is_named_with_the_task() -> None:
    def broken(outputs: Any) -> float:
        return float(outputs["answer"])

    with pytest.raises(EvaluatorError, match=r"'broken' on task 't7' raised KeyError: 'answer'") as caught:
        await as_evaluator(broken)(TASK, {})

    assert isinstance(caught.value.__cause__, KeyError)


async def test_a_missing_objective_lists_the_keys_that_came() -> None:
    with pytest.raises(EvaluatorError, match="no key 'right', the objective; it returned 'k'"):
        await as_evaluator(returns({"key": "k", "score": 1}), objective="right")(TASK, "x")


def test_unknown_parameters_are_refused_when_the_evaluator_is_made() -> None:
    def score(prediction: str, outputs: Any) -> float:
        return 1.0

    with pytest.raises(EvaluatorError, match="'prediction'; it may ask, by name, for: inputs, outputs"):
        as_evaluator(score)


@pytest.mark.parametrize("fn", [3, "score", None])
def test_what_is_no_function_is_refused(fn: Any) -> None:
    with pytest.raises(EvaluatorError, match="an evaluator is a function of some of"):
        as_evaluator(fn)


@pytest.mark.parametrize(("low", "high"), [(1.0, 1.0), (2.0, 1.0), (0.0, math.inf), (math.nan, 1.0)])
def test_an_empty_range_is_refused(low: float, high: float) -> None:
    with pytest.raises(EvaluatorError, match="give low < high"):
        as_evaluator(returns(1), low=low, high=high)


def test_an_evaluator_is_made_once() -> None:
    evaluate = as_evaluator(returns(1), low=0, high=10)

    assert as_evaluator(evaluate) is evaluate
    assert as_evaluator(evaluate, objective="k").objective == "k"
