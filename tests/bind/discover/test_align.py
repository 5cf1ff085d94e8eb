"""Aligning texts: every text comes back, separated fields are found exactly, chance is no fixed text."""

from __future__ import annotations

import string
import time
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from langgraph_truce.bind.discover.align import align, fine, weave
from langgraph_truce.bind.discover.cluster import coarser
from langgraph_truce.bind.discover.fields import with_names
from langgraph_truce.bind.found import Slot
from langgraph_truce.bind.match import pattern

ANY = st.text(alphabet=st.sampled_from("ab {}\n.-:1\u00e9"), max_size=40)
LABELS = ("Question", "Context", "Notes", "Plan", "Style", "Audience")


@given(st.lists(ANY, min_size=1, max_size=5))
@settings(max_examples=300, deadline=None)
def test_every_text_comes_back(texts: list[str]) -> None:
    for template in (align(texts), coarser(align(texts))):
        assert template.texts() == texts
        assert all(len(row) == len(template.fixed) - 1 for row in template.values)


@given(st.lists(ANY, min_size=2, max_size=4), st.data())
@settings(max_examples=300, deadline=None)
def test_a_slot_with_one_field_matches_all_texts_and_gives_them_back(
    texts: list[str], data: st.DataObject
) -> None:
    known = [{"a": frozenset({data.draw(ANY)}), "b": frozenset({text[1:4]})} for text in texts]
    named = with_names(coarser(fine(texts)), known)
    own = pattern(Slot("r", named.text, named.fields))

    for text in texts:
        values = own.match(text)
        assert values is not None
        assert own.fill(values) == text


WORDS = st.lists(st.text(alphabet=string.ascii_lowercase, min_size=1, max_size=8), min_size=1, max_size=9)


@st.composite
def separated(draw: st.DrawFn) -> tuple[list[str], list[list[str]]]:
    """Fixed runs with labels on lines of their own, and values for K texts that have no word in common."""
    labels = draw(st.permutations(LABELS))[: draw(st.integers(1, 4))]
    fixed = ["You are an assistant. Keep the rules.\n\n" + f"{labels[0]}: "]
    fixed += [f"\n\n{label}: " for label in labels[1:]]
    fixed.append("\n\n- Reply in one line.\n- Use {braces} freely.")
    rows = []
    for k in range(draw(st.integers(2, 4))):
        rows.append([" ".join(word + "stuv"[k] for word in draw(WORDS)) for _ in labels])
    return fixed, rows


@given(separated())
@settings(max_examples=200, deadline=None)
def test_separated_fields_are_found_exactly(made: tuple[list[str], list[list[str]]]) -> None:
    fixed, rows = made
    template = align(["".join(weave(fixed, row)) for row in rows])

    assert list(template.fixed) == fixed
    assert [list(row) for row in template.values] == rows


@pytest.mark.parametrize(
    ("texts", "fixed"),
    [
        (("Now: 2026-11-21T10:15:33 - go", "Now: 2026-11-21T10:16:40 - go"), ("Now: ", " - go")),
        (('{"a": -1}', '{"a": 12.5}'), ('{"a": ', "}")),
        (
            ("Id 1b4e28ba-2fa1-11d2-883f-0016d3cca427.", "Id 1b4e28ba-2fa1-11d2-883f-b9a761bde3fb."),
            ("Id ", "."),
        ),
        (("Ask: how are the cats?", "Ask: where are the dogs?"), ("Ask: ", "")),
        (("Say it: the cat of a king.", "Say it: my cat of one queen."), ("Say it: ", ".")),
        (("Facts:\n- a b\n- c\n\nEnd.", "Facts:\n- d\n\nEnd.", "Facts:\n\nEnd."), ("Facts:\n", "\nEnd.")),
        (("same", "same"), ("same",)),
        (("a", "b"), ("", "")),
        (("", "b"), ("", "")),
    ],
)
def test_what_varies_is_one_whole_field(texts: tuple[str, ...], fixed: tuple[str, ...]) -> None:
    assert align(texts).fixed == fixed


def test_long_texts_take_linear_time() -> None:
    """Long values with common words: twice the length takes about twice the time, and no run of theirs is fixed."""
    words = [f"{a}{b}{c}" for a in "bcdfg" for b in "aeiou" for c in "lmnrst"]

    def text(size: int, seed: int) -> str:
        value = f"{seed}x " + " ".join(words[(i * i * 31 + i * seed * 7) % len(words)] for i in range(size))
        return f"You read long documents.\n\nDocument: {value}\n\nSay what it says."

    def seconds(size: int) -> float:
        texts = [text(size, seed) for seed in (3, 5)]
        best = float("inf")
        for _ in range(5):
            start = time.process_time()
            template = align(texts)
            best = min(best, time.process_time() - start)
            assert template.fixed == ("You read long documents.\n\nDocument: ", "\n\nSay what it says.")
        return best

    small, large = seconds(5_000), seconds(20_000)

    assert large < 12 * small


def test_weave_puts_runs_and_values_in_turn() -> None:
    assert weave(["a", "b", "c"], ["1", "2"]) == ["a", "1", "b", "2", "c"]
    assert list(pairwise(weave(["a"], []))) == []
