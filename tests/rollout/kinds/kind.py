"""What the zoo's graphs have in common: a graph, what it is given, and the steps that must be recorded."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from langchain_core.messages import AIMessage, BaseMessage

from langgraph_truce.testing import ScriptedModel


@dataclass(frozen=True)
class Kind:
    """One kind of graph."""

    build: Callable[[Any], Any]
    """Chat model -> compiled graph."""
    given: Callable[[], Any]
    """A fresh input."""
    steps: str
    """`role#visit.index@round`, in order, by blanks."""
    calls: int
    """Model calls of one run."""
    context: Any = None
    answers: Callable[[Any], Any] | None = None
    aggregator: str = ""
    failed: tuple[str, ...] = ()
    """Ids of the steps that end with an error."""
    silent: bool = False
    """True where LangGraph's own stream leaves tasks out: those that jump to the parent graph or come from a cache."""
    resumes: bool = False
    """True where it makes sense with a saver only."""

    def __str__(self) -> str:
        return self.build.__name__.removeprefix("build_")


def speak(messages: Sequence[BaseMessage], tools: Sequence[Any]) -> AIMessage:
    """Calls each offered tool once, by name, then says how much it saw."""
    used = {c["name"] for m in messages if isinstance(m, AIMessage) for c in m.tool_calls}
    for tool in sorted((t["function"] for t in tools), key=lambda t: str(t["name"])):
        if tool["name"] not in used:
            kinds = {k: v.get("type") for k, v in tool["parameters"].get("properties", {}).items()}
            args = {k: 2 if kind == "integer" else "x" for k, kind in kinds.items()}
            number = f"call-{tool['name']}"
            return AIMessage(
                "", tool_calls=[{"name": tool["name"], "args": args, "id": number, "type": "tool_call"}]
            )
    return AIMessage(f"{messages[0].text[:30]} sees {len(messages)}")


def talker() -> ScriptedModel:
    """A model that fits every graph of the zoo."""
    return ScriptedModel(replies=speak)
