"""The parser against prompts that were marked by hand (see prompts/README.md)."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import pytest

from langgraph_truce.rules import RuleSlot, parse

FILES = sorted((Path(__file__).parent / "prompts").glob("*.txt"))
Spans = set[tuple[int, int]]


@dataclass(frozen=True)
class Marked:
    text: str
    rules: Spans
    closed: Spans


def marked(file: Path) -> Marked:
    source = file.read_bytes().decode()
    text = re.sub("[⟦⟧⟪⟫]", "", source)
    spans: dict[str, Spans] = {"⟧": set(), "⟫": set()}
    at = opened = 0
    for char in source:
        if char in "⟦⟪":
            opened = at
        elif char in spans:
            spans[char].add((opened, at))
        else:
            at += 1
    return Marked(text, spans["⟧"], spans["⟫"])


def found(text: str) -> Spans:
    at, spans = 0, set()
    for part in parse("agent", text).parts:
        length = len(part.render() if isinstance(part, RuleSlot) else part)
        if isinstance(part, RuleSlot):
            spans.add((at, at + length))
        at += length
    return spans


def test_there_are_enough_prompts_with_enough_rules() -> None:
    assert len(FILES) >= 20
    assert sum(len(marked(file).rules) for file in FILES) >= 80


def test_nine_in_ten_rules_have_exact_boundaries() -> None:
    hits = wanted = given = 0
    for file in FILES:
        prompt = marked(file)
        spans = found(prompt.text)
        hits, wanted, given = hits + len(spans & prompt.rules), wanted + len(prompt.rules), given + len(spans)
    print(f"recall {hits}/{wanted}, precision {hits}/{given}")
    assert hits / wanted >= 0.9
    assert hits / given >= 0.9


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_no_rule_is_found_in_code_or_few_shot_blocks(file: Path) -> None:
    prompt = marked(file)
    inside = [s for s in found(prompt.text) for c in prompt.closed if s[0] < c[1] and c[0] < s[1]]
    assert not [prompt.text[slice(*span)] for span in inside]


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_a_real_prompt_is_rendered_byte_for_byte(file: Path) -> None:
    text = marked(file).text
    assert parse("agent", text).render() == text
