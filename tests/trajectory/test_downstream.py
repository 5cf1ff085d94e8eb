"""What a change makes run again, counted before and after."""

from __future__ import annotations

from typing import Any

import pytest
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import END, START, StateGraph

from langgraph_truce.errors import UnknownNameError
from langgraph_truce.rollout.locate import alocate
from langgraph_truce.rollout.record import record
from langgraph_truce.rollout.replay import ReplayOptions, areplay
from langgraph_truce.seams import Change
from langgraph_truce.trajectory import Step, Trajectory
from langgraph_truce.trajectory.downstream import calls, downstream, owners
from tests.rollout.test_fork import MODEL, Notes, ask, noting, summing

ROLES = ("planner", "solver", "critic")


def debate() -> Any:
    """Three roles, an aggregator, three rounds, then a decision: 13 calls."""
    builder = StateGraph(Notes)
    builder.add_node("aggregator", summing)
    builder.add_node("decision", lambda s: {"summary": ask("decide", s["summary"])})
    for role in ROLES:
        builder.add_node(role, noting(role))
        builder.add_edge(START, role)
        builder.add_edge(role, "aggregator")
    onward = [*ROLES, "decision"]
    builder.add_conditional_edges(
        "aggregator", lambda s: list(ROLES) if s["round"] < 3 else "decision", onward
    )
    builder.add_edge("decision", END)
    return builder.compile()


async def test_nine_replaced_contributions_cost_fifty_four_calls() -> None:
    graph, saver = debate(), InMemorySaver()
    done = await record(
        graph, {"question": "?", "notes": []}, rollout="t", saver=saver, aggregator="aggregator"
    )
    steps = [f"{role}#{n}.0" for n in (1, 2, 3) for role in ROLES]
    known = done.trajectory
    assert sum(len(step.calls) for step in known.steps) == 13
    assert [calls(known, [step]) for step in steps] == [10] * 3 + [6] * 3 + [2] * 3
    assert sum(calls(known, [step]) for step in steps) == 54
    found = await alocate(graph, saver, "t", "aggregator", known)
    before = len(MODEL.calls)
    for step in steps:
        options = ReplayOptions(known, found, "aggregator")
        change = Change((step,), neutral="nothing")
        replayed = await areplay(graph, saver, "t", change, rollout="f", options=options)
        assert replayed is not None
        assert replayed.state["summary"] != done.state["summary"]
    assert len(MODEL.calls) - before == 54
    assert (
        sum(calls(known, [f"{ROLES[0]}#{n}.0"]) for n in (1, 2, 3)) == 18
    )  # a control arm per round: 54 + 18 = 72
    assert calls(known, ["decision#1.0"]) == 0
    assert calls(known, ["decision#1.0"], rerun=True) == 1


def step(role: str, superstep: int, visit: int = 1, index: int = 0, **more: Any) -> Step:
    return Step(f"{role}#{visit}.{index}", role, superstep, visit, index, 1, None, **more)


NESTED = Trajectory(
    "t",
    (
        step("a", 1),
        step("a/x", 1),
        step("a/y", 2),
        step("b", 1),
        step("b/x", 1),
        step("c", 2),
        step("c/x", 1),
    ),
    {},
)


def ids(trajectory: Trajectory, *steps: str, rerun: bool = False) -> list[str]:
    return [s.id.removesuffix("#1.0") for s in downstream(trajectory, steps, rerun=rerun)]


def test_a_change_inside_a_subgraph_spares_its_siblings() -> None:
    assert ids(NESTED, "a/x#1.0") == ["a", "a/y", "c", "c/x"]
    assert ids(NESTED, "a/y#1.0", rerun=True) == ["a", "a/y", "c", "c/x"]
    assert ids(NESTED, "a#1.0") == ["c", "c/x"]
    assert ids(NESTED, "a#1.0", rerun=True) == ["a", "a/x", "a/y", "c", "c/x"]
    assert ids(NESTED, "a#1.0", "b#1.0", rerun=True)[:5] == ["a", "a/x", "a/y", "b", "b/x"]
    assert ids(NESTED, "c/x#1.0") == ["c"]
    assert owners(NESTED)["b/x#1.0"] == "b#1.0"
    with pytest.raises(UnknownNameError, match="nobody"):
        downstream(NESTED, ["nobody"])


def test_a_second_call_of_a_subgraph_comes_after_the_first() -> None:
    twice = Trajectory(
        "t", (step("n", 1), step("n/x", 1), step("n/y", 2), step("n/x", 1, 2), step("n/y", 2, 2)), {}
    )
    assert [s.id for s in downstream(twice, ["n/y#1.0"])] == ["n#1.0", "n/x#2.0", "n/y#2.0"]
    assert [s.id for s in downstream(twice, ["n/x#2.0"])] == ["n#1.0", "n/y#2.0"]
    once = Trajectory("t", (step("n", 1), step("n/x", 1), step("n/x", 1, 2)), {})
    assert [s.id for s in downstream(once, ["n/x#1.0"])] == ["n#1.0", "n/x#2.0"]


def test_functions_run_again_in_the_order_of_their_calls() -> None:
    gave = {"__return__": "ref"}
    calling = Trajectory(
        "t",
        (
            step("p", 0),
            step("p/f", 0, writes=gave),
            step("p/f", 0, index=1, writes=gave),
            step("p/g", 0, writes=gave),
        ),
        {},
    )
    assert [s.id for s in downstream(calling, ["p/f#1.1"])] == ["p#1.0", "p/g#1.0"]
    assert [s.id for s in downstream(calling, ["p/f#1.0"])] == ["p#1.0", "p/f#1.1", "p/g#1.0"]
    assert downstream(calling, ["p#1.0"]) == ()
