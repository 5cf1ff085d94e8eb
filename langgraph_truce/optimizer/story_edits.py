"""The ledger as stories: what was tried, the evidence for it, and everything that happened to it afterwards."""

from __future__ import annotations

from collections.abc import Callable, Container, Mapping, Sequence
from dataclasses import replace
from typing import Any

from langgraph_truce.optimizer.ledger import REVERT, WAITING, is_applied
from langgraph_truce.optimizer.story_rollouts import Cited
from langgraph_truce.report.story import EditStory, RuleStory, Said
from langgraph_truce.rules import RuleBook, changes

ROLE = "ROLE"
ASKED = Said("review", WAITING, "It passed the gate and is not applied before a person has answered.")


async def edit_stories(
    ledger: Sequence[Mapping[str, Any]],
    cited: Cited,
    undo: Callable[[str], str],
    asked: Container[str] = (),
) -> tuple[EditStory, ...]:
    """One story per edit that was tried, in order; later lines about an edit add to its history.

    `undo` gives the command that takes back the edit of an id; `asked` are those that wait for a person's answer.
    """
    groups: dict[object, list[Mapping[str, Any]]] = {}
    for place, line in enumerate(ledger):
        groups.setdefault(_id(line) or place, []).append(line)
    stories = [await _story(lines, cited, undo) for lines in groups.values()]
    return tuple(replace(e, history=(*e.history, ASKED)) if e.id and e.id in asked else e for e in stories)


def rule_stories(initial: RuleBook, current: RuleBook, edits: Sequence[EditStory]) -> tuple[RuleStory, ...]:
    """Every rule that differs, and the accepted edits of it."""
    return tuple(
        RuleStory(
            c.op,
            c.agent,
            c.rule,
            c.old,
            c.new,
            c.note,
            tuple(
                i
                for i, e in enumerate(edits)
                if (e.agent, e.rule, e.decision) == (c.agent, c.rule, "accept") and c.op != ROLE
            ),
        )
        for c in changes(initial, current)
    )


def _id(line: Mapping[str, Any]) -> str:
    return str(line.get("id") or line.get("edit", {}).get("id") or "")


def _said(line: Mapping[str, Any]) -> Said:
    decision = str(line["decision"])
    kind = str(line.get("kind") or ("error" if decision == "error" else "edit"))
    approver = str(line.get("approver") or ("" if kind == "error" else "gate"))
    return Said(kind, decision, str(line.get("words", "")), approver, str(line.get("at") or ""))


async def _story(lines: Sequence[Mapping[str, Any]], cited: Cited, undo: Callable[[str], str]) -> EditStory:
    line, last = lines[0], lines[-1]
    # an edit that a person changed was measured again: the last figures count, but not those of taking it back
    gated = [x for x in lines if x.get("p_value") is not None and x.get("kind") != REVERT]
    figures = gated[-1] if gated else line
    edit = line["edit"]
    wish = edit.get("suggestion") or {}

    def field(name: str) -> Any:
        return line[name] if name in line else wish.get(name)

    evidence = [str(step) for step in field("evidence") or ()]
    return EditStory(
        iteration=int(line["iteration"]),
        id=_id(line),
        op=str(edit["op"]),
        agent=str(edit["agent"]),
        rule=str(line.get("rule_id") or edit.get("rule") or ""),
        before=str(line.get("before") or ""),
        after=str(edit.get("text") or ""),
        reason=str(field("reason") or ""),
        support=field("support"),
        tasks=tuple(map(str, field("tasks") or ())),
        quotes=await cited.quotes(evidence),
        cited=len(evidence),
        history=tuple(map(_said, lines)),
        estimate=figures.get("estimate"),
        low=figures.get("low"),
        high=figures.get("high"),
        p_value=figures.get("p_value"),
        alpha=figures.get("alpha"),
        fixed=len(figures.get("fixed") or ()),
        broken=len(figures.get("broken") or ()),
        undo=undo(str(last.get("id"))) if is_applied(last) else "",
    )
