"""The SQL agent: what its model does, and the rule about void invoices."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from types import ModuleType
from typing import Any

from langchain_core.messages import AIMessage, BaseMessage, SystemMessage

from tests.applications.case import Expected, called, instructions_of, part, said

AGENT = "generate_query"
RULE = "Leave out invoices whose status is 'void'."
SYNC = True
FANS_OUT = False
CUSTOMERS = ("Aalto", "Brandt", "Castro", "Dvorak", "Eriksen", "Fontana", "Garcia", "Hughes")
KINDS: dict[str, tuple[str, Callable[[list[int]], int]]] = {
    "How many invoices does {} have?": ("COUNT(*)", len),
    "What do the invoices of {} come to?": ("CAST(SUM(total) AS INT)", sum),
    "How much is the smallest invoice of {}?": ("CAST(MIN(total) AS INT)", min),
}


def _valid(customer: int) -> list[int]:
    """Totals of the invoices that are not void."""
    return [10 * i for i in range(customer + 3) if i % 3]


ROWS = [
    (said(ask.format(name)), {"answer": str(count(_valid(n)))})
    for ask, (_, count) in KINDS.items()
    for n, name in enumerate(CUSTOMERS, 1)
]
EXAMPLES = [ROWS[0][0], ROWS[9][0], ROWS[18][0]]


def score(outputs: Mapping[str, Any], reference_outputs: Mapping[str, Any]) -> dict[str, Any]:
    answer = outputs["messages"][-1].text
    right = answer == reference_outputs["answer"]
    return {"key": "exact", "score": right, "comment": "" if right else f"{answer} counts void invoices"}


def prompts(app: ModuleType) -> Sequence[Expected]:
    return (
        Expected("generate_query", app.generate_query_system_prompt),
        Expected("check_query", app.check_query_system_prompt),
    )


def brain(messages: list[BaseMessage]) -> AIMessage | str:
    told, last = instructions_of(messages), messages[-1]
    if not isinstance(messages[0], SystemMessage):
        return called(("sql_db_schema", {"table_names": "customer, invoice"}))
    if "Double check the" in told:
        return called(("sql_db_query", {"query": last.text}))
    if last.type == "tool" and last.name == "sql_db_query":
        return part(r"(\d+)", last.text)
    asked = messages[1].text
    column = next(c for ask, (c, _) in KINDS.items() if asked.startswith(ask.partition(" {}")[0]))
    name = part(r"(?:does|of) ([A-Z]\w+)", asked)
    query = f"SELECT {column} FROM invoice JOIN customer c ON c.id = customer_id WHERE name = '{name}'"
    return called(("sql_db_query", {"query": query + (" AND status != 'void'" if "'void'" in told else "")}))
