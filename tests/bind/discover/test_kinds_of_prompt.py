"""Every place where a prompt may be written down, in real graphs."""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Annotated, Any, TypedDict

import pytest
from langchain.agents import create_agent
from langchain.agents.middleware import dynamic_prompt
from langchain_core.messages import AIMessage, HumanMessage, SystemMessage
from langchain_core.prompts import ChatPromptTemplate
from langchain_core.tools import tool
from langgraph.func import entrypoint, task
from langgraph.graph import END, START, StateGraph
from langgraph.types import Send

from langgraph_truce import System
from langgraph_truce.bind.found import Prompts, Slot
from langgraph_truce.testing import ScriptedModel

Chain = Callable[..., Any]
Examples = list[dict[str, Any]]
Sent = tuple[str, str, str, tuple[str, ...], str]


def slots(system: System) -> list[Sent]:
    assert isinstance(system.prompts, Prompts)
    return [(s.agent, s.role, s.text, s.fields, s.message) for s in system.prompts.slots]


def test_constant_system_message(chain: Chain, model: ScriptedModel, examples: Examples) -> None:
    async def solver(state: dict[str, Any]) -> dict[str, Any]:
        said = await model.ainvoke(
            [SystemMessage("You solve.\n\n- Be brief."), HumanMessage(state["question"])]
        )
        return {"answer": said.text}

    system = System.discover(chain({"solver": solver}), examples)

    assert slots(system) == [("solver", "solver", "You solve.\n\n- Be brief.", (), "system")]
    assert [r.text for r in system.book.agent("solver").rules] == ["Be brief."]
    assert system.discovery is not None
    assert [(f.times, f.once) for f in system.discovery.found] == [(3, False)]
    assert (system.calls, System.discover(system.graph, examples, calls=7).calls) == (1.0, 7)


def test_f_string_fields_keep_their_whole_value(
    chain: Chain, model: ScriptedModel, examples: Examples
) -> None:
    """Two questions begin alike, which is no fixed text."""

    def solver(state: dict[str, Any]) -> dict[str, Any]:
        text = f'You know {state["topic"]}.\nThe question: {state["question"]}\nReturn {{"answer": ...}}.'
        return {"answer": model.invoke([SystemMessage(text), HumanMessage("Go.")]).text}

    system = System.discover(chain({"solver": solver}), examples[:2])

    text = 'You know {topic}.\nThe question: {question}\nReturn {"answer": ...}.'
    assert slots(system) == [("solver", "solver", text, ("topic", "question"), "system")]


def test_computed_values_are_told_by_the_code(chain: Chain, model: ScriptedModel, examples: Examples) -> None:
    """No channel holds the shouted question, and all of them begin alike; the f-string says where it begins."""
    base = "You are a careful solver of riddles."

    def solver(state: dict[str, Any]) -> dict[str, Any]:
        text = f"{base} Solve this for {len(state['topic'])} people in a line: {state['question'].upper()} Thanks."
        return {"answer": model.invoke([SystemMessage(text), HumanMessage("Go.")]).text}

    system = System.discover(chain({"solver": solver}), examples[:2])

    text = (
        "You are a careful solver of riddles. Solve this for {field_2} people in a line: {question} Thanks."
    )
    assert slots(system) == [("solver", "solver", text, ("field_2", "question"), "system")]


def test_template_chain_inside_a_node_and_as_a_node(
    chain: Chain, model: ScriptedModel, examples: Examples
) -> None:
    prompt = ChatPromptTemplate.from_messages(
        [("system", "Answer about {subject}.\nGive JSON {{}} only."), ("human", "{question}")]
    )
    inside = prompt | model

    async def first(state: dict[str, Any]) -> dict[str, Any]:
        said = await inside.ainvoke({"subject": state["topic"], "question": state["question"]})
        return {"answer": said.text}

    second = (
        ChatPromptTemplate.from_messages([("system", "Check this answer: {answer}"), ("human", "Right?")])
        | model
        | (lambda said: {"notes": [said.text]})
    )

    system = System.discover(chain({"first": first, "second": second}), examples)

    assert slots(system) == [
        ("first", "first", "Answer about {subject}.\nGive JSON {} only.", ("subject",), "system"),
        ("second", "second", "Check this answer: {answer}", ("answer",), "system"),
    ]


def test_several_prompts_in_one_node(chain: Chain, examples: Examples) -> None:
    """They begin alike; what tells them apart is no field."""
    model = ScriptedModel(replies=lambda messages: f"I say {messages[0].text[-22:]}")

    def writer(state: dict[str, Any]) -> dict[str, Any]:
        asked = f"You are a helpful assistant. Draft an answer to: {state['question']}"
        draft = model.invoke([SystemMessage(asked), HumanMessage("Go.")])
        asked = f"You are a helpful assistant. Review the draft: {draft.text}"
        review = model.invoke([SystemMessage(asked), HumanMessage("Go.")])
        model.invoke([SystemMessage("You say yes or no."), HumanMessage(review.text)])
        return {"answer": review.text}

    system = System.discover(chain({"writer": writer}), examples)

    assert [(agent, text) for agent, _, text, _, _ in slots(system)] == [
        ("writer", "You are a helpful assistant. Draft an answer to: {question}"),
        ("writer~2", "You are a helpful assistant. Review the draft: {draft}"),
        ("writer~3", "You say yes or no."),
    ]


def test_one_prompt_shared_by_two_nodes(chain: Chain, model: ScriptedModel, examples: Examples) -> None:
    def node(state: dict[str, Any]) -> dict[str, Any]:
        return {
            "answer": model.invoke([SystemMessage("Be fair to all."), HumanMessage(state["question"])]).text
        }

    system = System.discover(chain({"a": node, "b": node}), examples)

    assert [agent for agent, *_ in slots(system)] == ["a", "b"]
    assert system.discovery is not None
    assert [f.shared for f in system.discovery.found] == [("b",), ("a",)]
    assert "shared with b" in system.discovery.text()


def test_create_agent_with_tools_that_call_models(
    chain: Chain, model: ScriptedModel, examples: Examples
) -> None:
    @tool
    def summarise(text: str) -> str:
        """Summarise a text."""
        return model.invoke([SystemMessage("You summarise texts in a line."), HumanMessage(text)]).text

    def act(messages: list[Any]) -> AIMessage:
        if messages[-1].type == "tool":
            return AIMessage("done")
        call = {"name": "summarise", "args": {"text": messages[-1].text}, "id": "1", "type": "tool_call"}
        return AIMessage("", tool_calls=[call])

    agent = create_agent(ScriptedModel(replies=act), [summarise], system_prompt="You research.\n- Use tools.")
    asked = [{"messages": [HumanMessage(e["question"])]} for e in examples]

    alone = System.discover(agent, asked)
    nested = System.discover(chain({"researcher": agent}), asked)

    assert [(a, r) for a, r, *_ in slots(alone)] == [("model", "model"), ("tools", "tools")]
    assert [(a, r) for a, r, *_ in slots(nested)] == [
        ("researcher/model", "researcher/model"),
        ("researcher/tools", "researcher/tools"),
    ]
    assert slots(nested)[0][2] == "You research.\n- Use tools."


def test_an_agent_alone_in_its_node_has_the_nodes_name(
    chain: Chain, model: ScriptedModel, examples: Examples
) -> None:
    agent = create_agent(model, [], system_prompt="You research.")
    asked = [{"messages": [HumanMessage(e["question"])]} for e in examples]

    assert slots(System.discover(chain({"researcher": agent}), asked)) == [
        ("researcher", "researcher/model", "You research.", (), "system")
    ]


def test_middleware_prompt(chain: Chain, model: ScriptedModel, examples: Examples) -> None:
    @dynamic_prompt
    def persona(request: Any) -> str:
        return f"You help with: {request.state['messages'][0].text}\n- Be kind."

    agent = create_agent(model, [], middleware=[persona])
    asked = [{"messages": [HumanMessage(e["question"])]} for e in examples]

    assert slots(System.discover(agent, asked)) == [
        ("model", "model", "You help with: {messages}\n- Be kind.", ("messages",), "system")
    ]


def test_subgraphs_and_graphs_called_in_functions(
    chain: Chain, model: ScriptedModel, examples: Examples
) -> None:
    def solve(state: dict[str, Any]) -> dict[str, Any]:
        return {"answer": model.invoke([SystemMessage("You solve."), HumanMessage(state["question"])]).text}

    inner = chain({"solver": solve})
    hidden = chain({"checker": solve})

    def calls(state: dict[str, Any]) -> dict[str, Any]:
        return {"answer": hidden.invoke({"question": state["question"]})["answer"]}

    system = System.discover(chain({"team": inner, "calls": calls}), examples)

    assert [(a, r) for a, r, *_ in slots(system)] == [
        ("team/solver", "team/solver"),
        ("calls/checker", "calls/checker"),
    ]


class Docs(TypedDict, total=False):
    docs: list[str]
    doc: str
    parts: Annotated[list[str], operator.add]


def test_send_fan_out(model: ScriptedModel) -> None:
    def mapper(state: Docs) -> Docs:
        said = model.invoke([SystemMessage(f"Summarise this document:\n{state['doc']}\nIn one line.")])
        return {"parts": [said.text]}

    builder = StateGraph(Docs)
    builder.add_node("mapper", mapper)
    builder.add_conditional_edges(
        START, lambda s: [Send("mapper", {"doc": d}) for d in s["docs"]], ["mapper"]
    )
    builder.add_edge("mapper", END)
    given = [{"docs": ["the red fox", "the red hen", "one more thing"]}, {"docs": ["the red dog"]}]

    system = System.discover(builder.compile(), given)

    assert slots(system) == [
        ("mapper", "mapper", "Summarise this document:\n{doc}\nIn one line.", ("doc",), "system")
    ]
    assert system.discovery is not None
    assert system.discovery.found[0].times == 4


def test_functional_api(model: ScriptedModel) -> None:
    @task
    async def outline(topic: str) -> str:
        return (
            await model.ainvoke([("system", f"Outline a text about {topic} now."), ("human", "Go.")])
        ).text

    @entrypoint()
    async def pipeline(given: dict[str, str]) -> str:
        plan = await outline(given["topic"])
        return (await model.ainvoke([("system", "Write the text."), ("human", plan)])).text

    system = System.discover(pipeline, [{"topic": "red foxes"}, {"topic": "the blue sea"}])

    assert [(a, t) for a, _, t, _, _ in slots(system)] == [
        ("pipeline/outline", "Outline a text about {topic} now."),
        ("pipeline", "Write the text."),
    ]


def test_conditional_edges_that_call_models(schema: type, model: ScriptedModel, examples: Examples) -> None:
    def route(text: str) -> Callable[[dict[str, Any]], str]:
        return lambda state: "a" if model.invoke([SystemMessage(text), HumanMessage("x")]) else END

    builder: StateGraph[Any] = StateGraph(schema)
    a: Any = lambda state: {"answer": "x"}  # noqa: E731
    builder.add_node("a", a)
    builder.add_node("b", a)
    builder.add_conditional_edges(START, route("Find the way in."), ["a"])
    builder.add_conditional_edges(
        "a", lambda s: "b" if model.invoke([SystemMessage("Go on?")]) else END, ["b", END]
    )
    builder.add_edge("b", END)

    system = System.discover(builder.compile(), examples)

    assert [(a, t) for a, _, t, _, _ in slots(system)] == [("__start__", "Find the way in."), ("a", "Go on?")]


def test_instructions_in_the_first_human_message(
    chain: Chain, model: ScriptedModel, examples: Examples
) -> None:
    def writer(state: dict[str, Any]) -> dict[str, Any]:
        return {"answer": model.invoke(f"Answer the question in one short line.\n\n{state['question']}").text}

    def passes_on(state: dict[str, Any]) -> dict[str, Any]:
        return {"notes": [model.invoke(state["question"]).text]}

    system = System.discover(chain({"writer": writer, "passes_on": passes_on}), examples)

    text = "Answer the question in one short line.\n\n{question}"
    assert slots(system) == [("writer", "writer", text, ("question",), "human")]


def test_a_human_message_given_to_a_chain_is_the_nodes_own(
    chain: Chain, model: ScriptedModel, examples: Examples
) -> None:
    given = ChatPromptTemplate.from_messages([("human", "{text}")]) | model

    def writer(state: dict[str, Any]) -> dict[str, Any]:
        text = "Answer the question in one short line.\n\n" + state["question"]
        return {"answer": given.invoke({"text": text}).text}

    found = slots(System.discover(chain({"writer": writer}), examples))

    assert [t for _, _, t, _, _ in found] == ["Answer the question in one short line.\n\n{question}"]


def test_a_human_template_beside_a_system_message_is_offered(
    chain: Chain, model: ScriptedModel, examples: Examples
) -> None:
    def writer(state: dict[str, Any]) -> dict[str, Any]:
        asked = HumanMessage(f"Please answer this question with great care: {state['question']}")
        return {"answer": model.invoke([SystemMessage("You answer."), asked]).text}

    graph = chain({"writer": writer})
    system = System.discover(graph, examples)

    offered = Slot(
        "writer", "Please answer this question with great care: {question}", ("question",), "human"
    )
    assert [agent for agent, *_ in slots(system)] == ["writer"]
    assert system.discovery is not None
    assert system.discovery.candidates == (offered,)
    assert "Slot('writer', 'Please answer this question" in system.discovery.text()
    named = System.discover(graph, examples, slots=[offered])
    assert [(a, m) for a, _, _, _, m in slots(named)] == [("writer", "human"), ("writer~2", "system")]


def test_blocks_are_slots_of_their_own(chain: Chain, model: ScriptedModel, examples: Examples) -> None:
    def writer(state: dict[str, Any]) -> dict[str, Any]:
        blocks: list[str | dict[str, Any]] = [
            {"type": "text", "text": "You answer in verse.", "cache_control": {"type": "ephemeral"}},
            {"type": "text", "text": f"Today's question: {state['question']}"},
        ]
        return {"answer": model.invoke([SystemMessage(blocks), HumanMessage("Go.")]).text}

    assert [(a, t) for a, _, t, _, _ in slots(System.discover(chain({"writer": writer}), examples))] == [
        ("writer", "You answer in verse."),
        ("writer~2", "Today's question: {question}"),
    ]


@pytest.mark.parametrize("how", ["stream", "batch", "fallback"])
def test_however_the_model_is_called(
    chain: Chain, model: ScriptedModel, examples: Examples, how: str
) -> None:
    def writer(state: dict[str, Any]) -> dict[str, Any]:
        given = [SystemMessage("You write."), HumanMessage(state["question"])]
        if how == "stream":
            return {"answer": "".join(c.text for c in model.stream(given))}
        if how == "batch":
            return {"answer": model.batch([given])[0].text}
        broken = ScriptedModel(replies=lambda _: RuntimeError("down"))
        return {"answer": broken.with_fallbacks([model]).invoke(given).text}

    assert slots(System.discover(chain({"writer": writer}), examples)) == [
        ("writer", "writer", "You write.", (), "system")
    ]
