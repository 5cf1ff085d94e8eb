"""State before and after each round, from real runs and by hand."""

from __future__ import annotations

import operator
from typing import Annotated, Any, TypedDict

import pytest
from langchain_core.messages import AIMessage, AnyMessage
from langgraph.graph import END, START, StateGraph, add_messages
from langgraph.types import Send

from langgraph_truce.rollout.record import record
from langgraph_truce.trajectory.states import round_states
from langgraph_truce.trajectory.step import Trajectory


class Talk(TypedDict, total=False):
    question: str
    messages: Annotated[list[AnyMessage], add_messages]
    notes: Annotated[list[str], operator.add]
    count: Annotated[int, operator.add]
    summary: str
    round: int


def debate(rounds: int) -> Any:
    graph = StateGraph(Talk)

    def role(name: str) -> Any:
        def act(state: Talk) -> Talk:
            n = state.get("round", 0) + 1
            return {"messages": [AIMessage(f"{name} {n}")], "notes": [f"{name}{n}"], "count": 1}

        return act

    def aggregate(state: Talk) -> Talk:
        n = state.get("round", 0) + 1
        return {"summary": f"after {n}: {len(state['notes'])} notes", "round": n}

    for name in ("ann", "bob"):
        graph.add_node(name, role(name))
        graph.add_edge(START, name)
        graph.add_edge(name, "agg")
    graph.add_node("agg", aggregate)
    graph.add_conditional_edges("agg", lambda s: END if s["round"] >= rounds else ["ann", "bob"])
    return graph.compile()


async def recorded(graph: Any, given: Any, aggregator: str = "") -> tuple[Trajectory, Any]:
    done = await record(graph, given, rollout="r", config={}, aggregator=aggregator)
    return done.trajectory, done.state


async def test_the_state_after_each_round_is_what_langgraph_had() -> None:
    trail, final = await recorded(debate(3), {"question": "q"}, "agg")
    states = round_states(trail)

    assert [s.round for s in states] == [1, 2, 3]
    assert states[0].before["question"] == "q"
    assert [s.after["summary"] for s in states] == [f"after {n}: {2 * n} notes" for n in (1, 2, 3)]
    assert [s.after["count"] for s in states] == [2, 4, 6]
    assert states[1].after["notes"] == ["ann1", "bob1", "ann2", "bob2"]
    assert states[2].after["notes"] == final["notes"]
    assert [m["content"] for m in states[2].after["messages"]] == [m.content for m in final["messages"]]
    assert states[1].before == states[0].after
    assert states[1].steps == ("ann#2.0", "bob#2.0", "agg#2.0")


async def test_a_single_round_is_put_together_from_writes() -> None:
    trail, final = await recorded(debate(1), {"question": "q", "notes": ["old"]}, "agg")
    (state,) = round_states(trail)

    assert state.before["notes"] == ["old"]
    assert state.after["notes"] == final["notes"] == ["old", "ann1", "bob1"]
    assert state.after["summary"] == "after 1: 3 notes"


async def test_arguments_of_a_fan_out_are_no_state() -> None:
    class Work(TypedDict, total=False):
        topics: list[str]
        topic: str
        notes: Annotated[list[str], operator.add]
        report: str

    graph = StateGraph(Work)
    graph.add_node("plan", lambda state: {"topics": ["x", "y"]})
    graph.add_node("work", lambda state: {"notes": [f"on {state['topic']}"]})
    graph.add_node("write", lambda state: {"report": " and ".join(state["notes"])})
    graph.add_edge(START, "plan")
    graph.add_conditional_edges("plan", lambda s: [Send("work", {"topic": t}) for t in s["topics"]], ["work"])
    graph.add_edge("work", "write")
    trail, final = await recorded(graph.compile(), {"notes": []})
    (state,) = round_states(trail)

    assert "topic" not in state.after
    assert state.after["notes"] == final["notes"]
    assert state.after["report"] == "on x and on y"


async def test_rounds_inside_a_subgraph_are_seen_there() -> None:
    outer = StateGraph(Talk)
    outer.add_node("team", debate(2))
    outer.add_edge(START, "team")
    outer.add_edge("team", END)
    trail, _ = await recorded(outer.compile(), {"question": "q"}, "team/agg")

    assert [s.after["summary"] for s in round_states(trail)] == ["after 1: 2 notes", "after 2: 4 notes"]


def test_nothing_ran_nothing_is_known() -> None:
    assert round_states(Trajectory("r", (), {})) == ()


@pytest.mark.parametrize("inputs_known", [True, False])
async def test_a_step_whose_input_is_unknown_does_no_harm(inputs_known: bool) -> None:
    from dataclasses import replace

    trail, _ = await recorded(debate(2), {"question": "q"}, "agg")
    if not inputs_known:
        trail = replace(trail, steps=tuple(replace(s, input=None) for s in trail.steps))

    assert [s.after["summary"][:7] for s in round_states(trail)] == ["after 1", "after 2"]
    assert [len(s.after["notes"]) for s in round_states(trail)] == [2, 4]
