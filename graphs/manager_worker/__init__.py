"""A front desk that routes requests to departments: the graph, its rules, its tasks and how answers are scored."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from langchain_core.language_models import BaseChatModel

from langgraph_truce import Splits, System, evaluators

from .graph import HOUSE, RULES, House, build, graph
from .stand_in import scripted_model

__all__ = ["HOUSE", "House", "build", "graph", "score", "scripted_model", "splits", "system"]

DATA = Path(__file__).parent / "data"
DEMO = {"train": 60, "validation": 40, "test": 50}
"""Tasks of each file that the demo takes: two model calls a rollout, about 500 in all."""

score: Any = evaluators.load("json_fields")
"""Share of right fields."""


def system(model: BaseChatModel | None = None) -> System:
    """The graph with its rules, ready to be optimized; without a model, on the embedded one."""
    return System(
        build(model),
        RULES,
        outputs=lambda state: state.get("answer", {}),
        aggregator="aggregator",
        name="manager_worker",
        in_flight=6,
        calls=2,
    )


def splits(*, full: bool = False) -> Splits:
    """Its tasks: the first of each file as `DEMO` says, or all of them."""
    whole = Splits.read(*(DATA / f"{name}.jsonl" for name in DEMO))
    if full:
        return whole
    return Splits(*(tuple(getattr(whole, name))[:n] for name, n in DEMO.items()))
