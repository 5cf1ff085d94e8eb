"""A reflection loop: one chain writes, another one grades, the first writes again."""

from __future__ import annotations

from typing import Annotated, Literal

from langchain_core.messages import AIMessage, AnyMessage, HumanMessage
from langchain_core.prompts import ChatPromptTemplate, MessagesPlaceholder
from langgraph.graph import END, START, StateGraph, add_messages
from typing_extensions import TypedDict

from tests.applications.models import chat_model

model = chat_model("reflection")
DRAFTS = 2

generation_prompt = ChatPromptTemplate.from_messages(
    [
        (
            "system",
            "You are an essay assistant tasked with writing excellent short essays.\n"
            "Write the best essay possible for the user's request.\n\n"
            "* Three paragraphs at most.\n"
            "* Plain words, no jargon.\n"
            "* If the user gives critique, respond with a revised version of your previous attempt.",
        ),
        MessagesPlaceholder(variable_name="messages"),
    ]
)
generate = generation_prompt | model

reflection_prompt = ChatPromptTemplate.from_messages(
    [
        (
            "system",
            "You are a teacher grading an essay submission.\n\n"
            "Write critique and recommendations for the user's submission:\n"
            "- length and depth,\n"
            "- style,\n"
            "- what a reader will ask after the last line.\n\n"
            "Be specific; quote the sentence you mean.",
        ),
        MessagesPlaceholder(variable_name="messages"),
    ]
)
reflect = reflection_prompt | model


class State(TypedDict):
    messages: Annotated[list[AnyMessage], add_messages]


async def generation_node(state: State) -> State:
    return {"messages": [await generate.ainvoke({"messages": state["messages"]})]}


async def reflection_node(state: State) -> State:
    other: dict[str, type[AIMessage] | type[HumanMessage]] = {"ai": HumanMessage, "human": AIMessage}
    first, *rest = state["messages"]
    translated = [first, *(other[m.type](content=m.content) for m in rest)]
    critique = await reflect.ainvoke({"messages": translated})
    return {"messages": [HumanMessage(content=critique.content)]}


def should_continue(state: State) -> Literal["reflect", "__end__"]:
    drafts = [m for m in state["messages"] if m.type == "ai"]
    return "__end__" if len(drafts) >= DRAFTS else "reflect"


builder = StateGraph(State)
builder.add_node("generate", generation_node)
builder.add_node("reflect", reflection_node)
builder.add_edge(START, "generate")
builder.add_conditional_edges("generate", should_continue, ["reflect", END])
builder.add_edge("reflect", "generate")
graph = builder.compile(name="essay-reflection")
