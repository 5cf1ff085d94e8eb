"""Contents: what goes in comes out, equal contents have one name, and growing lists cost only what is new."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from langchain_core.messages import AIMessage, HumanMessage, RemoveMessage, SystemMessage, ToolMessage
from langgraph.types import Overwrite

from langgraph_truce.trajectory import Contents, Trajectory

KEYS = st.one_of(st.text(max_size=4), st.sampled_from(["$ref", "$list", "$dict", "$type", "messages"]))
TEXTS = st.one_of(st.text(), st.text(min_size=60, max_size=90), st.just("\ud800"))
JSON = st.recursive(
    st.one_of(
        st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False, allow_infinity=False), TEXTS
    ),
    lambda inner: st.one_of(st.lists(inner, max_size=5), st.dictionaries(KEYS, inner, max_size=4)),
    max_leaves=25,
)


def read(contents: Contents, ref: str) -> Any:
    """As `Trajectory.value`, from a copy that went through JSON text."""
    return Trajectory("r", (), json.loads(json.dumps(contents.blobs))).value(ref)


def same(a: Any, b: Any) -> bool:
    """Equal, and of the same JSON types (True is not 1, 1 is not 1.0)."""
    return json.dumps(a, sort_keys=True) == json.dumps(b, sort_keys=True)


@given(st.lists(JSON, min_size=1, max_size=6))
def test_every_json_comes_back(values: list[Any]) -> None:
    contents = Contents()
    refs = [contents.put(v) for v in values]
    refs += [contents.put(values[:n]) for n in range(len(values) + 1)]
    expected = values + [values[:n] for n in range(len(values) + 1)]
    for ref, value in zip(refs, expected, strict=True):
        assert same(read(contents, ref), value)


@given(JSON, st.lists(JSON, max_size=3))
def test_a_name_depends_on_the_content_alone(value: Any, others: list[Any]) -> None:
    lone, busy = Contents(), Contents()
    for other in [*others, [value, *others], value[:1] if isinstance(value, list) else value]:
        busy.put(other)
    assert lone.put(value) == busy.put(value)
    assert same(read(lone, lone.put(value)), read(busy, busy.put(value)))


@given(JSON, JSON)
def test_different_contents_have_different_names(a: Any, b: Any) -> None:
    contents = Contents()
    assert (contents.put(a) == contents.put(b)) == same(a, b)


@pytest.mark.parametrize(
    "make", [lambda n: HumanMessage("x" * 80 + str(n)), lambda n: "y" * 80 + str(n), int]
)
def test_growing_lists_and_repeated_prompts_cost_linear_bytes(make: Any) -> None:
    def size(rounds: int) -> int:
        contents = Contents()
        history: list[Any] = []
        for n in range(rounds):
            history = [*history, make(n)]
            contents.put({"messages": history, "task": "t" * 200, "round": n})
            contents.put([SystemMessage("system " * 20), *history])
        return len(json.dumps(contents.blobs))

    small, middle, large = size(20), size(40), size(80)
    assert (large - middle) / (middle - small) < 2.2


def test_messages_are_rows_without_ids() -> None:
    contents = Contents()
    call: Any = {"name": "add", "args": {"a": 1}, "id": "c", "type": "tool_call"}
    rows = [
        SystemMessage("s", id="1"),
        HumanMessage([{"type": "text", "text": "h"}], name="me"),
        AIMessage("", tool_calls=[call]),
        ToolMessage("3", tool_call_id="c", status="error"),
        RemoveMessage(id="gone"),
    ]
    assert read(contents, contents.put(rows)) == [
        {"role": "system", "content": "s"},
        {"role": "user", "content": [{"type": "text", "text": "h"}], "name": "me"},
        {"role": "assistant", "content": "", "tool_calls": [{"name": "add", "args": {"a": 1}, "id": "c"}]},
        {"role": "tool", "content": "3", "tool_call_id": "c", "status": "error"},
        {"role": "remove", "content": "", "id": "gone"},
    ]
    assert contents.put(HumanMessage("a", id="1")) == contents.put(HumanMessage("a", id="2"))
    assert contents.put(HumanMessage("a", name="b")) != contents.put(HumanMessage("a"))


def test_a_message_that_changes_its_text_is_stored_again() -> None:
    contents, message = Contents(), AIMessage("before")
    before = contents.put([message])
    message.content = "after"
    assert read(contents, contents.put([message])) == [{"role": "assistant", "content": "after"}]
    assert read(contents, before) == [{"role": "assistant", "content": "before"}]


def test_cycles_tuples_odd_keys_and_overwrites() -> None:
    contents, cycle = Contents(), ["x" * 100]
    cycle.append(cycle)  # type: ignore[arg-type]
    assert read(contents, contents.put(cycle))[0] == "x" * 100
    assert read(contents, contents.put({1: (1, 2), None: math.inf})) == {
        "1": [1, 2],
        "None": {"$type": "builtins.float", "repr": "inf"},
    }
    assert read(contents, contents.put(Overwrite(["new"]))) == {"__overwrite__": ["new"]}
