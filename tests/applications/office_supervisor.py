"""langgraph-supervisor with two agents made by `create_agent`."""

from __future__ import annotations

from langchain.agents import create_agent
from langchain_core.tools import tool
from langgraph_supervisor import create_supervisor

from tests.applications.models import chat_model

HEADCOUNT = {"Acme": 120, "Borea": 75, "Cirrus": 310, "Delta": 44, "Elm": 205, "Fjord": 98}

model = chat_model("office_supervisor")


@tool
def headcount(company: str) -> int:
    """How many people a company employs."""
    return HEADCOUNT[company]


@tool
def add(a: int, b: int) -> int:
    """Add two numbers."""
    return a + b


research_expert = create_agent(
    model,
    [headcount],
    system_prompt=(
        "You are a company researcher.\n\n"
        "INSTRUCTIONS:\n"
        "- Assist ONLY with research tasks, DO NOT do any math.\n"
        "- Look up one company at a time.\n"
        "- After you are done, respond to the supervisor with the numbers alone."
    ),
    name="research_expert",
)

math_expert = create_agent(
    model,
    [add],
    system_prompt=(
        "You are a calculator.\n\n"
        "INSTRUCTIONS:\n"
        "- Assist ONLY with math-related tasks.\n"
        "- Use a tool for every sum.\n"
        "- After you are done, respond to the supervisor with the result, and do NOT include any other text."
    ),
    name="math_expert",
)

workflow = create_supervisor(
    [research_expert, math_expert],
    model=model,
    prompt=(
        "You are a supervisor managing two agents:\n"
        "- a research agent. Assign research-related tasks to this agent\n"
        "- a math agent. Assign math-related tasks to this agent\n"
        "\n"
        "Assign work to one agent at a time, do not call agents in parallel.\n"
        "Give the final answer as one number."
    ),
)
graph = workflow.compile(name="office")
