"""Reward shaping: evaluators that score the states between rounds."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from langgraph_truce.codec import from_json, to_json
from langgraph_truce.errors import EvaluatorError
from langgraph_truce.evaluate import as_evaluator
from langgraph_truce.shaping import shaped
from langgraph_truce.task import Outcome, Task
from langgraph_truce.testing.batches import make_trajectory

TASK = Task("t1", {"question": "q"}, {"answer": "42"})
TRAIL = make_trajectory("t1.0", [("a", 1, "40"), ("b", 1, "41"), ("a", 2, "42")])


def wrong(outputs: Any) -> float:
    return 0.0


def digits(state: dict[str, Any], reference_outputs: dict[str, Any]) -> float:
    return 1.0 if state["messages"] == reference_outputs["answer"] else 0.25


async def test_every_round_is_scored_and_the_objective_stays() -> None:
    outcome = await as_evaluator(wrong, progress=digits)(TASK, "x", trajectory=TRAIL)

    assert outcome.progress == {"1": 0.25, "2": 1.0}
    assert outcome.score == 0.0
    assert from_json(Outcome, to_json(outcome)) == outcome


async def test_shaping_mixes_the_mean_progress_in() -> None:
    outcome = await as_evaluator(wrong, progress=digits, shaping=0.4)(TASK, "x", trajectory=TRAIL)

    assert outcome.score == pytest.approx(0.4 * (0.25 + 1.0) / 2)
    assert outcome.scores == {"wrong": 0.0}


async def test_progress_has_the_range_of_the_score() -> None:
    async def halfway(round: int, inputs: dict[str, Any]) -> float:  # noqa: A002 - its name
        assert inputs == {"question": "q"}
        return 5.0 * round

    outcome = await as_evaluator(wrong, high=10.0, progress=halfway)(TASK, "x", trajectory=TRAIL)

    assert outcome.progress == {"1": 0.5, "2": 1.0}


@pytest.mark.parametrize(
    ("returns", "says"),
    [
        (float("nan"), "after round 1 returned nan"),
        (1.5, "after round 1 returned 1.5"),
        ("good", "after round 1 returned 'good'"),
        (KeyError("board"), "after round 1 raised KeyError: 'board'"),
    ],
)
async def test_what_is_no_progress_is_one_sentence(returns: Any, says: str) -> None:
    def bad() -> Any:
        if isinstance(returns, Exception):
            raise returns
        return returns

    with pytest.raises(EvaluatorError, match=rf"progress 'bad' on task 't1' {says}"):
        await as_evaluator(wrong, progress=bad)(TASK, "x", trajectory=TRAIL)


async def test_without_a_trajectory_no_state_is_scored_and_none_is_weighed() -> None:
    assert (await as_evaluator(wrong, progress=digits)(TASK, "x")).progress == {}
    with pytest.raises(EvaluatorError, match=r"weighs progress by 0\.5 and no trajectory"):
        await as_evaluator(wrong, progress=digits, shaping=0.5)(TASK, "x")


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"shaping": 0.5}, r"shaping=0\.5"),
        ({"shaping": 1.0, "progress": digits}, r"shaping=1\.0"),
        ({"shaping": -0.1, "progress": digits}, r"shaping=-0\.1"),
        ({"progress": 3}, r"progress= is a function.*got 3"),
        ({"progress": lambda outputs: 1.0}, r"parameter 'outputs'; it may ask, by name, for: inputs, state"),
    ],
)
def test_settings_out_of_range_are_refused(settings: dict[str, Any], says: str) -> None:
    with pytest.raises(EvaluatorError, match=says):
        as_evaluator(wrong, **settings)


async def test_an_evaluator_keeps_its_progress_when_it_is_set_anew() -> None:
    once = as_evaluator(wrong, progress=digits)
    again = as_evaluator(once, shaping=0.5)

    assert as_evaluator(once) is once
    assert (await again(TASK, "x", trajectory=TRAIL)).score == pytest.approx(0.3125)


@given(
    st.floats(0, 1),
    st.dictionaries(st.text(), st.floats(0, 1), max_size=5),
    st.floats(0, 1, exclude_max=True),
)
def test_the_shaped_score_stays_in_range(score: float, progress: dict[str, float], weight: float) -> None:
    assert -1e-12 <= shaped(score, progress, weight) <= 1 + 1e-12
    assert shaped(score, progress, 0.0) == score
    assert shaped(score, {}, weight) == score
