"""What was each contribution worth? Fork the checkpoint before it, replace it by silence, replay what depends on it.

The thread itself is never touched, and only the nodes behind the fork run again. Beside every counterfactual stands the
unedited replay of the same fork: with models that are not deterministic, noise would otherwise look like blame.
"""

from __future__ import annotations

import operator
from typing import Annotated, Any, TypedDict

from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import END, START, StateGraph

from langgraph_truce import Change, replay
from langgraph_truce.rollout import read_thread

ROUNDS = 2
SAID = {"ann": ["Paris", "Paris"], "bob": ["Lyon", "Rome! Rome! Rome! Rome!"], "cyd": ["Paris", "no idea"]}


class Debate(TypedDict, total=False):
    question: str
    notes: Annotated[list[str], operator.add]
    answers: Annotated[list[str], operator.add]


def debater(name: str) -> Any:
    def node(state: Debate) -> Debate:
        return {"notes": [SAID[name][len(state.get("answers", []))]]}

    return node


def judge(state: Debate) -> Debate:
    """The city that was named most often so far."""
    said = " ".join(state["notes"])
    return {"answers": [max(("Lyon", "Paris", "Rome"), key=said.count)]}


def build() -> Any:
    graph = StateGraph(Debate)
    graph.add_node("judge", judge)
    for name in SAID:
        graph.add_node(name, debater(name))
        graph.add_edge(START, name)
        graph.add_edge(name, "judge")
    graph.add_conditional_edges("judge", lambda s: END if len(s["answers"]) == ROUNDS else list(SAID))
    return graph


def main() -> dict[str, float]:
    saver = InMemorySaver()
    app = build().compile(checkpointer=saver)
    thread = RunnableConfig(configurable={"thread_id": "monday"})
    app.invoke({"question": "Where is the Louvre?"}, thread, durability="sync")
    worth = {}
    for step in read_thread(app, saver, "monday", aggregator="judge").steps:
        if step.role != "judge":
            scores = []
            for words in (None, "(no contribution)"):
                change = Change(steps=(step.id,), neutral=words)
                replayed = replay(app, saver, "monday", change, rollout=f"without-{step.id}")
                assert replayed is not None
                scores.append(float(replayed.state["answers"][-1] == "Paris"))
            worth[step.id] = scores[0] - scores[1]
    return worth


if __name__ == "__main__":
    for step, worth in main().items():
        print(f"{step}: {worth:+.0f}")
