"""langgraph-truce: which agent, in which round, because of which rule of its prompt, lost the task; and the fix."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from langgraph_truce.bind import ainstructions, instructions
from langgraph_truce.bind.found import Slot
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
from langgraph_truce.seams import Change, Credit, Method
from langgraph_truce.system import System
from langgraph_truce.task import Outcome, Splits, Task, read_tasks
from langgraph_truce.trajectory.step import Segment, Step, Trajectory

if TYPE_CHECKING:
    from langgraph_truce.bind.middleware import RuleMiddleware
    from langgraph_truce.evaluate import as_evaluator
    from langgraph_truce.model import Budget, Patience
    from langgraph_truce.model.local import local_model
    from langgraph_truce.optimizer import (
        Result,
        Run,
        aoptimize,
        optimize,
        plan,
        read_ledger,
        read_run,
        revert,
        why,
    )
    from langgraph_truce.optimizer.noise import noise
    from langgraph_truce.optimizer.served import served
    from langgraph_truce.report import credit_threads
    from langgraph_truce.rollout import areplay, open_saver, read_history, record, replay

__all__ = [
    "AgentRules",
    "Budget",
    "Change",
    "Credit",
    "Edit",
    "Method",
    "Outcome",
    "Patience",
    "Result",
    "Rule",
    "RuleBook",
    "RuleMiddleware",
    "RuleStore",
    "Run",
    "Segment",
    "Slot",
    "Splits",
    "Step",
    "Suggestion",
    "System",
    "Task",
    "Trajectory",
    "TruceError",
    "ainstructions",
    "aoptimize",
    "areplay",
    "as_evaluator",
    "credit_threads",
    "instructions",
    "local_model",
    "noise",
    "open_saver",
    "optimize",
    "plan",
    "read_history",
    "read_ledger",
    "read_rules",
    "read_run",
    "read_tasks",
    "record",
    "replay",
    "revert",
    "served",
    "why",
    "write_rules",
]

_LATER = {
    "Budget": "model",
    "Patience": "model",
    "Result": "optimizer",
    "RuleMiddleware": "bind.middleware",
    "Run": "optimizer",
    "aoptimize": "optimizer",
    "areplay": "rollout",
    "as_evaluator": "evaluate",
    "credit_threads": "report",
    "local_model": "model.local",
    "noise": "optimizer",
    "open_saver": "rollout",
    "optimize": "optimizer",
    "plan": "optimizer",
    "read_history": "rollout",
    "read_ledger": "optimizer",
    "read_run": "optimizer",
    "record": "rollout",
    "replay": "rollout",
    "revert": "optimizer",
    "served": "optimizer",
    "why": "optimizer",
}
"""Imported when first asked for: a node that only reads its instructions does not load scipy and the optimizer."""


def __getattr__(name: str) -> Any:
    if name not in _LATER:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f"{__name__}.{_LATER[name]}"), name)
