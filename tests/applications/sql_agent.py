"""An SQL agent over a real database: list tables, read schemas, write a query, check it, run it."""

from __future__ import annotations

import sqlite3
from typing import Any, Literal

from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage
from langchain_core.tools import tool
from langgraph.graph import END, START, MessagesState, StateGraph
from langgraph.prebuilt import ToolNode

from tests.applications.models import chat_model

CUSTOMERS = ("Aalto", "Brandt", "Castro", "Dvorak", "Eriksen", "Fontana", "Garcia", "Hughes")


def database() -> sqlite3.Connection:
    db = sqlite3.connect(":memory:", check_same_thread=False)
    db.executescript(
        "CREATE TABLE customer (id INTEGER PRIMARY KEY, name TEXT);"
        "CREATE TABLE invoice (id INTEGER PRIMARY KEY, customer_id INTEGER, total REAL, status TEXT);"
    )
    for n, name in enumerate(CUSTOMERS, 1):
        db.execute("INSERT INTO customer VALUES (?, ?)", (n, name))
        rows = [(n, 10.0 * i, "void" if i % 3 == 0 else "paid") for i in range(n + 3)]
        db.executemany("INSERT INTO invoice (customer_id, total, status) VALUES (?, ?, ?)", rows)
    db.commit()
    return db


db = database()


@tool("sql_db_list_tables")
def list_tables_tool() -> str:
    """List the tables of the database."""
    rows = db.execute("SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY name").fetchall()
    return ", ".join(name for (name,) in rows)


@tool("sql_db_schema")
def get_schema_tool(table_names: str) -> str:
    """The schema of the tables, names separated by commas."""
    names = [name.strip() for name in table_names.split(",")]
    marks = ",".join("?" * len(names))
    rows = db.execute(f"SELECT sql FROM sqlite_master WHERE name IN ({marks})", names).fetchall()
    return "\n".join(sql for (sql,) in rows)


@tool("sql_db_query")
def run_query_tool(query: str) -> str:
    """Run a query; a broken one gives its error."""
    try:
        return str(db.execute(query).fetchall())
    except sqlite3.Error as e:
        return f"Error: {e}"


DIALECT = "sqlite"

generate_query_system_prompt = f"""
You are an agent designed to interact with a SQL database.
Given an input question, create a syntactically correct {DIALECT} query to run,
then look at the results of the query and return the answer.

- Unless the user asks for a number of examples, limit your query to at most {5} results.
- Never query for all the columns of a table; only ask for the relevant ones.
- Quote names in single quotes: `WHERE name = 'Smith'`.

DO NOT make any DML statements (INSERT, UPDATE, DELETE, DROP etc.) to the database.
"""

check_query_system_prompt = f"""
You are a SQL expert with a strong attention to detail.
Double check the {DIALECT} query for common mistakes, including:
- Using NOT IN with NULL values
- Using UNION when UNION ALL should have been used
- Data type mismatch in predicates
- Using the correct number of arguments for functions

If there are any of the above mistakes, rewrite the query. If there are no mistakes, just
reproduce the original query. You will call the appropriate tool to execute the query.
"""


def build(llm: BaseChatModel) -> Any:
    def list_tables(state: MessagesState) -> MessagesState:
        call = {"name": "sql_db_list_tables", "args": {}, "id": "list_tables", "type": "tool_call"}
        return {
            "messages": [
                AIMessage(content="", tool_calls=[call]),
                list_tables_tool.invoke(call),
                AIMessage(content=f"Available tables: {list_tables_tool.invoke({})}"),
            ]
        }

    def call_get_schema(state: MessagesState) -> MessagesState:
        llm_with_tools = llm.bind_tools([get_schema_tool], tool_choice="any")
        return {"messages": [llm_with_tools.invoke(state["messages"])]}

    def generate_query(state: MessagesState) -> MessagesState:
        system_message = {"role": "system", "content": generate_query_system_prompt}
        llm_with_tools = llm.bind_tools([run_query_tool])
        return {"messages": [llm_with_tools.invoke([system_message, *state["messages"]])]}

    def check_query(state: MessagesState) -> MessagesState:
        system_message = {"role": "system", "content": check_query_system_prompt}
        last = state["messages"][-1]
        assert isinstance(last, AIMessage)
        user_message = {"role": "user", "content": last.tool_calls[0]["args"]["query"]}
        llm_with_tools = llm.bind_tools([run_query_tool], tool_choice="any")
        response = llm_with_tools.invoke([system_message, user_message])
        response.id = last.id
        return {"messages": [response]}

    def should_continue(state: MessagesState) -> Literal["check_query", "__end__"]:
        return "check_query" if getattr(state["messages"][-1], "tool_calls", None) else "__end__"

    builder = StateGraph(MessagesState)
    builder.add_node("list_tables", list_tables)
    builder.add_node("call_get_schema", call_get_schema)
    builder.add_node("get_schema", ToolNode([get_schema_tool], name="get_schema"))
    builder.add_node("generate_query", generate_query)
    builder.add_node("check_query", check_query)
    builder.add_node("run_query", ToolNode([run_query_tool], name="run_query"))
    builder.add_edge(START, "list_tables")
    builder.add_edge("list_tables", "call_get_schema")
    builder.add_edge("call_get_schema", "get_schema")
    builder.add_edge("get_schema", "generate_query")
    builder.add_conditional_edges("generate_query", should_continue, ["check_query", END])
    builder.add_edge("check_query", "run_query")
    builder.add_edge("run_query", "generate_query")
    return builder.compile(name="sql-agent")


model = chat_model("sql_agent")
graph = build(model)
