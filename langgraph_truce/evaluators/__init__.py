"""Ready evaluators in LangSmith's form: `evaluators.load("exact_match")`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

from langgraph_truce._catalog import Catalog

__all__ = ["copy", "load", "names"]

_catalog = Catalog.of(__name__, "evaluator", __path__)


def names() -> tuple[str, ...]:
    """Every ready evaluator's name, sorted."""
    return _catalog.names()


def load(name: str) -> Callable[..., Any]:
    """The ready evaluator called `name`: the function of that name in its module, for `as_evaluator` or LangSmith.

    Raises:
        UnknownNameError: no such evaluator; the message lists those there are.
    """
    return cast("Callable[..., Any]", getattr(_catalog.load(name), name))


def copy(name: str, to: Path | str) -> Path:
    """Copy the evaluator called `name` into the folder `to`; returns what was written.

    Raises:
        UnknownNameError: no such evaluator.
        UserMistake: the target exists; nothing is overwritten.
    """
    return _catalog.copy(name, to)
