"""The office: what its model does, and the rule that leaves sums to the math agent."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from itertools import combinations
from types import ModuleType
from typing import Any

from langchain_core.messages import AIMessage, BaseMessage

from tests.applications.case import Expected, called, instructions_of, said

AGENT = "supervisor/agent"
RULE = "Never add numbers yourself: give every sum to the math agent."
SYNC = True
FANS_OUT = False
HEADCOUNT = {"Acme": 120, "Borea": 75, "Cirrus": 310, "Delta": 44, "Elm": 205, "Fjord": 98}
PAIRS = list(combinations(HEADCOUNT, 2))
ASKS = ("How many people do {} and {} employ together?", "Add up the staff of {} and {}.")
ROWS = [
    (said(ask.format(one, other)), {"answer": str(HEADCOUNT[one] + HEADCOUNT[other])})
    for ask in ASKS
    for one, other in PAIRS
]
EXAMPLES = [said("How many people do Acme and Elm employ together? Use the math agent.")]


def score(outputs: Mapping[str, Any], reference_outputs: Mapping[str, Any]) -> dict[str, Any]:
    answer = outputs["messages"][-1].text
    right = answer == reference_outputs["answer"]
    return {"key": "exact", "score": right, "comment": "" if right else f"{answer} is not the sum"}


def prompts(app: ModuleType) -> Sequence[Expected]:
    supervisor = (
        "You are a supervisor managing two agents:\n"
        "- a research agent. Assign research-related tasks to this agent\n"
        "- a math agent. Assign math-related tasks to this agent\n"
        "\n"
        "Assign work to one agent at a time, do not call agents in parallel.\n"
        "Give the final answer as one number."
    )
    research = (
        "You are a company researcher.\n\n"
        "INSTRUCTIONS:\n"
        "- Assist ONLY with research tasks, DO NOT do any math.\n"
        "- Look up one company at a time.\n"
        "- After you are done, respond to the supervisor with the numbers alone."
    )
    math = (
        "You are a calculator.\n\n"
        "INSTRUCTIONS:\n"
        "- Assist ONLY with math-related tasks.\n"
        "- Use a tool for every sum.\n"
        "- After you are done, respond to the supervisor with the result, and do NOT include any other text."
    )
    return (
        Expected("supervisor/agent", supervisor),
        Expected("research_expert/model", research),
        Expected("math_expert/model", math),
    )


def brain(messages: list[BaseMessage]) -> AIMessage | str:
    told = instructions_of(messages)
    asked = next(m.text for m in messages if m.type == "human")
    numbers: dict[str | None, list[str]] = {
        m.name: re.findall(r"\d+", m.text) for m in messages if m.type == "ai" and re.search(r"\d", m.text)
    }
    results: list[str] = [m.text for m in messages if m.type == "tool" and m.text.isdigit()]
    if "company researcher" in told:
        companies = [c for c in HEADCOUNT if c in asked]
        if len(results) < len(companies):
            return called(("headcount", {"company": companies[len(results)]}))
        return " and ".join(results)
    if "calculator" in told:
        a, b = numbers["research_expert"]
        return results[-1] if results else called(("add", {"a": int(a), "b": int(b)}))
    if "research_expert" not in numbers:
        return called(("transfer_to_research_expert", {}))
    if "math_expert" in numbers:
        return numbers["math_expert"][-1]
    careful = "every sum to the math agent" in told or "math agent" in asked
    return called(("transfer_to_math_expert", {})) if careful else numbers["research_expert"][0]
