"""What was found, what was not, and why; and what the user got wrong."""

from __future__ import annotations

import json
import time
import types
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from langchain_core.language_models.chat_models import BaseChatModel
from langchain_core.messages import HumanMessage, SystemMessage
from langgraph.graph import END, START, StateGraph
from langgraph.pregel.remote import RemoteGraph
from langgraph.runtime import Runtime
from langgraph.types import interrupt

from langgraph_truce import System, write_rules
from langgraph_truce.bind.discover import Discovery
from langgraph_truce.bind.found import Slot
from langgraph_truce.errors import SystemMismatch, UnknownNameError
from langgraph_truce.rules import RuleBook
from langgraph_truce.testing import ScriptedModel

Chain = Callable[..., Any]
Examples = list[dict[str, Any]]
State = Any


def report(system: System) -> Discovery:
    assert system.discovery is not None
    return system.discovery


def solver_of(model: ScriptedModel, text: str = "You solve.") -> Callable[[State], State]:
    def solver(state: State) -> State:
        return {"answer": model.invoke([SystemMessage(text), HumanMessage(state["question"])]).text}

    return solver


def test_nodes_that_no_example_reached_are_named_with_the_prompts_in_their_code(
    schema: type, model: ScriptedModel, examples: Examples
) -> None:
    def refuser(state: dict[str, Any]) -> dict[str, Any]:
        """Refuse what is bad, with all the words a docstring has."""
        text = f"You refuse bad requests politely. The request: {state['question']}"
        return {"answer": model.invoke([SystemMessage(text)]).text}

    builder: StateGraph[Any] = StateGraph(schema)
    nodes: dict[str, Any] = {"solver": solver_of(model), "refuser": refuser}
    for name, node in nodes.items():
        builder.add_node(name, node)
    builder.add_conditional_edges(START, lambda s: "refuser" if "bad" in s["question"] else "solver")
    builder.add_edge("solver", END)
    builder.add_edge("refuser", END)

    found = report(System.discover(builder.compile(), examples))

    slot = Slot("refuser", "You refuse bad requests politely. The request: {question}", ("question",))
    assert [(n.role, n.slots) for n in found.not_reached] == [("refuser", (slot,))]
    assert "Not reached by the examples: refuser" in found.text(short=True)
    assert "Slot('refuser', 'You refuse bad" in found.text()


def test_raw_clients_and_generate_are_named(chain: Chain, model: ScriptedModel, examples: Examples) -> None:
    client = type("OpenAI", (), {"__module__": "openai._client"})()
    module = types.ModuleType("anthropic")

    def sdk(state: State) -> State:
        assert client is not None
        return {"notes": []}

    def other(state: State) -> State:
        assert module is not None
        return {"notes": []}

    def direct(state: State) -> State:
        said = model.generate([[SystemMessage("You go past it."), HumanMessage("x")]])
        return {"notes": [said.generations[0][0].text]}

    before = vars(BaseChatModel)["generate"]
    graph = chain({"solver": solver_of(model), "sdk": sdk, "other": other, "direct": direct})
    found = report(System.discover(graph, examples))

    assert [(n.role, n.why.split(";")[0]) for n in found.not_reachable] == [
        ("sdk", "its code uses openai directly"),
        ("other", "its code uses anthropic directly"),
        ("direct", "3 calls of model.generate pass interception by"),
    ]
    assert found.silent == ("sdk", "other")
    assert vars(BaseChatModel)["generate"] is before


def test_calls_from_raw_threads_are_told(chain: Chain, model: ScriptedModel, examples: Examples) -> None:
    def threads(state: State) -> State:
        with ThreadPoolExecutor(1) as pool:
            given = [SystemMessage("You work in a thread."), HumanMessage(state["question"])]
            return {"notes": [pool.submit(model.invoke, given).result().text]}

    system = System.discover(chain({"solver": solver_of(model), "threads": threads}), examples)

    assert system.prompts is not None
    assert system.prompts.raw_threads
    assert [(s.role, s.text) for s in system.prompts.slots] == [
        ("solver", "You solve."),
        ("threads", "You work in a thread."),
    ]
    assert "one at a time" in report(system).text()


def test_random_text_is_not_stable_and_time_stamps_are_fields(
    chain: Chain, model: ScriptedModel, examples: Examples
) -> None:
    def dice(state: State) -> State:
        return {
            "notes": [model.invoke([SystemMessage(f"{uuid4().hex} {uuid4().hex}"), HumanMessage("x")]).text]
        }

    def clock(state: State) -> State:
        text = f"Now it is {time.time_ns()} on the clock of the station.\nAnswer in a line."
        return {"notes": [model.invoke([SystemMessage(text), HumanMessage("x")]).text]}

    system = System.discover(chain({"dice": dice, "clock": clock}), examples)

    assert [(n.role, n.why.split(";")[0]) for n in report(system).not_stable] == [
        ("dice", "3 calls sent 3 texts with too little in common")
    ]
    assert system.book.render("clock") == "Now it is {time} on the clock of the station.\nAnswer in a line."


def test_what_was_heard_once_is_said(chain: Chain, model: ScriptedModel, examples: Examples) -> None:
    def computed(state: State) -> State:
        told = " ".join(["You solve for", "3", "minutes."])
        return {"answer": model.invoke([SystemMessage(told), HumanMessage(state["question"])]).text}

    nodes = {"solver": computed, "written": solver_of(model, "You solve as it is written here.")}
    system = System.discover(chain(nodes), examples[:1])

    assert [one.once for one in report(system).found] == [True, False]
    assert report(system).text().count("heard in one example only") == 1


def test_a_system_message_that_came_with_the_task_is_data(
    chain: Chain, model: ScriptedModel, examples: Examples
) -> None:
    def passes_on(state: State) -> State:
        return {"messages": [model.invoke(state["messages"])]}

    given = [{**e, "messages": [SystemMessage("You are mine."), HumanMessage("x")]} for e in examples]
    system = System.discover(chain({"solver": solver_of(model), "passes_on": passes_on}), given)

    assert list(system.book.agents) == ["solver"]
    assert [n.role for n in report(system).not_stable] == ["passes_on"]


def test_examples_that_raise_are_named_and_the_others_go_on(
    chain: Chain, model: ScriptedModel, examples: Examples
) -> None:
    def picky(state: State) -> State:
        if "whale" in state["question"]:
            raise ValueError("no whales\nat all")
        return {"notes": []}

    graph = chain({"solver": solver_of(model), "picky": picky})

    assert report(System.discover(graph, examples)).errors == ("example 3 raised ValueError: no whales",)
    with pytest.raises(
        SystemMismatch, match="every example raised, the first says: example 1 raised ValueError"
    ):
        System.discover(graph, [examples[2]])


def test_interrupts_are_answered_and_context_is_given(model: ScriptedModel, schema: type) -> None:
    @dataclass
    class Context:
        tone: str

    def asks(state: State, runtime: Runtime[Context]) -> State:
        said = interrupt("Which city?")
        text = f"You speak in a {runtime.context.tone} tone about {said}."
        return {"answer": model.invoke([SystemMessage(text), HumanMessage("x")]).text}

    builder: StateGraph[Any, Any] = StateGraph(schema, context_schema=Context)
    builder.add_node("asks", asks)
    builder.add_edge(START, "asks")
    graph = builder.compile()
    given = [{"question": "a", "topic": "dry"}, {"question": "b", "topic": "merry"}]
    context: dict[str, Any] = {"context": lambda inputs: Context(inputs["topic"] + "ish")}

    system = System.discover(graph, given, interrupts=lambda _: "Rome", **context)

    assert system.book.render("asks") == "You speak in a {tone} tone about {said}."
    assert system.interrupts is not None
    with pytest.raises(
        SystemMismatch, match=r"waits for a person at interrupt\('Which city\?'\); give interrupts="
    ):
        System.discover(graph, given, **context)


def test_a_hand_slot_goes_before_what_is_found(
    chain: Chain, model: ScriptedModel, examples: Examples
) -> None:
    def solver(state: State) -> State:
        text = f"Answer {state['question']} for {state['topic']}."
        return {"answer": model.invoke([SystemMessage(text), HumanMessage("x")]).text}

    graph = chain({"solver": solver})
    mine = Slot("solver", "Answer {all}.", ("all",), agent="solver")

    system = System.discover(graph, examples, slots=[mine])

    assert system.prompts is not None
    assert system.prompts.slots == (mine,)
    assert [(f.times, f.by_hand) for f in report(system).found] == [(3, True)]
    with pytest.raises(
        SystemMismatch, match=r"the role 'slover', which the graph has not; its roles are: solver"
    ):
        System.discover(graph, examples, slots=[Slot("slover", "x")])


def test_bad_input_is_named(chain: Chain, model: ScriptedModel, examples: Examples, schema: type) -> None:
    graph = chain({"solver": solver_of(model)})
    quiet = chain({"a": lambda state: {"answer": "x"}})

    with pytest.raises(SystemMismatch, match=r"got StateGraph; call \.compile\(\) on it first"):
        System.discover(StateGraph(schema), examples)
    with pytest.raises(
        SystemMismatch, match="got RemoteGraph; a remote graph's prompts cannot be seen from here"
    ):
        System.discover(RemoteGraph("agent", url="http://127.0.0.1:9"), examples)
    with pytest.raises(SystemMismatch, match="at least one example"):
        System.discover(graph, [])
    with pytest.raises(SystemMismatch, match="example 2 is 'why', but the inputs of a task are a mapping"):
        System.discover(graph, [examples[0], "why"])  # type: ignore[list-item]
    with pytest.raises(SystemMismatch, match="no node called a chat model"):
        System.discover(quiet, examples)
    with pytest.raises(UnknownNameError, match="System has no setting agregator; there are: aggregator"):
        System.discover(graph, examples, agregator="x")
    with pytest.raises(SystemMismatch, match="the graph has no node 'slover'"):
        System.discover(graph, examples, aggregator="slover")
    assert len(model.calls) == 0


def test_a_graph_that_cannot_be_drawn(
    chain: Chain, model: ScriptedModel, examples: Examples, monkeypatch: pytest.MonkeyPatch
) -> None:
    graph = chain({"solver": solver_of(model), "end": lambda state: {"notes": []}})

    def broken(*_: Any, **__: Any) -> Any:
        raise TypeError("cannot draw")

    monkeypatch.setattr(type(graph), "get_graph", broken)
    system = System.discover(graph, examples)

    assert system.about("solver") == "solver: comes after nothing; goes on to nothing."
    assert len(system.fingerprint) == 16


def test_an_edited_folder_stands_for_the_book(
    chain: Chain, model: ScriptedModel, examples: Examples, tmp_path: Path
) -> None:
    graph = chain({"solver": solver_of(model), "critic": solver_of(model, "You doubt.\n- Ask why.")})
    system = System.discover(graph, examples)
    write_rules(system.book, tmp_path)
    assert System(graph, tmp_path, prompts=system.prompts).book == system.book
    file = tmp_path / "critic.md"
    file.write_text(file.read_text(encoding="utf-8").replace("Ask why.", "Ask how."), encoding="utf-8")

    assert replace(system, rules=tmp_path).book.render("critic") == "You doubt.\n- Ask how."
    with pytest.raises(SystemMismatch, match="the rules have nothing for critic, whose prompts were found"):
        replace(system, rules=RuleBook({"solver": system.book.agents["solver"]}))


async def test_inside_a_running_loop_both_ways_work(
    chain: Chain, model: ScriptedModel, examples: Examples
) -> None:
    graph = chain({"solver": solver_of(model)})

    sync = System.discover(graph, examples)
    found = await System.adiscover(graph, examples)

    assert sync.prompts == found.prompts
    assert json.loads(json.dumps(report(found).to_json()))["found"][0]["agent"] == "solver"
