"""Threads that an application left in its checkpointer: who was to blame, in which round. Nothing runs, nothing is asked.

A scout brings facts, a writer uses them, an editor closes the round. In some threads the scout brings a wrong fact in
round 1, which shows at the end only. From the shell, once this has run:

    langgraph-truce credit --checkpointer sqlite:///runs/example-4/app.sqlite --aggregator editor \
        --graph examples/04_credit_from_existing_threads.py:graph \
        --evaluator examples/04_credit_from_existing_threads.py:score --credit state_change
"""

from __future__ import annotations

import operator
from pathlib import Path
from typing import Annotated, Any, TypedDict

from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.sqlite import SqliteSaver
from langgraph.graph import END, START, StateGraph

from langgraph_truce import credit_threads, open_saver, read_history
from langgraph_truce.credit import state_change_credit
from langgraph_truce.report import CreditReport, render_credit

ROUNDS = 3
CITIES = ("Lyon", "Turin", "Ghent", "Porto")
MISTAKEN = ("Turin", "Porto")


class Article(TypedDict, total=False):
    city: str
    facts: Annotated[list[str], operator.add]
    text: str
    rounds: int


def scout(state: Article) -> Article:
    begun = state.get("rounds", 0) == 0
    river = "Danube" if state["city"] in MISTAKEN else "river it is known for"
    told = f"{state['city']} lies on the {river}" if begun else f"Fact {state['rounds'] + 1}: people like it"
    return {"facts": [told]}


def writer(state: Article) -> Article:
    return {"text": "An article. " + ". ".join(state["facts"]) + "."}


def editor(state: Article) -> Article:
    return {"rounds": state.get("rounds", 0) + 1}


def build() -> Any:
    graph = StateGraph(Article)
    graph.add_sequence([scout, writer, editor])
    graph.add_edge(START, "scout")
    graph.add_conditional_edges("editor", lambda state: END if state["rounds"] == ROUNDS else "scout")
    return graph


graph = build().compile()


def score(outputs: dict[str, Any]) -> dict[str, Any]:
    wrong = "Danube" in outputs["text"]
    return {"key": "facts", "score": not wrong, "comment": "it is not on the Danube" if wrong else ""}


def in_the_past(path: Path) -> None:
    """What the application did, long before anybody thought of credit."""
    with SqliteSaver.from_conn_string(str(path)) as saver:
        app = build().compile(checkpointer=saver)
        for city in CITIES:
            thread = RunnableConfig(configurable={"thread_id": f"about-{city}"})
            app.invoke({"city": city}, thread, durability="sync")


def main(folder: Path | str = "runs/example-4") -> CreditReport:
    path = Path(folder) / "app.sqlite"
    path.parent.mkdir(parents=True, exist_ok=True)
    in_the_past(path)

    with open_saver(f"sqlite:///{path}") as saver:
        threads = read_history(graph, saver, [f"about-{city}" for city in CITIES], aggregator="editor")
        return credit_threads(threads, state_change_credit(), score)


if __name__ == "__main__":
    print(render_credit(main()))
