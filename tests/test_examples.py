"""The examples run, in seconds, and show what they say."""

from __future__ import annotations

import importlib.util
import inspect
import json
import re
import sys
from pathlib import Path
from types import ModuleType

import pytest
from typer.testing import CliRunner

from langgraph_truce.cli import app as command_line
from langgraph_truce.trajectory import by_round, read_trajectories

EXAMPLES = Path(__file__).parents[1] / "examples"


def example(name: str) -> ModuleType:
    """The example as a module; it is in `sys.modules` because LangGraph looks up its annotations there."""
    spec = importlib.util.spec_from_file_location(f"example_{name}", EXAMPLES / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def test_your_own_graph_gets_the_rule_it_lacks(tmp_path: Path) -> None:
    result = example("01_your_own_graph").main(tmp_path / "run")

    assert result.baseline.mean == 0.5
    assert result.final.mean == 1.0
    assert result.difference.p_value < 0.05
    texts = [r.text for r in result.rules.agent("triage").rules]
    assert "A message about an invoice goes to Ledger." in texts
    assert texts[:2] == [r.text for r in result.initial.agent("triage").rules]


def test_your_own_graph_may_be_run_twice(tmp_path: Path) -> None:
    module = example("01_your_own_graph")

    first, second = module.main(tmp_path / "run"), module.main(tmp_path / "run")

    assert second.rules.version == first.rules.version
    assert second.ledger == first.ledger


def test_an_old_thread_is_read_back(tmp_path: Path) -> None:
    trajectory = example("02_read_an_old_thread").main(tmp_path)

    rounds = by_round(trajectory)
    assert [len(s.steps) for s in rounds] == [3, 3]
    assert not trajectory.prompts_known
    assert read_trajectories(tmp_path / "monday.jsonl")[0].step_ids == trajectory.step_ids


def test_a_supervisor_app_is_optimized_unchanged(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    result = example("03_a_supervisor_app_unchanged").main(tmp_path / "run")

    assert (result.baseline.mean, result.final.mean) == (0.0, 1.0)
    assert "Name the price." in [r.text for r in result.rules.agent("writer").rules]
    assert sorted(result.rules.agents) == ["researcher", "supervisor", "writer"]
    assert "3 prompts found" in capsys.readouterr().out


def test_the_supervisor_app_is_its_authors_own_and_five_lines_are_added() -> None:
    own = (EXAMPLES / "03_supervisor_app.py").read_text(encoding="utf-8")
    added = (EXAMPLES / "03_a_supervisor_app_unchanged.py").read_text(encoding="utf-8")

    assert "import langgraph_truce" not in own
    assert "from langgraph_truce" not in own
    assert re.findall(r"  # (\d)$", added, re.MULTILINE) == ["1", "2", "3", "4", "5"]


def test_existing_threads_are_judged(tmp_path: Path) -> None:
    report = example("04_credit_from_existing_threads").main(tmp_path)

    assert (report.threads, report.left_out, report.score) == (4, 0, 0.5)
    assert min(report.rounds, key=lambda row: row.value or 0.0).name == "round 1"
    assert report.roles[0].name == "scout"
    assert {step.thread for row in report.rounds for step in row.steps} == {"about-Turin", "about-Porto"}


def test_existing_threads_are_judged_from_the_shell(tmp_path: Path) -> None:
    report = example("04_credit_from_existing_threads").main(tmp_path)
    file = EXAMPLES / "04_credit_from_existing_threads.py"

    said = CliRunner().invoke(
        command_line,
        [
            *("credit", "--checkpointer", f"sqlite:///{tmp_path / 'app.sqlite'}", "--aggregator", "editor"),
            *("--graph", f"{file}:graph", "--evaluator", f"{file}:score"),
            *("--credit", "state_change", "--json"),
        ],
    )

    assert said.exit_code == 0, said.output
    assert {r["name"]: r["value"] for r in json.loads(said.stdout)["roles"]} == {
        row.name: row.value for row in report.roles
    }


def test_counterfactuals_name_the_guilty_contribution_in_twenty_lines() -> None:
    module = example("05_counterfactuals_in_twenty_lines")

    worth = module.main()

    assert {step for step, value in worth.items() if value} == {"bob#2.0"}
    assert worth["bob#2.0"] == -1.0
    assert len(worth) == 6
    assert len(inspect.getsource(module.main).splitlines()) <= 20


@pytest.mark.parametrize("path", sorted(EXAMPLES.glob("[0-9]*.py")), ids=lambda p: p.name)
def test_examples_are_short(path: Path) -> None:
    assert len(path.read_text(encoding="utf-8").splitlines()) <= 110
