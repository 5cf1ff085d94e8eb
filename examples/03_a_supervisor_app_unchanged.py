"""Somebody else's supervisor app, left as it is: prompts found, one rule added, by five lines (marked below).

The models are scripted, so this runs anywhere in seconds. In your own file only the five lines are new: the graph, its
model, the evaluator and the tasks are there already.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from runpy import run_path
from typing import Any

from langchain_core.messages import AIMessage, BaseMessage

from langgraph_truce import Result, Splits, System, Task, optimize  # 1
from langgraph_truce.methods import truce  # 2
from langgraph_truce.testing import ScriptedModel

APP = run_path(str(Path(__file__).with_name("03_supervisor_app.py")))
ASKS = ["Is the {} in stock?", "Do you have the {}?", "Can I get the {} today?", "I am looking for the {}."]
ASKS += ["The {}, please!"]


def tasks(part: slice) -> list[Task]:
    rows = [(ask.format(article), price) for ask in ASKS for article, (_, price) in APP["STOCK"].items()]
    said = [
        (n, {"messages": [{"role": "user", "content": text}]}, price) for n, (text, price) in enumerate(rows)
    ]
    return [Task(f"t{n}", given, {"price": f"{price} euros"}) for n, given, price in said][part]


def score(outputs: Mapping[str, Any], reference_outputs: Mapping[str, Any]) -> dict[str, Any]:
    told = reference_outputs["price"] in outputs["messages"][-1].text
    return {"key": "price", "score": told, "comment": "" if told else "the customer is not told the price"}


def obey(messages: Sequence[BaseMessage]) -> str | AIMessage:
    """A model that does what its instructions say and nothing else."""
    told, last = messages[0].text, messages[-1]
    if "You are a supervisor" in told:
        after = {"researcher": "writer", "writer": "FINISH"}
        return json.dumps({"worker": after.get(last.name or "", "researcher")})
    if "You are a researcher" in told:
        article = next(a for a in APP["STOCK"] if a in messages[1].text)
        call = {"name": "look_up", "args": {"article": article}, "id": article, "type": "tool_call"}
        return last.text if last.type == "tool" else AIMessage("", tool_calls=[call])
    found = told.rpartition("What was found: ")[2]
    return found if "Name the price" in told else found.partition(" Price")[0]


def judge(messages: Sequence[BaseMessage], tools: Sequence[Mapping[str, Any]]) -> str:
    """A critic: it blames the writer, and asks for a rule."""
    steps = re.findall(r"writer#\d+\.\d+", messages[-1].text)[:1]
    if "iteration_progress" in tools[0]["function"]["parameters"]["properties"]:
        part = {"score": 3, "analysis": "The price is missing."}
        blame = {"agent": "writer", "score": 2, "words": "It left the price out.", "steps": steps}
        names = ("iteration_progress", "agent_coordination", "stage_appropriateness")
        return json.dumps({**dict.fromkeys(names, part), "agents": [blame]})
    wish = {"op": "ADD", "instruction": "Name the price.", "reason": "It is missing.", "evidence": steps}
    about_writer = re.search(r"place of the agent\n.*\nwriter\n", messages[-1].text)
    return json.dumps({"suggestions": [wish] if about_writer else []})


def main(run: Path | str = "runs/example-3") -> Result:
    graph = APP["build"](ScriptedModel(replies=obey))
    critic = ScriptedModel(replies=judge)
    examples = [task.inputs for task in tasks(slice(4))]

    system = System.discover(graph, examples)  # 3
    splits = Splits(tasks(slice(4)), tasks(slice(4, 12)), tasks(slice(12, 20)))  # 4
    result = optimize(system, splits, score, model=critic, method=truce(iterations=1), run=run)  # 5

    print(system.discovery.text(short=True) if system.discovery else "")
    return result


if __name__ == "__main__":
    result = main()
    print(result.report())
    print(result.diff())
