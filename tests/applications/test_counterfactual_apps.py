"""Counterfactual credit of the applications: whose rules lose the tasks is measured, in forks of their own runs."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from langchain_core.tools import BaseTool

from langgraph_truce import Splits, System, optimize
from langgraph_truce.methods import counterfactual
from langgraph_truce.optimizer.result import Result
from langgraph_truce.rules import Edit, apply
from tests.applications.catalog import CASES, NAMES, TEST, TRAIN, Case
from tests.applications.test_optimized_in_five_lines import critic

DATABASE = ("sql_db_list_tables", "sql_db_schema", "sql_db_query")


def ran(case: Case, folder: Path, tools: Mapping[str, Any]) -> tuple[System, Result]:
    """One iteration in which each agent's rules are tried with the rule added that one of them lacks."""
    system = System.discover(case.load().graph, case.examples, tools=tools)
    book = system.book
    for agent in sorted(book.agents):
        book = apply(book, [Edit(f"more for {agent}", "ADD", agent, text=case.rule)])
    splits = Splits(case.tasks[:TRAIN], case.tasks[TRAIN:-TEST], case.tasks[-TEST:])
    method = counterfactual(replace=("neutral", "fresh", book), iterations=1)
    return system, optimize(system, splits, case.score, method=method, model=critic(case), run=folder)


@pytest.mark.parametrize("name", NAMES)
def test_the_agent_that_lacks_a_rule_is_blamed_and_no_other(name: str, tmp_path: Path) -> None:
    case = CASES[name]
    tools = [t.name for t in vars(case.load()).values() if isinstance(t, BaseTool)]
    system, result = ran(case, tmp_path / "run", dict.fromkeys([*tools, *DATABASE], "safe"))

    assert system.prompts is not None
    (slot,) = [s for s in system.prompts.slots if s.role == case.agent]
    guilty = {slot.agent, case.agent}
    assert {role for role, c in result.credits.items() if c["mean"] < 0} <= guilty
    assert any(result.credits[role]["mean"] < 0 for role in guilty & result.credits.keys())
    assert all(c["mean"] <= 0 for c in result.credits.values())
    assert result.final.mean == 1.0


def test_what_could_not_be_replayed_is_said_with_its_reason(tmp_path: Path) -> None:
    _, result = ran(CASES["sql_agent"], tmp_path / "run", {"sql_db_list_tables": "safe"})

    assert result.refused
    assert all("calls the tool 'sql_db_" in why for why in result.refused)
    assert 'System(tools={"sql_db_schema": "safe"})' in " ".join(result.report().split())
    assert "contributions could not be replayed" in result.report()
