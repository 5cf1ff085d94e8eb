"""A System's own functions (inputs, context, interrupts, outputs) through a whole optimization, forks included."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypedDict

import pytest
from langchain_core.messages import HumanMessage, SystemMessage
from langgraph.graph import START, StateGraph
from langgraph.runtime import Runtime
from langgraph.types import interrupt

from langgraph_truce import System, optimize
from langgraph_truce.credit import counterfactual_credit
from langgraph_truce.errors import SystemMismatch
from langgraph_truce.seams import Batch, Credit, Lab, Memory
from langgraph_truce.testing import ScriptedModel


class State(TypedDict, total=False):
    question: str
    draft: str
    reply: str


@dataclass
class Desk:
    """What a run of the graph is told, from outside of its state."""

    stamp: str


def build(prompt: str) -> Any:
    """A solver with its prompt in the code, a person who approves, a node that stamps what they approved."""

    def reply(messages: list[Any], *_: Any) -> str:
        text = str(messages[-1].content)
        return text.upper() if "SHOUT" in str(messages[0].content) else text

    model = ScriptedModel(replies=reply)

    async def solver(state: State) -> State:
        said = await model.ainvoke([SystemMessage(prompt), HumanMessage(state["question"])])
        return {"draft": said.text}

    def person(state: State) -> State:
        return {"draft": interrupt({"approve": state["draft"]})}

    def stamp(state: State, runtime: Runtime[Desk]) -> State:
        return {"reply": f"{state['draft']} {runtime.context.stamp}"}

    builder = StateGraph(State, context_schema=Desk)
    for name, node in (("solver", solver), ("person", person), ("stamp", stamp)):
        builder.add_node(name, node)
    builder.add_edge(START, "solver").add_edge("solver", "person").add_edge("person", "stamp")
    return builder.compile(name="desk")


def score(outputs: str, reference_outputs: Mapping[str, Any]) -> bool:
    right: bool = outputs == reference_outputs["answer"]
    return right


def settings(asked: list[Any]) -> dict[str, Any]:
    def approve(question: Any) -> str:
        asked.append(question)
        return f"{question['approve']}!"

    return {
        "inputs": lambda row: {"question": row["question"]},
        "outputs": lambda state: state["reply"].removesuffix("! <" + state["question"] + ">"),
        "context": lambda row: Desk(f"<{row['question']}>"),
        "interrupts": approve,
    }


def test_context_and_answers_reach_every_run_of_a_discovered_system(toy: Any, tmp_path: Path) -> None:
    asked: list[Any] = []
    graph, splits = build("Repeat the question.\n\n- Be brief.\n"), toy.splits()
    system = System.discover(graph, [task.inputs for task in splits.train[:2]], **settings(asked))

    result = optimize(system, splits, score, method=toy.method("SHOUT every word."), run=tmp_path / "run")

    assert (result.baseline.mean, result.final.mean) == (0.0, 1.0)
    assert {"approve": "q2003"} in asked  # the sealed test, with the rules as they came
    assert {"approve": "Q2003"} in asked  # and with those that were accepted


def test_replays_get_them_too(toy: Any, tmp_path: Path) -> None:
    asked: list[Any] = []
    graph, splits = build("Repeat the question.\n\n- Be brief.\n"), toy.splits()
    system = System.discover(graph, [task.inputs for task in splits.train[:2]], **settings(asked))
    seen: list[Credit] = []
    measured = counterfactual_credit()
    lock = threading.Lock()

    async def credit(batch: Batch, memory: Memory, lab: Lab) -> tuple[tuple[Credit, ...], Memory]:
        found, memory = await measured(batch, memory, lab)
        with lock:
            seen.extend(found)
        assert not memory.get("refused"), memory["refused"]
        return found, memory

    method = replace(toy.method(), credit=credit, forks=True)
    before = len(asked)
    optimize(system, splits, score, method=method, run=tmp_path / "run")

    assert {c.role for c in seen} == {"solver"}
    assert len(seen) == len(splits.train)
    runs = len(splits.train) + len(splits.test)
    # each contribution was replaced in a replay of its own, beside an unedited one; each of them asked anew
    assert len(asked) - before == runs + 2 * len(seen)


@pytest.mark.parametrize("name", ["inputs", "context", "outputs"])
def test_a_function_of_the_system_that_raises_is_named(toy: Any, tmp_path: Path, name: str) -> None:
    def broken(_: Any) -> Any:
        raise KeyError("gone")

    system = toy.system(**{name: broken})
    with pytest.raises(SystemMismatch, match=rf"System\({name}=...\) raised KeyError on task 't.*'gone'"):
        optimize(system, toy.splits(), score, method=toy.method(), run=tmp_path / "run")
