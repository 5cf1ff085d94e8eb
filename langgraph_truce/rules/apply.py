"""Edits applied to a rule book: pure, compare-and-swap, all or nothing (contracts 2 and 3)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

from langgraph_truce.errors import EditError
from langgraph_truce.rules.edit import Edit
from langgraph_truce.rules.layout import fold, unfold
from langgraph_truce.rules.place import append_rule, remove_rule, replace_rule
from langgraph_truce.rules.rule import AgentRules, Rule, RuleBook, template_fields

_ORDER = {"MODIFY": 0, "DELETE": 1, "ADD": 2}


def apply(book: RuleBook, edits: Sequence[Edit]) -> RuleBook:
    """`book` with all `edits`; the order of edits matters for ADDs only.

    Every edit is checked against `book` as it is given, so a set says what its writers saw: MODIFY replaces a
    rule's text in place; DELETE takes a rule out with its marker and line and renumbers its list; ADD puts a new
    rule behind the agent's last one in that one's style, else into a new list at the end.

    Raises:
        EditError: an edit does not fit (unknown agent or rule, another text than its writer saw, protected rule,
            template field lost or invented, empty text, two edits of one rule). Nothing is applied then.
    """
    return _apply(book, edits)[0]


def apply_one(book: RuleBook, edit: Edit) -> tuple[RuleBook, str]:
    """`book` with `edit`, and the id of the rule it is about: for an ADD the new one.

    Raises:
        EditError: as `apply`.
    """
    changed, ids = _apply(book, [edit])
    return changed, ids[0]


def _apply(book: RuleBook, edits: Sequence[Edit]) -> tuple[RuleBook, tuple[str, ...]]:
    for edit in edits:
        _check(book, edit)
    targets = Counter((edit.agent, edit.rule) for edit in edits if edit.op != "ADD")
    for (agent, rule), times in targets.items():
        if times > 1:
            both = " and ".join(e.id for e in edits if e.op != "ADD" and (e.agent, e.rule) == (agent, rule))
            raise EditError(
                f"edits {both} change the same rule {rule!r} of agent {agent!r}; a set edits a rule once"
            )
    ids = [""] * len(edits)
    # one order for every permutation of a set: texts first, then removals from the bottom, then additions
    for k in sorted(range(len(edits)), key=lambda k: _rank(book, edits[k])):
        edited, ids[k] = _edit(book.agents[edits[k].agent], edits[k])
        book = book.with_agent(edited)
    return book, tuple(ids)


def _rank(book: RuleBook, edit: Edit) -> tuple[int, int]:
    if edit.op == "ADD":
        return _ORDER["ADD"], 0
    return _ORDER[edit.op], -[rule.id for rule in book.agents[edit.agent].rules].index(edit.rule)


def _edit(rules: AgentRules, edit: Edit) -> tuple[AgentRules, str]:
    text, spans = unfold(rules)
    if edit.op == "ADD":
        new = Rule(f"r{rules.next_id}", edit.text, edit.kind, task=edit.task)
        text, spans = append_rule(text, spans, new)
        return fold(rules.agent, text, spans, rules.next_id + 1), new.id
    i = [span.slot.rule.id for span in spans].index(edit.rule)
    if edit.op == "DELETE":
        text, spans = remove_rule(text, spans, i)
    else:
        text, spans = replace_rule(text, spans, i, replace(spans[i].slot.rule, text=edit.text))
    return fold(rules.agent, text, spans, rules.next_id), edit.rule


def _check(book: RuleBook, edit: Edit) -> None:
    name = f"edit {edit.id} ({edit.op} {edit.rule or 'a rule'} of {edit.agent!r})"
    if edit.op not in _ORDER:
        raise EditError(f"{name}: no such operation; there are ADD, MODIFY and DELETE")
    if edit.agent not in book.agents:
        there = ", ".join(sorted(book.agents)) or "none"
        raise EditError(f"{name}: the rule book has no agent {edit.agent!r}; its agents are: {there}")
    rules = book.agents[edit.agent]
    if edit.op != "DELETE" and not edit.text.strip():
        raise EditError(f"{name}: the new text is empty; use DELETE to take a rule out")
    if edit.op == "ADD":
        _check_new(name, edit)
        old: frozenset[str] = frozenset()
    else:
        old = template_fields(_target(name, rules, edit).text)
    new = template_fields(edit.text) if edit.op != "DELETE" else frozenset()
    if lost := old - new:
        raise EditError(f"{name}: it would lose the template field {_names(lost)}; the new text must keep it")
    if foreign := new - rules.fields:
        have = _names(rules.fields) if rules.fields else "none"
        raise EditError(
            f"{name}: it brings the template field {_names(foreign)}, which nothing fills; there are: {have}"
        )


def _check_new(name: str, edit: Edit) -> None:
    if edit.rule or edit.old_hash:
        raise EditError(f"{name}: an ADD names no rule and no hash; the rule book gives the id")
    if edit.kind == "example" and not edit.task:
        raise EditError(f"{name}: an example quotes a train task; give its id in `task`")
    if edit.kind != "example" and edit.task:
        raise EditError(
            f"{name}: only an example quotes a task, this is an {edit.kind!r}; leave `task` empty"
        )


def _target(name: str, rules: AgentRules, edit: Edit) -> Rule:
    found = next((rule for rule in rules.rules if rule.id == edit.rule), None)
    if found is None:
        there = ", ".join(rule.id for rule in rules.rules) or "none"
        raise EditError(f"{name}: agent {edit.agent!r} has no rule {edit.rule!r}; its rules are: {there}")
    if found.protected:
        raise EditError(
            f"{name}: rule {edit.rule!r} is protected; take `protected` out of its file to allow edits"
        )
    if found.hash != edit.old_hash:
        raise EditError(
            f"{name}: the rule has changed since the edit was written (its hash is {found.hash}, the edit saw "
            f"{edit.old_hash or 'none'}); write the edit again from the present text"
        )
    return found


def _names(fields: frozenset[str]) -> str:
    return ", ".join(f"{{{field}}}" for field in sorted(fields))
