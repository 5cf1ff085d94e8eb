"""The terminal report: every figure of a run stands in it, and no text of a rule is taken for markup."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from langgraph_truce.report import render
from langgraph_truce.seams import Comparison

DIFFERENCE = Comparison(
    80, 0.22, 0.1, 0.34, 0.95, 0.0004, 0.41, 0.63, ("a", "b"), ("c",), {"baseline": 1, "candidate": 2}
)


@dataclass(frozen=True)
class Run:
    baseline: Any = field(default_factory=lambda: SimpleNamespace(mean=0.41, low=0.32, high=0.51, n=80))
    final: Any = field(default_factory=lambda: SimpleNamespace(mean=0.63, low=0.52, high=0.73, n=80))
    difference: Comparison = DIFFERENCE
    ledger: tuple[dict[str, Any], ...] = (
        {
            "iteration": 1,
            "edit": {
                "id": "e1.0",
                "op": "ADD",
                "agent": "manager",
                "text": "[bold]Refunds[/bold] go to Harbor.",
                "suggestion": {
                    "support": 0.3,
                    "reason": "The manager sends refunds to the wrong desk.",
                    "tasks": ["t1", "t2", "t5", "t9"],
                    "evidence": ["v/t1/0/manager#1.0", "v/t2/0/manager#1.0"],
                },
            },
            "rule_id": "r7",
            "before": "",
            "decision": "accept",
            "estimate": 0.2,
            "p_value": 0.003,
            "alpha": 0.0167,
            "fixed": ["t1", "t2", "t3"],
            "broken": ["t4"],
        },
        {
            "iteration": 2,
            "edit": {"id": "e2.0", "op": "DELETE", "agent": "worker", "rule": "r2", "text": ""},
            "before": "Be brief.",
            "decision": "inconclusive",
            "estimate": 0.01,
            "p_value": 0.4,
            "alpha": 0.0167,
        },
    )
    iterations: tuple[dict[str, Any], ...] = (
        {"iteration": 1, "train_score": 0.4, "decision": "accept", "words": "It wins."},
    )
    credits: dict[str, dict[str, Any]] = field(
        default_factory=lambda: {
            "worker": {"mean": 0.25, "n": 60, "rounds": {"1": 0.5, "2": 0.0}},
            "manager": {"mean": -0.5, "n": 60},
        }
    )
    meter: dict[str, dict[str, Any]] = field(
        default_factory=lambda: {
            "task": {"calls": 400, "hits": 12, "input_tokens": 81000, "output_tokens": 2100, "seconds": 61.2},
            "gate": {"calls": 100, "hits": 0, "input_tokens": 19000, "output_tokens": None, "seconds": 9},
            "total": {"calls": 500, "hits": 12, "input_tokens": 100000, "output_tokens": 2100, "seconds": 70},
        }
    )
    folder: Path = Path("runs/monday")
    refused: dict[str, int] = field(default_factory=lambda: {"writer: it wrote no words": 4})
    missed: dict[str, int] = field(default_factory=lambda: {"writer": 3, "": 2})


def test_every_figure_stands_in_the_report() -> None:
    said = render(Run(), width=140)

    for figure in (
        "0.410",
        "0.320 to 0.510",
        "0.630",
        "+0.220",
        "+0.100 to +0.340",
        "p < 0.001 (paired, two-sided)",
        "2 tasks fixed, 1 broken",
        "3 rollouts left out",
        "ADD",
        "manager r7",
        "asked for by 30% of the tasks",
        "p 0.003 of 0.0167",
        "The manager sends refunds to the wrong desk.",
        "t1, t2, t5 and 1 more",
        "manager#1.0",
        "3 tasks fixed, 1 broken",
        "DELETE",
        "worker r2",
        "Be brief.",
        "inconclusive",
        "-0.50",
        "3 model calls from writer",
        "2 model calls from raw threads",
        "4 contributions could not be replayed: writer: it wrote no words.",
        "100,000",
        "runs/monday",
    ):
        assert figure in said, figure


def test_rule_texts_are_no_markup() -> None:
    assert "[bold]Refunds[/bold] go to Harbor." in render(Run(), width=160)


def test_credit_is_sorted_worst_first_and_shows_rounds() -> None:
    said = render(Run(), width=140)

    assert said.index("manager  ") < said.index("worker  ")
    assert "round 2" in said


@pytest.mark.parametrize("width", [60, 80, 110])
def test_lines_stay_within_the_width(width: int) -> None:
    assert max(map(len, render(Run(folder=Path("r")), width=width).splitlines())) <= width


def test_a_run_without_edits_says_so() -> None:
    bare = replace(Run(), ledger=(), iterations=(), credits={}, meter={})

    said = render(bare)

    assert "none was tried" in said
    assert "none was assigned" in said
