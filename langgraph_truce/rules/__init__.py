"""Prompts as policy units: parse, edit, compare, keep as Markdown files and as versions in a store."""

from __future__ import annotations

from langgraph_truce.rules.apply import apply, apply_one
from langgraph_truce.rules.diff import Change, changes, diff
from langgraph_truce.rules.edit import Edit, Op, Suggestion
from langgraph_truce.rules.files import read_rules, write_rules
from langgraph_truce.rules.parse import parse
from langgraph_truce.rules.rule import (
    AgentRules,
    Rule,
    RuleBook,
    RuleKind,
    RuleSlot,
    content_hash,
    template_fields,
)
from langgraph_truce.rules.store import Activation, RuleStore

__all__ = [
    "Activation",
    "AgentRules",
    "Change",
    "Edit",
    "Op",
    "Rule",
    "RuleBook",
    "RuleKind",
    "RuleSlot",
    "RuleStore",
    "Suggestion",
    "apply",
    "apply_one",
    "changes",
    "content_hash",
    "diff",
    "parse",
    "read_rules",
    "template_fields",
    "write_rules",
]
