"""Replaced contributions: words go, structure stays, whatever the writes are made of."""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st
from langchain_core.messages import AIMessage, HumanMessage, ToolMessage
from langgraph.types import Send
from pydantic import BaseModel

from langgraph_truce.errors import ReplayRefused
from langgraph_truce.rollout.graft import Contribution, Reply, given_writes, instead, neutral
from langgraph_truce.trajectory import ModelCall, Step, Trajectory

REPLY = "The answer is B, because owls fly."
OWN = Contribution("solver#1.0", "solver", (Reply(REPLY),))
BLIND = Contribution("solver#1.0", "solver")
CONTROL = [
    ("branch:to:sum", None),
    ("join:a+b:sum", "solver"),
    ("__pregel_tasks", Send("work", {"item": "x"})),
]


def replaced(value: Any, own: Contribution = OWN) -> Any:
    (channel, new), *_ = neutral([("c", value), *CONTROL], own, "nothing")
    assert channel == "c"
    return new


class Vote(BaseModel):
    words: str
    choice: Literal["A", "B"]
    sure: bool = True
    score: float = 0.5


@dataclass(frozen=True)
class Note:
    by: str
    text: str


class Pair(NamedTuple):
    who: str
    what: str


class Mood(enum.StrEnum):
    GOOD = "The answer"


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (REPLY, "nothing"),
        (f"  {REPLY}\n", "nothing"),
        (f"solver@1: {REPLY}", "solver@1: nothing"),
        ([REPLY], ["nothing"]),
        (
            {"text": REPLY, "answer": "B", "round": 2, "by": "solver"},
            {"text": "nothing", "answer": "", "round": 2, "by": "solver"},
        ),
        ({"text": "because owls fly.", "answer": "B"}, {"text": "nothing", "answer": ""}),
        (Note("solver", REPLY), Note("solver", "nothing")),
        (Pair("solver", REPLY), Pair("solver", "nothing")),
        ((REPLY, 3, None, True), ("nothing", 3, None, True)),
        (
            {"deep": [{"er": [REPLY]}], "other": "unrelated"},
            {"deep": [{"er": ["nothing"]}], "other": "unrelated"},
        ),
        ([REPLY, Mood.GOOD], ["nothing", Mood.GOOD]),
        ({"role": "B", "content": REPLY}, {"role": "B", "content": "nothing"}),
    ],
)
def test_words_go_and_structure_stays(before: Any, after: Any) -> None:
    assert replaced(before) == after


def test_a_field_that_takes_only_its_labels_stays() -> None:
    before = Vote(words=REPLY, choice="B", score=0.7)
    new = replaced({"vote": before})["vote"]
    assert new == Vote(words="nothing", choice="B", score=0.7)
    assert before.words == REPLY


def test_routing_and_what_does_not_come_from_the_reply_stay() -> None:
    writes = [("c", REPLY), ("d", "fixed"), *CONTROL]
    assert neutral(writes, OWN, "nothing") == [("c", "nothing"), ("d", "fixed"), *CONTROL]


def test_without_recorded_replies_every_string_but_labels_is_a_word() -> None:
    message = {"id": "m", "name": "n", "type": "t", "role": "r", "content": "said"}
    assert replaced({"a": "one", "b": ["two", "solver", 2], "m": message}, BLIND) == {
        "a": "nothing",
        "b": ["nothing", "solver", 2],
        "m": {**message, "content": "nothing"},
    }


def test_a_message_keeps_id_and_name_and_loses_its_tool_calls() -> None:
    call = {"name": "look", "args": {"w": "x"}, "id": "c1"}
    block: list[Any] = [
        {"type": "text", "text": REPLY},
        {"type": "tool_use", "id": "c1", "name": "look", "input": {}},
    ]
    before = AIMessage(
        block, id="m", name="solver", tool_calls=[call], additional_kwargs={"tool_calls": [1], "k": 2}
    )
    sends = [("__pregel_tasks", Send("tools", [call])), ("__pregel_tasks", Send("other", {"id": "c9"}))]
    (_, (new,)), *rest = neutral([("messages", [before]), *sends], OWN, "nothing")
    assert (new.id, new.name, new.text, new.tool_calls) == ("m", "solver", "nothing", [])
    assert new.additional_kwargs == {"k": 2}
    assert rest == sends[1:]
    silent = AIMessage("", tool_calls=[call])
    assert replaced([silent], Contribution("s#1.0", "s", (Reply("", ("x",)),)))[0].content == "nothing"
    answer = ToolMessage("found", tool_call_id="c1", name="look")
    (new,) = replaced([answer], BLIND)
    assert (new.content, new.tool_call_id, new.name) == ("nothing", "c1", "look")


def test_words_in_sends_go_too_where_the_reply_is_known() -> None:
    sends = [("__pregel_tasks", Send("work", {"item": REPLY, "n": 1}))]
    new = neutral([("c", REPLY), *sends], OWN, "nothing")
    assert new[1] == ("__pregel_tasks", Send("work", {"item": "nothing", "n": 1}))
    assert neutral([("c", REPLY), *sends], BLIND, "nothing")[1] == sends[0]


def test_structured_output_is_found_in_tool_arguments_and_escaped_json() -> None:
    own = Contribution("s#1.0", "s", (Reply('{"why": "first\\nsecond", "n": 3}', ()),))
    assert replaced({"why": "first\nsecond", "n": 3}, own) == {"why": "nothing", "n": 3}
    own = Contribution("s#1.0", "s", (Reply("", ("it flies",)),))
    assert replaced({"why": "it flies", "by": "hand"}, own) == {"why": "nothing", "by": "hand"}


def test_a_step_without_words_is_refused() -> None:
    for own in (OWN, BLIND):
        with pytest.raises(ReplayRefused, match=r"'solver#1\.0' wrote no words"):
            neutral([("round", 3), ("by", "solver"), *CONTROL], own, "nothing")


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(max_size=5),
        lambda v: st.lists(v) | st.dictionaries(st.text(max_size=3), v),
        max_leaves=12,
    )
)
def test_nothing_but_strings_ever_changes(value: Any) -> None:
    def bare(v: Any) -> Any:
        if isinstance(v, dict):
            return {k: bare(x) for k, x in v.items()}
        return [bare(x) for x in v] if isinstance(v, list) else "" if isinstance(v, str) else v

    assert bare(replaced([value, REPLY])) == bare([value, REPLY])


OTHER = Contribution("critic#1.0", "critic", (Reply("I say A."),))


def swapped(mine: Any, theirs: Any, own: Contribution = OWN, other: Contribution = OTHER) -> Any:
    return instead([("c", mine), *CONTROL], own, [("c", theirs)], other)[0][1]


def test_another_steps_words_stand_in_the_own_structure() -> None:
    assert swapped(REPLY, "I say A.") == "I say A."
    assert swapped(f"solver@2: {REPLY}", "critic@1: I say A.") == "solver@2: I say A."
    mine = {"text": REPLY, "round": 2, "by": "solver", "note": Note("solver", REPLY)}
    theirs = {"text": "I say A.", "round": 1, "by": "critic", "note": Note("critic", "I say A.")}
    assert swapped(mine, theirs) == {**mine, "text": "I say A.", "note": Note("solver", "I say A.")}
    assert swapped(Vote(words=REPLY, choice="B"), Vote(words="I say A.", choice="A")).words == "I say A."


def test_messages_keep_their_own_id_and_name() -> None:
    mine, theirs = AIMessage(REPLY, id="1", name="solver"), AIMessage("I say A.", id="2", name="critic")
    (new,) = swapped([mine], [theirs])
    assert (new.id, new.name, new.text) == ("1", "solver", "I say A.")
    one, two = swapped([mine], [HumanMessage("so?", id="h"), theirs])
    assert (one.id, one.text, two.id, two.name, two.text) == (None, "so?", None, "solver", "I say A.")


def test_another_shape_is_taken_whole() -> None:
    assert swapped([REPLY], ["a", "b"]) == ["a", "b"]
    assert swapped({"text": REPLY}, {"words": "I say A."}) == {"words": "I say A."}
    assert swapped(REPLY, ["I say A."]) == ["I say A."]
    assert swapped(None, "I say A.") == "I say A."


def test_two_roles_with_a_channel_each() -> None:
    new = instead(
        [("solver_says", REPLY), *CONTROL], OWN, [("critic_says", "I say A."), ("branch:to:x", None)], OTHER
    )
    assert new == [("solver_says", "I say A."), *CONTROL]
    with pytest.raises(ReplayRefused, match="different channels"):
        instead([("a", 1), ("b", 2)], OWN, [("c", 3)], OTHER)


def test_given_writes_replace_and_add() -> None:
    writes = [("c", 1), ("c", 2), ("d", 3), *CONTROL]
    assert given_writes(writes, OWN, {"c": 9, "e": 8}, ["c", "d", "e", "branch:to:sum"]) == [
        ("c", 9),
        ("d", 3),
        *CONTROL,
        ("e", 8),
    ]
    with pytest.raises(ReplayRefused, match="no channel nope; it has: c, d"):
        given_writes(writes, OWN, {"nope": 1}, ["c", "d"])


def test_replies_of_a_whole_subgraph_are_its_nodes() -> None:
    blobs = {
        "p": [],
        "o": {"role": "assistant", "content": REPLY, "tool_calls": [{"name": "t", "args": {"q": "why"}}]},
    }
    call = ModelCall("p", "o")
    steps = (
        Step("team#1.0", "team", 1, 1, 0, 1, None),
        Step("team/a#1.0", "team/a", 1, 1, 0, 1, None, calls=(call,)),
        Step("b#1.0", "b", 2, 1, 0, 1, None, calls=(call,)),
    )
    known = Trajectory("t", steps, blobs)
    assert Contribution.of(known, "team#1.0") == Contribution("team#1.0", "team", (Reply(REPLY, ("why",)),))
    assert Contribution.of(None, "team/a#1.0") == Contribution("team/a#1.0", "a")
