"""The examples run, in seconds, and show what they say."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest

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


@pytest.mark.parametrize("path", sorted(EXAMPLES.glob("[0-9]*.py")), ids=lambda p: p.name)
def test_examples_are_short(path: Path) -> None:
    assert len(path.read_text(encoding="utf-8").splitlines()) <= 110
