"""A story with something in every part, made by hand: what a report shows can be checked word for word."""

from __future__ import annotations

import pytest

from langgraph_truce.report.rounds import AblationRow, AgreementRow, PatternRow, RoundRow, RoundStory
from langgraph_truce.report.story import (
    Cell,
    Contrast,
    Cost,
    EditStory,
    Excluded,
    Mean,
    Moved,
    Noise,
    Quote,
    RuleStory,
    Said,
    Shift,
    Story,
    TaskStory,
    Turn,
)

QUOTE = Quote("manager#1.0", "t1", "manager", 1, "Send it to the elm desk.")


def a_story() -> Story:
    """Two iterations: an edit that was accepted, one that was left open, one that was no edit."""
    accepted = EditStory(
        1,
        "e1.0",
        "MODIFY",
        "manager",
        "r7",
        "Refunds go to the elm desk.",
        "Refunds go to the [bold]Harbor[/bold] desk.",
        "The manager sends refunds to the wrong desk.",
        0.3,
        ("t1", "t2", "t5", "t9"),
        (QUOTE, Quote("v/t2/0/manager#9.0", "", found=False)),
        5,
        (Said("edit", "accept", "It wins.", "gate", "2026-01-02T03:04:05+00:00"),),
        0.2,
        0.05,
        0.35,
        0.003,
        0.0167,
        3,
        1,
        "langgraph-truce revert e1.0 runs/monday app.py:graph",
    )
    open_ = EditStory(
        2,
        "e2.0",
        "DELETE",
        "worker",
        "r2",
        "Be brief.",
        "",
        history=(Said("edit", "inconclusive", "A gain is not shown.", "gate"),),
        estimate=0.01,
        low=-0.1,
        high=0.12,
        p_value=0.4,
        alpha=0.0167,
        fixed=2,
        broken=1,
    )
    error = EditStory(2, "", "ADD", "worker", "", "", "Never.", history=(Said("error", "error", "Copied."),))
    deferred = EditStory(
        2,
        "e2.1",
        "ADD",
        "worker",
        "",
        "",
        "Be kind.",
        history=(Said("edit", "accept", "", "gate"), Said("review", "deferred", "Ask Ada.", "Bea")),
    )
    return Story(
        run="runs/monday",
        state="finished",
        baseline=Mean(0.41, 0.32, 0.51, 80),
        final=Mean(0.63, 0.52, 0.73, 80),
        difference=Contrast(80, 0.22, 0.1, 0.34, 0.95, 0.0004, 0.41, 0.63, {"baseline": 1, "candidate": 2}),
        shift=Shift("sealed test", 80, 20, 2, 58, True, 30, (Moved("a", 0.0, 1.0),), (Moved("c", 1.0, 0.0),)),
        turns=(
            Turn(
                1,
                Mean(0.4, 0.3, 0.5, 60),
                excluded=1,
                errors=4,
                baseline=Mean(0.4, 0.25, 0.57, 40),
                candidate=Mean(0.6, 0.43, 0.75, 40),
                contrast=Contrast(
                    40, 0.2, 0.05, 0.35, 0.95, 0.003, 0.4, 0.6, {"baseline": 0, "candidate": 1}
                ),
                decision="accept",
                words="It wins.",
                alpha=0.0167,
                guards=(
                    {
                        "key": "tone",
                        "margin": 0.02,
                        "estimate": 0.0,
                        "low": -0.01,
                        "high": 0.01,
                        "p_value": 0.01,
                        "passed": True,
                    },
                ),
                looks=(
                    {
                        "tasks": 20,
                        "replicates": 1,
                        "estimate": 0.2,
                        "low": 0.0,
                        "high": 0.4,
                        "e_value": 3.5,
                        "why": "open",
                    },
                ),
                trials=(
                    {"edits": ["e1.0"], "decision": "accept", "estimate": 0.2, "why": "the joint set"},
                    {"edits": ["e1.1"], "decision": "error", "estimate": None, "why": "does not fit"},
                ),
                shift=Shift(
                    "iteration 1", 40, 3, 1, 36, None, None, (Moved("v1", 0.0, 1.0),), (Moved("v2"),)
                ),
            ),
            Turn(
                2,
                Mean(0.55, 0.4, 0.7, 60),
                baseline=Mean(0.6, 0.43, 0.75, 40),
                candidate=Mean(0.61, 0.44, 0.76, 40),
                contrast=Contrast(40, 0.01, -0.1, 0.12, 0.95, 0.4, 0.6, 0.61),
                decision="inconclusive",
                words="A gain is not shown.",
                alpha=0.0167,
                needed=4321,
            ),
        ),
        credit=(
            Cell("manager", 1, -0.5, 60),
            Cell("worker", 2, 0.0, 30),
            Cell("worker", 1, 0.5, 30),
            Cell("", None, 0.75, 3),
        ),
        rounds=RoundStory(
            50,
            (RoundRow(1, 40, 0.8, 4.25, 50, 0.61, 7), RoundRow(2, 10, 0.2, None, 0, None, 0)),
            (
                PatternRow("NONE", 30, 0.6, 5.0, "", {1: 28, 2: 2}),
                PatternRow("KNOWLEDGE_DEFICIT", 20, 0.4, 1.33, "a fact is missing", {1: 12, 2: 8}),
            ),
            (
                AgreementRow("", 60, 40, 0.71, 0.32, 0.84),
                AgreementRow("worker", 20, 0, 0.7, None, None),
            ),
            (
                AblationRow("aggregator@2", 2, 39, 0.123, 0.011, 0.234, 6, 1),
                AblationRow("roles", None, 38, -0.021, -0.1, 0.06, 2, 3),
            ),
        ),
        unsigned=7,
        rules=(RuleStory("MODIFY", "manager", "r7", accepted.before, accepted.after, "", (0,)),),
        edits=(accepted, open_, error, deferred),
        tasks=(TaskStory("t1", "v/t1/0", 0.0, "wrong desk", '{"desk": "elm"}'),),
        costs=(
            Cost("gate", 100, 0, 19000, 0, 9.0, usd=0.5),
            Cost(
                "task",
                400,
                12,
                81000,
                2100,
                61.2,
                unjournalled=2,
                usd=1.25,
                planned={"calls": [300, 500], "tokens": [60000, 99000], "usd": [1, 2]},
            ),
            Cost("total", 500, 12, 100000, 2100, 70.2, unjournalled=2, usd=1.75),
        ),
        noise=Noise("Measured by `langgraph-truce noise`.", 40, 0.1, 0.062, {"1": 3091, "10": 31}),
        excluded=(Excluded("sealed test", "baseline", 1), Excluded("sealed test", "candidate", 2)),
        missed={"writer": 3, "": 2},
        refused={"writer: it wrote no words": 4},
        settings={"method": "truce", "seed": 0, "gate": {"alpha": 0.05}},
        versions={"rules as they came": "66f2fee4bfec48f0", "langgraph": "1.2.12"},
    )


@pytest.fixture
def story() -> Story:
    return a_story()
