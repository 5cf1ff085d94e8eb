"""The applications and what the tests know of them: prompts, tasks, score, and the rule that each lacks."""

from __future__ import annotations

import importlib
import itertools
import sys
import types
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from langgraph_truce import Task
from langgraph_truce.testing import ScriptedModel
from tests.applications.case import Expected

HERE = Path(__file__).parent
TRAIN, VALIDATION, TEST = 4, 8, 6
"""Tasks of each split."""


@dataclass(frozen=True, slots=True)
class Case:
    """One application under test; a module of `cases` as data."""

    name: str
    prompts: Callable[[types.ModuleType], Sequence[Expected]]
    """The loaded application -> its prompts, listed by hand."""
    examples: Sequence[Mapping[str, Any]]
    """Inputs that reach every prompt."""
    tasks: Sequence[Task]
    """TRAIN + VALIDATION + TEST of them, with different inputs."""
    score: Callable[..., Any]
    """The user's evaluator."""
    agent: str
    """Role path whose prompt lacks `rule`."""
    rule: str
    sync: bool
    """Whether the application can also be run with `invoke`."""
    fans_out: bool
    """Whether calls of one role may overtake each other."""

    def load(self) -> types.ModuleType:
        """The application, executed anew: it has a model and, where it uses one, a checkpointer of its own."""
        return run_source(self.source, self.name)

    @property
    def source(self) -> str:
        """The text of the application's file."""
        return (HERE / f"{self.name}.py").read_text(encoding="utf-8")


_numbers = itertools.count(1)


def run_source(source: str, name: str, given: Mapping[str, Any] | None = None) -> types.ModuleType:
    """A module made of `source`, with the names in `given` there from the start.

    It is in `sys.modules`, because LangGraph looks up annotations there.
    """
    module = types.ModuleType(f"application_{name}_{next(_numbers)}")
    module.__dict__.update(given or {})
    module.__file__ = str(HERE / f"{name}.py")
    sys.modules[module.__name__] = module
    with warnings.catch_warnings():
        # langgraph-supervisor still calls what langgraph has deprecated
        warnings.filterwarnings("ignore", message="create_react_agent has been moved")
        exec(compile(source, module.__file__, "exec"), module.__dict__)
    return module


def read_case(name: str) -> Case:
    """The case of one application."""
    module = importlib.import_module(f"tests.applications.cases.{name}")
    rows = module.ROWS
    assert len(rows) >= TRAIN + VALIDATION + TEST
    tasks = [Task(f"{name}-{n}", given, wanted) for n, (given, wanted) in enumerate(rows)]
    return Case(
        name=name,
        prompts=module.prompts,
        examples=module.EXAMPLES,
        tasks=tasks[: TRAIN + VALIDATION + TEST],
        score=module.score,
        agent=module.AGENT,
        rule=module.RULE,
        sync=module.SYNC,
        fans_out=module.FANS_OUT,
    )


NAMES = sorted(path.stem for path in (HERE / "cases").glob("*.py"))
CASES = {name: read_case(name) for name in NAMES}


def model_of(module: types.ModuleType) -> ScriptedModel:
    """The application's model."""
    assert isinstance(module.model, ScriptedModel)
    return module.model
