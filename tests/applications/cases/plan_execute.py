"""Plan and execute: what its model does, and the rule that plans a step for every fact."""

from __future__ import annotations

import ast
import json
from collections.abc import Mapping, Sequence
from types import ModuleType
from typing import Any

from langchain_core.messages import AIMessage, BaseMessage

from tests.applications.case import Expected, called, instructions_of, part

AGENT = "planner"
RULE = "Plan one step for every fact that has to be looked up."
SYNC = False
FANS_OUT = False
CAPITALS = {"Norway": "709,000", "Peru": "10,092,000", "Kenya": "4,397,000", "Cuba": "2,137,000"}
CAPITALS |= {"Fiji": "94,000", "Chad": "1,093,000"}
ASKS = (
    "What is the population of the capital of {}?",
    "Tell me the population of the capital of {}.",
    "I need the population of the capital of {}, please.",
)
ROWS = [({"input": ask.format(country)}, {"answer": n}) for ask in ASKS for country, n in CAPITALS.items()]
EXAMPLES = [row[0] for row in ROWS[:3]]


def score(outputs: Mapping[str, Any], reference_outputs: Mapping[str, Any]) -> bool:
    right: bool = outputs["response"] == reference_outputs["answer"]
    return right


def prompts(app: ModuleType) -> Sequence[Expected]:
    planner = app.planner_prompt.messages[0].prompt.template.replace("{{", "{").replace("}}", "}")
    replanner = app.replanner_prompt.messages[0].prompt.template
    executor = (
        "You are a careful assistant.\n\n* Carry out the one step that you are given.\n"
        "* Look facts up; never answer from memory.\n* Reply with the bare result."
    )
    return (
        Expected("planner", planner),
        Expected("agent/model", executor),
        Expected("replan", replanner, ("input", "plan", "past_steps"), "human"),
    )


def brain(messages: list[BaseMessage]) -> AIMessage | str:
    told, last = instructions_of(messages), messages[-1]
    if "come up with a simple step by step plan" in told:
        country = part(r"capital of (\w+)", last.text)
        capital = [f"Find the capital of {country}", "Find the population of that capital"]
        return json.dumps(
            {"steps": capital if "one step for every fact" in told else [f"Find the population of {country}"]}
        )
    if "update the plan" in told:
        plan = ast.literal_eval(part(r"original plan was this:\n(.*?)\n", told))
        past = ast.literal_eval(part(r"so far:\n(.*?)\n", told))
        waiting = [step for step in plan if step not in [done for done, _ in past]]
        return json.dumps({"action": {"steps": waiting} if waiting else {"response": past[-1][1]}})
    if last.type == "tool":
        return last.text
    what = part(r"executing step 1, Find the (.*?)\.$", last.text)
    known = part(r"Known so far: (.*?)\n", last.text)
    return called(("lookup", {"what": what.replace("that capital", known)}))
