"""The law of a candidate's rollouts, by enumeration of all luck: sharing what stands does not change it."""

from __future__ import annotations

import operator
from collections import defaultdict
from collections.abc import Sequence
from typing import Annotated, Any, TypedDict

import pytest
from langchain_core.messages import HumanMessage, SystemMessage
from langgraph.graph import END, START, StateGraph

from langgraph_truce.bind import instructions
from langgraph_truce.system import System
from langgraph_truce.task import Task
from langgraph_truce.testing import ScriptedModel
from tests.rollout.sharing import Tape, book_of, edited, running

ABC = ("a", "b", "c")


class State(TypedDict, total=False):
    case: int
    said: Annotated[list[str], operator.add]


def chance(messages: Sequence[Any]) -> float:
    """Of "yes"."""
    return 0.8 if "new" in messages[0].text else 0.55


def routed(model: ScriptedModel) -> System:
    """a says whether b is asked; b says whether a is asked again; c ends."""

    def node(name: str) -> Any:
        def run(state: State) -> dict[str, Any]:
            seen = [SystemMessage(instructions(name)), HumanMessage(str(len(state["said"])))]
            return {"said": [model.invoke(seen).text]}

        return run

    builder = StateGraph(State)
    for name in ABC:
        builder.add_node(name, node(name))
    builder.add_edge(START, "a").add_edge("c", END)
    builder.add_conditional_edges("a", lambda s: "b" if s["said"][-1] == "no" else "c", ["b", "c"])
    builder.add_conditional_edges(
        "b", lambda s: "a" if s["said"][-1] == "no" and len(s["said"]) < 3 else "c", ["a", "c"]
    )
    return System(builder.compile(), book_of(*ABC))


async def law(agent: str, *, parent: bool) -> dict[str, float]:
    """What a candidate's rollout says -> its probability, by enumeration of all luck."""
    tape = Tape(chance)
    system = routed(ScriptedModel(replies=tape))
    after = edited(system.book, agent)
    found: dict[str, float] = defaultdict(float)
    given = [Task("t", {"case": 0, "said": []})]
    while True:
        async with running(system) as runner:
            if parent:
                await runner.run_all(given, system.book, purpose="gate")
            before = system.book if parent else None
            (rollout,) = await runner.run_all(given, after, purpose="gate", parent=before)
        whole = rollout.trajectory
        found[" ".join(f"{s.id}={whole.value(s.writes['said'])[0]}" for s in whole.steps)] += tape.weight
        if not tape.advance():
            return found


@pytest.mark.parametrize("agent", ABC)
async def test_the_law_of_shared_rollouts_is_that_of_whole_ones(agent: str) -> None:
    shared, whole = await law(agent, parent=True), await law(agent, parent=False)

    assert shared.keys() == whole.keys()
    assert len(whole) == 10
    assert sum(whole.values()) == pytest.approx(1)
    for said, probability in whole.items():
        assert shared[said] == pytest.approx(probability, abs=1e-12)
