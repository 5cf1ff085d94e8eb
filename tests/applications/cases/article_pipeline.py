"""The article pipeline: what its model does, and the rule that names the readers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import ModuleType
from typing import Any

from langchain_core.messages import BaseMessage

from tests.applications.case import Expected, instructions_of, part

AGENT = "graph/write_section"
RULE = "Name the readers in the first sentence."
SYNC = True
FANS_OUT = True
TOPICS = ["bicycles", "the canteen", "night shifts", "plants", "the new lift", "parking"]
READERS = ["engineers", "apprentices", "visitors"]
ROWS = [
    ({"topic": topic, "audience": readers}, {"audience": readers}) for readers in READERS for topic in TOPICS
]
EXAMPLES = [ROWS[0][0], ROWS[7][0], ROWS[14][0]]


def score(outputs: Mapping[str, Any], reference_outputs: Mapping[str, Any]) -> dict[str, Any]:
    addressed = reference_outputs["audience"] in outputs["article"]
    return {"key": "addressed", "score": addressed, "comment": "" if addressed else "nobody is addressed"}


def prompts(app: ModuleType) -> Sequence[Expected]:
    section = (
        "You write one section of an article for {audience}.\n\n"
        "Style:\n"
        "  * short sentences\n"
        "  * at most one example\n"
        "  * the title is the heading, in bold\n\n"
        "Do not write an introduction to the whole article."
    )
    return (
        Expected("graph/outline", app.OUTLINE_PROMPT),
        Expected("graph/write_section", section, ("audience",)),
        Expected("graph/edit", app.EDITOR_PROMPT),
    )


def brain(messages: list[BaseMessage]) -> str:
    told, text = instructions_of(messages), messages[-1].text
    if "You plan articles" in told:
        return f"All about {text}\nWhat comes next"
    if "You are the editor" in told:
        return text
    readers = f"Dear {part(r'article for (.*?)[.]', told)}! " if "Name the readers" in told else ""
    return f"**{text.removeprefix('Title: ')}**\n{readers}There is news."
