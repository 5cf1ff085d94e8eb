"""Frozen data as JSON and back."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from langgraph_truce.codec import from_json, to_json
from langgraph_truce.rules import Edit, Suggestion, parse
from langgraph_truce.seams import Comparison, Credit, Rollout, Verdict
from langgraph_truce.task import Outcome
from langgraph_truce.trajectory.step import ModelCall, Segment, Step, Trajectory, Usage

texts = st.text(max_size=20)
values = st.floats(-1, 1, allow_nan=False)
suggestions = st.builds(
    Suggestion,
    op=st.sampled_from(["ADD", "MODIFY", "DELETE"]),
    agent=texts,
    instruction=texts,
    evidence=st.lists(texts, max_size=3).map(tuple),
    tasks=st.lists(texts, max_size=3).map(tuple),
    support=st.floats(0, 1),
)
edits = st.builds(
    Edit, id=texts, op=st.just("ADD"), agent=texts, text=texts, suggestion=st.none() | suggestions
)


@given(suggestions, edits)
def test_suggestions_and_edits_come_back_equal(suggestion: Suggestion, edit: Edit) -> None:
    for kind, value in ((Suggestion, suggestion), (Edit, edit)):
        assert from_json(kind, json.loads(json.dumps(to_json(value)))) == value


@given(st.lists(edits, max_size=3).map(tuple), values, texts)
def test_verdicts_come_back_equal(kept: tuple[Edit, ...], estimate: float, words: str) -> None:
    comparison = Comparison(
        3, estimate, -1.0, 1.0, 0.95, 0.5, 0.1, 0.2, ("a",), (), {"baseline": 0, "candidate": 1}
    )
    verdict = Verdict("accept", kept, comparison, 0.01, words, ({"edits": ["e1"], "p_value": 0.5},))

    assert from_json(Verdict, json.loads(json.dumps(to_json(verdict)))) == verdict


def test_a_rollout_comes_back_equal() -> None:
    call = ModelCall("p", "o", "m", Usage(3, None), 0.5)
    step = Step(
        "solver#1.0",
        "solver",
        1,
        1,
        0,
        1,
        "in",
        {"said": "o"},
        (call,),
        ({"name": "t", "input": "p"},),
        ("x",),
    )
    trajectory = Trajectory(
        "v/t/0", (step,), {"p": [1, {"a": None}], "o": "text", "in": {"$list": [None, 1, 2]}}
    )
    rollout = Rollout("v/t/0", "t", 0, "v", Outcome({"a": [1]}, 0.5, "close", {"score": 0.5}), trajectory)

    back = from_json(Rollout, json.loads(json.dumps(to_json(rollout))))

    assert back == rollout
    assert back.trajectory.value("in") == [1, 2]


def test_credits_and_segments_come_back_equal() -> None:
    credit = Credit("r", "t", ("a#1.0",), 0.25, None, "a", 1, "round-1", "well done", {"x": [1, "y"]})
    segment = Segment("round-1", "round 1", ("a#1.0",), (1,))

    assert from_json(Credit, to_json(credit)) == credit
    assert from_json(Segment, to_json(segment)) == segment


def test_rules_write_themselves() -> None:
    rules = parse("solver", "Solve.\n\n- Be brief.\n- Be right.\n")

    assert from_json(type(rules), json.loads(json.dumps(to_json(rules)))) == rules


def test_what_has_no_json_form_is_refused() -> None:
    with pytest.raises(TypeError, match="object has no JSON form"):
        to_json(object())
