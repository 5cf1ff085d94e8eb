"""Whole instructions as rule units: how a text that another optimizer wrote becomes an agent's role text and rules."""

from __future__ import annotations

from dataclasses import replace

from langgraph_truce.redact import Redactor
from langgraph_truce.rules import AgentRules, Rule, RuleSlot, parse


def reworded(old: AgentRules, text: str) -> AgentRules:
    """The rules of an agent whose whole instructions are replaced by `text`.

    New rules get ids that were never given; protected rules stay, word for word and with their ids, behind the text.
    `reworded(old, old.render())` is `old`.
    """
    if text == old.render():
        return old
    made = parse(old.agent, text)
    shift = old.next_id - 1
    parts: list[str | RuleSlot] = [
        part if isinstance(part, str) else replace(part, rule=_shifted(part.rule, shift))
        for part in made.parts
    ]
    for rule in old.rules:
        if rule.protected:
            parts += ["\n- ", RuleSlot(rule, "  ")]
    return AgentRules(old.agent, _joined(parts), made.next_id + shift)


def unfit(old: AgentRules, text: str) -> str:
    """Why `text` cannot replace the instructions of `old`; "" where it can."""
    if not text.strip():
        return "it is empty"
    fields = reworded(old, text).fields
    if lost := sorted(old.fields - fields):
        return f"it lost the template field {', '.join(lost)}"
    if new := sorted(fields - old.fields):
        return f"it has the template field {', '.join(new)}, which nothing fills"
    if Redactor().holds_secret(text):
        return "it carries a secret"
    return ""


def _shifted(rule: Rule, shift: int) -> Rule:
    return replace(rule, id=f"r{int(rule.id.removeprefix('r')) + shift}")


def _joined(parts: list[str | RuleSlot]) -> tuple[str | RuleSlot, ...]:
    """No two texts are neighbours."""
    out: list[str | RuleSlot] = []
    for part in parts:
        if isinstance(part, str) and out and isinstance(out[-1], str):
            out[-1] += part
        else:
            out.append(part)
    return tuple(out)
