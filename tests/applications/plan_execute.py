"""Plan and execute: a planner, an agent that carries out one step, a replanner that goes on or answers."""

from __future__ import annotations

import operator
from typing import Annotated, Literal

from langchain.agents import create_agent
from langchain_core.messages import HumanMessage
from langchain_core.prompts import ChatPromptTemplate
from langchain_core.tools import tool
from langgraph.graph import END, START, StateGraph
from pydantic import BaseModel, Field
from typing_extensions import TypedDict

from tests.applications.models import chat_model

FACTS = {
    "capital of Norway": "Oslo", "capital of Peru": "Lima", "capital of Kenya": "Nairobi", "capital of Cuba": "Havana",
    "capital of Fiji": "Suva", "capital of Chad": "N'Djamena", "population of Oslo": "709,000",
    "population of Lima": "10,092,000", "population of Nairobi": "4,397,000", "population of Havana": "2,137,000",
    "population of Suva": "94,000", "population of N'Djamena": "1,093,000", "population of Norway": "5,550,000",
    "population of Peru": "34,000,000", "population of Kenya": "55,000,000", "population of Cuba": "11,000,000",
    "population of Fiji": "930,000", "population of Chad": "18,000,000",
}  # fmt: skip

llm = chat_model("plan_execute")
model = llm


class PlanExecute(TypedDict, total=False):
    input: str
    plan: list[str]
    past_steps: Annotated[list[tuple[str, str]], operator.add]
    response: str


class Plan(BaseModel):
    """Plan to follow in future."""

    steps: list[str] = Field(description="different steps to follow, should be in sorted order")


class Response(BaseModel):
    """Response to user."""

    response: str


class Act(BaseModel):
    """Action to perform."""

    action: Response | Plan = Field(
        description="Action to perform. To answer the user, use Response; to go on with tools, use Plan."
    )


planner_prompt = ChatPromptTemplate.from_messages(
    [
        (
            "system",
            """For the given objective, come up with a simple step by step plan.
The plan is a list of tasks that, carried out one after the other, give the answer.

Rules of planning:
1. Add no superfluous steps.
2. The result of the last step is the final answer.
3. Each step has all the information it needs; skip none.

A plan is JSON: {{"steps": ["first step", "second step"]}}""",
        ),
        ("placeholder", "{messages}"),
    ]
)
planner = planner_prompt | llm.with_structured_output(Plan)

replanner_prompt = ChatPromptTemplate.from_template(
    """For the given objective, update the plan so that only open steps are left.

Your objective was this:
{input}

Your original plan was this:
{plan}

You have done these steps so far:
{past_steps}

Rules of replanning:
1. When no more steps are needed, answer the user with the last result.
2. Otherwise return the steps that STILL NEED to be done.
3. Do not return steps that were done before."""
)
replanner = replanner_prompt | llm.with_structured_output(Act)


@tool
def lookup(what: str) -> str:
    """Look up one fact, as in `capital of Norway`."""
    return FACTS.get(what, "not known")


agent_executor = create_agent(
    llm,
    [lookup],
    system_prompt="You are a careful assistant.\n\n* Carry out the one step that you are given.\n* Look facts up; never answer from memory.\n* Reply with the bare result.",
)


async def plan_step(state: PlanExecute) -> PlanExecute:
    plan = Plan.model_validate(await planner.ainvoke({"messages": [("user", state["input"])]}))
    return {"plan": plan.steps}


async def execute_step(state: PlanExecute) -> PlanExecute:
    steps = "\n".join(f"{i + 1}. {step}" for i, step in enumerate(state["plan"]))
    known = "; ".join(result for _, result in state.get("past_steps", []))
    task = state["plan"][0]
    task_formatted = f"""For the following plan:
{steps}

Known so far: {known or "nothing"}

You are tasked with executing step 1, {task}."""
    said = await agent_executor.ainvoke({"messages": [HumanMessage(task_formatted)]})
    return {"past_steps": [(task, said["messages"][-1].text)]}


async def replan_step(state: PlanExecute) -> PlanExecute:
    output = Act.model_validate(await replanner.ainvoke({**state}))
    if isinstance(output.action, Response):
        return {"response": output.action.response}
    return {"plan": output.action.steps}


def should_end(state: PlanExecute) -> Literal["agent", "__end__"]:
    return "__end__" if state.get("response") else "agent"


workflow = StateGraph(PlanExecute)
workflow.add_node("planner", plan_step)
workflow.add_node("agent", execute_step)
workflow.add_node("replan", replan_step)
workflow.add_edge(START, "planner")
workflow.add_edge("planner", "agent")
workflow.add_edge("agent", "replan")
workflow.add_conditional_edges("replan", should_end, ["agent", END])
graph = workflow.compile(name="plan-and-execute")
