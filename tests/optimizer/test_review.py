"""Review after the gate: what a person answers is what happens, and no answer and no question is ever lost."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from langgraph_truce.errors import GateRefused, ReviewPending, RunError, UserMistake
from langgraph_truce.optimizer import Result, Run, optimize, read_ledger, read_run
from tests.optimizer.conftest import score

SHOUT = "SHOUT every word."
POLITE = "SHOUT, and be polite."


class Person:
    """A reviewer who answers what was told beforehand, and remembers the questions."""

    def __init__(self, *answers: Any) -> None:
        self.answers = list(answers)
        self.asked: list[Mapping[str, Any]] = []

    async def __call__(self, proposal: Mapping[str, Any]) -> Any:
        self.asked.append(proposal)
        return self.answers.pop(0)


def says(answer: str, edit: str = "e1.1", **more: str) -> dict[str, Any]:
    return {"edits": {edit: {"answer": answer, **more}}, "by": "ann"}


def run(
    toy: Any, folder: Path, approve: Any, *texts: str, n: int = 12, iterations: int = 1, **more: Any
) -> Result:
    method = toy.method(*(texts or (SHOUT,)), iterations=iterations)
    return optimize(
        toy.system(), toy.splits(n), score, method=method, run=Run(folder, approve=approve, **more)
    )


def history(result: Result) -> list[tuple[str, str, str, str]]:
    return [(line["kind"], line["id"], line["decision"], line["approver"]) for line in result.ledger]


def test_what_is_accepted_is_applied_and_says_who(toy: Any, tmp_path: Path) -> None:
    ann = Person(says("accept"))

    result = run(toy, tmp_path / "r", ann)

    assert result.rules.render("solver").endswith("- SHOUT every word.\n")
    assert history(result) == [("edit", "e1.1", "accept", "gate"), ("review", "e1.1", "accept", "ann")]
    gate, person = result.ledger
    assert gate["version_after"] == gate["version_before"] == result.initial.version
    assert person["version_after"] == result.rules.version
    assert person["rule_id"] == "r2"


def test_the_question_carries_the_evidence(toy: Any, tmp_path: Path) -> None:
    ann = Person(says("accept"))
    run(toy, tmp_path / "r", ann)

    (asked,) = ann.asked
    (edit,) = asked["edits"]
    assert (edit["id"], edit["op"], edit["agent"], edit["rule"]) == ("e1.1", "ADD", "solver", "r2")
    assert edit["diff"] == f"+ {SHOUT}"
    assert edit["reason"] == "it was too quiet"
    assert edit["tasks"] == ["t0"]
    assert edit["evidence"][0]["step"].endswith("/t0/0/solver#1.0")
    assert edit["evidence"][0]["said"] == "q0"
    assert asked["comparison"]["estimate"] == 1.0
    assert len(asked["comparison"]["fixed"]) == 12
    assert asked["cost"]["calls"] == 12 + 2 * 12


def test_what_is_rejected_changes_nothing_and_is_told_to_suggesters(toy: Any, tmp_path: Path) -> None:
    seen: list[Any] = []
    ann = Person(says("reject", comment="too loud"), None)
    method = toy.method(SHOUT, iterations=2)
    suggest = method.suggest

    async def watching(batch: Any, memory: Any, lab: Any) -> Any:
        seen.append([(h["edit"]["id"], h["decision"]) for h in batch.history])
        return (await suggest(batch, memory, lab)) if batch.iteration == 1 else ((), memory)

    from dataclasses import replace

    result = optimize(
        toy.system(),
        toy.splits(12),
        score,
        method=replace(method, suggest=watching),
        run=Run(tmp_path / "r", approve=ann),
    )

    assert result.rules == result.initial
    assert seen == [[], [("e1.1", "declined")]]
    assert result.ledger[-1]["words"] == "rejected by ann: too loud"
    assert len(ann.asked) == 1


def test_a_rewording_goes_through_the_gate_again(toy: Any, tmp_path: Path) -> None:
    result = run(toy, tmp_path / "r", Person(says("reword", text=POLITE)))

    assert result.rules.render("solver").endswith(f"- {POLITE}\n")
    assert history(result) == [
        ("edit", "e1.1", "accept", "gate"),
        ("review", "e1.1", "declined", "ann"),
        ("edit", "e1.1w", "accept", "ann"),
    ]
    second = result.ledger[-1]
    assert second["after"] == POLITE
    assert second["p_value"] <= second["alpha"]
    # both tests of the iteration share what it may spend
    assert second["alpha"] + result.ledger[0]["alpha"] <= 0.05


def test_a_rewording_that_does_not_help_is_not_applied(toy: Any, tmp_path: Path) -> None:
    result = run(toy, tmp_path / "r", Person(says("reword", text="Whisper.")))

    assert result.rules == result.initial
    assert history(result)[-1] == ("edit", "e1.1w", "inconclusive", "gate")


def test_what_is_left_of_a_set_is_proven_again(toy: Any, tmp_path: Path) -> None:
    toy.word = "SHOUT"
    from langgraph_truce.gate import paired_gate

    answers = {"edits": {"e1.1": {"answer": "reject"}, "e1.2": {"answer": "accept"}}, "by": "ann"}
    method = toy.method(SHOUT, "Whisper.", gate=paired_gate(prune=False))
    result = optimize(
        toy.system(),
        toy.splits(12),
        score,
        method=method,
        run=Run(tmp_path / "r", approve=Person(answers)),
    )

    assert result.rules == result.initial, "the half that was left does nothing, and was not applied unproven"
    assert history(result)[2:] == [
        ("review", "e1.1", "declined", "ann"),
        ("edit", "e1.2", "inconclusive", "gate"),
    ]


def test_what_is_deferred_comes_back_once_more(toy: Any, tmp_path: Path) -> None:
    ann = Person(says("defer"), says("accept"))
    method = toy.method(SHOUT, iterations=2)
    suggest = method.suggest

    async def once(batch: Any, memory: Any, lab: Any) -> Any:
        return (await suggest(batch, memory, lab)) if batch.iteration == 1 else ((), memory)

    from dataclasses import replace

    result = optimize(
        toy.system(),
        toy.splits(12),
        score,
        method=replace(method, suggest=once),
        run=Run(tmp_path / "r", approve=ann),
    )

    assert [q["iteration"] for q in ann.asked] == [1, 2]
    assert result.rules.render("solver").endswith(f"- {SHOUT}\n")
    assert [(line["iteration"], line["decision"]) for line in result.ledger] == [
        (1, "accept"),
        (1, "deferred"),
        (2, "accept"),
        (2, "accept"),
    ]


def test_what_is_deferred_to_the_end_is_listed(toy: Any, tmp_path: Path) -> None:
    result = run(toy, tmp_path / "r", Person(says("defer")))

    assert result.rules == result.initial
    assert read_ledger(tmp_path / "r").deferred == ("e1.1",)


def test_a_deferred_edit_whose_place_is_asked_for_again_says_so(toy: Any, tmp_path: Path) -> None:
    ann = Person(says("defer"), says("accept", "e2.1"))

    result = run(toy, tmp_path / "r", ann, iterations=2)

    assert [e["id"] for e in ann.asked[1]["edits"]] == ["e2.1"]
    lost = [line for line in result.ledger if line["id"] == "e1.1"][-1]
    assert lost["decision"] == "error"
    assert "e2.1 now asks for the same place" in lost["words"]


@pytest.mark.parametrize(
    ("answers", "says_what"),
    [
        ({}, "answers have the form"),
        ({"edits": {}}, "edit e1.1 has no answer; there are: accept, reject, reword, defer"),
        ({"edits": {"e1.1": {"answer": "yes"}}}, "the answer is one of accept.*got 'yes'"),
        ({"edits": {"e9": {"answer": "accept"}}}, "no edit e9 waits for an answer; there are: e1.1"),
        ({"edits": {"e1.1": {"answer": "reword"}}}, "reword needs the new wording"),
        ({"edits": {"e1.1": {"answer": "reword", "text": SHOUT}}}, "the new wording is the old one"),
        ({"edits": {"e1.1": {"answer": "accept", "text": "x"}}}, "the text differs but the answer is accept"),
        ({"edits": {"e1.1": {"answer": "reword", "text": "{brace}"}}}, "template field {brace}"),
        ({"edits": {"e1.1": {"answer": "accept", "txt": "x"}}}, "got also txt"),
        ({"edits": {"e1.1": {"answer": "accept"}}, "who": "x"}, "got also who"),
    ],
)
def test_a_bad_answer_is_an_error_and_the_question_stays(
    toy: Any, tmp_path: Path, answers: Any, says_what: str
) -> None:
    with pytest.raises(UserMistake, match=says_what):
        run(toy, tmp_path / "r", "interrupt", answers=answers)

    asked = len(toy.calls)
    good = run(toy, tmp_path / "r", "interrupt", answers=says("accept"))
    assert good.rules.render("solver").endswith(f"- {SHOUT}\n")
    assert len(toy.calls) == asked + 2 * 12, "only the test was left to run"


def test_a_person_who_is_told_what_was_wrong_may_answer_again(toy: Any, tmp_path: Path) -> None:
    ann = Person({"edits": {}}, says("accept"))

    run(toy, tmp_path / "r", ann)

    assert [bool(q["problem"]) for q in ann.asked] == [False, True]


def test_without_answers_the_run_stops_with_the_question(toy: Any, tmp_path: Path) -> None:
    with pytest.raises(ReviewPending, match=r"e1.1 passed the gate and waits for an answer") as stopped:
        run(toy, tmp_path / "r", "interrupt")

    assert stopped.value.exit_code == 3
    assert stopped.value.proposal["edits"][0]["id"] == "e1.1"
    with pytest.raises(ReviewPending) as again:
        run(toy, tmp_path / "r", "interrupt")
    assert again.value.proposal == stopped.value.proposal, (
        "the same question, also the time it was first asked"
    )
    with pytest.raises(RunError, match="not finished"):
        read_run(tmp_path / "r")


def test_answers_serve_one_question(toy: Any, tmp_path: Path) -> None:
    with pytest.raises(ReviewPending) as second:
        run(toy, tmp_path / "r", "interrupt", iterations=2, answers=says("reject"))

    assert second.value.proposal["iteration"] == 2


def test_who_approves_may_change_but_not_whether(toy: Any, tmp_path: Path) -> None:
    with pytest.raises(ReviewPending):
        run(toy, tmp_path / "r", "interrupt")

    with pytest.raises(RunError, match="reviewed: True there, None now"):
        run(toy, tmp_path / "r", "auto")
    assert run(toy, tmp_path / "r", Person(says("accept"))).final.mean == 1.0


def test_two_tests_an_iteration_need_more_tasks(toy: Any, tmp_path: Path) -> None:
    run(toy, tmp_path / "auto", "auto", n=5)

    with pytest.raises(GateRefused, match="validation tasks"):
        run(toy, tmp_path / "asked", Person(), n=5)
    assert toy.calls.count("q0") == 1, "refused before anything was run"


def test_asking_at_a_terminal_needs_one(toy: Any, tmp_path: Path) -> None:
    with pytest.raises(UserMistake, match=r"approve 'ask' needs a terminal .* take 'file'"):
        run(toy, tmp_path / "r", "ask")
    assert toy.calls == []


@pytest.mark.parametrize("approve", ["maybe", 3, None])
def test_an_approver_that_is_none_is_refused_at_once(approve: Any) -> None:
    with pytest.raises(
        UserMistake, match=r"approve is one of auto, ask, file, interrupt or a function, got "
    ):
        Run("runs/x", approve=approve)
