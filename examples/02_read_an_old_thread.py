"""A run that happened long ago: read it back from its checkpointer, cut it into rounds, see who wrote what.

Nothing of langgraph-truce was there when it ran. Prompts and token counts are in no checkpoint, so the trajectory says
that it does not know them.
"""

from __future__ import annotations

import operator
from pathlib import Path
from typing import Annotated, Any, TypedDict

from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.sqlite import SqliteSaver
from langgraph.graph import END, START, StateGraph

from langgraph_truce import Trajectory
from langgraph_truce.rollout import read_thread
from langgraph_truce.trajectory import by_round, transcript, write_trajectories

ROUNDS = 2


class Debate(TypedDict, total=False):
    question: str
    notes: Annotated[list[str], operator.add]
    summaries: Annotated[list[str], operator.add]


def debater(name: str) -> Any:
    def node(state: Debate) -> Debate:
        return {"notes": [f"{name}, round {len(state.get('summaries', [])) + 1}: it depends"]}

    return node


def aggregator(state: Debate) -> Debate:
    return {"summaries": [f"{len(state['notes'])} notes so far"]}


def build() -> Any:
    graph = StateGraph(Debate)
    graph.add_node("aggregator", aggregator)
    for name in ("ann", "bob"):
        graph.add_node(name, debater(name))
        graph.add_edge(START, name)
        graph.add_edge(name, "aggregator")  # one plain edge each: the list form corrupts stored history
    graph.add_conditional_edges(
        "aggregator", lambda s: END if len(s["summaries"]) == ROUNDS else ["ann", "bob"]
    )
    return graph


def main(folder: Path | str = "runs/example-2") -> Trajectory:
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    with SqliteSaver.from_conn_string(str(folder / "app.sqlite")) as saver:
        app = build().compile(checkpointer=saver)
        thread = RunnableConfig(configurable={"thread_id": "monday"})
        app.invoke({"question": "Tabs or spaces?"}, thread, durability="sync")

        trajectory = read_thread(app, saver, "monday", aggregator="aggregator")
    write_trajectories([trajectory], folder / "monday.jsonl")
    return trajectory


if __name__ == "__main__":
    found = main()
    for segment in by_round(found):
        print(f"{segment.label}\n{transcript(found, segment.steps)}\n")
