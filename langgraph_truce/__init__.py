"""langgraph-truce: which agent, in which round, because of which rule of its prompt, lost the task; and the fix."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from langgraph_truce.bind import ainstructions, instructions
from langgraph_truce.errors import TruceError
from langgraph_truce.rules import (
    AgentRules,
    Edit,
    Rule,
    RuleBook,
    RuleStore,
    Suggestion,
    read_rules,
    write_rules,
)
from langgraph_truce.seams import Credit, Method
from langgraph_truce.system import System
from langgraph_truce.task import Outcome, Splits, Task, read_tasks
from langgraph_truce.trajectory.step import Segment, Step, Trajectory

if TYPE_CHECKING:
    from langgraph_truce.bind.middleware import RuleMiddleware
    from langgraph_truce.evaluate import as_evaluator
    from langgraph_truce.model import local_model
    from langgraph_truce.optimizer import Result, aoptimize, optimize, plan, read_run

__all__ = [
    "AgentRules",
    "Credit",
    "Edit",
    "Method",
    "Outcome",
    "Result",
    "Rule",
    "RuleBook",
    "RuleMiddleware",
    "RuleStore",
    "Segment",
    "Splits",
    "Step",
    "Suggestion",
    "System",
    "Task",
    "Trajectory",
    "TruceError",
    "ainstructions",
    "aoptimize",
    "as_evaluator",
    "instructions",
    "local_model",
    "optimize",
    "plan",
    "read_rules",
    "read_run",
    "read_tasks",
    "write_rules",
]

_LATER = {
    "Result": "optimizer",
    "RuleMiddleware": "bind.middleware",
    "aoptimize": "optimizer",
    "as_evaluator": "evaluate",
    "local_model": "model",
    "optimize": "optimizer",
    "plan": "optimizer",
    "read_run": "optimizer",
}
"""Imported when first asked for: a node that only reads its instructions does not load scipy and the optimizer."""


def __getattr__(name: str) -> Any:
    if name not in _LATER:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f"{__name__}.{_LATER[name]}"), name)
