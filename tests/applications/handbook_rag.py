"""Retrieval with a grader and a rewriter; the instructions are f-strings in human messages."""

from __future__ import annotations

from typing import Literal

from langchain_core.tools import tool
from langgraph.graph import END, START, MessagesState, StateGraph
from langgraph.prebuilt import ToolNode, tools_condition
from pydantic import BaseModel, Field

from tests.applications.models import chat_model

HANDBOOK = {
    "leave": "[HB-12] Annual leave is 27 days; ask your lead two weeks ahead.",
    "parking": "[HB-31] Parking is free for bicycles and 40 euros a month for cars.",
    "laptop": "[HB-07] A laptop is replaced after four years.",
    "travel": "[HB-22] Travel by rail is first class above three hours.",
    "sick": "[HB-18] Sick notes are due on the third day.",
    "office": "[HB-01] The office is open from seven to nine.",
}

response_model = chat_model("handbook_rag")
grader_model = response_model
model = response_model


@tool
def retrieve_handbook(query: str) -> str:
    """Search the staff handbook."""
    found = [text for key, text in HANDBOOK.items() if key in query.lower()]
    return "\n".join(found or [HANDBOOK["office"]])


def generate_query_or_respond(state: MessagesState) -> MessagesState:
    """Decide to retrieve, or simply answer; the model gets the conversation and no instructions."""
    return {"messages": [response_model.bind_tools([retrieve_handbook]).invoke(state["messages"])]}


GRADE_PROMPT = (
    "You are a grader assessing relevance of a retrieved document to a user question.\n"
    "Here is the retrieved document:\n\n{context}\n\n"
    "Here is the user question: {question}\n"
    "- If the document contains keywords or meaning related to the question, grade it as relevant.\n"
    "- Do not be strict: the goal is to filter out what was retrieved by mistake.\n"
    "Give a binary score 'yes' or 'no' to say whether the document is relevant."
)


class GradeDocuments(BaseModel):
    """Grade documents using a binary score for relevance check."""

    binary_score: str = Field(description="Relevance score: 'yes' if relevant, or 'no' if not relevant")


def grade_documents(state: MessagesState) -> Literal["generate_answer", "rewrite_question"]:
    """Decide on the way out of `retrieve` whether the documents are relevant."""
    question = state["messages"][0].text
    context = state["messages"][-1].text
    prompt = GRADE_PROMPT.format(question=question, context=context)
    grader = grader_model.with_structured_output(GradeDocuments)
    response = GradeDocuments.model_validate(grader.invoke([{"role": "user", "content": prompt}]))
    return "generate_answer" if response.binary_score == "yes" else "rewrite_question"


def rewrite_question(state: MessagesState) -> MessagesState:
    question = state["messages"][0].text
    prompt = f"""Look at the input and try to reason about the underlying intent.

Here is the initial question:
-------
{question}
-------

* Use the words of a staff handbook.
* Do not answer the question.

Formulate an improved question:"""
    response = response_model.invoke([{"role": "user", "content": prompt}])
    return {"messages": [{"role": "user", "content": response.text}]}  # type: ignore[list-item]


def generate_answer(state: MessagesState) -> MessagesState:
    question = state["messages"][0].text
    context = state["messages"][-1].text
    prompt = (
        "You are an assistant for question-answering tasks. "
        "Use the following pieces of retrieved context to answer the question.\n"
        "Rules:\n"
        "1. If you don't know the answer, just say that you don't know.\n"
        "2. Use three sentences maximum and keep the answer concise.\n"
        f"Question: {question}\n"
        f"Context: {context}"
    )
    return {"messages": [response_model.invoke([{"role": "user", "content": prompt}])]}


workflow = StateGraph(MessagesState)
workflow.add_node("generate_query_or_respond", generate_query_or_respond)
workflow.add_node("retrieve", ToolNode([retrieve_handbook]))
workflow.add_node("rewrite_question", rewrite_question)
workflow.add_node("generate_answer", generate_answer)
workflow.add_edge(START, "generate_query_or_respond")
workflow.add_conditional_edges("generate_query_or_respond", tools_condition, {"tools": "retrieve", END: END})
workflow.add_conditional_edges("retrieve", grade_documents)
workflow.add_edge("generate_answer", END)
workflow.add_edge("rewrite_question", "generate_query_or_respond")
graph = workflow.compile(name="handbook-rag")
