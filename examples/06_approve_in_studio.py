"""Approve edits in Studio, or anywhere else a LangGraph server is reached.

`langgraph dev --allow-blocking` serves `optimizer` (see `langgraph.json`). A run of it needs no input. When edits pass the gate it is
interrupted with the proposal: what would change, why it was asked for, which tasks it fixed and broke, and how to answer:

    {"edits": {"e1.1": {"answer": "accept"}}, "by": "your name"}

The same system from the command line, asked at the terminal or in a file: `docs/ledger.md`. The model is scripted: a
simulation that runs anywhere.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypedDict

from langchain_core.messages import BaseMessage
from langgraph.graph import END, START, StateGraph

from langgraph_truce import RuleBook, Run, Splits, System, ainstructions
from langgraph_truce.methods import offline
from langgraph_truce.optimizer import served
from langgraph_truce.rules import parse
from langgraph_truce.testing import ScriptedModel

TASKS = Path(__file__).parent / "06_tasks"


class Message(TypedDict, total=False):
    text: str
    desk: str


def obey(messages: list[BaseMessage]) -> str:
    """A model that knows what its instructions say and nothing else."""
    rules, text = messages[0].text, messages[-1].text
    return "Ledger" if "invoice" in text and "invoice" in rules else "Counter"


model = ScriptedModel(replies=obey)


async def triage(state: Message) -> Message:
    reply = await model.ainvoke([("system", await ainstructions("triage")), ("human", state["text"])])
    return {"desk": reply.text}


def exact(outputs: Mapping[str, Any], reference_outputs: Mapping[str, Any]) -> dict[str, Any]:
    right = outputs["desk"] == reference_outputs["desk"]
    return {
        "key": "exact",
        "score": right,
        "comment": "" if right else f"expected {reference_outputs['desk']}",
    }


graph = StateGraph(Message).add_node("triage", triage).add_edge(START, "triage").add_edge("triage", END)
rules = RuleBook({"triage": parse("triage", "You sort messages.\n\n- Answer Counter or Ledger.\n")})

system = System(graph.compile(name="shop"), rules)
splits = Splits.read(*(TASKS / f"{name}.jsonl" for name in ("train", "validation", "test")))
optimizer = served(
    system, splits, exact, method=offline(iterations=2), run=Run("runs/studio", approve="interrupt")
)
