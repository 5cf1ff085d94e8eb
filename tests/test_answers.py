"""Is a text the right answer? What credit asks of an agent's own words."""

from __future__ import annotations

from typing import Any

import pytest

from langgraph_truce.answers import right_choice
from langgraph_truce.errors import UnknownNameError
from langgraph_truce.task import Task


def task(answer: Any = "B", options: Any = None) -> Task:
    four = {"A": "in (B)", "B": "at A", "C": "x", "D": "y"}
    return Task("t", {"question": "where?", "options": options or four}, {"answer": answer})


@pytest.mark.parametrize(
    ("text", "right"),
    [
        ("The answer is (B).", True),
        ("(C)", False),
        ("nothing to read here", False),
        ("", False),
        ("<think>(A)</think>B", True),
        ("E", False),
    ],
)
def test_a_text_is_right_or_wrong_and_unreadable_is_wrong(text: str, right: bool) -> None:
    assert right_choice()(text, task()) is right


def test_the_letters_are_those_of_the_task() -> None:
    five = dict.fromkeys("ABCDE", "x")

    assert right_choice()("E", task("E", five)) is True
    assert right_choice()("B", task("B", {"A": "yes", "B": "no"})) is True


def test_another_rule_reads_another_letter() -> None:
    text = "(A) is wrong, so it is (B)"

    assert right_choice()(text, task()) is False
    assert right_choice("last_parenthesised")(text, task()) is True


@pytest.mark.parametrize(
    "other",
    [
        Task("t", {"question": "2+2?"}, {"answer": "B"}),
        Task("t", {"question": "2+2?", "options": ["3", "4"]}, {"answer": "B"}),
        task(answer="E"),
        task(answer="4"),
        task(answer="AB"),
        task(answer=None),
        task(answer=["B"]),
        Task("t", {"options": {"A": "x", "B": "y"}}),
    ],
)
def test_what_is_no_multiple_choice_question_cannot_be_told(other: Task) -> None:
    assert right_choice()("B", other) is None


def test_an_unknown_rule_is_said_at_once() -> None:
    with pytest.raises(UnknownNameError, match="no extraction rule 'last'"):
        right_choice("last")


def test_a_task_names_the_rule_that_its_answers_are_read_by() -> None:
    named = Task(
        "t",
        {"question": "?", "options": {"A": "x", "B": "y"}},
        {"answer": "B"},
        {"rule": "last_parenthesised"},
    )
    text = "A looks right, but it is (B)."

    assert right_choice()(text, named) is True
    assert right_choice("first_standalone")(text, named) is False
    assert right_choice()(text, Task("t", named.inputs, named.reference_outputs)) is False
