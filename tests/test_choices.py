"""Extraction rules and plurality: properties that hold for every text. The hard replies stand in `test_hard_replies.py`."""

# ruff: noqa: RUF001 - full-width characters are part of what is read

from __future__ import annotations

import re
import time
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from langgraph_truce.choices import (
    LETTERS,
    RULES,
    answer_part,
    asked,
    letters_of,
    plurality,
    read_choice,
    rule_id,
)
from langgraph_truce.errors import TaskError, UnknownNameError, UserMistake

LETTER_SETS = st.integers(2, 10).map(lambda n: LETTERS[:n])
# texts that are likely to hold what the rules look at
PIECES = st.sampled_from(
    [
        *"ABCDEIJabi()（）Ｂ*_/<>[]'^ \n\t.,-5°é",
        "<think>",
        "</think>",
        "<reasoning>",
        " is ",
        "answer: ",
        "option ",
        "(A)",
        "A)",
    ]
)
TEXTS = st.text(max_size=60) | st.lists(PIECES, max_size=40).map("".join)
UNPARENTHESISED = TEXTS.map(lambda t: re.sub(r"[()（）<>＜＞\[\]◁▷]", "", t))


@given(TEXTS, LETTER_SETS, st.sampled_from(sorted(RULES)))
def test_any_text_gives_a_letter_or_nothing_and_always_the_same(text: str, letters: str, rule: str) -> None:
    read = read_choice(text, letters, rule=rule)

    assert read in {"", *letters}
    assert read_choice(text, letters, rule=rule) == read


@given(UNPARENTHESISED, LETTER_SETS, st.data())
def test_a_reply_that_ends_with_the_only_letter_in_brackets_chooses_it(
    text: str, letters: str, data: st.DataObject
) -> None:
    letter = data.draw(st.sampled_from(letters + letters.lower()))

    for rule in ("last_parenthesised", "dylan"):
        assert read_choice(f"{text} ({letter})", letters, rule=rule) == letter.upper()
        assert read_choice(f"{text}（{letter}）", letters, rule=rule) == letter.upper()


@given(TEXTS, st.sampled_from(sorted(RULES)))
def test_what_is_thought_is_not_read(text: str, rule: str) -> None:
    thought = re.sub(r"[<>＜＞\[\]◁▷]", "", text)

    assert read_choice(f"<think>{thought}</think>(C)", rule=rule) == "C"
    assert read_choice(f"<think>{thought}", rule=rule) == ""


@given(TEXTS, LETTER_SETS)
def test_more_letters_only_add_options(text: str, letters: str) -> None:
    """Where a rule that knows all ten letters reads one of the few, the rule that knows the few reads it too."""
    read = read_choice(text, LETTERS)

    if read and read in letters:
        assert read_choice(text, letters) == read


@given(st.text(alphabet="abcdefghijklmnopqrstuvwxyz ,.\n", max_size=60), st.sampled_from("BCD"))
def test_a_letter_after_words_in_lower_case_is_read(words: str, letter: str) -> None:
    assert read_choice(f"{words} {letter}") == letter
    assert read_choice(f"{words}\n**{letter}** {words}") == letter


@pytest.mark.parametrize("rule", sorted(RULES))
@pytest.mark.parametrize(
    "text",
    ["(" * 20_000, "A/" * 20_000, "<think" * 10_000, "<think>" * 10_000, "(   " * 20_000, "A 1," * 20_000],
)
def test_long_texts_are_read_in_time(rule: str, text: str) -> None:
    began = time.perf_counter()
    read_choice(text, rule=rule)

    assert time.perf_counter() - began < 2


def test_a_name_without_version_is_the_newest() -> None:
    assert [rule_id(n) for n in ("first_standalone", "last_parenthesised", "dylan")] == sorted(
        RULES, key=["first_standalone/1", "last_parenthesised/1", "dylan/1"].index
    )
    assert rule_id("dylan/1") == "dylan/1"


@pytest.mark.parametrize("name", ["", "first", "dylan/2", "first_standalone/", "/1"])
def test_an_unknown_rule_names_those_there_are(name: str) -> None:
    with pytest.raises(UnknownNameError, match=r"first_standalone/1, last_parenthesised/1, dylan/1"):
        read_choice("B", rule=name)


@pytest.mark.parametrize("letters", ["", "A", "abcd", "BCD", "ACB", "ABCDEFGHIJK"])
def test_letters_are_the_first_ones(letters: str) -> None:
    with pytest.raises(UserMistake, match="first 2 to 10"):
        read_choice("B", letters)


def test_the_answer_part_keeps_what_is_outside_of_tags() -> None:
    assert answer_part("one<think>x</think>two<reflection>y</reflection>three").split("\n") == [
        "one",
        "two",
        "three",
    ]
    assert answer_part("no tags, a < b > c").strip() == "no tags, a < b > c"


@given(st.lists(st.sampled_from(["", "A", "B", "C"]), max_size=12))
def test_plurality_is_the_first_found_of_the_most_frequent(letters: list[str]) -> None:
    won = plurality(letters)
    votes = [letter for letter in letters if letter]

    assert (won == "") == (not votes)
    if won:
        most = max(votes.count(v) for v in votes)
        assert votes.count(won) == most
        assert votes.index(won) == min(votes.index(v) for v in votes if votes.count(v) == most)


@given(st.lists(st.sampled_from(["", "A", "B", "C"]), max_size=12), st.integers(0, 12))
def test_an_invalid_answer_changes_no_plurality(letters: list[str], at: int) -> None:
    assert plurality([*letters[:at], "", *letters[at:]]) == plurality(letters)


@given(st.lists(st.sampled_from("ABC"), min_size=1, max_size=9))
@settings(max_examples=50)
def test_a_majority_wins_in_any_order(letters: list[str]) -> None:
    won = plurality(letters)

    if letters.count(won) * 2 > len(letters):
        assert plurality(sorted(letters)) == plurality(letters[::-1]) == won


@pytest.mark.parametrize(
    ("inputs", "letters"),
    [
        ({"question": "q", "options": {"A": "x", "B": "y"}}, "AB"),
        ({"options": dict.fromkeys(LETTERS, "x")}, LETTERS),
        ({"options": {"A": "x"}}, ""),
        ({"options": {"B": "x", "A": "y"}}, ""),
        ({"options": {1: "x", 2: "y"}}, ""),
        ({"options": ["x", "y"]}, ""),
        ({"question": "q"}, ""),
    ],
)
def test_a_question_has_its_options_under_letters(inputs: dict[str, Any], letters: str) -> None:
    assert letters_of(inputs) == letters


def test_what_a_question_asks_for() -> None:
    options = {"options": dict.fromkeys("ABCDE", "x")}

    assert asked(options, {"answer": "E"}) == ("ABCDE", "E")
    assert asked(options, {"answer": "E"}, letters="ABCD") == ("ABCD", "E")
    with pytest.raises(TaskError, match=r"inputs\['options'\], got None"):
        asked({"question": "q"}, {"answer": "A"})
    for wrong in ("", "b", "AB", "Z", None, 1):
        with pytest.raises(TaskError, match=r"reference_outputs\['answer'\]"):
            asked(options, {"answer": wrong})
