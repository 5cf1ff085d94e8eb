"""Ways in which people write prompts that once were read wrong: what is fixed, what varies, and whose it is."""

from __future__ import annotations

import contextvars
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from langchain_core.messages import AIMessage, HumanMessage, SystemMessage
from langchain_core.prompts import ChatPromptTemplate
from langchain_core.runnables import RunnableBranch, RunnableParallel

from langgraph_truce import Edit, System
from langgraph_truce.bind.discover.source import CodeText, sources
from langgraph_truce.bind.found import Slot
from langgraph_truce.rules import apply
from langgraph_truce.testing import ScriptedModel

Chain = Callable[..., Any]
Examples = list[dict[str, Any]]
State = Any
NEW = {"question": "Is it\nlong?", "topic": "rivers, lakes"}
"""An input that no example resembles."""
RULE = "Do not forget to be kind."


def sent(model: ScriptedModel, graph: Any, given: Any, config: Any = None) -> list[list[tuple[str, str]]]:
    """The messages of every call of one run, as (type, text)."""
    before = len(model.calls)
    graph.invoke(given, config)
    return [[(m.type, m.text) for m in call.messages] for call in model.calls[before:]]


def slots(system: System) -> list[Slot]:
    assert system.prompts is not None
    return list(system.prompts.slots)


def with_rule(model: ScriptedModel, system: System, agent: str, given: Any) -> list[list[tuple[str, str]]]:
    """What is sent for `given` with a rule added to `agent`; without the rule it is what the bare graph sends."""
    bare = sent(model, system.graph, given)
    with system.use(system.book) as config:
        assert sent(model, system.graph, given, config) == bare
    edited = apply(system.book, [Edit(id="e1.1", op="ADD", agent=agent, text=RULE)])
    with system.use(edited) as config:
        return sent(model, system.graph, given, config)


def test_an_f_string_at_the_margin_of_an_indented_function(
    chain: Chain, model: ScriptedModel, examples: Examples
) -> None:
    def writer(state: State) -> State:
        question, found = state["question"].strip(), state["topic"].upper()
        prompt = f"""You write to a customer of a shop.

The customer asks: {question}
What was found: {found}"""
        return {"answer": model.invoke(prompt).text}

    system = System.discover(chain({"writer": writer}), examples)

    assert [s.fields for s in slots(system)] == [("question", "found")]


def test_texts_joined_by_plus_and_values_side_by_side(chain: Chain) -> None:
    def joined(state: State) -> State:
        topic, first, last = state["topic"], state["question"], state["answer"]
        return [
            "You are an expert on " + topic + ".\nYou answer " + f"{first} and {last}" + " in a line.",
            f"You are the host of {first}{last} and greet everybody.",
            f"You compare {first.text} with {last.text}, then {first.text} again.",
            ["a list"] + state["notes"],
        ]

    assert sources(chain({"joined": joined}))["joined"].texts == (
        CodeText(
            "You are an expert on {topic}.\nYou answer {first} and {last} in a line.",
            ("topic", "first", "last"),
        ),
        CodeText("You are the host of {first_last} and greet everybody.", ("first_last",)),
        CodeText("You compare {first} with {last}, then {first} again.", ("first", "last")),
    )


def test_two_expressions_of_one_name_are_two_fields(chain: Chain) -> None:
    def node(state: State) -> State:
        return f"You pass notes from {state['a'].name} to {state['b'].name}, who is not {state['a'].name}."

    assert sources(chain({"node": node}))["node"].texts == (
        CodeText("You pass notes from {name} to {name_2}, who is not {name}.", ("name", "name_2")),
    )


class Agent:
    """A node that is an object."""

    def __init__(self, model: ScriptedModel, prompt: str) -> None:
        self.model = model
        self.prompt = prompt

    def __call__(self, state: State) -> State:
        told = SystemMessage(self.prompt.format(size=len(state["topic"])))
        return {"answer": self.model.invoke([told, HumanMessage(state["question"])]).text}


def test_the_prompts_of_an_object_as_a_node(chain: Chain, model: ScriptedModel, examples: Examples) -> None:
    agent = Agent(model, "You are an agent that keeps its prompt; {size} letters.")

    system = System.discover(chain({"agent": agent}), examples)

    assert [(s.text, s.fields) for s in slots(system)] == [(agent.prompt, ("size",))]


def test_prompts_in_branches_and_parallel_steps_are_seen(chain: Chain, model: ScriptedModel) -> None:
    def system(text: str) -> ChatPromptTemplate:
        return ChatPromptTemplate.from_messages([("system", text)])

    texts = [f"You are voice number {n} of a choir of five." for n in ("one", "two", "three", "four", "five")]
    one, two, three, four, five = map(system, texts)
    branch: Any = RunnableBranch((bool, one | model), two | model)
    parallel: Any = RunnableParallel(a=branch, b=three | model)

    found = sources(chain({"node": (parallel | four | model).with_fallbacks([five | model])}))["node"].texts

    assert {t.text for t in found} == set(texts)


def test_prompts_that_stand_in_the_code_are_apart_however_alike(
    chain: Chain, model: ScriptedModel, examples: Examples
) -> None:
    voices = {
        "geography": "You are the first voice, short.",
        "cities": "You are the second voice, long.",
        "novels of the sea": "You are the third voice, loud.",
    }

    def node(state: State) -> State:
        told = SystemMessage(voices.get(state["topic"], voices["cities"]))
        return {"answer": model.invoke([told, HumanMessage(state["question"])]).text}

    system = System.discover(chain({"node": node}), examples)

    assert [(s.text, s.fields) for s in slots(system)] == [(voice, ()) for voice in voices.values()]
    assert RULE in with_rule(model, system, "node~2", NEW)[0][0][1]
    assert RULE not in str(with_rule(model, system, "node~3", NEW))


def test_a_name_in_braces_that_is_sent_as_it_stands_is_no_field(
    chain: Chain, model: ScriptedModel, examples: Examples
) -> None:
    def node(state: State) -> State:
        said = SystemMessage("You reply as JSON with the key {answer} and nothing else.")
        return {"answer": model.invoke([said, HumanMessage(state["question"])]).text}

    system = System.discover(chain({"node": node}), examples)

    assert [(s.text, s.fields) for s in slots(system)] == [
        ("You reply as JSON with the key {answer} and nothing else.", ())
    ]


@pytest.mark.parametrize(
    ("before", "behind"),
    [
        ("你是一名翻译。请将用户的文字翻译成", "。不要添加解释。"),
        ("あなたは", "についての専門家です。短く答えてください。"),
        ("คุณเป็นผู้เชี่ยวชาญด้าน", "ตอบสั้นๆ"),
    ],
)
def test_scripts_without_spaces(
    chain: Chain, model: ScriptedModel, examples: Examples, before: str, behind: str
) -> None:
    def node(state: State) -> State:
        text = "".join([before, state["topic"], behind])
        return {"answer": model.invoke([SystemMessage(text), HumanMessage(state["question"])]).text}

    system = System.discover(chain({"node": node}), examples)

    assert [s.text for s in slots(system)] == [f"{before}{{topic}}{behind}"]
    assert all(RULE in call[0][1] for call in with_rule(model, system, "node", NEW))


def test_a_short_template_that_one_example_sends_keeps_its_field(
    chain: Chain, model: ScriptedModel, examples: Examples
) -> None:
    def node(state: State) -> State:
        topic = state["topic"]
        told = [SystemMessage(f"Summary so far: {topic}")] if topic == "cities" else []
        return {"answer": model.invoke([SystemMessage("You talk."), *told, HumanMessage("Hello.")]).text}

    system = System.discover(chain({"node": node}), examples)

    assert [(s.text, s.fields) for s in slots(system)] == [
        ("You talk.", ()),
        ("Summary so far: {topic}", ("topic",)),
    ]


def test_a_request_behind_the_talk_is_a_prompt(chain: Chain, model: ScriptedModel) -> None:
    def summarize(state: State) -> State:
        asked = HumanMessage("Create a summary of the conversation above.")
        return {"answer": model.invoke([*state["messages"], asked]).text}

    def talk(name: str) -> State:
        return {"messages": [HumanMessage(f"I am {name}, and who are you?"), AIMessage("I am a model.")]}

    system = System.discover(chain({"summarize": summarize}), [talk("Ann"), talk("Bo")])

    assert [(s.message, s.text) for s in slots(system)] == [
        ("human", "Create a summary of the conversation above.")
    ]
    (call,) = with_rule(model, system, "summarize", talk("Cem"))
    assert [RULE in text for _, text in call] == [False, False, True]


def test_a_node_whose_calls_have_no_prompt_is_named(
    chain: Chain, model: ScriptedModel, examples: Examples
) -> None:
    def solver(state: State) -> State:
        return {"answer": model.invoke([SystemMessage("You solve."), HumanMessage("Go.")]).text}

    def bare(state: State) -> State:
        return {"answer": model.invoke(state["question"]).text}

    system = System.discover(chain({"solver": solver, "bare": bare}), examples)

    assert system.discovery is not None
    assert [one.role for one in system.discovery.no_prompt] == ["bare"]
    assert "Called a model, but no prompt was found:\n  bare: it sends no" in system.discovery.text()


def test_the_tasks_own_text_in_raw_threads_is_not_offered(
    chain: Chain, model: ScriptedModel, examples: Examples
) -> None:
    def threads(state: State) -> State:
        def one(voice: str) -> str:
            told = SystemMessage(f"Speak as the {voice} expert on things.")
            return model.invoke([told, HumanMessage(state["question"])]).text

        with ThreadPoolExecutor(2) as pool:
            return {"notes": list(pool.map(one, ["law", "tax"]))}

    def copies(state: State) -> State:
        def one(note: str) -> str:
            return model.invoke([SystemMessage("Correct the grammar."), HumanMessage(note)]).text

        with ThreadPoolExecutor(2) as pool:
            jobs = [pool.submit(contextvars.copy_context().run, one, note) for note in state["notes"]]
            return {"answer": jobs[0].result()}

    system = System.discover(chain({"threads": threads, "copies": copies}), examples)

    assert system.discovery is not None
    assert {(f.role, f.times) for f in system.discovery.found} == {("threads", 6), ("copies", 6)}
    assert system.discovery.candidates == ()


def test_a_prompt_that_is_put_into_an_f_string_stays_a_prompt(
    chain: Chain, model: ScriptedModel, examples: Examples
) -> None:
    """A base that the code adds to is fixed text, whatever the code shows of where the base comes from."""
    base = " ".join(["You are a planner of trips", "who never forgets", "the way back."])

    def node(state: State) -> State:
        told = bytes(base, "utf-8").decode() + f"\n\nThe talk has {len(state['topic'])} turns."
        return {"answer": model.invoke([SystemMessage(told), HumanMessage(state["question"])]).text}

    system = System.discover(chain({"node": node}), examples)

    assert [(len(s.fields), base in s.text) for s in slots(system)] == [(1, True)]
    assert RULE in with_rule(model, system, "node", NEW)[0][0][1]


def test_prompts_that_share_one_f_string_are_apart(
    chain: Chain, model: ScriptedModel, examples: Examples
) -> None:
    bases = {
        "short": "You are a clerk of few words who answers.",
        "long": "You are a poet of many words who sings.",
    }

    def node(state: State) -> State:
        told = (
            f"{bases['short' if 'capital' in state['question'] else 'long']}\nThe topic is {state['topic']}."
        )
        return {"answer": model.invoke([SystemMessage(told), HumanMessage(state["question"])]).text}

    system = System.discover(chain({"node": node}), examples)

    assert {s.text for s in slots(system)} == {f"{base}\nThe topic is {{topic}}." for base in bases.values()}


def test_a_word_that_did_not_vary_is_still_a_field(
    chain: Chain, model: ScriptedModel, examples: Examples
) -> None:
    def node(state: State) -> State:
        style, hints = state.get("style", "plain"), "".join(state.get("notes") or [])
        told = f"You answer in a {style} style, with care.{hints}\nBe kind."
        joined = f"Combine {len(style)} parts: " + ", ".join([state["topic"], style])
        return {
            "answer": model.invoke([SystemMessage(told), SystemMessage(joined), HumanMessage("Go.")]).text
        }

    system = System.discover(chain({"node": node}), examples)

    assert [s.text for s in slots(system)] == [
        "You answer in a {style} style, with care.{hints}\nBe kind.",
        "Combine {field_1} parts: {field_2}",
    ]
    (call,) = with_rule(model, system, "node", {**NEW, "notes": ["\nHint: none."]})
    assert RULE in call[0][1]
