"""A shop's assistant as somebody wrote it: a supervisor sends the work to two agents; the prompts stand in the code.

Nothing here knows of langgraph-truce. `03_a_supervisor_app_unchanged.py` optimizes it.
"""

from __future__ import annotations

from typing import Any, Literal

from langchain.agents import create_agent
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage
from langchain_core.prompts import ChatPromptTemplate, MessagesPlaceholder
from langchain_core.tools import tool
from langgraph.graph import START, MessagesState, StateGraph
from langgraph.types import Command
from pydantic import BaseModel

STOCK = {
    "kettle": ("in stock", 30),
    "lamp": ("sold out", 45),
    "chair": ("in stock", 80),
    "clock": ("on order", 25),
}


class Next(BaseModel):
    """Who works next."""

    worker: Literal["researcher", "writer", "FINISH"]


@tool
def look_up(article: str) -> str:
    """Look an article up in the shop's system."""
    state, price = STOCK[article]
    return f"The {article} is {state}. Price: {price} euros."


supervisor_prompt = ChatPromptTemplate.from_messages(
    [
        (
            "system",
            """You are a supervisor of two workers: researcher, writer.

- The researcher looks articles up.
- The writer answers the customer from what the researcher has found.
- When the customer has an answer, say FINISH.

Reply as JSON: {{"worker": "researcher"}}""",
        ),
        MessagesPlaceholder("messages"),
    ]
)


def build(model: BaseChatModel) -> Any:
    chain = supervisor_prompt | model.with_structured_output(Next)
    researcher_agent = create_agent(
        model, [look_up], system_prompt="You are a researcher.\n\n* Use the tool.\n* Report what it says."
    )

    async def supervisor(state: MessagesState) -> Command[Literal["researcher", "writer", "__end__"]]:
        decision = Next.model_validate(await chain.ainvoke({"messages": state["messages"]}))
        return Command(goto="__end__" if decision.worker == "FINISH" else decision.worker)

    async def researcher(state: MessagesState) -> Command[Literal["supervisor"]]:
        result = await researcher_agent.ainvoke({"messages": [*state["messages"]]})
        said = AIMessage(result["messages"][-1].text, name="researcher")
        return Command(goto="supervisor", update={"messages": [said]})

    async def writer(state: MessagesState) -> Command[Literal["supervisor"]]:
        question, *_, found = [m.text for m in state["messages"]]
        prompt = f"""You write to a customer of a furniture shop.

Style:
- Two sentences at most.
- Polite and plain.

The customer asks: {question}
What was found: {found}"""
        said = await model.ainvoke(prompt)
        return Command(goto="supervisor", update={"messages": [AIMessage(said.text, name="writer")]})

    graph = StateGraph(MessagesState)
    for node in (supervisor, researcher, writer):
        graph.add_node(node)
    graph.add_edge(START, "supervisor")
    return graph.compile(name="shop-assistant")
