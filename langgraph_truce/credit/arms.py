"""The arms of a counterfactual comparison: what is replaced, against which control, and what each replay costs."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from langgraph_truce import prompts
from langgraph_truce.batch import agents_of, role_of
from langgraph_truce.credit.contributions import Contribution, contributing, contributions
from langgraph_truce.errors import EditError, UserMistake
from langgraph_truce.rules.apply import apply_one
from langgraph_truce.rules.edit import Edit
from langgraph_truce.rules.rule import RuleBook
from langgraph_truce.seams import Change, Rollout
from langgraph_truce.trajectory.downstream import calls

Replacement = str | RuleBook
"""One of `WAYS`, or a rule book: each agent whose rules differ there goes on with them."""
WAYS = ("neutral", "previous", "peer", "fresh", "rules")
EDITED = "edited rules"
"""What a credit calls a replacement that was given as a rule book."""


@dataclass(frozen=True, slots=True)
class Edited:
    """A rule book in which one agent's rules differ."""

    name: str
    """`rules` (one rule left out) or `EDITED`."""
    agent: str
    rules: tuple[str, ...]
    """Ids of the rules of the current book that differ; a new rule has none there."""
    book: RuleBook


@dataclass(frozen=True, slots=True)
class Arm:
    """One contribution (or one agent's rules) of one rollout with one replacement, and its control."""

    rollout: Rollout
    role: str
    round: int | None
    """None for a change of rules: it acts from the agent's first visit on."""
    steps: tuple[str, ...]
    """What a credit of it cites."""
    replacement: str
    """One of `WAYS`, or `EDITED`."""
    change: Change
    control: Change
    """The unedited replay of the same fork point; equal for all contributions of one fork point."""
    calls: int
    """Model calls of one replay with the change, as recorded downstream of it."""
    control_calls: int
    source: str = ""
    """Step whose words stand in its place (`previous`, `peer`)."""
    rules: tuple[str, ...] = ()
    """Ids of the rules that differ (`Edited.rules`)."""


def check_replace(replacements: Sequence[Replacement]) -> None:
    """Refuse what is no replacement.

    Raises:
        UserMistake: none, an unknown one, or one twice.
    """
    named = [r for r in replacements if isinstance(r, str)]
    unknown = [r for r in replacements if not isinstance(r, RuleBook) and r not in WAYS]
    if unknown or not replacements or len(set(named)) < len(named):
        raise UserMistake(
            f"replace= takes each of {', '.join(WAYS)} once, or a RuleBook with other rules, "
            f"got {unknown or list(replacements)}"
        )


def planned(
    rollout: Rollout,
    book: RuleBook,
    replacements: Sequence[Replacement],
    books: Sequence[Edited],
    roles: Collection[str] | None = None,
) -> tuple[Arm, ...]:
    """All arms of a rollout, by replacement and time; `books` is what `edited_books` makes of the same `replacements`.

    There is no arm where there is nothing to replace with: no `previous` in a role's first round, no `peer` without a
    sibling at the fork point. A fan-out takes the words of the other's first step.
    """
    found = contributions(rollout.trajectory, book)
    chosen = [c for c in found if roles is None or c.role in roles]
    ways = [r for r in replacements if isinstance(r, str) and r != "rules"]
    arms = [arm for way in ways for c in chosen for arm in _replaced(rollout, c, way, found)]
    other = [e for e in books if roles is None or role_of(e.agent) in roles]
    return (*arms, *(arm for edited in other for arm in _with_book(rollout, book, edited)))


def arms_of(rollout: Rollout, accused: Contribution, way: str, book: RuleBook) -> tuple[Arm, ...]:
    """The arms of one contribution with one replacement other than rules."""
    return _replaced(rollout, accused, way, contributions(rollout.trajectory, book))


def cost(arms: Sequence[Arm], replicates: int, *, deterministic: bool = False) -> int:
    """Model calls of all replays: every arm, and every control once, `replicates` times each.

    Replies that are journalled already are not paid for again, so the run may make fewer.
    """
    controls = {(arm.rollout.id, arm.control): arm.control_calls for arm in arms}
    once = sum(arm.calls for arm in arms) + (0 if deterministic else sum(controls.values()))
    return replicates * once


def _replaced(rollout: Rollout, c: Contribution, way: str, found: Sequence[Contribution]) -> tuple[Arm, ...]:
    beside = [other for other in found if other.point == c.point]
    first = beside[0].steps if beside else c.steps
    downstream = calls(rollout.trajectory, c.steps)
    arm = Arm(
        rollout=rollout,
        role=c.role,
        round=c.round,
        steps=c.steps,
        replacement=way,
        change=Change(steps=c.steps),
        control=Change(steps=first),
        calls=downstream,
        control_calls=calls(rollout.trajectory, first),
    )
    if way == "neutral":
        words = prompts.load("neutral").text.strip()
        return (replace(arm, change=Change(steps=c.steps, neutral=words)),)
    if way == "fresh":
        rerun = calls(rollout.trajectory, c.steps, rerun=True)
        return (replace(arm, change=Change(steps=c.steps, rerun=True), calls=rerun),)
    if way == "peer":
        others = [other.steps[0] for other in beside if other.role != c.role]
    else:
        earlier = [other for other in found if other.role == c.role and other.round < c.round]
        others = [earlier[-1].steps[0]] if earlier else []
    return tuple(replace(arm, change=Change(steps=c.steps, instead=s), source=s) for s in others)


def _with_book(rollout: Rollout, book: RuleBook, edited: Edited) -> Iterator[Arm]:
    """The arm of an agent's edited rules: from its first visit on, against that visit run again with the old ones."""
    role = role_of(edited.agent)
    acting = [
        s
        for s in contributing(rollout.trajectory, book)
        if s.role == role and edited.agent in agents_of(edited.book, s.role, s.round)
    ]
    if not acting:
        return
    first = tuple(s.id for s in acting if s.visit == acting[0].visit)
    again = calls(rollout.trajectory, first, rerun=True)
    yield Arm(
        rollout=rollout,
        role=role,
        round=None,
        steps=tuple(s.id for s in acting),
        replacement=edited.name,
        change=Change(book=edited.book),
        control=Change(steps=first, rerun=True),
        calls=again,
        control_calls=again,
        rules=edited.rules,
    )


def edited_books(
    book: RuleBook, replacements: Sequence[Replacement]
) -> tuple[tuple[Edited, ...], tuple[dict[str, Any], ...]]:
    """The books that `replacements` ask for, and a record of each rule that no edit may take out."""
    books: list[Edited] = []
    records: list[dict[str, Any]] = []
    for way in replacements:
        if isinstance(way, RuleBook):
            books += _differing(book, way)
        elif way == "rules":
            for agent, rule in ((a, r) for a, rules in book.agents.items() for r in rules.rules):
                edit = Edit(f"without {rule.id}", "DELETE", agent, rule.id, rule.hash)
                try:
                    books.append(Edited("rules", agent, (rule.id,), apply_one(book, edit)[0]))
                except EditError as error:
                    records.append({"role": role_of(agent), "replacement": "rules", "why": str(error)})
    return tuple(books), tuple(records)


def _differing(book: RuleBook, other: RuleBook) -> Iterator[Edited]:
    """For every agent whose rules differ in `other`, the book with its new rules alone; so also one of a round's own."""
    for agent, new in other.agents.items():
        old = book.agents.get(agent) or book.agents.get(role_of(agent))
        if old is None or new.render() == old.render():
            continue
        now = {r.id: r.text for r in new.rules}
        changed = tuple(r.id for r in old.rules if now.get(r.id) != r.text)
        yield Edited(EDITED, agent, changed, book.with_agent(new))
