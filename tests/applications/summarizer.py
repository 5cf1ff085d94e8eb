"""Map-reduce: every document is summarised on its own, summaries are collapsed until they fit, then joined."""

from __future__ import annotations

import operator
from typing import Annotated, Any, Literal

from langchain_core.output_parsers import StrOutputParser
from langchain_core.prompts import ChatPromptTemplate
from langgraph.graph import END, START, StateGraph
from langgraph.types import Send
from typing_extensions import TypedDict

from tests.applications.models import chat_model

MAX_WORDS = 30
AT_ONCE = 3

model = chat_model("summarizer")

map_prompt = ChatPromptTemplate.from_messages(
    [
        (
            "system",
            "Write a concise summary of the document below.\n\n"
            "- One sentence.\n"
            "- Only what the document says, nothing that you know from elsewhere.\n"
            "- No introduction such as 'The document says'.\n\n"
            "Document:\n{context}",
        )
    ]
)
map_chain = map_prompt | model | StrOutputParser()

reduce_template = """
The following is a set of summaries:
{docs}

Take these and distill them into one consolidated summary of the main themes.

- Keep the order of the summaries.
- Say nothing twice.
"""
reduce_prompt = ChatPromptTemplate([("human", reduce_template)])
reduce_chain = reduce_prompt | model | StrOutputParser()


class OverallState(TypedDict, total=False):
    contents: list[str]
    summaries: Annotated[list[str], operator.add]
    collapsed_summaries: list[str]
    final_summary: str


class SummaryState(TypedDict):
    content: str


def words(texts: list[str]) -> int:
    return sum(len(text.split()) for text in texts)


async def generate_summary(state: SummaryState) -> OverallState:
    return {"summaries": [await map_chain.ainvoke({"context": state["content"]})]}


def map_summaries(state: OverallState) -> list[Send]:
    return [Send("generate_summary", {"content": content}) for content in state["contents"]]


def collect_summaries(state: OverallState) -> OverallState:
    return {"collapsed_summaries": list(state["summaries"])}


async def _reduce(texts: list[str]) -> str:
    return await reduce_chain.ainvoke({"docs": "\n".join(texts)})


async def collapse_summaries(state: OverallState) -> OverallState:
    docs = state["collapsed_summaries"]
    groups = [docs[i : i + AT_ONCE] for i in range(0, len(docs), AT_ONCE)]
    return {"collapsed_summaries": [await _reduce(group) for group in groups]}


def should_collapse(state: OverallState) -> Literal["collapse_summaries", "generate_final_summary"]:
    docs = state["collapsed_summaries"]
    return "collapse_summaries" if len(docs) > 1 and words(docs) > MAX_WORDS else "generate_final_summary"


async def generate_final_summary(state: OverallState) -> dict[str, Any]:
    return {"final_summary": await _reduce(state["collapsed_summaries"])}


builder = StateGraph(OverallState)
builder.add_node("generate_summary", generate_summary)
builder.add_node("collect_summaries", collect_summaries)
builder.add_node("collapse_summaries", collapse_summaries)
builder.add_node("generate_final_summary", generate_final_summary)
builder.add_conditional_edges(START, map_summaries, ["generate_summary"])
builder.add_edge("generate_summary", "collect_summaries")
builder.add_conditional_edges("collect_summaries", should_collapse)
builder.add_conditional_edges("collapse_summaries", should_collapse)
builder.add_edge("generate_final_summary", END)
graph = builder.compile(name="map-reduce-summarizer")
