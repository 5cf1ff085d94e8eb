"""A pipeline in the functional API: an outline, sections side by side, an editor."""

from __future__ import annotations

from typing import Any

from langchain_core.messages import HumanMessage, SystemMessage
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.func import entrypoint, task

from tests.applications.models import chat_model

model = chat_model("article_pipeline")

OUTLINE_PROMPT = (
    "You plan articles for a company magazine.\n"
    "\n"
    "- Give exactly two section titles, one per line.\n"
    "- A title has at most five words.\n"
    "- No numbers, no bullets in front of a title."
)

EDITOR_PROMPT = """You are the editor of a company magazine. You get the sections of one article.

Your checklist:
[ ] the sections stand in the given order
[ ] no section is shortened
[ ] the heading of a section stays as it is

Return the article and nothing else."""


@task
def outline(topic: str) -> list[str]:
    said = model.invoke([SystemMessage(content=OUTLINE_PROMPT), HumanMessage(content=topic)])
    return [line for line in said.text.splitlines() if line.strip()]


@task
def write_section(title: str, audience: str) -> str:
    messages = [
        {
            "role": "system",
            "content": f"You write one section of an article for {audience}.\n\n"
            "Style:\n"
            "  * short sentences\n"
            "  * at most one example\n"
            "  * the title is the heading, in bold\n\n"
            "Do not write an introduction to the whole article.",
        },
        {"role": "user", "content": f"Title: {title}"},
    ]
    return model.invoke(messages).text


@task
def edit(sections: list[str]) -> str:
    joined = "\n\n".join(sections)
    return model.invoke([("system", EDITOR_PROMPT), ("human", joined)]).text


@entrypoint(checkpointer=InMemorySaver())
def graph(inputs: dict[str, Any]) -> dict[str, Any]:
    titles = outline(inputs["topic"]).result()
    sections = [write_section(title, inputs["audience"]) for title in titles]
    article = edit([section.result() for section in sections]).result()
    return {"titles": titles, "article": article}
