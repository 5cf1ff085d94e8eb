"""`System.use`: an app with hard-coded prompts runs with other rules, and only where it is told to."""

from __future__ import annotations

from pathlib import Path
from typing import Any, TypedDict

import pytest
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import BaseMessage, HumanMessage, SystemMessage
from langgraph.graph import START, StateGraph

from langgraph_truce import System, instructions, write_rules
from langgraph_truce.bind.discover import write_prompts
from langgraph_truce.errors import SystemMismatch
from langgraph_truce.rules import Edit, RuleBook, apply
from langgraph_truce.testing import ScriptedModel


class State(TypedDict, total=False):
    question: str
    answer: str


def app(sent: list[str]) -> Any:
    def said(messages: list[BaseMessage]) -> str:
        sent.append(messages[0].text)
        return "ok"

    model: BaseChatModel = ScriptedModel(replies=said)

    def answer(state: State) -> State:
        text = f"You answer questions.\n\n- Be brief.\n- The question is about {state['question']}."
        return {"answer": model.invoke([SystemMessage(text), HumanMessage(state["question"])]).text}

    graph: StateGraph[State, None, State, State] = StateGraph(State)
    graph.add_node("answer", answer)
    graph.add_edge(START, "answer")
    return graph.compile()


EXAMPLES = [{"question": "rivers of the world"}, {"question": "hills and mountains"}]


def in_french(book: RuleBook) -> RuleBook:
    return apply(book, [Edit("e1", "ADD", "answer", text="Answer in French.")])


def test_the_rules_are_sent_by_runs_with_its_config_and_by_no_others(tmp_path: Path) -> None:
    sent: list[str] = []
    graph = app(sent)
    system = System.discover(graph, EXAMPLES)
    write_rules(in_french(system.book), tmp_path)
    sent.clear()
    with system.use(tmp_path) as config:
        graph.invoke({"question": "the sea"}, config)
        graph.invoke({"question": "the sea"})
    graph.invoke({"question": "the sea"})

    old = "You answer questions.\n\n- Be brief.\n- The question is about the sea."
    assert sent == [f"{old}\n- Answer in French.", old, old]


async def test_several_rule_books_are_used_side_by_side() -> None:
    sent: list[str] = []
    graph = app(sent)
    system = await System.adiscover(graph, EXAMPLES)
    sent.clear()
    with system.use(in_french(system.book)) as french, system.use(system.book) as old:
        await graph.ainvoke({"question": "x y"}, old)
        await graph.ainvoke({"question": "x y"}, french)

    assert [text.endswith("Answer in French.") for text in sent] == [False, True]


def test_nodes_that_read_their_rules_are_served_too(tmp_path: Path) -> None:
    (tmp_path / "answer.md").write_text("Be brief.\n", encoding="utf-8")

    def answer(state: State) -> State:
        return {"answer": instructions("answer", beside=tmp_path)}

    graph: StateGraph[State, None, State, State] = StateGraph(State)
    graph.add_node("answer", answer)
    graph.add_edge(START, "answer")
    system = System(graph.compile(), tmp_path)
    assert not isinstance(system.graph, str)
    with system.use(in_french(system.book)) as config:
        assert "French" in system.graph.invoke({"question": "?"}, config)["answer"]
    assert "French" not in system.graph.invoke({"question": "?"})["answer"]


def test_rules_that_lack_a_found_prompt_are_refused() -> None:
    system = System.discover(app([]), EXAMPLES)
    with pytest.raises(SystemMismatch), system.use(RuleBook({})):
        pass


def test_a_folder_that_discovery_wrote_brings_its_prompts_along(tmp_path: Path) -> None:
    sent: list[str] = []
    graph = app(sent)
    found = System.discover(graph, EXAMPLES)
    write_rules(in_french(found.book), tmp_path)
    assert found.prompts is not None
    write_prompts(found.prompts, tmp_path)
    sent.clear()
    system = System(graph, tmp_path)
    with system.use(system.book) as config:
        graph.invoke({"question": "the sea"}, config)

    assert system.prompts == found.prompts
    assert sent[0].endswith("Answer in French.")
