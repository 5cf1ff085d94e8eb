"""The history of the rules: any version again, and any edit taken back as if it had never been."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from langgraph_truce.errors import RunError, UserMistake
from langgraph_truce.model import open_store
from langgraph_truce.optimizer import Recheck, optimize, read_ledger, revert
from langgraph_truce.optimizer.history import replayed
from langgraph_truce.optimizer.records import Records
from langgraph_truce.rules import AgentRules, Edit, Op, RuleBook, apply, parse
from tests.optimizer.conftest import score

PROMPTS = [
    "You solve.\n\n- Be brief.\n- Be kind.\n- Be right.\n",
    "1. First.\n2. Second.\n3. Third.\n\nThat is all.",
    "No list at all.",
    "Rules:\n<rule>One.</rule>\n<rule>Two.</rule>\n",
    "Think. Then speak. Then stop.\n",
]
WORDS = st.text("abc XYZ.,\n-1", min_size=1, max_size=20).filter(lambda t: t.strip() and t == t.strip())
Sets = list[list[Edit]]


@st.composite
def runs(draw: st.DrawFn) -> tuple[RuleBook, Sets]:
    """Rules, and sets of edits that were applied to them one after the other."""
    book = RuleBook({n: parse(n, draw(st.sampled_from(PROMPTS))) for n in ("ann", "bob")})
    initial, sets = book, []
    for t in range(1, draw(st.integers(1, 4)) + 1):
        edits: list[Edit] = []
        for n in range(1, draw(st.integers(1, 4)) + 1):
            edits.append(_edit(draw, book, f"e{t}.{n}", {(e.agent, e.rule) for e in edits if e.rule}))
        sets.append(edits)
        book = apply(book, edits)
    return initial, sets


def _edit(draw: st.DrawFn, book: RuleBook, name: str, taken: set[tuple[str, str]]) -> Edit:
    agent: AgentRules = book.agent(draw(st.sampled_from(["ann", "bob"])))
    free = [r for r in agent.rules if (agent.agent, r.id) not in taken]
    ops: list[Op] = ["ADD", "MODIFY", "DELETE"]
    op = draw(st.sampled_from(ops)) if free else "ADD"
    if op == "ADD":
        return Edit(name, "ADD", agent.agent, text=draw(WORDS))
    rule = draw(st.sampled_from(free))
    # a MODIFY that changes nothing is never written, and nothing would stand on it
    text = draw(WORDS.filter(lambda words: words != rule.text)) if op == "MODIFY" else ""
    return Edit(name, op, agent.agent, rule.id, rule.hash, text)


def texts(book: RuleBook) -> dict[str, str]:
    return {name: book.render(name) for name in book.agents}


@given(runs())
@settings(max_examples=200, deadline=None)
def test_all_edits_taken_back_one_by_one_leave_the_text_that_was_there(run: tuple[RuleBook, Sets]) -> None:
    initial, sets = run
    assert replayed(initial, sets) == _all(initial, sets)
    removed: set[str] = set()
    for edit in reversed([e for edits in sets for e in edits]):
        removed.add(edit.id)
        book = replayed(initial, sets, removed)
        kept = [[e for e in edits if e.id not in removed] for edits in sets]
        assert texts(book) == texts(_all(initial, kept))

    assert texts(book) == texts(initial)
    last = {n: a.next_id for n, a in _all(initial, sets).agents.items()}
    assert {n: a.next_id for n, a in book.agents.items()} == last, "ids stay given"


@given(runs(), st.data())
@settings(max_examples=200, deadline=None)
def test_any_edit_can_be_taken_back_or_says_what_stands_on_it(
    run: tuple[RuleBook, Sets], data: st.DataObject
) -> None:
    initial, sets = run
    flat = [e for edits in sets for e in edits]
    edit = data.draw(st.sampled_from(flat))
    full = _all(initial, sets)
    try:
        book = replayed(initial, sets, {edit.id})
    except UserMistake as mistake:
        named = [e.id for e in flat if e is not edit and f"revert {e.id} first" in str(mistake)]
    else:
        named = []
        _differs_by(edit, full, book)
    place = flat.index(edit)
    rule = _rule(initial, sets, edit)
    on_top = [e.id for e in flat[place + 1 :] if (e.agent, e.rule) == (edit.agent, rule)]
    assert named == on_top[:1]


def _differs_by(edit: Edit, full: RuleBook, book: RuleBook) -> None:
    other = next(n for n in full.agents if n != edit.agent)
    assert book.agent(other) == full.agent(other)
    ids = {r.id for r in full.agent(edit.agent).rules}
    now = {r.id for r in book.agent(edit.agent).rules}
    assert len(ids ^ now) == (0 if edit.op == "MODIFY" else 1)


def _rule(initial: RuleBook, sets: Sets, edit: Edit) -> str:
    """Id of the rule that an edit is about; of an ADD the one it got."""
    for n, edits in enumerate(sets):
        if edit in edits:
            added = [e for e in edits if (e.op, e.agent) == ("ADD", edit.agent)]
            first = _all(initial, sets[:n]).agent(edit.agent).next_id
            return edit.rule or f"r{first + added.index(edit)}"
    raise LookupError(edit.id)


def _all(initial: RuleBook, sets: Sets) -> RuleBook:
    for edits in sets:
        initial = apply(initial, edits)
    return initial


def finished(toy: Any, folder: Path) -> None:
    optimize(toy.system(), toy.splits(), score, method=toy.method("SHOUT."), run=folder)


def test_a_revert_is_measured_on_fresh_rollouts_and_written_down(toy: Any, tmp_path: Path) -> None:
    finished(toy, tmp_path / "r")
    asked = len(toy.calls)
    validation = toy.splits().validation

    done = revert("e1.1", tmp_path / "r", toy.system(), validation, score, by="ann")

    assert (done.finding, done.comparison.estimate) == ("worse", -1.0)
    assert len(toy.calls) == asked + 2 * 8, "both arms are new: nothing the gate has seen is used"
    ledger = read_ledger(tmp_path / "r")
    assert (ledger.lines[-1]["kind"], ledger.lines[-1]["approver"]) == ("revert", "ann")
    assert ledger.lines[-1]["cost"]["calls"] == 16
    assert texts(ledger.rules) == texts(ledger.versions[0].book)
    assert ledger.rules.version == ledger.lines[-1]["version_after"]
    assert len(ledger.versions) == 3


def test_a_useless_edit_is_found_to_be_close(toy: Any, tmp_path: Path) -> None:
    finished(toy, tmp_path / "r")
    toy.word = ""  # now the model shouts whatever its rules say

    done = revert(
        "e1.1",
        tmp_path / "r",
        toy.system(),
        toy.splits().validation,
        score,
        agree=lambda found: found.finding == "worse",
        recheck=Recheck(replicates=2, margin=0.5),
    )

    assert done.finding == "close"
    assert not done.applied
    assert "no worse than by 50 points" in done.text()


def test_a_run_that_is_not_finished_is_read_but_not_reverted(toy: Any, tmp_path: Path) -> None:
    def broken(outputs: Any) -> float:
        if len(toy.calls) > 8 * 3:
            raise ZeroDivisionError("oops")
        return float(score(outputs, {"answer": outputs["answer"].upper()})["score"])

    with pytest.raises(UserMistake, match="oops"):
        optimize(toy.system(), toy.splits(), broken, method=toy.method("SHOUT."), run=tmp_path / "r")

    ledger = read_ledger(tmp_path / "r")
    assert not ledger.finished
    with pytest.raises(RunError, match="not finished"):
        revert("e1.1", tmp_path / "r", toy.system(), toy.splits().validation, score)


async def test_a_ledger_that_was_tampered_with_is_noticed(toy: Any, tmp_path: Path) -> None:
    from langgraph_truce.optimizer import aoptimize, aread_ledger

    await aoptimize(toy.system(), toy.splits(), score, method=toy.method("SHOUT."), run=tmp_path / "r")
    with open_store(tmp_path / "r/records.sqlite") as store:
        records = await Records(store).open()
        (line,) = await records.ledger()
        forged = {**line, "edit": {**line["edit"], "text": "Whisper."}}
        await records._put("ledger", "000001/000000", forged)
        records.close()

    with pytest.raises(RunError, match="the ledger is damaged: its edits lead to version"):
        await aread_ledger(tmp_path / "r")


def test_settings_out_of_range_are_refused() -> None:
    with pytest.raises(UserMistake, match="replicates is at least 1"):
        Recheck(replicates=0)
    with pytest.raises(UserMistake, match="margin"):
        replace(Recheck(), margin=1.0)
