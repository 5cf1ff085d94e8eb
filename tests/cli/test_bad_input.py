"""Each mistake gets one sentence (value, place, way out) on stderr and exit code 2."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from langgraph_truce.cli import target
from langgraph_truce.errors import UserMistake


def refused(said: Any, *parts: str) -> None:
    assert said.code == 2, said
    sentences = [line for line in said.err.splitlines() if line.startswith("langgraph-truce: ")]
    assert sentences == said.err.strip().splitlines()[-1:], said.err
    for part in parts:
        assert part in sentences[0], (part, said.err)
    assert "Traceback" not in said.err


@pytest.mark.parametrize(
    ("app", "parts"),
    [
        ("app.py", ["'app.py'", "FILE.py:NAME"]),
        ("nowhere.py:graph", ["nowhere.py", "no such file"]),
        ("app.py:grph", ["no 'grph'", "graph", "system"]),
        ("app.py:graph", ["compiled graph", "--rules"]),
        ("app.py:uncompiled", ["StateGraph", ".compile()"]),
        ("app.py:number", ["int", "System"]),
        ("app.py:broken_factory", ["RuntimeError: no database"]),
        ("app.py:factory_with_arguments", ["needs name"]),
        ("broken.py:graph", ["broken.py", "SyntaxError"]),
        ("no_such_module:graph", ["no_such_module", "ModuleNotFoundError"]),
    ],
)
def test_an_app_that_is_none(shop: Any, app: str, parts: list[str]) -> None:
    shop.write("broken.py", "graph = (\n")

    refused(shop("plan", *shop.job(app=app)), *parts)


@pytest.mark.parametrize("app", ["app.py:system", "app.py:factory", "app:system"])
def test_an_app_that_is_one(shop: Any, app: str) -> None:
    said = shop("plan", *shop.job(app=app))

    assert said.code == 0, said
    assert "test" in said.out


def test_a_bare_graph_with_rules_is_a_system(shop: Any) -> None:
    assert shop("plan", *shop.job(app="app.py:graph", rules="rules")).code == 0


def test_rules_for_a_node_that_the_graph_does_not_have(shop: Any) -> None:
    shop.write("rules/clerk.md", "You are a clerk.\n\n- Be kind.\n")

    refused(shop("plan", *shop.job()), "'clerk'", "triage")


def test_an_aggregator_that_the_graph_does_not_have(shop: Any) -> None:
    refused(shop("plan", *shop.job(aggregator="sumup")), "'sumup'", "triage")


def test_an_unknown_method(shop: Any) -> None:
    refused(shop("plan", *shop.job(method="magic")), "'magic'", "truce", "offline")


def test_a_method_that_needs_a_model(shop: Any) -> None:
    said = shop("optimize", *shop.job(evaluator="ev.py:exact", run="runs/x"))

    refused(said, "'truce'", "--model")


@pytest.mark.parametrize(
    ("row", "parts"),
    [
        ({"id": "a"}, ["train.jsonl:1", "'inputs'"]),
        ({"inputs": {}}, ["train.jsonl:1", "non-empty"]),
        ({"inputs": "text"}, ["train.jsonl:1", "'text'"]),
        (["text"], ["train.jsonl:1", "JSON object"]),
    ],
)
def test_tasks_without_inputs(shop: Any, row: Any, parts: list[str]) -> None:
    shop.tasks("train.jsonl", [row])

    refused(shop("plan", *shop.job()), *parts)


def test_a_task_file_that_is_missing_empty_or_broken(shop: Any) -> None:
    refused(shop("plan", *shop.job(train="gone.jsonl")), "gone.jsonl", "no such task file")
    shop.write("empty.jsonl", "")
    refused(shop("plan", *shop.job(validation="empty.jsonl")), "empty.jsonl", "no task")
    shop.write("cut.jsonl", '{"inputs": {"text": ')
    refused(shop("plan", *shop.job(test="cut.jsonl")), "cut.jsonl:1", "JSON")


def test_a_task_in_two_splits(shop: Any, rows: Any) -> None:
    shop.tasks("test.jsonl", [{**rows("train")[3], "id": "another id"}])

    refused(shop("plan", *shop.job()), "'another id' of test", "'train3' of train")


def test_an_unknown_column(shop: Any) -> None:
    shop.write("train.csv", "message,desk\nhello,Counter\n")
    arguments = shop.job(train="train.csv", **{"input-columns": "text", "output-columns": "desk"})

    refused(shop("plan", *arguments), "train.csv:2", "'text'", "message, desk")


@pytest.mark.parametrize(
    ("evaluator", "parts"),
    [
        ("exactly", ["'exactly'", "exact_match"]),
        ("ev.py:gone", ["'gone'", "exact"]),
        ("ev.py:asks_too_much", ["'prediction'", "reference_outputs"]),
        ("ev.py:nan", ["'nan'", "test0", "[0, 1]"]),
        ("ev.py:words", ["'words'", "'good' (str)"]),
        ("ev.py:raises", ["'raises'", "KeyError: 'answer'"]),
    ],
)
def test_an_evaluator_that_is_none(shop: Any, evaluator: str, parts: list[str]) -> None:
    said = shop("evaluate", "app.py:system", "--tasks", "test.jsonl", "--evaluator", evaluator)

    refused(said, *parts)


@pytest.mark.parametrize("method", ["offline", "truce"])
def test_an_evaluator_that_breaks_ends_an_optimization(shop: Any, method: str) -> None:
    arguments = shop.job(method=method, evaluator="ev.py:nan", run="runs/x", model="critic.py:model")

    refused(shop("optimize", *arguments), "'nan'", "train0", "[0, 1]")


@pytest.mark.parametrize(
    ("arguments", "parts"),
    [
        (["rules", "show", "gone"], ["gone", "no such folder"]),
        (["rules", "show", "rules", "--agent", "clerk"], ["'clerk'", "triage"]),
        (["rules", "show", "rules", "--agent", "triage", "--rule", "r9"], ["'r9'", "r1, r2"]),
        (["rules", "show", "rules", "--rule", "r1"], ["--agent"]),
        (["rules", "show", "gone.sqlite"], ["gone.sqlite", "no such store"]),
        (["rules", "show", "bad.json"], ["bad.json", "no rule book"]),
        (["rules", "diff", "rules", "gone"], ["gone"]),
        (["rules", "export", "rules", "bad.json"], ["bad.json", "not overwritten"]),
        (["rules", "import", "prompt.txt", "new"], ["prompt.txt"]),
        (["rules", "import", "prompt.txt", "rules", "--agent", "triage"], ["'triage'", "already"]),
        (["new", "manager_worke"], ["'manager_worke'", "manager_worker"]),
        (["new", "manager_worker", "rules"], ["rules", "not overwritten"]),
    ],
)
def test_rules_and_templates(shop: Any, arguments: list[str], parts: list[str]) -> None:
    shop.write("bad.json", '{"triage": 3}')
    shop.write("prompt.txt", "You sort.\n\n- Be quick.\n")

    refused(shop(*arguments), *parts)


def test_a_broken_rule_file(shop: Any) -> None:
    (shop.folder / "rules/triage.md").write_bytes(b"You sort.\n\n- \xff\xfe\n")

    refused(shop("rules", "show", "rules"), "triage.md")
    refused(shop("plan", *shop.job()), "triage.md")


def test_two_rules_with_one_id(shop: Any) -> None:
    assert shop("rules", "export", "rules", "book.json").code == 0
    book = json.loads((shop.folder / "book.json").read_text())
    for part in book["triage"]["parts"]:
        if isinstance(part, dict):
            part["id"] = "r1"
    shop.write("book.json", json.dumps(book))

    refused(shop("rules", "export", "book.json", "twice"), "triage")


def test_a_folder_that_is_no_run_is_said_with_exit_code_1(shop: Any) -> None:
    said = shop("report", "rules")

    assert said.code == 1
    assert "no run folder" in said.err


@pytest.mark.parametrize("arguments", [["optimise"], ["plan", "--nonsense"], ["demo", "--model", "gpt"]])
def test_the_parser_refuses_what_is_no_command_or_option(shop: Any, arguments: list[str]) -> None:
    assert shop(*arguments).code == 2


def test_the_installed_command_answers_alike(shop: Any) -> None:
    command = Path(sys.executable).with_name("langgraph-truce")

    done = subprocess.run([command, "rules", "show", "gone"], capture_output=True, text=True, check=False)

    assert done.returncode == 2
    assert done.stderr.startswith("langgraph-truce: gone: no such folder")


def test_a_file_in_a_package_may_use_relative_imports(shop: Any) -> None:
    shop.write("pack/__init__.py", "")
    shop.write("pack/one.py", "value = 1\n")
    shop.write("pack/two.py", "from .one import value\n")

    assert target.load("pack/two.py:value") == 1


def test_two_files_of_one_name_are_two_modules(shop: Any) -> None:
    shop.write("a/same.py", "value = 'a'\n")
    shop.write("b/same.py", "value = 'b'\n")

    assert (target.load("a/same.py:value"), target.load("b/same.py:value")) == ("a", "b")


def test_an_unknown_model_is_a_mistake(shop: Any) -> None:
    with pytest.raises(UserMistake, match="no-such-provider"):
        target.model("no-such-provider:thing")
