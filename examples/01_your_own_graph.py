"""Your own graph: one node reads its rules, the optimizer finds the rule that is missing.

The models are scripted, so this runs anywhere in seconds: `python examples/01_your_own_graph.py`. In an application of
yours, `model` and `critic` are chat models and everything else stays as it is.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypedDict

from langchain_core.messages import BaseMessage
from langgraph.graph import END, START, StateGraph

from langgraph_truce import Result, Splits, System, Task, instructions, optimize
from langgraph_truce.methods import truce
from langgraph_truce.testing import ScriptedModel

RULES = Path(__file__).parent / "01_rules"


class Message(TypedDict, total=False):
    text: str
    desk: str


def build(model: Any) -> Any:
    async def triage(state: Message) -> Message:
        reply = await model.ainvoke(
            [("system", instructions("triage", beside=RULES)), ("human", state["text"])]
        )
        return {"desk": reply.text}

    graph = StateGraph(Message)
    graph.add_node("triage", triage)
    graph.add_edge(START, "triage")
    graph.add_edge("triage", END)
    return graph.compile(name="shop")


def exact(outputs: Mapping[str, Any], reference_outputs: Mapping[str, Any]) -> dict[str, Any]:
    right = outputs["desk"] == reference_outputs["desk"]
    return {
        "key": "exact",
        "score": right,
        "comment": "" if right else f"it belongs to {reference_outputs['desk']}",
    }


def tasks(split: str, n: int = 20) -> list[Task]:
    kinds = [("My invoice {} is wrong", "Ledger"), ("Repair of my wheel, order {}", "Stand")]
    rows = [(text.format(f"{split}-{i}"), desk) for i in range(n // 2) for text, desk in kinds]
    return [Task(f"{split}{i}", {"text": text}, {"desk": desk}) for i, (text, desk) in enumerate(rows)]


def obey(messages: Sequence[BaseMessage]) -> str:
    """A model that knows what its instructions say and nothing else."""
    rules, text = messages[0].text, messages[-1].text
    if "invoice" in text and "invoice" in rules:
        return "Ledger"
    return "Stand" if "Repair" in text else "Counter"


def judge(_messages: Sequence[BaseMessage], tools: Sequence[Mapping[str, Any]]) -> str:
    """A critic: what it answers depends on what it is asked for."""
    if "iteration_progress" in tools[0]["function"]["parameters"]["properties"]:
        part = {"score": 3, "analysis": "The desk does not fit the message."}
        words = "No rule says where invoices go."
        return json.dumps(
            {
                "iteration_progress": part,
                "agent_coordination": part,
                "stage_appropriateness": part,
                "agents": [{"agent": "triage", "score": 2, "words": words, "steps": ["triage#1.0"]}],
            }
        )
    rule = "A message about an invoice goes to Ledger."
    wish = {"op": "ADD", "instruction": rule, "reason": "It is missing.", "evidence": ["triage#1.0"]}
    return json.dumps({"suggestions": [wish]})


def main(run: Path | str = "runs/example-1") -> Result:
    system = System(build(ScriptedModel(replies=obey)), RULES)
    splits = Splits(tasks("train"), tasks("validation"), tasks("test"))
    critic = ScriptedModel(replies=judge)
    return optimize(system, splits, exact, model=critic, method=truce(iterations=2), run=run)


if __name__ == "__main__":
    result = main()
    print(result.report())
    print(result.diff())
