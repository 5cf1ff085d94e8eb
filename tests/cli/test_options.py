"""What several commands share: budgets, waiting, exit codes; and what a command leaves about itself."""

from __future__ import annotations

import json
from typing import Any

import pytest

from langgraph_truce.optimizer.reasons import read_command, write_command
from langgraph_truce.redact import MASK


def test_help_lists_every_exit_code(shop: Any) -> None:
    said = " ".join(shop("--help").out.split())

    for code in (
        "0 done",
        "1 the run failed",
        "2 something you can",
        "3 edits wait",
        "75 an endpoint",
        "130",
        "143",
    ):
        assert code in said


def test_an_evaluation_stops_at_its_budget_and_goes_on_without(shop: Any) -> None:
    stopped = shop(*shop.evaluation(), "--budget-calls", "5")
    done = shop(*shop.evaluation())

    assert stopped.code == 1
    assert "5 calls is spent" in stopped.err
    assert done.code == 0, done
    assert "over 20 tasks" in done.out
    assert "20/20, 20 calls" in done.err.splitlines()[-1]


@pytest.mark.parametrize("option", ["--call-timeout", "--longest-pause"])
@pytest.mark.parametrize("command", ["evaluate", "noise", "optimize"])
def test_times_that_are_none_are_refused(shop: Any, command: str, option: str) -> None:
    given = {
        "evaluate": shop.evaluation(),
        "noise": ["noise", *shop.evaluation()[1:]],
        "optimize": ["optimize", *shop.job(method="offline"), *shop.evaluation()[4:]],
    }
    said = shop(*given[command], option, "0")

    assert said.code == 2, said
    assert option.removeprefix("--").replace("-", "_") in said.err
    assert "Traceback" not in said.err


def test_a_run_that_waits_for_ever_is_a_run(shop: Any) -> None:
    assert shop(*shop.evaluation(), "--longest-pause", "inf", "--call-timeout", "30").code == 0


def test_the_note_of_the_command_holds_no_secret(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SHOP_API_KEY", "Tr0ub4dor-and-3-more")
    given = {
        "app": "app.py:system",
        "rules": "postgresql://ann:hunter2secret@db/x",
        "outputs": "Tr0ub4dor-and-3-more",
    }

    write_command(tmp_path, given)

    text = (tmp_path / "command.json").read_text(encoding="utf-8")
    assert "hunter2secret" not in text
    assert "Tr0ub4dor" not in text
    assert read_command(tmp_path) == {
        "app": "app.py:system",
        "rules": f"postgresql://ann:{MASK}@db/x",
        "outputs": MASK,
    }
    assert json.loads(text)["app"] == "app.py:system"
