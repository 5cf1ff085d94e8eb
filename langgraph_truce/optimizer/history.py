"""The history of a run's rules, read from its ledger: every version, what made it, and each of them again, exactly.

A version is not read back but made again, from the rules as they came and the edits that were applied; its hash must be the
one that the ledger names. So the ledger is enough to reproduce any version, and a ledger that was tampered with is noticed.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from langgraph_truce.errors import EditError, RunError, UnknownNameError, UserMistake
from langgraph_truce.optimizer.ledger import standing
from langgraph_truce.optimizer.place import Place, read_manifest, read_place
from langgraph_truce.optimizer.records import Records
from langgraph_truce.rules import Edit, RuleBook, apply

Line = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Version:
    """One version of the rules."""

    version: str
    """Hash of the whole book."""
    edits: tuple[Line, ...]
    """The ledger lines that made it; empty for the rules as they came."""
    book: RuleBook


@dataclass(frozen=True, slots=True)
class Ledger:
    """What happened to the rules of a run, finished or not."""

    place: str
    """The run, as it was given."""
    lines: tuple[Line, ...]
    """Every line, oldest first."""
    versions: tuple[Version, ...]
    """Every version of the rules, oldest first; the last one is current."""
    finished: bool
    """False while the run has not opened its test."""
    waiting: Mapping[str, Any] | None = None
    """The question that waits for a person (`optimizer/proposal.py`), or None."""

    @property
    def rules(self) -> RuleBook:
        """The rules as they are now, after what was reverted."""
        return self.versions[-1].book

    @property
    def deferred(self) -> tuple[str, ...]:
        """Ids of the edits that were put off and not decided since."""
        return tuple(i for i, line in standing(self.lines).items() if line["decision"] == "deferred")

    def book(self, version: str) -> RuleBook:
        """The rules of a version, named by its hash or the beginning of it.

        Raises:
            UnknownNameError: no version, or several, begin like this; the message lists those there are.
        """
        found = {v.version: v.book for v in self.versions if version and v.version.startswith(version)}
        if len(found) != 1:
            why = f"several versions begin with {version!r}" if found else f"no version {version!r}"
            there = ", ".join(dict.fromkeys(v.version for v in self.versions))
            raise UnknownNameError(f"{self.place}: {why}; there are: {there}")
        return next(iter(found.values()))

    def select(
        self, *, agent: str = "", decision: str = "", iteration: int | None = None
    ) -> tuple[Line, ...]:
        """The lines about an agent, with a decision, of an iteration; what is not given is not looked at."""
        return tuple(
            line
            for line in self.lines
            if (not agent or line["agent"] == agent)
            and (not decision or line["decision"] == decision)
            and (iteration is None or line["iteration"] == iteration)
        )

    def find(self, what: str) -> tuple[str, ...]:
        """Ids of the edits that `what` names: an edit id, AGENT/RULE, a rule id that one agent has, or words of a text.

        Raises:
            UnknownNameError: no edit is meant.
            UserMistake: a rule id that several agents have.
        """
        known = standing(self.lines)
        if what in known:
            return (what,)
        rules = {f"{line['agent']}/{line['rule_id']}": line for line in known.values() if line["rule_id"]}
        if what not in rules:
            same = [name for name in rules if name.rpartition("/")[2] == what]
            if len(same) > 1:
                raise UserMistake(
                    f"{what}: several agents have a rule of that id; name one: {', '.join(same)}"
                )
            what = same[0] if same else what
        if found := tuple(i for i, line in known.items() if f"{line['agent']}/{line['rule_id']}" == what):
            return found
        words = what.casefold()
        found = tuple(
            i
            for i, one in known.items()
            if words in one["after"].casefold() or words in one["before"].casefold()
        )
        if not found:
            raise UnknownNameError(self._nothing(what, list(known)))
        return found

    def without(self, edit_id: str) -> RuleBook:
        """The rules as they would be if an edit had never been applied, every other one as it was.

        An ADD is gone, a MODIFY has its old text, a deleted rule is back at its place; ids are not given again.

        Raises:
            UnknownNameError: no such edit was applied.
            UserMistake: it was reverted already, or a later edit was written on top of it.
        """
        sets, removed = applied_sets(self.lines)
        applied = [edit.id for edits in sets for edit in edits]
        if edit_id not in applied:
            there = ", ".join(i for i in applied if i not in removed) or "none"
            raise UnknownNameError(f"{self.place}: no edit {edit_id!r} was applied; applied are: {there}")
        if edit_id in removed:
            raise UserMistake(f"{self.place}: edit {edit_id} was reverted already")
        return replayed(self.versions[0].book, sets, removed | {edit_id})

    def _nothing(self, what: str, known: Sequence[str]) -> str:
        there = ", ".join(known) or "none"
        for agent, rules in self.rules.agents.items():
            for rule in rules.rules:
                if what in {rule.id, f"{agent}/{rule.id}"} or what.casefold() in rule.text.casefold():
                    return f"{self.place}: {agent}/{rule.id} stands as it came, no edit was about it; edits: {there}"
        return f"{self.place}: no edit, rule or text of an edit is {what!r}; edits: {there}"


def read_ledger(run: Place | Path | str) -> Ledger:
    """The ledger of a run, also of one that goes on or waits.

    Raises:
        RunError: there is no run, it has not begun, or its ledger does not lead to the versions that it names.
    """
    return asyncio.run(aread_ledger(run))


async def aread_ledger(run: Place | Path | str) -> Ledger:
    """As `read_ledger`, for async code."""
    async with read_place(run) as records:
        return await ledger_of(records, run)


async def ledger_of(records: Records, run: Place | Path | str) -> Ledger:
    """The ledger of an open run."""
    place = str(Place.of(run))
    try:
        initial = await records.read_book(str(read_manifest(run).get("rules", "")))
    except KeyError as e:
        raise RunError(f"{place}: no optimization has begun here, so there are no rules to show") from e
    lines = await records.ledger()
    finished = await records.read_box(0, "test") is not None
    return Ledger(place, lines, _versions(place, initial, lines), finished, await _waiting(records, lines))


def applied_sets(lines: Sequence[Line]) -> tuple[tuple[tuple[Edit, ...], ...], frozenset[str]]:
    """The sets of edits that were applied, in order, and the ids of those that were reverted."""
    sets: list[list[Edit]] = []
    removed: set[str] = set()
    last: tuple[str, str] | None = None
    for line in lines:
        if line["version_before"] == line["version_after"]:
            continue
        if line["kind"] == "revert":
            removed.add(line["id"])
            continue
        step = (line["version_before"], line["version_after"])
        if step != last:
            sets.append([])
        sets[-1].append(Edit.from_json(line["edit"]))
        last = step
    return tuple(tuple(edits) for edits in sets), frozenset(removed)


def replayed(initial: RuleBook, sets: Sequence[Sequence[Edit]], removed: Set[str] = frozenset()) -> RuleBook:
    """`initial` with the sets applied one after the other, without the `removed` edits.

    The id of a removed ADD stays given: what was added after it keeps its own.

    Raises:
        UserMistake: an edit was written on top of a removed one.
    """
    book = initial
    for edits in sets:
        # the order in which `apply` works: texts and removals first, then additions, as they come
        rest = [e for e in edits if e.op != "ADD" and e.id not in removed]
        book = _applied(book, rest, removed)
        for edit in (e for e in edits if e.op == "ADD"):
            if edit.id in removed:
                rules = book.agents[edit.agent]
                book = book.with_agent(replace(rules, next_id=rules.next_id + 1))
            else:
                book = _applied(book, [edit], removed)
    return book


def _applied(book: RuleBook, edits: Sequence[Edit], removed: Set[str]) -> RuleBook:
    for edit in edits:
        try:
            apply(book, [edit])
        except EditError as e:
            first = ", ".join(sorted(removed))
            raise UserMistake(
                f"edit {edit.id} ({edit.op} {edit.agent}/{edit.rule or 'a new rule'}) was written on top of what would "
                f"go with {first}: revert {edit.id} first ({e})"
            ) from e
    return apply(book, edits)


def _versions(place: str, initial: RuleBook, lines: Sequence[Line]) -> tuple[Version, ...]:
    out = [Version(initial.version, (), initial)]
    for count, line in enumerate(lines, 1):
        after = line["version_after"]
        if line["version_before"] == after:
            continue
        more = count < len(lines) and _step(lines[count]) == _step(line) and line["kind"] != "revert"
        if more:
            continue
        sets, removed = applied_sets(lines[:count])
        book = replayed(initial, sets, removed)
        if book.version != after:
            raise RunError(
                f"{place}: the ledger is damaged: its edits lead to version {book.version}, and it names {after}"
            )
        made = tuple(one for one in lines[:count] if _step(one) == _step(line))
        out.append(Version(after, made, book))
    return tuple(out)


def _step(line: Line) -> tuple[str, str, bool]:
    return line["version_before"], line["version_after"], line["kind"] == "revert"


async def _waiting(records: Records, lines: Sequence[Line]) -> Mapping[str, Any] | None:
    iteration = max((line["iteration"] for line in lines), default=0)
    if await records.read_box(iteration, "answers") is not None:
        return None
    found: Mapping[str, Any] | None = await records.read_box(iteration, "proposal")
    return found
