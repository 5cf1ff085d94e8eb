"""The optimizer graph: wiring only. One node per box of DESIGN section 4, Algorithm 1 of TRUCE."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

from langgraph.checkpoint.base import BaseCheckpointSaver
from langgraph.graph import END, START, StateGraph
from langgraph.graph.state import CompiledStateGraph

from langgraph_truce.optimizer.nodes import Boxes
from langgraph_truce.optimizer.session import Session
from langgraph_truce.optimizer.state import Block, State

BOXES = ("evaluate", "segment", "credit", "select", "suggest", "merge", "write", "gate", "review", "apply")
"""The boxes between the rollouts and the next iteration, in order."""


def build(
    session: Session | None, saver: BaseCheckpointSaver[Any] | None = None
) -> CompiledStateGraph[State, None, State, State]:
    """The optimizer of one session: `tasks -> rollout* -> evaluate -> ... -> apply -> tasks | test`.

    Without a session it can be drawn and looked at (Studio), not run.
    """
    boxes = Boxes(session)
    graph: StateGraph[State, None, State, State] = StateGraph(State)
    graph.add_node("tasks", boxes.tasks)
    # In an async graph one failing sibling cancels the others: the handler makes a failure a sentence in the state.
    graph.add_node("rollout", boxes.rollout, input_schema=Block, error_handler=boxes.rollout_failed)
    for name in BOXES:
        graph.add_node(name, getattr(boxes, name))
    graph.add_node("test", boxes.test)
    graph.add_edge(START, "tasks")
    graph.add_conditional_edges("tasks", boxes.fan_out, ["rollout", "evaluate"])
    graph.add_edge("rollout", "evaluate")
    for here, there in pairwise(BOXES):
        graph.add_edge(here, there)
    graph.add_conditional_edges("apply", boxes.onward, ["tasks", "test"])
    graph.add_edge("test", END)
    return graph.compile(checkpointer=saver, name="optimizer")


graph = build(None)
"""For `langgraph dev` and Studio."""
