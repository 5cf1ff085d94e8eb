"""What users install: the wheel alone, in a new environment, runs the demo and a copied template."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import venv
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
NAME = "langgraph_truce/"

pytestmark = pytest.mark.slow


def run(*command: str | Path, cwd: Path) -> str:
    """Run a command in a clean environment; its output, or the test's failure."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("PYTHON", "TRUCE", "VIRTUAL_ENV"))}
    done = subprocess.run(
        [str(c) for c in command], cwd=cwd, env=kept, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, f"{command} in {cwd}:\n{done.stdout[-3000:]}\n{done.stderr[-3000:]}"
    return done.stdout + done.stderr


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built from a copy of the sources."""
    source = tmp_path_factory.mktemp("source") / "tree"
    folders = ("langgraph_truce", "graphs", "evaluators")
    for name in folders:
        shutil.copytree(ROOT / name, source / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source / name)
    out = tmp_path_factory.mktemp("dist")
    run(sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "-w", out, source, cwd=out)
    (built,) = out.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The `bin` folder of an environment that holds the wheel and what it depends on."""
    home = tmp_path_factory.mktemp("venv")
    venv.create(home, with_pip=True, symlinks=True)
    binaries = home / "bin"
    pip = (binaries / "python", "-m", "pip", "install", "-q", "--disable-pip-version-check", "--no-compile")
    run(*pip, "-c", ROOT / "constraints.txt", wheel, cwd=home)
    return binaries


def test_the_wheel_has_one_top_level_name(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()

    assert {n.split("/")[0] for n in names if ".dist-info/" not in n} == {"langgraph_truce"}
    assert not [n for n in names if n.endswith(".gguf") or "/runs/" in n]


def test_every_file_of_the_package_is_in_the_wheel(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
    there = {
        f"{inside}{file.relative_to(ROOT).as_posix()}"
        for folder, inside in (("langgraph_truce", ""), ("graphs", NAME), ("evaluators", NAME))
        for file in (ROOT / folder).rglob("*")
        if file.is_file() and not {"__pycache__", "runs"} & set(file.parts)
    }

    assert there - names == set()
    for one in (
        "py.typed",
        "prompts/credit.md",
        "report/templates/report.html",
        "report/templates/report.css",
    ):
        assert f"{NAME}{one}" in there
    assert f"{NAME}graphs/manager_worker/graph.py" in there
    assert f"{NAME}evaluators/exact_match.py" in there


def test_the_demo_runs_from_the_wheel(installed: Path, tmp_path: Path) -> None:
    said = run(installed / "langgraph-truce", "demo", "--model", "scripted", cwd=tmp_path)

    assert "Sealed test" in said
    assert list((tmp_path / "runs" / "demo" / "rules").glob("*.md"))
    assert (tmp_path / "runs" / "demo" / "rules.diff").is_file()


@pytest.mark.parametrize(
    ("name", "key"), [("manager_worker", "department"), ("debate", "answer"), ("dylan", "answer")]
)
def test_a_copied_template_runs_alone(name: str, key: str, installed: Path, tmp_path: Path) -> None:
    run(installed / "langgraph-truce", "new", name, "desk", cwd=tmp_path)
    program = (
        "import asyncio, desk; system = desk.system(desk.scripted_model()); task = desk.splits().train[0]; "
        "state = asyncio.run(system.graph.ainvoke(system.graph_input(task))); "
        "print(desk.__file__, sorted(system.answer(state)))"
    )

    said = run(installed / "python", "-c", program, cwd=tmp_path)

    assert str(tmp_path / "desk" / "__init__.py") in said
    assert f"'{key}'" in said
