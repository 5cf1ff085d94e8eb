"""A prompt as one text with the spans of its rules: the form in which parsing, editing and rule files work."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from langgraph_truce.rules.rule import AgentRules, RuleSlot

BLANK = " \t\r\n\f\v"
"""White space that belongs to the layout when it stands at a rule's edge."""


@dataclass(frozen=True, slots=True)
class Span:
    """A rule and where its rendered text stands: `text[start:end] == slot.render()`."""

    start: int
    end: int
    slot: RuleSlot


def unfold(rules: AgentRules) -> tuple[str, tuple[Span, ...]]:
    """The rendered prompt and the spans of its rules, in order."""
    spans: list[Span] = []
    pieces: list[str] = []
    at = 0
    for part in rules.parts:
        piece = part if isinstance(part, str) else part.render()
        if isinstance(part, RuleSlot):
            spans.append(Span(at, at + len(piece), part))
        pieces.append(piece)
        at += len(piece)
    return "".join(pieces), tuple(spans)


def fold(agent: str, text: str, spans: Iterable[Span], next_id: int) -> AgentRules:
    """The inverse of `unfold`: text between the spans becomes fixed parts, none of them empty."""
    parts: list[str | RuleSlot] = []
    at = 0
    for span in spans:
        assert at <= span.start <= span.end
        assert text[span.start : span.end] == span.slot.render()
        if span.start > at:
            parts.append(text[at : span.start])
        parts.append(span.slot)
        at = span.end
    if at < len(text):
        parts.append(text[at:])
    return AgentRules(agent, tuple(parts), next_id)


def dedent(raw: str) -> tuple[str, str]:
    """(text, indent) of a rule that stands in a prompt as `raw`.

    The indent is the white space that all non-empty continuation lines share. Where taking it off and putting
    it back would not give `raw` again, the text is `raw` and the indent is empty.
    """
    head, *rest = raw.split("\n")
    lines = [line for line in rest if line]
    if not lines:
        return raw, ""
    least, most = min(lines), max(lines)  # what these two share at the front, all share
    indent = least[
        : next((i for i, c in enumerate(least) if c not in " \t" or c != most[i : i + 1]), len(least))
    ]
    text = "\n".join([head, *(line.removeprefix(indent) for line in rest)])
    back = "\n".join([head, *(indent + line if line else line for line in text.split("\n")[1:])])
    return (text, indent) if back == raw else (raw, "")
