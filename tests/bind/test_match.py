"""Matching one slot's text: values come back, braces are safe, and it stays linear."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from langgraph_truce.bind.found import Slot
from langgraph_truce.bind.match import Pattern, cut, edited, pattern
from langgraph_truce.rules import RuleBook, parse

NAMES = st.sampled_from(["a", "name", "the_day", "x.y", "q?"])
FIXED = st.text("ABC {}.\n-\\", min_size=1, max_size=12)
VALUE = st.text("xyz01\t{}é", max_size=12)


@st.composite
def slots(draw: st.DrawFn) -> tuple[Slot, dict[str, str]]:
    """A slot and values none of which holds a character of the fixed text behind it: one way to match."""
    names = draw(st.lists(NAMES, min_size=1, max_size=5))
    text = draw(st.text("ABC {}.\n", max_size=8))
    for name in names:
        text += f"{{{name}}}" + draw(st.text("ABC .\n", min_size=1, max_size=8))
    values = {name: draw(VALUE) for name in names}
    return Slot("node", text, tuple(dict.fromkeys(names))), values


@given(slots())
def test_values_come_back_where_there_is_one_way(case: tuple[Slot, dict[str, str]]) -> None:
    slot, values = case
    sent = pattern(slot).fill(values)

    assert pattern(slot).match(sent) == values


@given(slots())
def test_the_original_rules_render_what_was_sent(case: tuple[Slot, dict[str, str]]) -> None:
    slot, values = case
    book = RuleBook({slot.agent: parse(slot.agent, slot.text)})

    assert book.render(slot.agent) == slot.text
    assert edited(slot, book.render(slot.agent)) is None
    assert cut(book.render(slot.agent), slot.fields).fill(values) == pattern(slot).fill(values)


@given(st.lists(FIXED, min_size=2, max_size=5), st.data())
def test_a_match_always_gives_the_sent_text_again(pieces: list[str], data: st.DataObject) -> None:
    names = tuple(data.draw(NAMES) for _ in pieces[1:])
    text = Pattern(tuple(pieces), names)
    sent = text.fill({name: data.draw(st.text("ABC {}xyz", max_size=8)) for name in names})
    values = text.match(sent)

    if len(set(names)) == len(names):
        assert values is not None  # whatever the values hold: the leftmost places fit
    assert values is None or text.fill(values) == sent


@given(st.text("ab{}x", max_size=30), st.text("ab{}x", max_size=30))
def test_other_braces_are_text(text: str, value: str) -> None:
    slot = Slot("node", text + "{field}", ("field",))
    values = pattern(slot).match(text.replace("{field}", value) + value)

    assert cut(text, ()).fill({}) == text
    assert values == {"field": value}


@pytest.mark.parametrize(
    ("text", "sent", "values"),
    [
        ("Hi {a}.", "Hi .", {"a": ""}),
        ("Hi {a}.", "Hi you", None),
        ("Hi {a}.", "Hi.", None),
        ("{a}", "", {"a": ""}),
        ("aa{a}aa", "aaa", None),
        ("{a} and {b}", "x and y and z", {"a": "x", "b": "y and z"}),
        ("{a} is {a}", "x is x", {"a": "x"}),
        ("{a} is {a}", "x is y", None),
        ("{a}: {b} and {b}.", "k: v and v.", {"a": "k", "b": "v"}),
        ("{a}: {b}, {a}!", "k: v, k!", {"a": "k", "b": "v"}),
        ("{a}: {b}, {a}!", "k: v, j!", None),
        ("{a}{b}.", "xy.", {"a": "", "b": "xy"}),
        ('{{"k": {a}}} {c}', '{{"k": 1}} {c}', {"a": "1"}),
    ],
)
def test_examples(text: str, sent: str, values: dict[str, str] | None) -> None:
    assert cut(text, ("a", "b")).match(sent) == values


def test_an_edit_is_put_together_in_one_pass() -> None:
    slot = Slot("node", "You are {name}. Say {word}.", ("name", "word"))
    values = pattern(slot).match("You are {word}. Say {name} {x}.")
    new = edited(slot, "Say {word}, {name}, {word}! Never {other}. {}")

    assert values == {"name": "{word}", "word": "{name} {x}"}
    assert new is not None
    assert new.fill(values) == "Say {name} {x}, {word}, {name} {x}! Never {other}. {}"


def test_an_edit_may_leave_fields_out_and_be_empty() -> None:
    slot = Slot("node", "You are {name}.", ("name",))
    short, empty = edited(slot, "You are nobody."), edited(slot, "")

    assert short is not None
    assert empty is not None
    assert (short.fill({"name": "x"}), empty.fill({"name": "x"})) == ("You are nobody.", "")


@pytest.mark.parametrize("piece", ["ab", "a" * 40 + "b"])
def test_matching_is_linear(piece: str) -> None:
    """Twenty pieces against a text that nearly has them everywhere: ten times the text, about ten times the time."""
    text = Pattern(("",) + (piece,) * 20 + ("!",), tuple(f"f{n}" for n in range(21)))

    def seconds(length: int) -> float:
        sent = piece[:-1] * (length // len(piece))
        best = 9.0
        for _ in range(5):
            start = time.perf_counter()
            assert text.match(sent + "!") is None
            best = min(best, time.perf_counter() - start)
        return best

    assert seconds(1_000_000) < 60 * max(seconds(100_000), 1e-5)
