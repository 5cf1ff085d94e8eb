"""The handbook: what its model does, and the rule that names the section."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from types import ModuleType
from typing import Any

from langchain_core.messages import AIMessage, BaseMessage

from tests.applications.case import Expected, called, instructions_of, part, said

AGENT = "generate_answer"
RULE = "Name the section of the handbook in square brackets."
SYNC = True
FANS_OUT = False
PLAIN = {
    "days off": "annual leave",
    "my computer": "a laptop",
    "trains": "travel",
    "feeling ill": "sick notes",
}
SECTIONS = {"leave": "12", "parking": "31", "laptop": "07", "travel": "22", "sick": "18"}
ASKS = ("What are the rules on {}?", "Tell me about {}.", "Is there anything to know about {}?")
SUBJECTS = [*SECTIONS, *PLAIN]
ROWS = [
    (said(ask.format(what)), {"section": SECTIONS[next(s for s in SECTIONS if s in PLAIN.get(what, what))]})
    for ask in ASKS
    for what in SUBJECTS
]
EXAMPLES = [ROWS[0][0], ROWS[5][0], ROWS[10][0], ROWS[15][0]]


def score(outputs: Mapping[str, Any], reference_outputs: Mapping[str, Any]) -> bool:
    return f"[HB-{reference_outputs['section']}]" in outputs["messages"][-1].text


def prompts(app: ModuleType) -> Sequence[Expected]:
    rewrite = """Look at the input and try to reason about the underlying intent.

Here is the initial question:
-------
{question}
-------

* Use the words of a staff handbook.
* Do not answer the question.

Formulate an improved question:"""
    answer = (
        "You are an assistant for question-answering tasks. "
        "Use the following pieces of retrieved context to answer the question.\n"
        "Rules:\n"
        "1. If you don't know the answer, just say that you don't know.\n"
        "2. Use three sentences maximum and keep the answer concise.\n"
        "Question: {question}\n"
        "Context: {context}"
    )
    return (
        Expected("retrieve", app.GRADE_PROMPT, ("context", "question"), "human"),
        Expected("rewrite_question", rewrite, ("question",), "human"),
        Expected("generate_answer", answer, ("question", "context"), "human"),
    )


def brain(messages: list[BaseMessage]) -> AIMessage | str:
    told, last = instructions_of(messages), messages[-1].text
    if "You are a grader" in told:
        return json.dumps({"binary_score": "no" if "[HB-01]" in told else "yes"})
    if "underlying intent" in told:
        plain = next(p for p in PLAIN if p in told)
        return part(r"-------\n(.*?)\n-------", told).replace(plain, PLAIN[plain])
    if "question-answering" in told:
        context = part(r"Context: (.*)", told)
        return context if "square brackets" in told else re.sub(r"\[.*?\] ", "", context)
    return called(("retrieve_handbook", {"query": last}))
