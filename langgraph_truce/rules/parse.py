"""Any prompt text into role text and rules (TRUCE 4.3), by a line scanner; nothing is rewritten.

What becomes a rule: list items (bullets, numbers, letters, signs), whole `<rule>` elements, and sentences that tell
the node what to do. What stays fixed: headings, tags, code, JSON, tables, quotes, comments, few-shot examples,
template fields that stand alone. The parser only finds spans, so rendering gives the text back byte for byte.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from langgraph_truce.rules.fixed import fixed_lines
from langgraph_truce.rules.layout import Span, dedent, fold
from langgraph_truce.rules.lines import Line, split
from langgraph_truce.rules.lists import items
from langgraph_truce.rules.rule import AgentRules, Rule, RuleSlot
from langgraph_truce.rules.sections import heading, rule_by_tag, rules_by_tag, tag_paths
from langgraph_truce.rules.sentences import is_rule, sentences


def parse(agent: str, text: str) -> AgentRules:
    """Split `text` into fixed text and rules with the ids r1, r2, ... in prompt order.

    `parse(agent, text).render() == text` for every string. The same text always gives the same rules.
    """
    spans = []
    for number, (start, end) in enumerate(rule_spans(text), start=1):
        body, indent = dedent(text[start:end])
        spans.append(Span(start, end, RuleSlot(Rule(f"r{number}", body), indent)))
    return fold(agent, text, spans, len(spans) + 1)


def rule_spans(text: str) -> tuple[tuple[int, int], ...]:
    """(start, end) of every rule in `text`, in order, without overlap."""
    lines = split(text)
    paths = tag_paths(lines)
    fixed = fixed_lines(lines, paths)
    headings = [
        not fixed[i] and bool(line.body) and heading(line.body) is not None for i, line in enumerate(lines)
    ]
    found, taken = items(lines, fixed, headings)
    section = _sections(lines, paths, headings)
    for paragraph in _paragraphs(
        lines, paths, [a or b or c for a, b, c in zip(fixed, taken, headings, strict=True)]
    ):
        first = paragraph[0]
        path = paths[first]
        members = [lines[i] for i in paragraph]
        if path and rule_by_tag(path[-1]):
            found.append((members[0].begin, members[-1].end))
            continue
        for start, end in sentences(text, members):
            if is_rule(text[start:end], section=section[first], listless=not any(taken)):
                found.append((start, end))
    return tuple(sorted(found))


def _sections(
    lines: Sequence[Line], paths: Sequence[tuple[str, ...]], headings: Sequence[bool]
) -> list[bool]:
    """For every line whether it stands in a section of rules, by the tags around it or the headings above it."""
    out = []
    above: list[tuple[int, bool]] = []
    for i, line in enumerate(lines):
        title = heading(line.body) if headings[i] else None
        if title:
            while above and above[-1][0] >= title.level:
                above.pop()
            above.append((title.level, title.rules))
        if line.tagged and not line.body:
            above = []
        out.append(any(map(rules_by_tag, paths[i])) or any(rules for _, rules in above))
    return out


def _paragraphs(
    lines: Sequence[Line], paths: Sequence[tuple[str, ...]], out: Sequence[bool]
) -> Iterable[list[int]]:
    """Runs of neighbouring text lines under the same tags."""
    run: list[int] = []
    for i, line in enumerate(lines):
        if out[i] or not line.body:
            if run:
                yield run
            run = []
            continue
        if run and (line.opens or paths[i] != paths[run[-1]] or lines[run[-1]].closes):
            yield run
            run = []
        run.append(i)
    if run:
        yield run
