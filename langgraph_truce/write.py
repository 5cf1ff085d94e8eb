"""Writing: a suggestion becomes the edit of one rule (TRUCE 4.5; Algorithm 1, line 16)."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from pydantic import BaseModel, Field

from langgraph_truce.asking import keep, require_model, side_by_side
from langgraph_truce.batch import hung, role_of, rules_text
from langgraph_truce.copying import Copies, quoted_task, task_texts
from langgraph_truce.errors import EditError, ModelReplyError
from langgraph_truce.prompts.quote import INVISIBLE, quoted
from langgraph_truce.redact import MASK, Redactor
from langgraph_truce.rules.apply import apply
from langgraph_truce.rules.edit import Edit, Suggestion
from langgraph_truce.rules.rule import AgentRules, Rule, RuleBook, template_fields
from langgraph_truce.seams import Batch, Lab, Memory, Writer
from langgraph_truce.task import Task

LONGEST = 2000
"""Characters of a rule that a model writes, at most; a rule that is longer already may double."""
_WORD = re.compile(r"[^\W_]")
_MARKER = re.compile(r"^\s*(?:[-*+•]|\d{1,3}[.)]|#{1,6})\s+")
_ABOUT_RULES = re.compile(
    r"^\W*(?:add|include|insert|introduce|create|write|modify|change|rewrite|revise|update|extend|remove|delete)\b"
    r"[^.]*\b(?:rule|instruction|prompt|guideline|bullet)s?\b",
    re.IGNORECASE,
)


class WriteReply(BaseModel):
    """The new text of one rule."""

    text: str


class RewrittenRule(BaseModel):
    """One rule of a rewritten set."""

    rule: str = Field(default_factory=str)
    """Id of the rule it continues; empty where it is new."""
    text: str


class RewriteReply(BaseModel):
    """All rules of one agent, as they should stand."""

    rules: list[RewrittenRule]


def write_edits(*, by_model: bool = True, ready_chars: int = 280) -> Writer:
    """One edit of one rule for each suggestion, in order; each is tried on the book with those before it.

    Examples, DELETEs and ADDs of ready text (one paragraph of at most `ready_chars` characters that speaks to the agent,
    not about its rules) are taken as they are. The rest is written by the model; without one, or with `by_model` off,
    the instruction is the text.

    Returns:
        A decision whose memory holds `errors`: this iteration's suggestions that became no edit, each as
        `{"suggestion": Suggestion.to_json(), "error": sentence, "iteration": t}`, and their count (contract 3).
    """

    async def write(batch: Batch, memory: Memory, lab: Lab) -> tuple[tuple[Edit, ...], Memory]:
        ask = by_model and lab.has_model
        written = await side_by_side(
            _text(s, batch, lab) if ask and not _ready(s, ready_chars) else _as_it_is(s)
            for s in batch.suggestions
        )
        return _checked(batch, memory, zip(batch.suggestions, written, strict=True))

    return write


def rewrite_whole() -> Writer:
    """The ablation without unit edits (TRUCE 6.4): all rules of each agent that has suggestions are written anew.

    The new set is expressed as edits (MODIFY, DELETE, ADD of single rules), so that the same gate decides on it.

    Returns:
        A decision with the same memory as `write_edits`.
    """

    async def write(batch: Batch, memory: Memory, lab: Lab) -> tuple[tuple[Edit, ...], Memory]:
        require_model(lab, "rewrite_whole")
        agents = [a for a in batch.book.agents if any(s.agent == a for s in batch.suggestions)]
        sets = await side_by_side(_rewritten(agent, batch, lab) for agent in agents)
        return _checked(batch, memory, (pair for pairs in sets for pair in pairs))

    return write


def _ready(s: Suggestion, limit: int) -> bool:
    if s.op == "DELETE" or s.kind == "example":
        return True
    text = s.instruction.strip()
    return s.op == "ADD" and len(text) <= limit and "\n" not in text and not _ABOUT_RULES.match(text)


async def _as_it_is(s: Suggestion) -> str:
    if s.op == "DELETE":
        return ""
    return s.instruction if s.kind == "example" else _clean(s.instruction)


async def _text(s: Suggestion, batch: Batch, lab: Lab) -> str | ModelReplyError:
    """The rule's new text from the model, or why there is none."""
    rules = batch.book.agents.get(s.agent)
    rule = _rule(rules, s.rule)
    if rules is None or (s.op == "MODIFY" and rule is None):
        return _clean(s.instruction)  # applying it will say what is missing; nothing to ask a model
    old = rule.text if rule else ""
    texts = {
        **_common(s.agent, old, lab),
        "rules": rules_text(rules),
        "rule": old,
        "instruction": s.instruction,
        "reason": s.reason,
    }
    fields = {
        **quoted(texts, lab.rng("quote", "write", s.agent, s.op, s.rule, s.instruction)),
        "op": f"{s.op} {rule.id if rule else ''}".rstrip(),
    }
    try:
        return _clean((await lab.ask("write", fields, WriteReply, purpose="write")).text)
    except ModelReplyError as error:
        return error


async def _rewritten(agent: str, batch: Batch, lab: Lab) -> list[tuple[Suggestion, str | Exception]]:
    """The rewritten set of one agent as suggestions of single rules with their texts."""
    rules = batch.book.agents[agent]
    wishes = [s for s in batch.suggestions if s.agent == agent]
    whole = Suggestion(
        op="MODIFY",
        agent=agent,
        instruction="all rules written anew",
        reason="; ".join(dict.fromkeys(s.reason for s in wishes if s.reason)),
        evidence=tuple(dict.fromkeys(e for s in wishes for e in s.evidence)),
        tasks=tuple(dict.fromkeys(t for s in wishes for t in s.tasks)),
        support=max(s.support for s in wishes),
    )
    texts = {
        **_common(agent, "\n".join(r.text for r in rules.rules), lab),
        "rules": rules_text(rules),
        "suggestions": "\n".join(f"- {s.op} {s.rule}".rstrip() + f": {hung(s.instruction)}" for s in wishes),
    }
    fields = quoted(texts, lab.rng("quote", "rewrite", agent))
    try:
        reply = await lab.ask("rewrite", fields, RewriteReply, purpose="write")
    except ModelReplyError as error:
        return [(whole, error)]
    return _as_changes(rules, reply, whole)


def _as_changes(
    rules: AgentRules, reply: RewriteReply, whole: Suggestion
) -> list[tuple[Suggestion, str | Exception]]:
    """Kept ids with another text are MODIFYs, missing ones DELETEs, the rest ADDs; protected rules stay."""
    old = {r.id: r for r in rules.rules}
    new: dict[str, str] = {}
    added: list[str] = []
    out: list[tuple[Suggestion, str | Exception]] = []
    for said in reply.rules:
        text, rule_id = _clean(said.text), said.rule.strip(" `[]:")
        if rule_id in new:
            again = replace(whole, rule=rule_id, instruction=text)
            out.append((again, EditError(f"the rewritten set has rule {rule_id!r} twice; the first counts")))
        elif rule_id in old:
            new[rule_id] = text
        else:
            added.append(text)
    for rule in rules.rules:
        if rule.protected:
            continue
        if rule.id not in new:
            out.append((replace(whole, op="DELETE", rule=rule.id, instruction="left out of the new set"), ""))
        elif new[rule.id] != rule.text:
            out.append((replace(whole, rule=rule.id, instruction=new[rule.id]), new[rule.id]))
    out += [(replace(whole, op="ADD", instruction=text), text) for text in added]
    return out


def _common(agent: str, text: str, lab: Lab) -> dict[str, str]:
    names = ", ".join(sorted(template_fields(text)))
    return {"agent": agent, "profile": lab.about(role_of(agent)), "fields": names}


def _clean(text: str) -> str:
    """Rule text without list marker and without quotation marks around the whole."""
    text = _MARKER.sub("", text.strip()).strip()
    if len(text) > 1 and text[0] == text[-1] and text[0] in "\"'`" and text[0] not in text[1:-1]:
        text = text[1:-1].strip()
    return text


def _rule(rules: AgentRules | None, rule_id: str) -> Rule | None:
    return next((r for r in rules.rules if r.id == rule_id), None) if rules else None


@dataclass(slots=True)
class _Draft:
    """The edits so far, and the book with all of them."""

    book: RuleBook
    edits: list[Edit] = field(default_factory=list)


def _checked(
    batch: Batch, memory: Memory, pairs: Iterable[tuple[Suggestion, str | Exception]]
) -> tuple[tuple[Edit, ...], Memory]:
    """The pairs that apply, as edits; the others as errors in memory."""
    draft = _Draft(batch.book)
    copies = Copies(batch.validation, _free(batch))
    errors: list[dict[str, Any]] = []
    for suggestion, text in pairs:
        try:
            _append(draft, suggestion, text, batch, copies)
        except (EditError, ModelReplyError) as error:
            errors.append(
                {"suggestion": suggestion.to_json(), "error": str(error), "iteration": batch.iteration}
            )
    return tuple(draft.edits), keep(memory, "errors", errors)


def _append(draft: _Draft, s: Suggestion, text: str | Exception, batch: Batch, copies: Copies) -> None:
    """Add one edit to the draft.

    Raises:
        EditError: it does not fit the book, repeats a rule, quotes no train task, copies a validation task, or is no text
            that a person can review.
        ModelReplyError: its text could not be read.
    """
    if isinstance(text, Exception):
        raise text
    rules = draft.book.agents.get(s.agent)
    seen = _rule(
        batch.book.agents.get(s.agent), s.rule
    )  # as the writer saw it: a second edit of it must not apply
    if rules and s.op != "DELETE" and any(_same(text, r.text) for r in rules.rules):
        raise EditError(f"{s.op} {s.rule} of {s.agent!r}: a rule says exactly this already")
    if s.op != "DELETE" and (why := _unfit(text, seen.text if seen else "", s.kind)):
        raise EditError(f"{s.op} {s.rule}".rstrip() + f" of {s.agent!r}: {why}")
    if found := copies.find(text):
        raise EditError(f"{s.op} of {s.agent!r} copies a validation task: ...{found}...")
    edit = Edit(
        id=f"e{batch.iteration}.{len(draft.edits) + 1}",
        op=s.op,
        agent=s.agent,
        rule=s.rule,
        old_hash=seen.hash if seen else "",
        text=text,
        kind=s.kind,
        task=_quoted(s, batch) if s.kind == "example" else "",
        suggestion=s,
    )
    draft.book = apply(batch.book, (*draft.edits, edit))
    draft.edits.append(edit)


def _unfit(text: str, old: str, kind: str) -> str:
    """Why a text cannot become a rule, whatever it says; empty where it can. `old` is the rule it replaces."""
    if hidden := sorted(set(INVISIBLE.findall(text)) - set(INVISIBLE.findall(old))):
        return f"it brings characters that no reviewer sees: {', '.join(f'U+{ord(c):04X}' for c in hidden)}"
    if kind != "example" and len(text) > max(LONGEST, 2 * len(old)):
        return f"{len(text)} characters are no single rule; {max(LONGEST, 2 * len(old))} are the most"
    if text.strip() and not _WORD.search(text):
        return f"{text.strip()[:20]!r} says nothing"
    if Redactor().holds_secret(text) or (MASK in text and MASK not in old):
        return "it carries a secret"
    return ""


def _train(batch: Batch) -> dict[str, Task]:
    """The train tasks of the batch: a later phase may also have validation tasks in it, from the gate's logs."""
    tested = {t.id for t in batch.validation}
    return {name: task for name, task in batch.tasks.items() if name not in tested}


def _free(batch: Batch) -> list[str]:
    """Texts that an edit may quote."""
    return [
        *(t for task in _train(batch).values() for t in task_texts(task)),
        *(rules.render() for rules in batch.book.agents.values()),
    ]


def beside(write: Writer, train: Mapping[str, Task]) -> Writer:
    """`write`, told of these train tasks besides those of its batch: what an edit may quote, whatever asked for it."""

    async def told(batch: Batch, memory: Memory, lab: Lab) -> tuple[tuple[Edit, ...], Memory]:
        return await write(replace(batch, tasks={**batch.tasks, **train}), memory, lab)

    return told


def sealed(write: Writer, test: Sequence[Task]) -> Writer:
    """`write`, with edits that copy a sealed test task taken out and recorded as errors (contract 10).

    The decision itself never sees the test tasks; the optimizer wraps every writer so, also a user's own.
    """

    async def checked(batch: Batch, memory: Memory, lab: Lab) -> tuple[tuple[Edit, ...], Memory]:
        edits, own = await write(batch, memory, lab)
        copies = Copies(test, _free(batch))
        bad = [e for e in edits if copies.find(e.text)]
        if not bad:
            return tuple(edits), own
        words = [f"{e.op} of {e.agent!r} copies a test task" for e in bad]
        errors = [
            {"suggestion": e.suggestion.to_json(), "error": why, "iteration": batch.iteration}
            for e, why in zip(bad, words, strict=True)
            if e.suggestion is not None
        ]
        there = own.get("errors", [])
        count = own.get("errors_count", 0) + len(errors)
        kept = tuple(e for e in edits if e not in bad)
        return kept, {**own, "errors": [*there, *errors], "errors_count": count}

    return checked


def _quoted(s: Suggestion, batch: Batch) -> str:
    """The train task that an example quotes.

    Raises:
        EditError: it quotes none of the tasks that asked for it.
    """
    train = _train(batch)
    own = [train[t] for t in s.tasks if t in train]
    found = quoted_task(s.instruction, own) or (own[0].id if len(own) == 1 else "")
    if not found:
        raise EditError(
            f"ADD of an example to {s.agent!r} quotes no train task of {', '.join(s.tasks) or 'none'}"
        )
    return found


def _same(one: str, other: str) -> bool:
    return " ".join(one.casefold().split()) == " ".join(other.casefold().split())
