"""A deep agent: middleware writes part of its prompt and shortens its history; one tool calls a model itself."""

from __future__ import annotations

from typing import Any

from langchain.agents import AgentState, create_agent
from langchain.agents.middleware import ModelRequest, SummarizationMiddleware, dynamic_prompt
from langchain_core.messages import HumanMessage, SystemMessage
from langchain_core.tools import tool

from tests.applications.models import chat_model

model = chat_model("brochure_agent")


class BrochureState(AgentState[Any], total=False):
    audience: str


@dynamic_prompt
def house_style(request: ModelRequest) -> str:
    audience = request.state.get("audience", "everybody")
    return f"""You make brochures. This one is for {audience}.

## How you work
- Ask the writer for one chapter at a time.
- Never write a chapter yourself.
- When all chapters are there, put them together in the order of the request.

## What you return
The brochure in Markdown, from "BROCHURE" on, and nothing else."""


WRITER_PROMPT = SystemMessage(
    """You are the writer of a small publishing house.

1. Write one chapter of two sentences.
2. Facts only; no superlatives.
3. The reader is in a hurry."""
)

SUMMARY_PROMPT = """You shorten the history of a conversation between a brochure maker and its writer.

- Chapters are kept word by word.
- Requests that were fulfilled are left out.

The conversation:
{messages}"""


@tool
def write_chapter(title: str) -> str:
    """Let the writer write the chapter with this title."""
    return model.invoke([WRITER_PROMPT, HumanMessage(title)]).text


graph = create_agent(
    model,
    [write_chapter],
    middleware=[
        house_style,
        SummarizationMiddleware(
            model, trigger=("messages", 5), keep=("messages", 2), summary_prompt=SUMMARY_PROMPT
        ),
    ],
    state_schema=BrochureState,
    name="brochure-maker",
)
