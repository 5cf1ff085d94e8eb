"""A small application on disk, as a user has it, and the command line in this process."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from langgraph_truce.cli import app

APP = '''
"""One node that labels a message; it knows what its instructions say."""

from pathlib import Path
from typing import TypedDict

from langgraph.graph import END, START, StateGraph
from langgraph_truce import System, instructions
from langgraph_truce.testing import ScriptedModel

RULES = Path(__file__).parent / "rules"


class State(TypedDict, total=False):
    text: str
    desk: str


def obey(messages):
    rules, text = messages[0].text, messages[-1].text
    return "Ledger" if "invoice" in text and "invoice" in rules else "Counter"


def build():
    model = ScriptedModel(replies=obey)

    async def triage(state):
        reply = await model.ainvoke([("system", instructions("triage", beside=RULES)), ("human", state["text"])])
        return {"desk": reply.text}

    graph = StateGraph(State)
    graph.add_node("triage", triage)
    graph.add_edge(START, "triage")
    graph.add_edge("triage", END)
    return graph


graph = build().compile(name="shop")
uncompiled = build()
system = System(graph, RULES)


def factory():
    return system


def broken_factory():
    raise RuntimeError("no database")


def factory_with_arguments(name):
    return system


number = 3
'''

EVALUATORS = """
def exact(outputs, reference_outputs):
    right = outputs["desk"] == reference_outputs["desk"]
    return {"key": "exact", "score": right, "comment": "" if right else f"expected {reference_outputs['desk']}"}


def nan(outputs):
    return float("nan")


def words(outputs):
    return "good"


def raises(outputs):
    return outputs["answer"]


def asks_too_much(prediction):
    return 1.0
"""

CRITIC = '''
"""A critic that blames one missing rule and asks for it."""

import json

from langgraph_truce.testing import ScriptedModel


def judge(messages, tools):
    if "iteration_progress" in tools[0]["function"]["parameters"]["properties"]:
        part = {"score": 3, "analysis": "The desk is wrong."}
        agent = {"agent": "triage", "score": 2, "words": "No rule about invoices.", "steps": ["triage#1.0"]}
        names = ("iteration_progress", "agent_coordination", "stage_appropriateness")
        return json.dumps({**dict.fromkeys(names, part), "agents": [agent]})
    rule = "A message about an invoice goes to Ledger."
    wish = {"op": "ADD", "instruction": rule, "reason": "It is missing.", "evidence": ["triage#1.0"]}
    return json.dumps({"suggestions": [wish]})


model = ScriptedModel(replies=judge)
'''

RULES = "You sort messages.\n\n- Answer Counter or Ledger.\n- Repairs go to Counter.\n"


@dataclass(frozen=True)
class Said:
    """What one command did."""

    code: int
    out: str
    err: str


@dataclass(frozen=True)
class Shop:
    """The application's folder and the command line in it."""

    folder: Path

    def __call__(self, *arguments: str) -> Said:
        done = CliRunner().invoke(app, list(arguments))
        assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
        return Said(done.exit_code, done.stdout, done.stderr)

    def write(self, name: str, text: str) -> str:
        file = self.folder / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8")
        return name

    def tasks(self, name: str, rows: Sequence[Any]) -> str:
        return self.write(name, "".join(json.dumps(row) + "\n" for row in rows))

    def evaluation(self, app: str = "app.py:system") -> list[str]:
        """Arguments of `evaluate`, all of them right."""
        options = {"tasks": "test.jsonl", "evaluator": "ev.py:exact", "run": "runs/e"}
        return ["evaluate", app, *(x for k, v in options.items() for x in (f"--{k}", v))]

    def job(self, **changed: str) -> list[str]:
        """Arguments of `optimize` or `plan`, all of them right but those in `changed`."""
        options = {
            "train": "train.jsonl",
            "validation": "validation.jsonl",
            "test": "test.jsonl",
            "method": "truce",
            **{k: v for k, v in changed.items() if k != "app"},
        }
        return [changed.get("app", "app.py:system"), *(x for k, v in options.items() for x in (f"--{k}", v))]


def rows(split: str, n: int = 20) -> list[dict[str, Any]]:
    kinds = [("My invoice {} is wrong", "Ledger"), ("Repair my wheel {}", "Counter")]
    texts = [(text.format(f"{split}-{i}"), desk) for i in range(n // 2) for text, desk in kinds]
    return [
        {"id": f"{split}{i}", "inputs": {"text": t}, "outputs": {"desk": d}} for i, (t, d) in enumerate(texts)
    ]


Rows = Callable[..., list[dict[str, Any]]]


@pytest.fixture(name="rows")
def _rows() -> Rows:
    return rows


@pytest.fixture
def shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Shop]:
    """The application in an empty folder, which is the working directory."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    before = set(sys.modules)
    made = Shop(tmp_path)
    made.write("app.py", APP)
    made.write("ev.py", EVALUATORS)
    made.write("critic.py", CRITIC)
    made.write("rules/triage.md", RULES)
    for split in ("train", "validation", "test"):
        made.tasks(f"{split}.jsonl", rows(split))
    yield made
    for name in set(sys.modules) - before:
        if getattr(sys.modules[name], "__file__", None) and str(tmp_path) in str(sys.modules[name].__file__):
            del sys.modules[name]
