"""Merging: near-duplicates joined, support counted, top-k kept (TRUCE eq. 4-5; Algorithm 1, line 15)."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from pydantic import BaseModel, Field
from rapidfuzz import fuzz, utils

from langgraph_truce.asking import keep, side_by_side
from langgraph_truce.errors import ModelReplyError
from langgraph_truce.prompts.quote import quoted
from langgraph_truce.rules.edit import Suggestion
from langgraph_truce.rules.rule import template_fields
from langgraph_truce.seams import Batch, Lab, Memory, Merger

_NEGATION = re.compile(r"\b(?:not|no|never|none|without|avoid|refuse|stop|\w+n['\u2019]t)\b", re.IGNORECASE)
_LITERAL = re.compile(r"\"[^\"\n]+\"|\u201c[^\u201d\n]+\u201d|`[^`\n]+`|\d+(?:[.,]\d+)*")
_EDIT_ORDER = {"MODIFY": 0, "ADD": 1, "DELETE": 2}


class MergedItem(BaseModel):
    """A group of near-duplicates (TRUCE B.3, third prompt)."""

    text: str
    support_examples_idx: list[int] = Field(default_factory=list)
    """Indices of the group's items, from 0."""
    support_count: int = Field(default_factory=int)
    """As the model counts; we count ourselves."""
    importance: float = Field(default_factory=float)


class MergeReply(BaseModel):
    """The groups, most wanted first."""

    top: list[MergedItem] = Field(default_factory=list)


@dataclass(frozen=True, slots=True)
class _Group:
    """Suggestions that say the same, and the text that stands for them."""

    text: str
    members: tuple[Suggestion, ...]


def merge_suggestions(*, top_k: int = 5, threshold: float = 0.85, by_model: bool = True) -> Merger:
    """Join near-duplicates, count support (eq. 4), keep the `top_k` best supported (eq. 5).

    Only suggestions with the same operation on the same rule of the same agent are ever joined; DELETEs of one rule
    always are. First by text: similarity at least `threshold`, equal negations, equal quoted words, numbers and
    fields. Then, with a model and `by_model`, by its judgement of what is left; where its reply cannot be read, the
    joining by text stands. One rule is changed at most once: of several suggestions for it the best supported stays.
    The result does not depend on the order of suggestions or tasks.

    Args:
        top_k: k; at least 1.
        threshold: similarity in [0, 1] of the words, order ignored, from which two texts are near-duplicates.
        by_model: let the optimizer model join what text similarity does not.

    Returns:
        A decision whose memory holds `unread` (merge replies that could not be read), `repaired` (groups of a reply
        with indices out of range or used twice) and `dropped` (suggestions left out for one rule's sake), with counts.
    """

    async def merge(batch: Batch, memory: Memory, lab: Lab) -> tuple[tuple[Suggestion, ...], Memory]:
        targets: dict[tuple[str, str, str, str], list[Suggestion]] = {}
        for s in batch.suggestions:
            targets.setdefault((s.agent, s.op, s.rule, s.kind), []).append(s)
        near = [_by_text(targets[key], threshold) for key in sorted(targets)]
        records: list[dict[str, Any]] = []
        if by_model and lab.has_model:
            asked = await side_by_side(_by_model(groups, top_k, batch, lab) for groups in near)
            near = [groups for groups, _ in asked]
            records = [r for _, found in asked for r in found]
        joined = [_join(group, batch) for groups in near for group in groups]
        kept, dropped = _one_per_rule(sorted(joined, key=_rank))
        for name in ("unread", "repaired"):
            memory = keep(memory, name, [r for r in records if r["kind"] == name])
        return tuple(kept[:top_k]), keep(memory, "dropped", dropped)

    return merge


def similar(one: str, other: str, threshold: float) -> bool:
    """Do two rules say the same, as far as words tell? Symmetric.

    Rules that differ in a negation, a number, a quoted word or a template field say different things, however many
    words they share.
    """
    if _exact(one) != _exact(other):
        return False
    return fuzz.token_sort_ratio(one, other, processor=utils.default_process) >= 100 * threshold


def _exact(text: str) -> tuple[int, frozenset[str], frozenset[str]]:
    literals = frozenset(m.strip('"“”`').casefold() for m in _LITERAL.findall(text))
    return len(_NEGATION.findall(text)), literals, template_fields(text)


def _plain(text: str) -> str:
    return " ".join(text.split())


def _by_text(suggestions: Sequence[Suggestion], threshold: float) -> list[_Group]:
    """Groups of one target: each text joins the first more wanted text it is similar to."""
    wanted: dict[str, list[Suggestion]] = {}
    for s in suggestions:
        wanted.setdefault(_plain(s.instruction), []).append(s)
    order = sorted(wanted, key=lambda t: (-len({i for s in wanted[t] for i in s.tasks}), t))
    groups: dict[str, list[Suggestion]] = {}
    first = suggestions[0]
    for text in order:
        if first.op == "DELETE":
            leader = order[0]
        elif first.kind == "example":
            leader = text
        else:
            leader = next((g for g in groups if similar(g, text, threshold)), text)
        groups.setdefault(leader, []).extend(wanted[text])
    # the leader's own wording, line breaks included
    return [_Group(min(s.instruction for s in wanted[t]), tuple(members)) for t, members in groups.items()]


async def _by_model(
    groups: list[_Group], top_k: int, batch: Batch, lab: Lab
) -> tuple[list[_Group], list[dict[str, Any]]]:
    """The groups of one target, joined further by the model."""
    first = groups[0].members[0]
    if len(groups) < 2 or first.kind == "example":  # noqa: PLR2004 - one group has no duplicate
        return groups, []
    items = "\n".join(f"{n}: {_plain(g.text)}" for n, g in enumerate(groups))
    target = f"{first.agent}: {first.op} {first.rule}".rstrip()
    rules = batch.book.agents.get(first.agent)
    for rule in rules.rules if rules else ():
        if rule.id == first.rule:
            target += f"\nThe rule now: {rule.text}"
    texts = {"input_items": items, "target": target}
    fields = quoted(texts, lab.rng("quote", "merge", first.agent, first.op, first.rule))
    try:
        reply = await lab.ask("merge", {**fields, "top_k": str(top_k)}, MergeReply, purpose="merge")
    except ModelReplyError as error:
        return groups, [{"kind": "unread", "target": target, "why": str(error)}]
    return _regroup(groups, reply, target)


def _regroup(
    groups: Sequence[_Group], reply: MergeReply, target: str
) -> tuple[list[_Group], list[dict[str, Any]]]:
    """The reply's groups with its mistakes repaired: an index counts once, where it comes first; what it leaves out stays."""
    out: list[_Group] = []
    records: list[dict[str, Any]] = []
    free = dict(enumerate(groups))
    for item in reply.top:
        good = [i for i in dict.fromkeys(item.support_examples_idx) if i in free]
        bad = [i for i in item.support_examples_idx if i not in free]
        if bad or not good:
            why = f"indices {bad or item.support_examples_idx} are out of range or used twice"
            records.append({"kind": "repaired", "target": target, "why": why})
        taken = [free.pop(i) for i in good]
        if taken:
            alone = len(taken) == 1 or not item.text.strip()
            text = taken[0].text if alone else item.text.strip()
            out.append(_Group(text, tuple(s for g in taken for s in g.members)))
    return [*out, *free.values()], records


def _join(group: _Group, batch: Batch) -> Suggestion:
    """One suggestion for the group: most frequent reason, all evidence and tasks, support by eq. 4."""
    reasons = Counter(s.reason for s in group.members if s.reason)
    tasks = {t for s in group.members for t in s.tasks}
    return replace(
        group.members[0],
        instruction=group.text,
        reason=min(reasons, key=lambda r: (-reasons[r], r)) if reasons else "",
        evidence=tuple(sorted({e for s in group.members for e in s.evidence})),
        tasks=tuple(sorted(tasks)),
        support=len(tasks & batch.tasks.keys()) / len(batch.tasks) if batch.tasks else 0.0,
    )


def _rank(s: Suggestion) -> tuple[float, int, int, str, str, str]:
    """Best supported first; ties by evidence, then by the smaller change, then by name and text."""
    return (-s.support, -len(s.evidence), _EDIT_ORDER[s.op], s.agent, s.rule, s.instruction)


def _one_per_rule(
    ranked: Sequence[Suggestion],
) -> tuple[list[Suggestion], list[Mapping[str, Any]]]:
    """A rule is modified once or deleted, not both: the first in rank stays."""
    kept: list[Suggestion] = []
    dropped: list[Mapping[str, Any]] = []
    taken: dict[tuple[str, str], Suggestion] = {}
    for s in ranked:
        winner = taken.get((s.agent, s.rule)) if s.rule else None
        if winner is None:
            kept.append(s)
            taken[s.agent, s.rule] = s
        else:
            why = f"{winner.op} of the same rule has support {winner.support:.2f}, this one {s.support:.2f}"
            dropped.append({"agent": s.agent, "rule": s.rule, "op": s.op, "text": s.instruction, "why": why})
    return kept, dropped
