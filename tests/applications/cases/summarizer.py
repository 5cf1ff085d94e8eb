"""The map-reduce summariser: what its model does, and the rule that keeps years."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import ModuleType
from typing import Any

from langchain_core.messages import BaseMessage

from tests.applications.case import Expected, instructions_of, part

AGENT = "generate_summary"
RULE = "Keep every year that the document names."
SYNC = False
FANS_OUT = True
PLACES = ["Aarau", "Basel", "Chur", "Davos", "Erlach", "Fribourg", "Geneva", "Horgen", "Ilanz"]


def _contents(n: int) -> list[str]:
    places = [PLACES[(n + i) % len(PLACES)] for i in range(6 if n % 2 else 2)]
    return [
        f"{place} is a town of note.\n\nIts bridge was built in {1200 + 10 * n + i}. Many people visit it."
        for i, place in enumerate(places)
    ]


ROWS = [
    ({"contents": _contents(n)}, {"years": [str(1200 + 10 * n + i) for i in range(len(_contents(n)))]})
    for n in range(18)
]
EXAMPLES = [row[0] for row in ROWS[:2]]


def score(outputs: Mapping[str, Any], reference_outputs: Mapping[str, Any]) -> float:
    years = reference_outputs["years"]
    return sum(year in outputs["final_summary"] for year in years) / len(years)


def prompts(app: ModuleType) -> Sequence[Expected]:
    return (
        Expected("generate_summary", app.map_prompt.messages[0].prompt.template, ("context",)),
        Expected("collapse_summaries", app.reduce_template, ("docs",), "human"),
        Expected("generate_final_summary", app.reduce_template, ("docs",), "human"),
    )


def brain(messages: list[BaseMessage]) -> str:
    told = instructions_of(messages)
    if "distill them" in told:
        return part(r"summaries:\n(.*?)\n\nTake these", told).replace("\n", " ")
    document = told.rpartition("Document:\n")[2]
    summary = f"{part(r'^(.*?) is', document)} has a bridge that many people visit"
    return (
        f"{summary} since {part(r'built in (.*?)[.]', document)}." if "every year" in told else f"{summary}."
    )
