"""Ready multi-agent topologies: `graphs.load("manager_worker").system()`, or `langgraph-truce new manager_worker`."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Protocol, cast

from langgraph_truce._catalog import Catalog
from langgraph_truce.system import System
from langgraph_truce.task import Splits

__all__ = ["ReadyGraph", "copy", "load", "names"]

_catalog = Catalog.of(__name__, "graph", __path__)


class ReadyGraph(Protocol):
    """What the module of every ready topology offers."""

    graph: Any
    """The compiled graph, without saver: what `langgraph.json` names."""

    score: Any
    """The evaluator of its tasks, in LangSmith's form."""

    def build(self, model: Any = None) -> Any:
        """The compiled graph on `model`; without one, on the embedded model."""

    def system(self, model: Any = None) -> System:
        """The graph with its rules, ready to be optimized."""

    def splits(self, *, full: bool = False) -> Splits:
        """Its own tasks: as many as its demo takes, or all."""

    def scripted_model(self) -> Any:
        """A deterministic stand-in for a model, for tests and for trying things without one."""


def names() -> tuple[str, ...]:
    """Every ready topology's name, sorted."""
    return _catalog.names()


def load(name: str) -> ReadyGraph:
    """The ready topology called `name`.

    Raises:
        UnknownNameError: no such graph; the message lists those there are.
    """
    return cast("ReadyGraph", _catalog.load(name))


def copy(name: str, to: Path | str) -> Path:
    """Copy the topology called `name` to the new folder `to`, as a template that runs alone; returns the folder.

    Raises:
        UnknownNameError: no such graph.
        UserMistake: `to` exists; nothing is overwritten.
    """
    return _catalog.copy(name, to)
