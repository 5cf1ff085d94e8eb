"""`RuleMiddleware("researcher")`: rules for an agent made by `langchain.agents.create_agent`."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from langchain_core.messages import SystemMessage

from langgraph_truce.bind.instructions import ainstructions, instructions
from langgraph_truce.errors import MissingExtra

try:
    from langchain.agents.middleware import AgentMiddleware, ModelRequest, ModelResponse
except ImportError as e:  # the extra `agents`
    raise MissingExtra("RuleMiddleware", "'langgraph-truce[agents]'") from e


class RuleMiddleware(AgentMiddleware[Any, Any, Any]):
    """Replaces an agent's system prompt by the instructions of `role`, at every model call.

    Args:
        role: Name in the rule book; for a `create_agent` graph used as node `researcher`, that node's name.
        beside: Folder of the rule files, where neither a candidate nor an active version is set.
    """

    def __init__(self, role: str, *, beside: str | Path) -> None:
        super().__init__()
        self.role = role
        self.beside = Path(beside)

    @property
    def name(self) -> str:
        """Unique per role, so that one agent may have several."""
        return f"rules:{self.role}"

    def wrap_model_call(
        self, request: ModelRequest[Any], handler: Callable[[ModelRequest[Any]], ModelResponse[Any]]
    ) -> ModelResponse[Any]:
        """Send the current instructions as the system message."""
        text = instructions(self.role, beside=self.beside)
        return handler(request.override(system_message=SystemMessage(text)))

    async def awrap_model_call(
        self,
        request: ModelRequest[Any],
        handler: Callable[[ModelRequest[Any]], Awaitable[ModelResponse[Any]]],
    ) -> ModelResponse[Any]:
        """As `wrap_model_call`, without blocking the event loop."""
        text = await ainstructions(self.role, beside=self.beside)
        return await handler(request.override(system_message=SystemMessage(text)))
