"""System: what fits together and what does not."""

from __future__ import annotations

from pathlib import Path
from typing import Any, TypedDict

import pytest
from langgraph.graph import END, START, StateGraph
from langgraph.graph.state import CompiledStateGraph
from langgraph.pregel.remote import RemoteGraph

from langgraph_truce.errors import RuleFileError, SystemMismatch
from langgraph_truce.rules import RuleBook, parse
from langgraph_truce.system import System
from langgraph_truce.task import Task


class State(TypedDict, total=False):
    question: str
    answer: str


def node(state: State) -> State:
    return {"answer": state["question"]}


def graph(*names: str, name: str = "toy") -> CompiledStateGraph[State]:
    builder = StateGraph(State)
    last = START
    for n in names:
        builder.add_node(n, node)
        builder.add_edge(last, n)
        last = n
    builder.add_edge(last, END)
    return builder.compile(name=name)


def book(*roles: str) -> RuleBook:
    return RuleBook({r: parse(r, f"You are {r}.\n\n- Be brief.\n") for r in roles})


def test_a_system_knows_its_rules_and_its_roles() -> None:
    system = System(graph("solver", "critic"), book("solver"), aggregator="critic")

    assert system.book.render("solver").startswith("You are solver.")
    assert system.about("critic") == "critic: comes after solver; goes on to the end. It closes a round."
    assert system.name == "toy"


def test_inputs_and_outputs_adapt_the_graph() -> None:
    system = System(
        graph("solver"), book("solver"), inputs=lambda i: {"question": i["q"]}, outputs=lambda s: s["answer"]
    )
    task = Task("t", {"q": "why?"})

    assert system.answer(system.graph.invoke(system.graph_input(task))) == "why?"


def test_the_fingerprint_follows_the_structure_and_not_the_rules() -> None:
    one, two = System(graph("a"), book("a")), System(graph("a"), RuleBook({"a": parse("a", "Other.")}))

    assert one.fingerprint == two.fingerprint
    assert one.fingerprint != System(graph("a", "b"), book("a")).fingerprint


def test_rules_for_a_round_belong_to_their_node() -> None:
    assert "solver@2" in System(graph("solver"), book("solver", "solver@2")).book.agents


@pytest.mark.parametrize(
    ("roles", "aggregator", "says"),
    [
        (("writer",), "", r"the graph has no node 'writer'; its nodes are: solver"),
        (("solver",), "judge", r"the graph has no node 'judge'"),
        ((), "", "the rule book has no agent"),
    ],
)
def test_what_does_not_fit_is_named(roles: tuple[str, ...], aggregator: str, says: str) -> None:
    with pytest.raises(SystemMismatch, match=says):
        System(graph("solver"), book(*roles), aggregator=aggregator)


def test_an_uncompiled_graph_and_a_missing_folder_are_named(tmp_path: Path) -> None:
    with pytest.raises(SystemMismatch, match=r"got StateGraph; call \.compile\(\) on it first"):
        System(StateGraph(State), book("solver"))  # type: ignore[arg-type]
    with pytest.raises(RuleFileError, match="nowhere"):
        System(graph("solver"), tmp_path / "nowhere")
    with pytest.raises(SystemMismatch, match="in_flight must be at least 1, got 0"):
        System(graph("solver"), book("solver"), in_flight=0)


@pytest.mark.parametrize(
    ("field", "given", "says"),
    [
        ("timeout", 0, "timeout must be more than 0 seconds, got 0"),
        ("context", {"level": 1}, "context must be a function, got dict"),
        ("interrupts", "yes", "interrupts must be a function, got str"),
    ],
)
def test_settings_that_cannot_work_are_named(field: str, given: Any, says: str) -> None:
    with pytest.raises(SystemMismatch, match=says):
        System(graph("solver"), book("solver"), **{field: given})


def test_a_local_graph_is_in_process() -> None:
    system = System(graph("solver"), book("solver"))

    assert not system.remote
    system.in_process("optimize")


def test_a_server_that_does_not_answer_is_named() -> None:
    nobody = RemoteGraph("toy", url="http://127.0.0.1:9")

    with pytest.raises(SystemMismatch, match=r"the server of RemoteGraph 'toy' does not tell its graph"):
        System(nobody, book("solver"))
