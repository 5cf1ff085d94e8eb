from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from langgraph_truce import evaluators

exact_match = evaluators.load("exact_match")
json_fields = evaluators.load("json_fields")


@pytest.mark.parametrize(
    ("outputs", "reference", "score"),
    [
        ({"answer": " 42\n"}, {"answer": "42"}, 1.0),
        ({"answer": 42.0}, {"answer": 42}, 1.0),
        ({"answer": "42"}, {"answer": 42}, 0.0),
        ("New  York", {"answer": "new york"}, 1.0),
        ({"answer": "x", "why": "extra"}, {"answer": "x"}, 1.0),
        ({"a": "x", "b": "y"}, {"a": "x", "b": "z"}, 0.0),
        ({"items": ["A", {"k": "B"}]}, {"items": ["a", {"k": "b"}]}, 1.0),
        (None, {"a": 1, "b": 2}, 0.0),
    ],
)
def test_exact_match_compares_the_whole_answer(outputs: Any, reference: dict[str, Any], score: float) -> None:
    assert exact_match(outputs, reference)["score"] == score


def test_exact_match_names_what_was_expected_and_given() -> None:
    comment = exact_match({"a": "x"}, {"a": "y", "b": 2})["comment"]
    assert "a: expected 'y', got 'x'" in comment
    assert "b: expected 2, got nothing" in comment


@pytest.mark.parametrize(
    ("outputs", "score"),
    [
        ({"team": "RED", "code": " K-1 "}, 1.0),
        ('{"team": "red", "code": "K-2"}', 0.5),
        ({"team": "red"}, 0.5),
        ("no json", 0.0),
        (["red"], 0.0),
        (None, 0.0),
    ],
)
def test_json_fields_counts_right_fields(outputs: Any, score: float) -> None:
    assert json_fields(outputs, {"team": "red", "code": "K-1"})["score"] == score


def test_json_fields_comment_names_every_wrong_field_and_no_right_one() -> None:
    comment = json_fields({"team": "blue", "code": "K-1"}, {"team": "red", "code": "K-1", "desk": "ash"})[
        "comment"
    ]
    assert comment == "team: expected 'red', got 'blue'; desk: expected 'ash', got nothing"


@given(st.dictionaries(st.text(min_size=1), st.integers() | st.text(), min_size=1))
def test_the_reference_itself_is_always_right(reference: dict[str, Any]) -> None:
    assert json_fields(reference, reference)["score"] == 1.0
    assert exact_match(reference, reference)["score"] == 1.0


@pytest.mark.parametrize("evaluator", [exact_match, json_fields])
def test_an_empty_reference_is_said(evaluator: Any) -> None:
    with pytest.raises(ValueError, match="needs reference_outputs"):
        evaluator({"a": 1}, {})
