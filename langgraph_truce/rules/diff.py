"""What changed between two rule books, rule by rule: as data for reports, as text for review."""

from __future__ import annotations

import difflib
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any, Literal

from langgraph_truce.rules.place import role_words
from langgraph_truce.rules.rule import AgentRules, Rule, RuleBook
from langgraph_truce.rules.worded import worded


@dataclass(frozen=True, slots=True)
class Change:
    """One difference between two rule books."""

    op: Literal["ADD", "MODIFY", "DELETE", "ROLE"]
    """What happened to the rule; ROLE: the role text differs, which no edit ever does."""
    agent: str
    rule: str
    """The rule's id; empty for ROLE."""
    old: str
    """Text before; empty for ADD."""
    new: str
    """Text after; empty for DELETE. Equal to `old` where only attributes differ."""
    note: str = ""
    """Attributes that differ, in words."""

    def to_json(self) -> dict[str, Any]:
        """As JSON, field by field."""
        return asdict(self)


def changes(old: RuleBook, new: RuleBook) -> tuple[Change, ...]:
    """Every difference, agents by name, rules by their order in the prompt (deleted ones where they stood)."""
    out: list[Change] = []
    for agent in sorted({*old.agents, *new.agents}):
        before, after = (book.agents.get(agent) or AgentRules(agent, ()) for book in (old, new))
        out += _agent_changes(before, after)
    return tuple(out)


def diff(old: RuleBook, new: RuleBook) -> str:
    """A plain text diff for review; empty where nothing changed.

    `+` added, `-` deleted, `~` modified: there the old and the new text follow, with the words that differ as
    `[-old-]` and `{+new+}`.
    """
    lines: list[str] = []
    agent = None
    for change in changes(old, new):
        if change.agent != agent:
            agent = change.agent
            lines += ["", agent] if lines else [agent]
        lines += _lines(change)
    return "".join(f"{line}\n" for line in lines)


def _agent_changes(old: AgentRules, new: AgentRules) -> Iterator[Change]:
    if role_words(old) != role_words(new):
        yield Change("ROLE", new.agent, "", old.role_text, new.role_text)
    before = {rule.id: rule for rule in old.rules}
    after = {rule.id: rule for rule in new.rules}
    matcher = difflib.SequenceMatcher(None, list(before), list(after), autojunk=False)
    for _, a, b, c, d in matcher.get_opcodes():
        for rule_id in list(before)[a:b]:
            if rule_id not in after:
                yield Change("DELETE", old.agent, rule_id, before[rule_id].text, "")
        for rule_id in list(after)[c:d]:
            if rule_id not in before:
                yield Change("ADD", new.agent, rule_id, "", after[rule_id].text, _attributes(after[rule_id]))
            elif before[rule_id] != after[rule_id]:
                yield _modified(new.agent, before[rule_id], after[rule_id])


def _modified(agent: str, old: Rule, new: Rule) -> Change:
    was, now = _attributes(old), _attributes(new)
    note = "" if was == now else f"{was or 'plain'} -> {now or 'plain'}"
    return Change("MODIFY", agent, old.id, old.text, new.text, note)


def _attributes(rule: Rule) -> str:
    words = [f"example of task {rule.task}"] if rule.kind == "example" else []
    return ", ".join([*words, *(["protected"] if rule.protected else [])])


def _lines(change: Change) -> list[str]:
    note = f" ({change.note})" if change.note else ""
    if change.op == "ROLE":
        return ["  ! role text differs"]
    if change.op != "MODIFY":
        sign, text = ("+", change.new) if change.op == "ADD" else ("-", change.old)
        return _block(f"  {sign} {change.rule}{note}  ", text)
    old, new = marked(change.old, change.new)
    out = [f"  ~ {change.rule}{note}"]
    return out if change.old == change.new else [*out, *_block("      - ", old), *_block("      + ", new)]


def _block(lead: str, text: str) -> list[str]:
    head, *rest = text.split("\n")
    return [lead + head, *(" " * len(lead) + line for line in rest)]


def marked(old: str, new: str) -> tuple[str, str]:
    """Both texts with the words that differ in brackets; as they are where little is common."""
    pieces = worded(old, new)
    if not any(p.op == "same" for p in pieces):
        return old, new
    left = "".join(p.text if p.op == "same" else f"[-{p.text}-]" for p in pieces if p.op != "come")
    right = "".join(p.text if p.op == "same" else f"{{+{p.text}+}}" for p in pieces if p.op != "gone")
    return left, right
