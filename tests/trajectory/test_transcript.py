"""Transcripts: one block a step, and every cut says what is missing."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from langchain_core.messages import AIMessage

from langgraph_truce.trajectory import Contents, ModelCall, Step, Trajectory, transcript
from langgraph_truce.trajectory.transcript import cut


def step(n: int, **given: Any) -> Step:
    place: dict[str, Any] = {"role": "a", "superstep": n, "visit": n, "index": 0, "round": n, "input": None}
    return Step(id=f"a#{n}.0", **place, **given)


def spoken(*texts: str) -> Trajectory:
    contents = Contents()
    steps = [
        step(n, calls=(ModelCall(contents.put([]), contents.put(AIMessage(text))),))
        for n, text in enumerate(texts, 1)
    ]
    return Trajectory("r", tuple(steps), contents.blobs)


def test_blocks_show_what_was_said_written_and_what_went_wrong() -> None:
    contents = Contents()
    steps = (
        step(1, calls=(ModelCall(contents.put([]), contents.put(AIMessage("I say no."))),)),
        step(2, writes={"plan": contents.put({"x": [1]}), "note": contents.put("plain")}, goto=("b",)),
        step(
            3,
            calls=(ModelCall(contents.put([]), None, error="Timeout: 3 s"),),
            error="Timeout: 3 s",
        ),
        step(
            4,
            tools=(
                {"name": "add", "input": contents.put({"a": 1}), "output": contents.put("2"), "error": ""},
                {"name": "sub", "input": contents.put("3"), "output": None, "error": "ValueError: no"},
            ),
        ),
        step(5, writes={"messages": contents.put([AIMessage("hello", name="bob")])}),
        step(6, writes={"utterances": contents.put([{"role": "a B", "round": 1, "text": "It is\nA."}])}),
    )
    text = transcript(
        Trajectory("r", steps, contents.blobs), [s.id for s in reversed(steps)] + ["nobody#1.0"]
    )
    assert text.split("\n\n") == [
        "[a#1.0] role a, round 1\nI say no.",
        '[a#2.0] role a, round 2\nplan: {"x": [1]}\nnote: plain\nwent to: b',
        "[a#3.0] role a, round 3\n(nothing)\nmodel call failed: Timeout: 3 s\nerror: Timeout: 3 s",
        '[a#4.0] role a, round 4\ntool add({"a": 1}) -> 2\ntool sub(3) -> ValueError: no',
        "[a#5.0] role a, round 5\nmessages: bob: hello",
        "[a#6.0] role a, round 6\nutterances: It is\nA.",
    ]


def test_only_the_named_steps() -> None:
    assert transcript(spoken("x", "y"), ["a#2.0"]) == "[a#2.0] role a, round 2\ny"
    assert transcript(spoken("x"), []) == ""


def test_the_longest_block_is_cut_in_its_middle() -> None:
    text = transcript(spoken("short", "b" + "l" * 5000 + "e"), ["a#1.0", "a#2.0"], limit_chars=500)
    first, second = text.split("\n\n")
    assert first.endswith("short")
    assert second.startswith("[a#2.0] role a, round 2\nbl")
    assert second.endswith("le")
    assert "characters left out" in second
    assert 480 <= len(text) <= 500


def test_blocks_in_the_middle_go_where_cutting_is_not_enough() -> None:
    texts = ["word " * 100] * 50
    text = transcript(spoken(*texts), [f"a#{n}.0" for n in range(1, 51)], limit_chars=1000)
    assert len(text) <= 1000
    assert "steps left out" in text
    assert "[a#1.0]" in text
    assert "[a#50.0]" in text


@given(st.lists(st.text(max_size=400), max_size=30), st.integers(0, 3000))
def test_never_longer_than_the_limit(texts: list[str], limit: int) -> None:
    trajectory = spoken(*texts)
    assert len(transcript(trajectory, trajectory.step_ids, limit_chars=limit)) <= max(limit, 200)


@given(st.text(max_size=300), st.integers(0, 300))
def test_cut_keeps_both_ends(text: str, limit: int) -> None:
    short = cut(text, limit)
    assert len(short) <= limit
    assert (short == text) == (len(text) <= limit)
