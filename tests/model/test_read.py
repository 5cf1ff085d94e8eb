from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel

from langgraph_truce.model.read import UnreadableError, read_object


class Credit(BaseModel):
    """A credit."""

    score: int
    why: str
    steps: list[str] = []


class Lenient(BaseModel):
    """Everything has a default."""

    note: str = "none"


GOOD = [
    '{"score": 3, "why": "it\'s fine"}',
    'Sure! Here it is:\n```json\n{"score": 3, "why": "it\'s fine"}\n```\nHope that helps {smile}.',
    "{'score': 3, 'why': 'it\\'s fine'}",
    "{'score': 3, 'why': \"it's fine\",}",
    '{score: 3, why: "it\'s fine", steps: [],}',
    '{"score": "3", "why": "it\'s fine"}',
    'I first thought {"score": 9, "why": "no"} but then: {"score": 3, "why": "it\'s fine"}',
    'Given {"a": 1}, the answer is {"score": 3, "why": "it\'s fine"}. Done',
]


@pytest.mark.parametrize("text", GOOD)
def test_reads_what_is_all_there(text: str) -> None:
    assert read_object(text, Credit) == Credit(score=3, why="it's fine")


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "the reply is empty"),
        ("I am sorry, I cannot.", "no JSON object"),
        ('{"score": 3, "why": "it is f', "cut off"),
        ('{"score": 3, "why": "x", "steps": ["a"', "cut off"),
        ('```json\n{"score": 3, "why": "x"', "cut off"),
        ('{"score": 1, "why": "draft"} so finally {"score": 3,', "cut off"),
        ('{"score": , "why": "x"}', "value is missing"),
        ('{"score": 3, "why": "x", "steps": ["a", ...]}', "leaves something out"),
        ('{"score": 3, "why": ["x"}, ]}', "cut off|do not match"),
        ('{"score": "high", "why": "x"}', "score: "),
        ('{"why": "x"}', "score: Field required"),
        ("[1, 2]", "no JSON object"),
    ],
)
def test_says_why_it_cannot(text: str, why: str) -> None:
    with pytest.raises(UnreadableError, match=why):
        read_object(text, Credit)


def test_nothing_is_run() -> None:
    with pytest.raises(UnreadableError):
        read_object('{"score": 3, "why": __import__("os").getcwd()}', Credit)


def test_braces_in_prose_are_no_object_of_defaults() -> None:
    with pytest.raises(UnreadableError, match="no JSON object"):
        read_object("use {braces} and {} here", Lenient)
    assert read_object('{"note": "x"}', Lenient).note == "x"


credits_ = st.builds(
    Credit, score=st.integers(), why=st.text(), steps=st.lists(st.text(max_size=9), max_size=3)
)


@given(
    credits_,
    st.sampled_from(["", "Here you are:\n", "```json\n"]),
    st.sampled_from(["", "\n```", "\nThat is it."]),
)
def test_every_object_is_found_in_prose(credit: Credit, before: str, after: str) -> None:
    for text in (credit.model_dump_json(), json.dumps(credit.model_dump(), indent=1)):
        assert read_object(before + text + after, Credit) == credit


@given(credits_, st.data())
def test_no_prefix_is_ever_read(credit: Credit, data: st.DataObject) -> None:
    text = credit.model_dump_json()
    cut = data.draw(st.integers(1, len(text) - 1))
    with pytest.raises(UnreadableError):
        read_object(text[:cut], Credit)
