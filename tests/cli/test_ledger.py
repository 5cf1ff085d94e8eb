"""The ledger from the tool alone: what happened, why, what it cost, how it is undone; and any version again."""

from __future__ import annotations

import json
import shlex
from typing import Any

import pytest

from langgraph_truce import read_rules
from langgraph_truce.optimizer import read_ledger

RULE = "A message about an invoice goes to Ledger."


@pytest.fixture
def done(shop: Any) -> Any:
    """A finished run of the shop, two iterations."""
    arguments = shop.job(evaluator="ev.py:exact", run="runs/x", iterations="2", model="critic.py:model")
    said = shop("optimize", *arguments)
    assert said.code == 0, said
    return shop


def test_log_says_what_happened(done: Any) -> None:
    said = done("log", "runs/x")

    assert said.code == 0, said
    assert "iteration 1  e1.1  ADD triage/r3  accept by gate" in said.out
    assert RULE in said.out
    assert "10 fixed, 0 broken" in said.out


def test_log_can_be_filtered_and_read_by_programs(done: Any) -> None:
    lines = [json.loads(row) for row in done("log", "runs/x", "--json").out.splitlines()]
    accepted = done(
        "log", "runs/x", "--json", "--decision", "accept", "--agent", "triage", "--iteration", "1"
    )

    assert [line["id"] for line in lines] == ["e1.1"]
    assert [json.loads(row)["id"] for row in accepted.out.splitlines()] == ["e1.1"]
    assert done("log", "runs/x", "--agent", "nobody").out == "No line of the ledger is like this.\n"
    assert {"before", "after", "support", "tasks", "evidence", "cost", "p_value", "approver", "at"} <= set(
        lines[0]
    )


@pytest.mark.parametrize("name", ["r3", "triage/r3", "e1.1", "about an invoice"])
def test_why_answers_all_of_it(done: Any, name: str) -> None:
    said = done("why", name, "runs/x").out

    assert "e1.1: ADD triage/r3, was added" in said
    assert "Why        It is missing." in said
    assert "Asked for  by the tasks" in said
    assert "triage#1.0 said: Counter" in said, "a quote of what stood there"
    assert "fixed: validation" in said
    assert "broken: none" in said
    assert "calls," in said
    assert "accept by gate" in said


def test_what_why_prints_to_undo_it_works_as_it_is(done: Any) -> None:
    (undo,) = [line for line in done("why", "e1.1", "runs/x").out.splitlines() if line.startswith("Undo")]
    command = shlex.split(undo.removeprefix("Undo"))[1:]

    said = done(*command, "--yes")

    assert said.code == 0, said
    assert "shown to be worse" in said.out
    assert "e1.1 is reverted" in said.out
    folder = done.folder / "rules-reverted"
    assert read_rules(folder).render("triage") == read_rules(done.folder / "rules").render("triage")
    assert "e1.1  ADD triage/r3  reverted" in done("log", "runs/x", "--decision", "reverted").out
    again = done("revert", "e1.1", "runs/x", "app.py:system", *proof())
    assert again.code == 2
    assert "reverted already" in again.err


def proof() -> list[str]:
    return ["--validation", "validation.jsonl", "--evaluator", "ev.py:exact"]


def test_a_revert_that_is_not_wanted_after_all_changes_nothing(
    done: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    import typer

    monkeypatch.setattr(typer, "confirm", lambda *_, **__: False)
    before = read_ledger("runs/x")

    said = done("revert", "e1.1", "runs/x", "app.py:system", *proof())

    assert "Nothing was changed." in said.out
    assert read_ledger("runs/x").lines == before.lines


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (
            ["revert", "e7.1", "runs/x", "app.py:system", *proof()],
            "no edit 'e7.1' was applied; applied are: e1.1",
        ),
        (
            [
                "revert",
                "e1.1",
                "runs/x",
                "app.py:system",
                "--validation",
                "test.jsonl",
                "--evaluator",
                "ev.py:exact",
            ],
            "these are not the run's validation tasks",
        ),
        (["why", "purple", "runs/x"], "no edit, rule or text of an edit is 'purple'"),
        (["why", "triage/r1", "runs/x"], "triage/r1 stands as it came, no edit was about it"),
        (["rules", "show", "runs/x", "--version", "nothing"], "no version 'nothing'; there are:"),
        (["rules", "show", "rules", "--version", "abc"], "rules has no versions"),
        (["rules", "history", "runs/x", "clerk"], "no agent or rule 'clerk'; there are: triage, triage/r1"),
        (["log", "runs/none"], "runs/none"),
        (["optimize", "app.py:system", "--approve", "maybe"], "maybe"),
    ],
)
def test_mistakes_are_named(done: Any, arguments: list[str], says: str) -> None:
    said = done(*arguments)

    assert said.code in {1, 2}
    assert says in said.err
    assert "Traceback" not in said.err


def test_asking_without_a_terminal_is_refused_before_anything_is_run(shop: Any) -> None:
    said = shop(
        "optimize", *shop.job(evaluator="ev.py:exact", run="runs/y", method="offline"), "--approve", "ask"
    )

    assert said.code == 2
    assert "approve 'ask' needs a terminal to ask at" in said.err
    assert not (shop.folder / "runs/y/run.json").exists()


def test_any_version_is_reproduced_to_the_byte(done: Any) -> None:
    ledger = read_ledger("runs/x")
    first, last = (v.version for v in (ledger.versions[0], ledger.versions[-1]))

    done("rules", "export", "runs/x", "first", "--version", first[:6])
    done("rules", "export", "runs/x", "last", "--version", last)

    assert (done.folder / "last/triage.md").read_bytes() == (
        done.folder / "runs/x/rules/triage.md"
    ).read_bytes()
    assert read_rules(done.folder / "first").version == first
    assert read_rules(done.folder / "first").render("triage") == read_rules(done.folder / "rules").render(
        "triage"
    )


def test_the_history_of_a_rule_names_its_versions(done: Any) -> None:
    said = done("rules", "history", "runs/x", "triage/r3").out

    first, last = (v.version for v in read_ledger("runs/x").versions)
    assert f"{first}  as they came" in said
    assert "(the rule was not there yet)" in said
    assert f"{last}  iteration 1, applied by gate" in said
    assert f"+ {RULE}" in said
    assert done("rules", "history", "runs/x").out.count("as they came") == 1
