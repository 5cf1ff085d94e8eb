"""The catalog: parts are found, loaded and copied, in a checkout and nowhere they should not be."""

from __future__ import annotations

from pathlib import Path

import pytest

from langgraph_truce import evaluators, graphs
from langgraph_truce._catalog import Catalog
from langgraph_truce.errors import UnknownNameError, UserMistake
from langgraph_truce.evaluate import as_evaluator


def package(root: Path, *, checkout: bool) -> Path:
    """A made-up installation: `root/langgraph_truce/graphs` with a neighbour `root/graphs`."""
    inside = root / "langgraph_truce" / "graphs"
    for folder in (inside / "ring", root / "graphs" / "star"):
        folder.mkdir(parents=True)
        (folder / "__init__.py").write_text("")
    if checkout:
        (root / "pyproject.toml").write_text("")
    return inside


def test_a_checkout_also_searches_its_top_folder(tmp_path: Path) -> None:
    inside = package(tmp_path, checkout=True)

    assert Catalog.of("langgraph_truce.graphs", "graph", [str(inside)]).names() == ("ring", "star")


def test_an_installation_never_searches_its_neighbours(tmp_path: Path) -> None:
    inside = package(tmp_path, checkout=False)

    assert Catalog.of("langgraph_truce.graphs", "graph", [str(inside)]).names() == ("ring",)


def test_the_ready_parts_are_there() -> None:
    assert "manager_worker" in graphs.names()
    assert {"exact_match", "json_fields"} <= set(evaluators.names())


def test_unknown_names_list_those_there_are() -> None:
    with pytest.raises(UnknownNameError, match=r"no graph 'manager_worke'; there are: .*manager_worker"):
        graphs.load("manager_worke")
    with pytest.raises(UnknownNameError, match=r"no evaluator 'exact'; there are: .*exact_match"):
        evaluators.load("exact")


@pytest.mark.parametrize("name", evaluators.names())
def test_every_ready_evaluator_is_one(name: str) -> None:
    assert as_evaluator(evaluators.load(name)).name == name


@pytest.mark.parametrize("name", graphs.names())
def test_every_ready_graph_can_be_copied(name: str, tmp_path: Path) -> None:
    folder = graphs.copy(name, tmp_path / "mine")

    assert (folder / "graph.py").is_file()
    assert (folder / "README.md").is_file()
    assert list((folder / "rules").glob("*.md"))
    assert not list(folder.rglob("__pycache__"))


def test_nothing_is_overwritten(tmp_path: Path) -> None:
    evaluators.copy("exact_match", tmp_path)

    with pytest.raises(UserMistake, match="exists and is not overwritten"):
        evaluators.copy("exact_match", tmp_path)
    with pytest.raises(UserMistake, match="exists and is not overwritten"):
        graphs.copy("manager_worker", tmp_path)
