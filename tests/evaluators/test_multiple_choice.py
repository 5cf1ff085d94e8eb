"""multiple_choice and majority_vote: right, wrong and invalid apart, with the rule in every comment."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from langgraph_truce.evaluators.majority_vote import majority_vote, majority_vote_with
from langgraph_truce.evaluators.multiple_choice import multiple_choice, multiple_choice_with
from langsmith.evaluation import run_evaluator
from langsmith.schemas import Example, Run

from langgraph_truce import evaluators
from langgraph_truce.errors import EvaluatorError, UnknownNameError, UserMistake
from langgraph_truce.evaluate import as_evaluator
from langgraph_truce.task import Outcome, Task

OPTIONS = {"A": "vitamin (B)", "B": "5 (A)", "C": "C", "D": "none of these"}
TASK = Task("t", {"question": "which?", "options": OPTIONS}, {"answer": "B"})
FIVE = Task("t", {"question": "which?", "options": OPTIONS | {"E": "12"}}, {"answer": "E"})


async def scored(evaluator: Any, outputs: Any, task: Task = TASK) -> Outcome:
    """What `optimize(score=evaluator)` makes of it: nothing is declared beside the function."""
    return await as_evaluator(evaluator)(task, outputs)


@pytest.mark.parametrize(
    ("outputs", "score", "valid", "feedback"),
    [
        ({"answer": "The answer is (B)."}, 1.0, 1.0, "right: B (first_standalone/1)"),
        ("B) 5 (A)", 1.0, 1.0, "right: B (first_standalone/1)"),
        ({"answer": "(A)"}, 0.0, 1.0, "wrong: expected B, got A (first_standalone/1)"),
        (
            {"answer": "who knows"},
            0.0,
            0.0,
            "invalid: expected B, none of ABCD can be read (first_standalone/1)",
        ),
        ({"answer": "E"}, 0.0, 0.0, "invalid: expected B, none of ABCD can be read (first_standalone/1)"),
        ({"reply": "B"}, 0.0, 0.0, "invalid: expected B, none of ABCD can be read (first_standalone/1)"),
        ({"answer": ["B"]}, 0.0, 0.0, "invalid: expected B, none of ABCD can be read (first_standalone/1)"),
        (None, 0.0, 0.0, "invalid: expected B, none of ABCD can be read (first_standalone/1)"),
    ],
)
async def test_invalid_is_counted_apart_from_wrong(
    outputs: Any, score: float, valid: float, feedback: str
) -> None:
    outcome = await scored(evaluators.load("multiple_choice"), outputs)

    assert outcome.score == score
    assert outcome.scores == {"multiple_choice": score, "valid": valid}
    assert outcome.feedback == feedback


async def test_another_rule_is_named_with_its_scores() -> None:
    evaluator = multiple_choice_with(rule="last_parenthesised")
    outcome = await scored(evaluator, {"answer": "(A) fails, so (B)"})

    assert outcome.feedback == "right: B (last_parenthesised/1)"
    assert as_evaluator(evaluator).name == "multiple_choice(last_parenthesised/1)"


async def test_a_rule_of_four_letters_is_never_right_where_the_fifth_option_is() -> None:
    assert (await scored(multiple_choice, "E", FIVE)).score == 1.0

    four = multiple_choice_with(letters="ABCD")
    for reply in ("E", "A", "(E)"):
        assert (await scored(four, reply, FIVE)).score == 0.0
    assert (await scored(four, "E", FIVE)).scores["valid"] == 0.0


async def test_letters_stand_in_for_options_in_the_question_itself() -> None:
    task = Task("t", {"question": "which? A) 1 B) 2"}, {"answer": "B"})

    assert (await scored(multiple_choice_with(letters="AB"), "B", task)).score == 1.0
    with pytest.raises(EvaluatorError, match=r"task 't' .*inputs\['options'\].*letters='ABCD'"):
        await scored(multiple_choice, "B", task)
    with pytest.raises(EvaluatorError, match="right letter"):
        await scored(multiple_choice, "B", Task("t", {"options": OPTIONS}, {"answer": "two"}))


@pytest.mark.parametrize("make", [multiple_choice_with, majority_vote_with])
def test_a_wrong_setting_is_said_before_the_first_task(make: Any) -> None:
    with pytest.raises(UnknownNameError, match="no extraction rule 'last'"):
        make(rule="last")
    with pytest.raises(UserMistake, match="first 2 to 10"):
        make(letters="A-D")


async def test_the_objective_of_an_evaluator_gives_way_to_a_named_one() -> None:
    outcome = await as_evaluator(multiple_choice, objective="valid")(TASK, "A")

    assert outcome.score == 1.0


@pytest.mark.parametrize("name", ["multiple_choice", "majority_vote"])
def test_langsmith_takes_them_as_they_are(name: str) -> None:
    ids, now = uuid.UUID(int=1), datetime.now(UTC)
    outputs = {"answer": "(B)", "answers": ["(B)"]}
    run = Run(id=ids, trace_id=ids, name="r", run_type="chain", start_time=now, inputs={}, outputs=outputs)
    example = Example(
        id=ids, dataset_id=ids, inputs=dict(TASK.inputs), outputs={"answer": "B"}, created_at=now
    )
    results: Any = run_evaluator(evaluators.load(name)).evaluate_run(run, example)
    both = {r.key: r for r in results["results"]}

    assert {k: r.score for k, r in both.items()} == {name: 1.0, "valid": 1.0}
    assert all(r.evaluator_info == {"rule": "first_standalone/1"} and r.value == "B" for r in both.values())


@pytest.mark.parametrize(
    ("answers", "score", "valid", "feedback"),
    [
        (["B", "(B)", "A"], 1.0, 1.0, "right: B, 2 of 3 votes, 0 invalid (first_standalone/1)"),
        (["A", "B"], 0.0, 1.0, "wrong: expected B, got A, 1 of 2 votes, 0 invalid (first_standalone/1)"),
        (["B", "A"], 1.0, 1.0, "right: B, 1 of 2 votes, 0 invalid (first_standalone/1)"),
        (["none", "?", "B", "hm"], 1.0, 0.25, "right: B, 1 of 4 votes, 3 invalid (first_standalone/1)"),
        (
            ["none", None],
            0.0,
            0.0,
            "invalid: expected B, none of ABCD can be read in 2 answers (first_standalone/1)",
        ),
        ([], 0.0, 0.0, "invalid: expected B, none of ABCD can be read in 0 answers (first_standalone/1)"),
    ],
)
async def test_the_majority_ignores_what_cannot_be_read(
    answers: Sequence[Any], score: float, valid: float, feedback: str
) -> None:
    evaluator = evaluators.load("majority_vote")
    outcome = await scored(evaluator, {"answers": answers})

    assert outcome.scores == {"majority_vote": score, "valid": valid}
    assert (outcome.score, outcome.feedback) == (score, feedback)
    assert await scored(evaluator, answers) == Outcome(answers, score, feedback, outcome.scores)


async def test_a_vote_may_be_one_text_and_what_is_no_list_has_no_vote() -> None:
    evaluator = majority_vote_with(field="said")

    assert (await scored(evaluator, {"said": "(B)"})).score == 1.0
    assert (await scored(evaluator, {"said": 3})).scores["valid"] == 0.0
    assert (await scored(evaluator, {"answers": ["B"]})).scores["valid"] == 0.0


@given(
    st.sampled_from("ABCD"), st.sampled_from("ABCD"), st.lists(st.sampled_from(["", "?", "none"]), max_size=4)
)
@settings(max_examples=40)
def test_a_unanimous_vote_scores_as_its_single_answer_does(
    letter: str, right: str, unread: list[str]
) -> None:
    question, reference = {"options": OPTIONS}, {"answer": right}
    alone = multiple_choice(question, letter, reference)[0]["score"]
    several = majority_vote(question, [*unread, letter, letter], reference)[0]["score"]

    assert several == alone == float(letter == right)
