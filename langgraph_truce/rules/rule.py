"""Rule, AgentRules, RuleBook: prompts as policy units (TRUCE 4.3).

A node's prompt is fixed text (the *role text*) with *rules* at known places. Rules carry an id that is given
once, never reused and never sent to the model; list markers and indents are layout and belong to neither.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

from langgraph_truce.errors import UnknownNameError

RuleKind = Literal["instruction", "example"]

_FIELD = re.compile(r"(?<!\{)\{([A-Za-z_][A-Za-z0-9_]*)\}(?!\})|\{\{ *([A-Za-z_][A-Za-z0-9_]*) *\}\}")


def content_hash(text: str) -> str:
    """SHA-256 of `text` in UTF-8 (lone surrogates kept), first 16 hex digits; the name of a content anywhere in the library."""
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:16]


def template_fields(text: str) -> frozenset[str]:
    """Names of the template fields in `text`: `{name}` and `{{name}}`; JSON braces are no fields."""
    return frozenset(a or b for a, b in _FIELD.findall(text))


@dataclass(frozen=True, slots=True)
class Rule:
    """One policy unit u_{i,m} of an agent's prompt (TRUCE 4.3)."""

    id: str
    """Given once per agent (`r1`, `r2`, ...), never reused, never sent to the model."""
    text: str
    """What the rule says, without list marker and without the indent of continuation lines; may have several lines."""
    kind: RuleKind = "instruction"
    """`instruction`, or `example` (quotes a train task; its id is in `task`)."""
    protected: bool = False
    """True: no edit may modify or delete it."""
    task: str = ""
    """Id of the train task that an `example` quotes; empty for instructions."""

    @property
    def hash(self) -> str:
        """Hash of the text; edits carry it, so that they apply only to what they saw (compare-and-swap)."""
        return content_hash(self.text)


@dataclass(frozen=True, slots=True)
class RuleSlot:
    """A rule in its place: the text around it is layout."""

    rule: Rule
    indent: str = ""
    """White space put before every non-empty continuation line of the rule when it is rendered."""

    def render(self) -> str:
        """The rule's text with its continuation lines indented."""
        if not self.indent:
            return self.rule.text
        head, *rest = self.rule.text.split("\n")
        return "\n".join([head, *(self.indent + line if line else line for line in rest)])


@dataclass(frozen=True, slots=True)
class AgentRules:
    """One node's role text and rules, in order.

    `render()` joins the parts: text parts (role text and layout) are sent as they are, slots as their rule's text.
    """

    agent: str
    """Role path of the node (`solver`, `team/solver`), with `@ROUND` where a round has its own rules."""
    parts: tuple[str | RuleSlot, ...]
    """Fixed text and rule slots in prompt order; no two text parts are neighbours, none is empty."""
    next_id: int = 1
    """The number the next new rule gets: larger than that of every rule ever given."""

    @property
    def rules(self) -> tuple[Rule, ...]:
        """The rules in prompt order."""
        return tuple(p.rule for p in self.parts if isinstance(p, RuleSlot))

    @property
    def role_text(self) -> str:
        """The fixed text with the rules left out; never edited."""
        return "".join(p for p in self.parts if isinstance(p, str))

    @property
    def fields(self) -> frozenset[str]:
        """Template fields anywhere in the prompt."""
        return template_fields(self.render())

    def rule(self, rule_id: str) -> Rule:
        """The rule called `rule_id`.

        Raises:
            UnknownNameError: no such rule; the message lists those there are.
        """
        for rule in self.rules:
            if rule.id == rule_id:
                return rule
        there = ", ".join(r.id for r in self.rules) or "none"
        raise UnknownNameError(f"agent {self.agent!r} has no rule {rule_id!r}; its rules are: {there}")

    def render(self) -> str:
        """The instructions this node sends, byte for byte."""
        return "".join(p if isinstance(p, str) else p.render() for p in self.parts)

    def to_json(self) -> dict[str, Any]:
        """As JSON: `{"agent", "next_id", "parts": [str | {"id", "text", ...}]}`; `from_json` reads it back equal."""

        def slot(s: RuleSlot) -> dict[str, Any]:
            out: dict[str, Any] = {"id": s.rule.id, "text": s.rule.text}
            if s.indent:
                out["indent"] = s.indent
            if s.rule.kind != "instruction":
                out |= {"kind": s.rule.kind, "task": s.rule.task}
            if s.rule.protected:
                out["protected"] = True
            return out

        parts = [p if isinstance(p, str) else slot(p) for p in self.parts]
        return {"agent": self.agent, "next_id": self.next_id, "parts": parts}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> AgentRules:
        """Read what `to_json` wrote."""

        def part(p: str | Mapping[str, Any]) -> str | RuleSlot:
            if isinstance(p, str):
                return p
            rule = Rule(
                p["id"], p["text"], p.get("kind", "instruction"), bool(p.get("protected")), p.get("task", "")
            )
            return RuleSlot(rule, p.get("indent", ""))

        return cls(data["agent"], tuple(part(p) for p in data["parts"]), data["next_id"])


@dataclass(frozen=True, slots=True)
class RuleBook:
    """All agents' rules, keyed by role path and, where wanted, round (`solver`, `solver@2`)."""

    agents: Mapping[str, AgentRules]

    @property
    def version(self) -> str:
        """Hash of the whole content, 16 hex digits: equal books have equal versions, on every machine."""
        return content_hash(json.dumps(self.to_json(), sort_keys=True, ensure_ascii=True))

    def agent(self, role: str, round: int | None = None) -> AgentRules:  # noqa: A002 - the field's word
        """The rules of `role`; those of `role@round` where the round has its own.

        Raises:
            UnknownNameError: no such role; the message lists those there are.
        """
        own = f"{role}@{round}"
        if round is not None and own in self.agents:
            return self.agents[own]
        if role not in self.agents:
            there = ", ".join(sorted(self.agents)) or "none"
            raise UnknownNameError(f"the rule book has no agent {role!r}; its agents are: {there}")
        return self.agents[role]

    def render(self, role: str, round: int | None = None) -> str:  # noqa: A002 - the field's word
        """The instructions that node `role` sends (in `round`, where it has its own)."""
        return self.agent(role, round).render()

    def with_agent(self, rules: AgentRules) -> RuleBook:
        """A book in which `rules` stands for its agent; everything else is the same object."""
        return replace(self, agents={**self.agents, rules.agent: rules})

    def to_json(self) -> dict[str, Any]:
        """As JSON: agent name -> `AgentRules.to_json()`, names sorted."""
        return {name: self.agents[name].to_json() for name in sorted(self.agents)}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> RuleBook:
        """Read what `to_json` wrote."""
        return cls({name: AgentRules.from_json(data[name]) for name in sorted(data)})
