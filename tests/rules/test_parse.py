"""parse: any text into rules and back (contract 2), and where rules start and end."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from langgraph_truce.rules import RuleSlot, parse

PIECES = [
    "- ", "* ", "1. ", "2) ", "(a) ", "• ", "✅ ", "# Rules", "Rules:", "Always check.", "never lie", "You must go. ",
    "\n", "\n\n", "\r\n", "\r", "\t", "    ", "  ", "```", "~~~", "{", "}", '{"a": 1}', "{name}", "<rules>", "</rules>",
    "<rule>", "</rule>", "<example>", "</example>", "Example:", "Q: a", "A: b", "User:", "|a|b|", "> q", "---", "===",
    "<!--", "-->", "<!--r1-->", "\x00", "\x0c", "\x0b", "\u2028", "\u2029", "\x85", "\ud800", "\udfff", "\ufeff",
    '"""', ".", "!", "ä", "😀", " ",
]  # fmt: skip
prompts = st.one_of(
    st.lists(st.sampled_from(PIECES), max_size=25).map("".join),
    st.text(st.characters(codec=None, exclude_categories=()), max_size=60),
)


@settings(deadline=None)
@given(prompts)
def test_rendering_gives_every_text_back(text: str) -> None:
    rules = parse("agent", text)
    assert rules.render() == text
    assert [rule.id for rule in rules.rules] == [f"r{n}" for n in range(1, len(rules.rules) + 1)]
    assert rules.next_id == len(rules.rules) + 1
    assert all(rule.text.strip() == rule.text != "" for rule in rules.rules)
    assert all(part != "" for part in rules.parts)
    neighbours = zip(rules.parts, rules.parts[1:], strict=False)
    assert not any(isinstance(a, str) and isinstance(b, str) for a, b in neighbours)


@settings(deadline=None)
@given(prompts)
def test_the_same_text_gives_the_same_rules(text: str) -> None:
    assert parse("agent", text) == parse("agent", text)


def texts(prompt: str) -> list[str]:
    return [rule.text for rule in parse("agent", prompt).rules]


@pytest.mark.parametrize(
    ("prompt", "rules"),
    [
        ("- one\n- two", ["one", "two"]),
        ("* one\n+ two\n• three", ["one", "two", "three"]),
        ("1. one\n2) two\n(3) three", ["one", "two", "three"]),
        ("a) one thing\nb) another", ["one thing", "another"]),
        ("A. Smith wrote this page.", []),
        ("1.1 one thing\n1.2 another", ["one thing", "another"]),
        ("1.5 litres of water", []),
        ("- one\n  goes on\n\n  here\n- two", ["one\ngoes on\n\nhere", "two"]),
        ("- one\n    - nested\n- two", ["one\n- nested", "two"]),
        ("- one that\nwraps here\nNot this.", ["one that\nwraps here"]),
        ("<rules>Never lie. Be kind.</rules>", ["Never lie.", "Be kind."]),
        ("<rule>Never lie. Be kind.</rule>", ["Never lie. Be kind."]),
        ("Always put it in <answer></answer>.", ["Always put it in <answer></answer>."]),
        ("You are {name}. Never lie, e.g. to friends. It is late.", ["Never lie, e.g. to friends."]),
        ("## Rules\nThis is a list of rules.\nShort answers only.", ["Short answers only."]),
        ("- Name: {name}\n- {documents}\n- Use {name} kindly.", ["Use {name} kindly."]),
        ("- one\r\n- two\r\n", ["one", "two"]),
        ("- one  \n\t- nested\n", ["one  \n- nested"]),
    ],
)
def test_boundaries(prompt: str, rules: list[str]) -> None:
    assert texts(prompt) == rules


@pytest.mark.parametrize(
    "prompt",
    [
        "```\n- Always no.\n```",
        "~~~md\n- Always no.",
        'The form is\n{\n  "rule": "- Always no.",\n  "b": []\n}\n',
        "Intro.\n\n    - no list\n    x = 1\n".replace("- no list", "y = 2"),
        "Q: What?\nA: Always no.",
        "## Examples\n- Always no.\n\n### Two\nNever.",
        "<example>\nAlways no.\n- never\n</example>",
        "Example:\n- Always no.\n",
        "| Always no. | Never |",
        "> Always no.",
        "<!-- Always no.\n- never -->",
    ],
)
def test_code_and_examples_stay_fixed(prompt: str) -> None:
    assert texts(prompt) == []


def test_lines_that_share_no_indent_stay_as_they_are() -> None:
    (slot,) = (part for part in parse("agent", "- one\n  a\n\tb").parts if isinstance(part, RuleSlot))
    assert (slot.rule.text, slot.indent) == ("one\n  a\n\tb", "")


def test_the_shared_indent_is_layout() -> None:
    (slot,) = (part for part in parse("agent", "1. one\n   a\n     b").parts if isinstance(part, RuleSlot))
    assert (slot.rule.text, slot.indent) == ("one\na\n  b", "   ")
