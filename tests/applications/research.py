"""A research supervisor: a brief, a supervisor that sends out researchers side by side, a report."""

from __future__ import annotations

import asyncio
import operator
from datetime import UTC, datetime
from typing import Annotated, Any, Literal

from langchain_core.messages import AnyMessage, HumanMessage, SystemMessage, ToolMessage, get_buffer_string
from langchain_core.tools import tool
from langgraph.graph import END, START, MessagesState, StateGraph, add_messages
from langgraph.types import Command
from pydantic import BaseModel, Field
from typing_extensions import TypedDict

from tests.applications.models import chat_model

MAX_ROUNDS = 3

BRIEF_PROMPT = """You turn what a user wrote into one brief that will guide the research.

What was said so far:
<Messages>
{messages}
</Messages>

Today's date is {date}.

Guidelines:
1. Keep every preference that the user has stated; add none of your own.
2. Write in the first person, as the user would.
3. Where a point was left open, say that it is open instead of guessing.

Return JSON of this form: {{"research_brief": "I want to know ..."}}
"""

LEAD_PROMPT = """You are a research supervisor. You conduct research by calling the tool "ConductResearch".
For context, today's date is {date}.

<Task>
Break the brief into topics that can be researched on their own, one call of "ConductResearch" per topic.
Call "ResearchComplete" as soon as the findings answer the brief.
</Task>

<Hard Limits>
- Send out at most {max_units} researchers at a time.
- Prefer one researcher unless the brief asks for a comparison.
- Every topic is a full sentence; a researcher sees nothing but its topic.
</Hard Limits>"""

RESEARCHER_PROMPT = """You are a research assistant. Use the tools to gather information about the user's topic.
For context, today's date is {date}.

<Instructions>
Think like a person with little time:
1. **Read the topic carefully** - what exactly is asked?
2. **Search broadly first**, then for what is missing.
3. **Stop when you can answer** - do not search for perfection.
</Instructions>"""

COMPRESS_PROMPT = """You are a research assistant that cleans up what another assistant has found.

<Guidelines>
- Repeat the findings in full sentences and leave nothing relevant out.
- Drop what says the same thing twice.
- Do not judge or interpret.
</Guidelines>"""

REPORT_PROMPT = """Based on all the research, write an answer to the brief:
<Research Brief>
{research_brief}
</Research Brief>

Today's date is {date}.

Here are the findings:
<Findings>
{findings}
</Findings>

Format:
- Begin with a heading (# for the title).
- One short section per finding.
- Do not speak about yourself or about how the report was made.
"""

model = chat_model("research")


def today() -> str:
    return datetime.now(UTC).strftime("%a %b %d, %Y")


class ResearchBrief(BaseModel):
    """The brief that guides the research."""

    research_brief: str = Field(description="One paragraph in the first person.")


@tool
class ConductResearch(BaseModel):
    """Send out a researcher on one topic."""

    research_topic: str = Field(description="The topic, in at least one full sentence.")


@tool
class ResearchComplete(BaseModel):
    """Say that the research is complete."""


@tool
def search(query: str) -> str:
    """Search the web."""
    slug = query.lower().rstrip(".?").split(" about ")[-1].replace(" ", "-")
    return f"{query}: it is well documented. [https://example.org/{slug}]"


class ResearcherState(TypedDict, total=False):
    researcher_messages: Annotated[list[AnyMessage], add_messages]
    compressed_research: str


async def researcher(state: ResearcherState) -> Command[Literal["researcher_tools", "compress_research"]]:
    prompt = [SystemMessage(content=RESEARCHER_PROMPT.format(date=today())), *state["researcher_messages"]]
    response = await model.bind_tools([search]).ainvoke(prompt)
    goto: Any = "researcher_tools" if response.tool_calls else "compress_research"
    return Command(goto=goto, update={"researcher_messages": [response]})


async def researcher_tools(state: ResearcherState) -> ResearcherState:
    calls = getattr(state["researcher_messages"][-1], "tool_calls", [])
    found = await asyncio.gather(*(search.ainvoke(call["args"]) for call in calls))
    pairs = zip(found, calls, strict=True)
    return {"researcher_messages": [ToolMessage(f, tool_call_id=c["id"], name=c["name"]) for f, c in pairs]}


async def compress_research(state: ResearcherState) -> ResearcherState:
    messages = [*state["researcher_messages"], HumanMessage(content="Clean up the findings above.")]
    response = await model.ainvoke([SystemMessage(content=COMPRESS_PROMPT), *messages])
    return {"compressed_research": response.text}


researcher_builder = StateGraph(ResearcherState)
researcher_builder.add_node("researcher", researcher)
researcher_builder.add_node("researcher_tools", researcher_tools)
researcher_builder.add_node("compress_research", compress_research)
researcher_builder.add_edge(START, "researcher")
researcher_builder.add_edge("researcher_tools", "researcher")
researcher_builder.add_edge("compress_research", END)
researcher_subgraph = researcher_builder.compile()


class State(MessagesState, total=False):
    research_brief: str
    supervisor_messages: Annotated[list[AnyMessage], add_messages]
    notes: Annotated[list[str], operator.add]
    rounds: int
    final_report: str


async def write_research_brief(state: State) -> Command[Literal["research_supervisor"]]:
    prompt = BRIEF_PROMPT.format(messages=get_buffer_string(state["messages"]), date=today())
    response = await model.with_structured_output(ResearchBrief).ainvoke([HumanMessage(content=prompt)])
    brief = ResearchBrief.model_validate(response).research_brief
    first = [
        SystemMessage(content=LEAD_PROMPT.format(date=today(), max_units=3)),
        HumanMessage(content=brief),
    ]
    return Command(goto="research_supervisor", update={"research_brief": brief, "supervisor_messages": first})


async def supervisor(state: State) -> Command[Literal["supervisor_tools"]]:
    tools = model.bind_tools([ConductResearch, ResearchComplete])
    response = await tools.ainvoke(state["supervisor_messages"])
    update = {"supervisor_messages": [response], "rounds": state.get("rounds", 0) + 1}
    return Command(goto="supervisor_tools", update=update)


async def supervisor_tools(state: State) -> Command[Literal["supervisor", "__end__"]]:
    calls = getattr(state["supervisor_messages"][-1], "tool_calls", [])
    topics = [call for call in calls if call["name"] == "ConductResearch"]
    if not topics or state["rounds"] > MAX_ROUNDS:
        return Command(goto="__end__")
    asked = [ResearcherState(researcher_messages=[HumanMessage(c["args"]["research_topic"])]) for c in topics]
    results = await asyncio.gather(*(researcher_subgraph.ainvoke(one) for one in asked))
    found = [result["compressed_research"] for result in results]
    answers = [
        ToolMessage(f, tool_call_id=c["id"], name=c["name"]) for f, c in zip(found, topics, strict=True)
    ]
    return Command(goto="supervisor", update={"supervisor_messages": answers, "notes": found})


async def final_report_generation(state: State) -> dict[str, Any]:
    findings = "\n".join(state.get("notes", []))
    prompt = REPORT_PROMPT.format(research_brief=state["research_brief"], date=today(), findings=findings)
    report = await model.ainvoke([HumanMessage(content=prompt)])
    return {"final_report": report.text, "messages": [report]}


supervisor_builder = StateGraph(State)
supervisor_builder.add_node("supervisor", supervisor)
supervisor_builder.add_node("supervisor_tools", supervisor_tools)
supervisor_builder.add_edge(START, "supervisor")

builder = StateGraph(State)
builder.add_node("write_research_brief", write_research_brief)
builder.add_node("research_supervisor", supervisor_builder.compile())
builder.add_node("final_report_generation", final_report_generation)
builder.add_edge(START, "write_research_brief")
builder.add_edge("research_supervisor", "final_report_generation")
builder.add_edge("final_report_generation", END)
graph = builder.compile(name="deep-research")
