"""Headings and tags: which lines stand in a section of rules, which in one of examples or data."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from langgraph_truce.rules.lines import Line
from langgraph_truce.rules.words import one_of

_RULES = re.compile(rf"\b{one_of('rule_sections')}\b", re.IGNORECASE)
_EXAMPLES = re.compile(rf"\b{one_of('example_sections')}\b", re.IGNORECASE)
_DATA_TAGS = re.compile(rf"{one_of('data_tags')}s?(?:[_-]?\w+)?", re.IGNORECASE)
_ITEM_TAGS = re.compile(one_of("item_tags"))
_HASH = re.compile(r"(#{1,6})\s+\S")
_BOLD = re.compile(r"(\*\*|__)(?!\s)[^*_]+\1:?|\[[A-Z][A-Z0-9 _-]+\]|={2,}\s.*\s={2,}|-{2,}\s.*\s-{2,}")
_LABEL = re.compile(r"[^\W\d_][^.!?:;{}<>]{0,60}:")
_CAPS = re.compile(r"[A-ZÄÖÜ][A-ZÄÖÜ0-9 &/'_-]{2,50}:?")
_LABEL_WORDS = 7
_BOLD_LEVEL, _LABEL_LEVEL = 7, 8


@dataclass(frozen=True, slots=True)
class Heading:
    """A line that names what follows."""

    level: int
    """1-6 for `#`, 7 for bold or bracketed lines, 8 for a plain `Label:` line or capitals."""
    title: str

    @property
    def rules(self) -> bool:
        """The section holds rules by its name."""
        return bool(_RULES.search(self.title)) and not self.examples

    @property
    def examples(self) -> bool:
        """The section holds few-shot examples by its name."""
        return bool(_EXAMPLES.search(self.title))


def heading(body: str) -> Heading | None:
    """`body` as a heading; None where it is none."""
    if match := _HASH.match(body):
        return Heading(len(match[1]), body.strip("# \t"))
    if _BOLD.fullmatch(body):
        return Heading(_BOLD_LEVEL, body.strip("*_:[]=- \t"))
    if _LABEL.fullmatch(body) and len(body.split()) <= _LABEL_WORDS:
        return Heading(_LABEL_LEVEL, body.rstrip(":"))
    if _CAPS.fullmatch(body) and len(body.split()) <= _LABEL_WORDS:
        return Heading(_LABEL_LEVEL, body.rstrip(":"))
    return None


def fixed_by_tag(name: str) -> bool:
    """Sections under this tag are examples, data or code: they stay as they are."""
    return bool(_DATA_TAGS.fullmatch(name)) and not rules_by_tag(name)


def rule_by_tag(name: str) -> bool:
    """The whole content of this tag is one rule."""
    return bool(_ITEM_TAGS.fullmatch(name))


def rules_by_tag(name: str) -> bool:
    """Sections under this tag hold rules."""
    return rule_by_tag(name) or bool(_RULES.search(re.sub(r"[_-]", " ", name)))


def tag_paths(lines: Sequence[Line]) -> tuple[tuple[str, ...], ...]:
    """For every line the names of the tags open around its body, outermost first."""
    stack: list[str] = []
    out = []
    for line in lines:
        stack.extend(line.opens)
        out.append(tuple(stack))
        _close(stack, line.closes)
    return tuple(out)


def _close(stack: list[str], names: Sequence[str]) -> None:
    for name in names:
        if name in stack:
            while stack.pop() != name:
                continue
