"""Which run a run folder belongs to: what must be the same for a run to be resumed."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, is_dataclass
from typing import Any

from langgraph_truce.evaluate import Evaluate
from langgraph_truce.rules.rule import content_hash
from langgraph_truce.seams import Method
from langgraph_truce.system import System
from langgraph_truce.task import Splits, Task


def manifest(
    system: System, splits: Splits, evaluate: Evaluate, method: Method, seed: int, *, reviewed: bool = False
) -> dict[str, Any]:
    """What makes two runs the same run; where a person approves, the gates share the error rate differently."""
    tasks = {name: tasks_hash(getattr(splits, name)) for name in ("train", "validation", "test")}
    return {
        "system": system.fingerprint,
        "rules": system.book.version,
        **({"prompts": system.prompts.id} if system.prompts else {}),
        "tasks": tasks,
        "method": method.name,
        "gate": {
            "name": type(method.gate).__name__,
            **(asdict(method.gate) if is_dataclass(method.gate) else {}),
        },
        "settings": {
            **method.settings,
            "iterations": method.iterations,
            "sample": method.sample,
            # only where they are set: a run that was begun before they existed is the same run
            **({"phases": method.phases} if method.phases != 1 else {}),
            **({"logs": method.logs} if method.logs else {}),
        },
        "objective": evaluate.objective,
        **({"shaping": evaluate.shaping} if evaluate.shaping else {}),
        **({"reviewed": True} if reviewed else {}),
        "seed": seed,
    }


def measurement(job: str, system: System, tasks: Sequence[Task], evaluate: Evaluate) -> dict[str, Any]:
    """What makes two measurements of a system, in which nothing is edited, the same one."""
    return {
        "job": job,
        "system": system.fingerprint,
        "rules": system.book.version,
        "tasks": tasks_hash(tasks),
        "evaluator": evaluate.name,
        "objective": evaluate.objective,
    }


def tasks_hash(tasks: Sequence[Task]) -> str:
    """The hash of tasks, in order."""
    return content_hash(json.dumps([t.to_json() for t in tasks], sort_keys=True, default=str))
