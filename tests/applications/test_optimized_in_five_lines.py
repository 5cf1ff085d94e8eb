"""Every application, its file untouched, gets the rule that it lacks, by five lines below it."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from langchain_core.messages import BaseMessage

from langgraph_truce import Result
from langgraph_truce.task import write_tasks
from langgraph_truce.testing import ScriptedModel
from tests.applications.catalog import CASES, NAMES, TEST, TRAIN, Case, run_source

ADDED = """
from langgraph_truce import Splits, System, optimize
from langgraph_truce.methods import truce
system = System.discover(graph, examples)
splits = Splits.read("train.jsonl", "validation.jsonl", "test.jsonl")
result = optimize(system, splits, score, method=truce(iterations=1), model=critic, run="run")
"""
"""What the user adds. The evaluator `score`, the critic's name and the task files exist with any optimizer."""


def critic(case: Case) -> ScriptedModel:
    """A critic that knows what is missing: it blames the agent and asks for the rule."""
    names = {case.agent, re.sub("/(model|agent)$", "", case.agent)}

    def judge(messages: Sequence[BaseMessage], tools: Sequence[Mapping[str, Any]]) -> str:
        prompt = "\n".join(m.text for m in messages)
        steps = re.findall(rf"(?<![\w/]){re.escape(case.agent)}#\d+\.\d+", prompt)[:1]
        if "iteration_progress" in tools[0]["function"]["parameters"]["properties"]:
            part = {"score": 3, "analysis": "The result lacks something."}
            blamed = [
                {"agent": n, "score": 2, "words": "It left something out.", "steps": steps}
                for n in sorted(names)
            ]
            keys = ("iteration_progress", "agent_coordination", "stage_appropriateness")
            return json.dumps({**dict.fromkeys(keys, part), "agents": blamed if steps else []})
        agent = re.search(r"^## Name and place of the agent\n\[data \w+\]\n(.*)$", prompt, re.MULTILINE)
        assert agent
        wish = {"op": "ADD", "instruction": case.rule, "reason": "It is missing.", "evidence": steps}
        return json.dumps({"suggestions": [wish] if agent.group(1) in names and steps else []})

    return ScriptedModel(replies=judge)


@pytest.fixture(params=CASES.values(), ids=NAMES)
def case(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Case:
    """An application, with its task files in the current folder."""
    case: Case = request.param
    monkeypatch.chdir(tmp_path)
    splits = {"train": case.tasks[:TRAIN], "validation": case.tasks[TRAIN:-TEST], "test": case.tasks[-TEST:]}
    for name, tasks in splits.items():
        write_tasks(tasks, tmp_path / f"{name}.jsonl")
    return case


def statements(text: str) -> int:
    return len([line for line in text.splitlines() if line.strip()])


def test_at_most_five_lines_are_added() -> None:
    assert statements(ADDED) <= 5
    assert all(len(line) <= 110 for line in ADDED.splitlines())


def test_an_application_gets_the_rule_that_it_lacks(case: Case) -> None:
    given: dict[str, Callable[..., Any] | Any] = {
        "examples": case.examples,
        "score": case.score,
        "critic": critic(case),
    }

    app = run_source(case.source + ADDED, case.name, given)

    result: Result = app.result
    assert result.baseline.mean == 0.0
    assert result.final.mean == 1.0
    assert result.difference.p_value < 0.05
    (slot,) = [s for s in app.system.prompts.slots if s.role == case.agent]
    texts = [r.text for r in result.rules.agent(slot.agent).rules]
    assert case.rule in texts
    before = [r.text for r in result.initial.agent(slot.agent).rules]
    assert [t for t in texts if t != case.rule] == before
