"""A support desk: a router sends the message to the subgraph of one department."""

from __future__ import annotations

from typing import Any, Literal

from langchain_core.language_models import BaseChatModel
from langchain_core.messages import HumanMessage, SystemMessage
from langgraph.graph import END, START, StateGraph
from langgraph.types import Command
from pydantic import BaseModel, Field
from typing_extensions import TypedDict

from tests.applications.models import chat_model

ROUTER_PROMPT = """You are the front desk of a software company's support.
Decide which department answers the customer's message.

Departments:
- billing: invoices, payment methods, receipts
- technical: errors, crashes, installation
- shipping: devices on their way, addresses, customs

Answer with JSON:
```json
{"department": "billing", "urgent": false}
```
Rules:
1. Choose exactly one department.
2. A message is urgent only if the customer cannot work.
3. When nothing fits, choose technical."""

BILLING_PROMPT = """You answer questions about invoices and payments.

# Tone
Friendly, no blame, no legal advice.

# Rules
- Name the amount when the customer named one.
- Promise nothing about dates.
- Sign as "Billing"."""

TERMS = "# Terms of payment\nInvoices are due in 30 days. Cards are charged on the first of the month."


class Route(BaseModel):
    """Where a message goes."""

    department: Literal["billing", "technical", "shipping"]
    urgent: bool = Field(default=False)


class State(TypedDict, total=False):
    message: str
    customer: str
    department: str
    analysis: str
    reply: str


def billing_desk(model: BaseChatModel) -> Any:
    async def answer(state: State) -> State:
        blocks: list[Any] = [
            {"type": "text", "text": BILLING_PROMPT},
            {"type": "text", "text": TERMS, "cache_control": {"type": "ephemeral"}},
        ]
        reply = await model.ainvoke([SystemMessage(content=blocks), HumanMessage(content=state["message"])])
        return {"reply": reply.text}

    desk = StateGraph(State)
    desk.add_node("answer", answer)
    desk.add_edge(START, "answer")
    desk.add_edge("answer", END)
    return desk.compile()


def technical_desk(model: BaseChatModel) -> Any:
    async def diagnose(state: State) -> State:
        system = """You find out what is broken.

1) Name the part of the product that the message is about.
2) Name the most likely cause in one sentence.
3) Do not speak to the customer; your text goes to a colleague."""
        said = await model.ainvoke([("system", system), ("human", state["message"])])
        return {"analysis": said.text}

    async def answer(state: State) -> State:
        system = f"""You write to customers who report a fault.
You are writing to {state["customer"]}.

- Begin with the customer's name.
- One step at a time, numbered.
- End with "Technical support"."""
        text = f"Message: {state['message']}\n\nAnalysis of a colleague: {state['analysis']}"
        said = await model.ainvoke([("system", system), ("human", text)])
        return {"reply": said.text}

    desk = StateGraph(State)
    desk.add_node("diagnose", diagnose)
    desk.add_node("answer", answer)
    desk.add_edge(START, "diagnose")
    desk.add_edge("diagnose", "answer")
    desk.add_edge("answer", END)
    return desk.compile()


def shipping_desk(model: BaseChatModel) -> Any:
    async def answer(state: State) -> State:
        # the whole instruction stands in the human message, as many applications do it
        prompt = f"""You are the shipping department. Answer {state["customer"]} in two sentences.

- Never invent a tracking number.
- Say that a device takes five working days.
- Sign as "Shipping".

The message:
{state["message"]}"""
        return {"reply": (await model.ainvoke(prompt)).text}

    desk = StateGraph(State)
    desk.add_node("answer", answer)
    desk.add_edge(START, "answer")
    desk.add_edge("answer", END)
    return desk.compile()


def build(model: BaseChatModel) -> Any:
    async def router(state: State) -> Command[Literal["billing", "technical", "shipping"]]:
        asked = [SystemMessage(ROUTER_PROMPT), HumanMessage(state["message"])]
        route = Route.model_validate(await model.with_structured_output(Route).ainvoke(asked))
        return Command(goto=route.department, update={"department": route.department})

    graph = StateGraph(State)
    graph.add_node("router", router)
    graph.add_node("billing", billing_desk(model))
    graph.add_node("technical", technical_desk(model))
    graph.add_node("shipping", shipping_desk(model))
    graph.add_edge(START, "router")
    for desk in ("billing", "technical", "shipping"):
        graph.add_edge(desk, END)
    return graph.compile(name="support-router")


model = chat_model("support_router")
graph = build(model)
