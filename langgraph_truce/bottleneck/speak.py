"""How a node of the bottleneck comes to its words: a function of its view, or a chat model with the role's rules."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any

from langchain_core.runnables import Runnable
from langgraph.pregel import Pregel

from langgraph_truce.bind import ainstructions
from langgraph_truce.bottleneck.state import DECIDE, View
from langgraph_truce.errors import SystemMismatch

Speaker = Callable[[View], Awaitable[str | None] | str | None]
"""A function of the view; None or a blank text is silence."""
Role = Speaker | Runnable[Any, Any]
"""A `Speaker`, or a chat model that is asked with the role's rules (see `ask`)."""


async def ask(model: Runnable[Any, Any], role: str, view: View, *, beside: Path | str | None = None) -> str:
    """What a chat model says as `role`: its rules are the system message, the view is the user message.

    Args:
        model: A chat model, or one with settings bound to it.
        role: Agent whose rules are read: those of the view's round where it has its own.
        view: What the node was given.
        beside: Folder of the rule files that are read outside of an optimization; None: `rules/` beside the file that calls.

    Raises:
        BindError: there are no rules.
        UnknownNameError: the rules have no such role.
    """
    number = None if role == DECIDE else view["round"]
    folder = beside or beside_caller(1)
    rules = await ainstructions(role, round=number, beside=folder)
    reply = await model.ainvoke([("system", rules), ("user", message(view))])
    return reply if isinstance(reply, str) else str(reply.text)


def message(view: View) -> str:
    """The user message of `ask`: the task and S_(t-1); for the aggregator the task and U_t, as in S_t = f_t(U_t; psi_t)."""
    parts = [question(view["task"])]
    if "utterances" in view:
        said = "\n\n".join(f"{role}:\n{text}" for role, text in view["utterances"].items())
        parts.append(f"Said in round {view['round']}:\n\n{said or '(nothing)'}")
    elif view["shared"]:
        parts.append(f"Shared state after the rounds so far:\n\n{view['shared']}")
    return "\n\n".join(parts)


def question(task: Mapping[str, Any]) -> str:
    """A task's inputs as text: its question, its options as lines `(A) text`, anything else as lines `name: value`."""
    lines = []
    for name, value in sorted(task.items(), key=lambda item: item[0] != "question"):
        if name == "options" and isinstance(value, Mapping):
            lines += [f"({letter}) {text}" for letter, text in value.items()]
        else:
            lines.append(str(value) if name == "question" else f"{name}: {value}")
    return "\n".join(lines)


def beside_caller(above: int) -> Path:
    """The folder `rules/` beside the file of the function `above` levels over the one that calls this."""
    return Path(sys._getframe(above + 1).f_code.co_filename).parent / "rules"


def speaker(node: str, role: Role | None, beside: Path) -> Speaker:
    """How `node` speaks.

    Raises:
        SystemMismatch: it has neither a function nor a model.
    """
    if isinstance(role, Runnable) and not isinstance(role, Pregel):

        async def asked(view: View) -> str:
            return await ask(role, node, view, beside=beside)

        return asked
    if not callable(role) or isinstance(role, Pregel):
        raise SystemMismatch(
            f"with_aggregator: {node!r} has nothing to speak with, got {role!r}; give it a chat model or an async function "
            "of the view (a graph is called in such a function), or give model= for all"
        )
    return role


async def text_of(speak: Speaker, node: str, view: View) -> str:
    """What the node says, "" for silence.

    Raises:
        SystemMismatch: it returned something that is no text.
    """
    said = speak(view)
    text = await said if inspect.isawaitable(said) else said
    if text is None:
        return ""
    if not isinstance(text, str):
        raise SystemMismatch(
            f"{node!r} in round {view['round']} returned {type(text).__name__}, not text; return a str (`reply.text` of a "
            "model's message), or None to be silent"
        )
    return text if text.strip() else ""
