"""The command line on a graph that knows nothing of us."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from langgraph_truce.bind.discover import read_prompts
from langgraph_truce.cli import app

APP = '''
"""An application with its prompt in the code."""

from typing import TypedDict

from langgraph.graph import END, START, StateGraph
from langgraph_truce.testing import ScriptedModel


class State(TypedDict, total=False):
    text: str
    desk: str


def obey(messages):
    rules, text = messages[0].text, messages[-1].text
    return "Ledger" if "invoice" in text and "invoice" in rules else "Counter"


model = ScriptedModel(replies=obey)


async def triage(state):
    prompt = f"You sort messages of {len(state['text'])} characters.\\n\\n- Answer Counter or Ledger.\\n- Repairs: Counter."
    reply = await model.ainvoke([("system", prompt), ("human", state["text"])])
    return {"desk": reply.text}


def never(state):
    return {"desk": model.invoke([("system", "You refuse all bad requests politely.")]).text}


builder = StateGraph(State)
builder.add_node("triage", triage)
builder.add_node("never", never)
builder.add_edge(START, "triage")
builder.add_edge("triage", END)
graph = builder.compile(name="shop")


def exact(outputs, reference_outputs):
    return {"key": "exact", "score": outputs["desk"] == reference_outputs["desk"]}
'''
TEXT = "You sort messages of {field_1} characters.\n\n- Answer Counter or Ledger.\n- Repairs: Counter."

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Run]:
    """The command line in an empty folder with the application and its tasks."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    before = set(sys.modules)
    (tmp_path / "shop.py").write_text(APP, encoding="utf-8")
    kinds = [("My invoice {} is wrong", "Ledger"), ("Repair my bike {}", "Counter")]
    for split in ("train", "validation", "test"):
        rows = [
            {"inputs": {"text": text.format(f"{split}-{'i' * i}")}, "outputs": {"desk": desk}}
            for i in range(10)
            for text, desk in kinds
        ]
        lines = "".join(json.dumps(row) + "\n" for row in rows)
        (tmp_path / f"{split}.jsonl").write_text(lines, encoding="utf-8")

    def command(*arguments: str) -> tuple[int, str, str]:
        done = CliRunner().invoke(app, list(arguments))
        assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
        return done.exit_code, done.stdout, done.stderr

    yield command
    for name in set(sys.modules) - before:
        if str(tmp_path) in str(getattr(sys.modules[name], "__file__", "")):
            del sys.modules[name]


SPLITS = ["--train", "train.jsonl", "--validation", "validation.jsonl", "--test", "test.jsonl"]
JOB = [*SPLITS, "--evaluator", "shop.py:exact", "--method", "offline", "--iterations", "1", "--run", "runs/a"]


def test_discovered_rules_are_written_and_used_again(run: Run, tmp_path: Path) -> None:
    code, out, _ = run("rules", "discover", "shop.py:graph", "--examples", "train.jsonl", "--out", "found")

    assert code == 0
    assert "1 prompt found in 5 examples." in out
    assert "Not reached by the examples: never" in out
    prompts = read_prompts(tmp_path / "found")
    assert prompts is not None
    assert [slot.text for slot in prompts.slots] == [TEXT]
    file = tmp_path / "found" / "triage.md"
    file.write_text(
        file.read_text(encoding="utf-8").replace("Repairs: Counter.", "An invoice: Ledger."), "utf-8"
    )
    code, out, _ = run(
        "evaluate",
        "shop.py:graph",
        "--tasks",
        "test.jsonl",
        "--evaluator",
        "shop.py:exact",
        "--rules",
        "found",
    )
    assert (code, "score 1.000" in out) == (0, True)


def test_the_report_as_json(run: Run) -> None:
    command = ["rules", "discover", "shop.py:graph", "--examples", "train.jsonl", "--out", "found", "--json"]
    code, out, _ = run(*command, "--first", "3")

    said: dict[str, Any] = json.loads(out)
    assert code == 0
    assert [(f["agent"], f["times"]) for f in said["found"]] == [("triage", 3)]
    code, _, err = run(*command)
    assert (code, "found exists and is not overwritten" in err) == (2, True)


def test_optimize_finds_the_prompts_of_a_bare_graph(run: Run, tmp_path: Path) -> None:
    code, _, err = run("optimize", "shop.py:graph", *JOB)

    assert code == 0, err
    assert "1 prompt found in 5 examples." in err
    assert read_prompts(tmp_path / "runs" / "a") == read_prompts(tmp_path / "runs" / "a" / "rules")
    code, _, err = run("optimize", "shop.py:graph", *JOB)
    assert code == 0
    assert "prompt found" not in err  # the run goes on with what it began with
    assert run("rules", "export", "runs/a", "best")[0] == 0
    assert read_prompts(tmp_path / "best") == read_prompts(tmp_path / "runs" / "a")


def test_plan_runs_nothing_and_says_where_rules_come_from(run: Run) -> None:
    code, _, err = run("plan", "shop.py:graph", *SPLITS)

    assert code == 2
    assert "langgraph-truce rules discover shop.py:graph --examples TASKS.jsonl --out DIR" in err


def test_broken_prompts_beside_the_rules_are_named(run: Run, tmp_path: Path) -> None:
    run("rules", "discover", "shop.py:graph", "--examples", "train.jsonl", "--out", "found")
    (tmp_path / "found" / ".prompts.json").write_text("{", encoding="utf-8")

    code, _, err = run("plan", "shop.py:graph", *SPLITS, "--rules", "found")

    assert code == 2
    assert "no discovered prompts" in err
