"""The reflection loop: what its model does, and the rule that asks the reader something."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import ModuleType
from typing import Any

from langchain_core.messages import BaseMessage

from tests.applications.case import Expected, instructions_of, part, said

AGENT = "generate"
RULE = "Close the essay with a question to the reader."
SYNC = False
FANS_OUT = False
TOPICS = ["rain", "bread", "maps", "chess", "letters", "bridges", "clocks", "tea", "salt", "paper", "ships"]
TOPICS += ["gloves", "snow", "ink", "doors", "bees", "glass", "rope"]
ROWS: list[tuple[dict[str, Any], dict[str, Any]]] = [(said(f"An essay on {t}, please."), {}) for t in TOPICS]
EXAMPLES = [row[0] for row in ROWS[:2]]


def score(outputs: Mapping[str, Any]) -> dict[str, Any]:
    open_end = outputs["messages"][-1].text.endswith("?")
    return {"key": "open_end", "score": open_end, "comment": "" if open_end else "the reader is not asked"}


def prompts(app: ModuleType) -> Sequence[Expected]:
    def text(prompt: Any) -> str:
        template: str = prompt.messages[0].prompt.template
        return template

    return (
        Expected("generate", text(app.generation_prompt)),
        Expected("reflect", text(app.reflection_prompt)),
    )


def brain(messages: list[BaseMessage]) -> str:
    told = instructions_of(messages)
    topic = part(r"essay on (\w+)", messages[1].text)
    if "grading an essay" in told:
        return f"'{messages[-1].text[:20]}' is short. Say more about {topic}."
    draft = len([m for m in messages if m.type == "ai"]) + 1
    essay = f"Draft {draft}: everybody knows {topic}."
    return f"{essay} What do you know about {topic}?" if "question to the reader" in told else essay
