"""The research supervisor: what its model does, and the rule that keeps sources."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from types import ModuleType
from typing import Any

from langchain_core.messages import AIMessage, BaseMessage, ToolMessage

from tests.applications.case import Expected, called, instructions_of, part, said

AGENT = "research_supervisor/supervisor_tools/compress_research"
RULE = "Keep the address of its source behind every finding."
SYNC = False
FANS_OUT = True
TOPICS = [
    "heat pumps",
    "gas boilers",
    "solar roofs",
    "wind farms",
    "night trains",
    "tram lines",
    "bike lanes",
]
PAIRS = [(a, b) for n, a in enumerate(TOPICS) for b in TOPICS[n + 1 :]]
ROWS = [
    (said(f"Please compare {a} and {b}."), {"sources": [t.replace(" ", "-") for t in (a, b)]})
    for a, b in PAIRS
]
EXAMPLES = [row[0] for row in ROWS[:3]]


def score(outputs: Mapping[str, Any], reference_outputs: Mapping[str, Any]) -> dict[str, Any]:
    lost = [s for s in reference_outputs["sources"] if s not in outputs["final_report"]]
    return {"key": "sources", "score": not lost, "comment": f"no source for {lost}" if lost else ""}


def prompts(app: ModuleType) -> Sequence[Expected]:
    team = "research_supervisor"
    return (
        Expected("write_research_brief", literal(app.BRIEF_PROMPT), ("messages", "date"), "human"),
        Expected(f"{team}/supervisor", app.LEAD_PROMPT, ("date", "max_units")),
        Expected(f"{team}/supervisor_tools/researcher", app.RESEARCHER_PROMPT, ("date",)),
        Expected(f"{team}/supervisor_tools/compress_research", app.COMPRESS_PROMPT),
        Expected(
            "final_report_generation", app.REPORT_PROMPT, ("research_brief", "date", "findings"), "human"
        ),
    )


def literal(template: str) -> str:
    return template.replace("{{", "{").replace("}}", "}")


def brain(messages: list[BaseMessage]) -> AIMessage | str:
    told = instructions_of(messages)
    if "You turn what a user wrote" in told:
        both = part(r"Human: Please compare (.*?)\.", told)
        return json.dumps({"research_brief": f"I want to know how to choose between {both}."})
    if "You are a research supervisor" in told:
        if isinstance(messages[-1], ToolMessage):
            return called(("ResearchComplete", {}))
        one, other = part(r"between (.*)\.", messages[-1].text).split(" and ")
        topics = [f"Find out what is known about {topic}." for topic in (one, other)]
        return called(*(("ConductResearch", {"research_topic": topic}) for topic in topics))
    if "Use the tools to gather" in told:
        done = isinstance(messages[-1], ToolMessage)
        return "I have what I need." if done else called(("search", {"query": messages[-1].text}))
    if "cleans up" in told:
        found = " ".join(m.text for m in messages if isinstance(m, ToolMessage))
        return found if "address of its source" in told else re.sub(r" \[.*?\]", "", found)
    return f"# Report\n\n{part(r'<Findings>(.*?)</Findings>', told).strip()}"
