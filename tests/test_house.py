"""The house rules that a test can hold: size of files, prompts out of code, public names, documented commands."""

from __future__ import annotations

import ast
import json
import re
import shlex
import tomllib
from pathlib import Path

import pytest
from typer.main import get_command

import langgraph_truce
from langgraph_truce import graphs
from langgraph_truce.cli import app

ROOT = Path(__file__).parents[1]
CODE = sorted(
    f for top in ("langgraph_truce", "graphs", "evaluators", "examples") for f in (ROOT / top).rglob("*.py")
)
TESTS = sorted((ROOT / "tests").rglob("*.py"))
PROSE = sorted([ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").glob("*.md")])


def named(path: Path) -> str:
    return str(path.relative_to(ROOT))


@pytest.mark.parametrize("path", [*CODE, *TESTS], ids=named)
def test_files_stay_readable(path: Path) -> None:
    assert len(path.read_text(encoding="utf-8").splitlines()) <= 400


@pytest.mark.parametrize("path", CODE, ids=named)
def test_no_prompt_hides_in_code(path: Path) -> None:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    prose = {id(n.value) for n in ast.walk(tree) if isinstance(n, ast.Expr)}
    patterns = {id(a) for n in ast.walk(tree) if isinstance(n, ast.Call) and _is_compile(n) for a in n.args}
    long = [
        n.lineno
        for n in ast.walk(tree)
        if isinstance(n, ast.Constant)
        and isinstance(n.value, str)
        and len(n.value) > 400
        and id(n) not in prose | patterns
    ]

    assert long == []


def _is_compile(call: ast.Call) -> bool:
    return isinstance(call.func, ast.Attribute) and call.func.attr == "compile"


@pytest.mark.parametrize("path", [*CODE, *TESTS], ids=named)
def test_nothing_is_swallowed(path: Path) -> None:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    silent = [
        h.lineno
        for h in ast.walk(tree)
        if isinstance(h, ast.ExceptHandler) and all(isinstance(s, ast.Pass) for s in h.body)
    ]

    assert silent == []


@pytest.mark.parametrize("path", [*CODE, *TESTS], ids=named)
def test_the_tree_has_no_past(path: Path) -> None:
    words = re.compile(r"\b(TODO|FIXME|XXX|HACK)\b")
    marked = [
        n for n, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1) if words.search(line)
    ]

    assert path.name == "test_house.py" or marked == []
    assert not re.search(r"(_v\d|legacy|utils|helpers?)\.py$", path.name)


def test_public_names_are_sorted_complete_and_few() -> None:
    names = list(langgraph_truce.__all__)
    lost = [n for n in names if not hasattr(langgraph_truce, n)]

    assert names == sorted(names)
    assert lost == []
    assert len(names) <= 45


def test_every_public_name_says_what_it_is() -> None:
    silent = [n for n in langgraph_truce.__all__ if not (getattr(langgraph_truce, n).__doc__ or "").strip()]

    assert silent == []


def test_every_command_of_the_documents_is_accepted() -> None:
    """Each `langgraph-truce ...` line in the documents names a command and options that exist."""
    root = get_command(app)
    wrong = []
    for page in PROSE:
        for line in _commands(page.read_text(encoding="utf-8")):
            words = shlex.split(line)[1:]
            command = root
            while words and words[0] in getattr(command, "commands", {}):
                command = command.commands[words.pop(0)]  # type: ignore[attr-defined]
            known = {o for p in command.params for o in (*p.opts, *p.secondary_opts)} | {"--help"}
            unknown = [w.split("=")[0] for w in words if w.startswith("--") and w.split("=")[0] not in known]
            if unknown or hasattr(command, "commands"):
                wrong.append((named(page), line, unknown))

    assert wrong == []


def _commands(text: str) -> list[str]:
    """The command lines in fenced blocks, continued lines joined, comments left out."""
    inside, kept = False, []
    for line in text.splitlines():
        if line.lstrip().startswith("```"):
            inside = not inside
        elif inside:
            kept.append(line.strip())
    whole = [
        line.removeprefix("$ ").split(" #")[0] for line in "\n".join(kept).replace("\\\n", " ").splitlines()
    ]
    return [
        line
        for line in whole
        if line.startswith("langgraph-truce ") and "|" not in line and "..." not in line
    ]


def test_commands_are_found_in_documents() -> None:
    text = "```python\nx = 1\n```\nlanguage\n```console\n$ langgraph-truce plan a.py:b \\\n  --run x   # soon\n```\n"

    assert _commands(text) == ["langgraph-truce plan a.py:b  --run x  "]


def test_every_ready_graph_is_served() -> None:
    served = json.loads((ROOT / "langgraph.json").read_text(encoding="utf-8"))["graphs"]

    assert set(graphs.names()) <= set(served)
    assert all((ROOT / target.rpartition(":")[0]).is_file() for target in served.values())


def test_the_constraints_pin_every_dependency_and_name_no_place() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    pins = {_plain(line.split("==")[0]) for line in lines if not line.startswith("#")}
    declared = [
        *project["project"]["dependencies"],
        *(d for extra in project["project"]["optional-dependencies"].values() for d in extra),
        *project["dependency-groups"]["dev"],
    ]

    assert all(
        re.fullmatch(r"[A-Za-z0-9._-]+==[A-Za-z0-9.+!]+", line) for line in lines if not line.startswith("#")
    )
    assert {_plain(re.split(r"[\[<>=~!;]", d)[0]) for d in declared} <= pins


def _plain(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()
