"""How nodes get their rules: `instructions()` in a node, `RuleMiddleware` for `create_agent`."""

from __future__ import annotations

from typing import Any

from langgraph_truce.bind.context import RunContext, optimizing, published
from langgraph_truce.bind.instructions import ainstructions, instructions

__all__ = ["RunContext", "ainstructions", "instructions", "optimizing", "published"]


def __getattr__(name: str) -> Any:  # langchain is an extra: imported when asked for
    if name == "RuleMiddleware":
        from langgraph_truce.bind.middleware import RuleMiddleware

        return RuleMiddleware
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
