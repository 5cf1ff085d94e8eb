"""The brochure maker: what its model does, and the rule that adds a number to call."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from itertools import permutations
from types import ModuleType
from typing import Any

from langchain_core.messages import AIMessage, BaseMessage

from tests.applications.case import Expected, called, instructions_of, part, said

AGENT = "tools"
RULE = "Close every chapter with the number of the front desk, 555-0100."
SYNC = True
FANS_OUT = False
CHAPTERS = list(permutations(["Arrival", "Rooms", "Walks", "Food"], 3))
READERS = ["families", "hikers", "groups"]
ROWS = [
    (
        {**said(f"A brochure with the chapters {', '.join(titles)}."), "audience": READERS[n % 3]},
        {"chapters": list(titles)},
    )
    for n, titles in enumerate(CHAPTERS)
]
EXAMPLES = [row[0] for row in ROWS[:3]]


def score(outputs: Mapping[str, Any], reference_outputs: Mapping[str, Any]) -> float:
    brochure = outputs["messages"][-1].text
    titles = reference_outputs["chapters"]
    return sum(bool(re.search(rf"### {t}\n[^#]*555-0100", brochure)) for t in titles) / len(titles)


def prompts(app: ModuleType) -> Sequence[Expected]:
    maker = """You make brochures. This one is for {audience}.

## How you work
- Ask the writer for one chapter at a time.
- Never write a chapter yourself.
- When all chapters are there, put them together in the order of the request.

## What you return
The brochure in Markdown, from "BROCHURE" on, and nothing else."""
    return (
        Expected("model", maker, ("audience",)),
        Expected("tools", app.WRITER_PROMPT.text),
        Expected("SummarizationMiddleware.before_model", app.SUMMARY_PROMPT, ("messages",), "human"),
    )


def brain(messages: list[BaseMessage]) -> AIMessage | str:
    told = instructions_of(messages)
    if "You are the writer" in told:
        hint = " Call 555-0100." if "555-0100" in told else ""
        return f"### {messages[-1].text}\nIt is good to know.{hint}"
    if "You shorten the history" in told:
        kept = re.findall(r"(A brochure with the chapters [^.]*\.|### \w+\n[^#\n]*)", told)
        return "\n".join(dict.fromkeys(kept))
    history = "\n".join(m.text for m in messages[1:])
    titles = part(r"with the chapters (.*?)\.", history).split(", ")
    done = {t: found for t in titles if (found := re.search(rf"### {t}\n[^#\n]*", history))}
    missing = [t for t in titles if t not in done]
    if missing:
        return called(("write_chapter", {"title": missing[0]}))
    return "BROCHURE\n\n" + "\n".join(done[t].group(0) for t in titles)
