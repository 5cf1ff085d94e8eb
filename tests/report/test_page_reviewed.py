"""What a person made of what passed the gate, and what was taken back: page and terminal say what really stands."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from langgraph_truce.errors import ReviewPending
from langgraph_truce.optimizer import Result, Run, optimize, read_run, revert, why
from langgraph_truce.optimizer.read import read_story
from langgraph_truce.report import page, render
from tests.optimizer.conftest import Toy, score
from tests.optimizer.test_review import Person, says

SHOUT = "SHOUT every word."


@pytest.fixture
def toy() -> Toy:
    return Toy()


def run(toy: Toy, folder: Path, *answers: Any, iterations: int = 1) -> Result:
    method = toy.method(SHOUT, iterations=iterations)
    return optimize(
        toy.system(), toy.splits(12), score, method=method, run=Run(folder, approve=Person(*answers))
    )


def told(result: Result) -> tuple[str, str]:
    """The terminal's words on one line, and the page."""
    return " ".join(result.report().split()), result.report_html()


def test_an_iteration_that_was_rejected_is_not_called_accepted(toy: Toy, tmp_path: Path) -> None:
    result = run(toy, tmp_path / "r", says("reject", comment="too loud"))
    (turn,) = result.story.turns
    (edit,) = result.story.edits
    words, html = told(result)

    assert (turn.decision, turn.approver) == ("declined", "ann")
    assert (edit.decision, edit.undo) == ("declined", "")
    assert result.iterations[0]["decision"] == "declined"
    assert result.story.rules == ()
    assert "declined by ann" in words
    assert "With 0 edits accepted" in words
    assert "by <bdi>ann</bdi>" in html
    assert "too loud" in html


def test_an_iteration_that_was_deferred_says_so_and_the_edit_is_one_edit(toy: Toy, tmp_path: Path) -> None:
    result = run(toy, tmp_path / "r", says("defer"), says("accept", "e2.1"), iterations=2)
    first, second = result.story.turns

    assert (first.decision, first.approver) == ("deferred", "ann")
    assert (second.decision, second.approver) == ("accept", "ann")
    assert second.words.endswith(". Accepted by ann.")
    # the deferred edit did not come back: iteration 2 asked for the same anew
    assert {e.id: [s.decision for s in e.history] for e in result.story.edits} == {
        "e1.1": ["accept", "deferred", "error"],
        "e2.1": ["accept", "accept"],
    }


@pytest.mark.parametrize(("text", "decision"), [("SHOUT, politely.", "accept"), ("Whisper.", "inconclusive")])
def test_a_rewording_shows_the_verdict_of_the_second_gate(
    toy: Toy, tmp_path: Path, text: str, decision: str
) -> None:
    result = run(toy, tmp_path / "r", says("reword", text=text))
    (turn,) = result.story.turns
    last = result.ledger[-1]

    assert (turn.decision, turn.approver) == (decision, "ann" if decision == "accept" else "gate")
    assert "ann changed what had passed, and it was tested again" in turn.words
    assert turn.contrast is not None
    assert (turn.contrast.estimate, turn.alpha) == (last["estimate"], last["alpha"])
    assert turn.shift is not None
    assert [m.after for m in turn.shift.risen] == [1.0] * len(last["fixed"][:20])
    assert [e.decision for e in result.story.edits] == ["declined", decision]
    assert {x.where for x in result.story.excluded} >= {"iteration 1, validation, tested again"}
    assert turn.words.split(":")[0] in told(result)[1]


def test_what_waits_for_an_answer_is_not_called_accepted(toy: Toy, tmp_path: Path) -> None:
    with pytest.raises(ReviewPending):
        run(toy, tmp_path / "r", None)
    story = read_story(tmp_path / "r")

    assert [t.decision for t in story.turns] == ["waiting"]
    assert [(e.decision, e.undo) for e in story.edits] == [("waiting", "")]
    assert "e1.1 passed the gate and waits for an answer" in story.why
    assert "0 edits accepted so far" in " ".join(render(story).split())
    assert "waiting" in page.render(story)
    (told_why,) = why(tmp_path / "r", "e1.1")
    assert (told_why.decision, told_why.undo) == ("waiting", "")
    assert "passed the gate, waits for an answer" in told_why.text()


def test_what_was_taken_back_is_not_in_the_current_rules_of_the_report(toy: Toy, tmp_path: Path) -> None:
    before = run(toy, tmp_path / "r", says("accept"))
    revert("e1.1", tmp_path / "r", toy.system(), toy.splits(12).validation, score, by="bea")
    after = read_run(tmp_path / "r")
    (turn,) = after.story.turns
    words, html = told(after)

    assert (before.story.turns[0].decision, before.story.since) == ("accept", "")
    assert (turn.decision, turn.approver) == ("reverted", "bea")
    assert after.rules.render("solver") == after.initial.render("solver")
    assert after.diff() == ""
    assert after.final == before.final
    assert len(after.story.edits) == 1
    for said in (words, html):
        assert "After the sealed test, taken back: e1.1 by bea." in said
        assert "rules as the run left them" in said
        assert "rules as they are now</th>" not in said.split('id="settings"')[0]
    assert "With 1 edit accepted" in words
