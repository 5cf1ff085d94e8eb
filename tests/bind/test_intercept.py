"""Every way a node may call a model: without edits nothing changes, an edit reaches the model and the callbacks."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypedDict

import pytest
from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, SystemMessage
from langchain_core.prompts import ChatPromptTemplate
from langchain_core.runnables import RunnableConfig
from langchain_core.tools import tool
from langgraph.graph import START, StateGraph
from pydantic import BaseModel

from langgraph_truce.bind import RunContext, published
from langgraph_truce.bind.found import Prompts, Slot
from langgraph_truce.bind.intercept import intercepting
from langgraph_truce.errors import BindError, UnknownNameError
from langgraph_truce.rules import RuleBook, parse
from langgraph_truce.testing import ScriptedModel

TEXT = 'You are {who}.\n\n- Be short.\n- Write {"json": 1}.\n'
SENT = TEXT.replace("{who}", "a {bot}")
EDITED = SENT.replace("short", "kind")
PROMPTS = Prompts((Slot("solver", TEXT, ("who",)),))


def edit(prompts: Prompts, old: str, new: str) -> RuleBook:
    book = prompts.book
    for name in book.agents:
        book = book.with_agent(parse(name, book.render(name).replace(old, new)))
    return book


def run_config(prompts: Prompts, version: str, *callbacks: BaseCallbackHandler) -> RunnableConfig:
    configurable = RunContext(version, "r1", "t1", prompts=prompts.id).configurable()
    return RunnableConfig(configurable=configurable, metadata=dict(configurable), callbacks=list(callbacks))


class State(TypedDict, total=False):
    said: Any


class Verdict(BaseModel):
    """A verdict."""

    good: bool


@tool
def look(place: str) -> str:
    """Look there."""
    return place


class Seen(BaseCallbackHandler):
    """What tracers get to see."""

    def __init__(self) -> None:
        self.prompts: list[list[BaseMessage]] = []

    def on_chat_model_start(self, serialized: Any, messages: list[list[BaseMessage]], **kwargs: Any) -> None:
        self.prompts += messages


MESSAGES: list[BaseMessage] = [
    SystemMessage(SENT, id="s1", name="boss", additional_kwargs={"cache": True}),
    HumanMessage("why?"),
]
TEMPLATE = ChatPromptTemplate.from_messages([("system", "{system}"), ("human", "{q}")])
ASKED = {"system": SENT, "q": "why?"}


def model() -> ScriptedModel:
    return ScriptedModel(replies={"": '{"good": true}'})


def _stream(m: ScriptedModel) -> Any:
    return list(m.stream(MESSAGES))


SYNC: dict[str, Callable[[ScriptedModel], Any]] = {
    "invoke": lambda m: m.invoke(MESSAGES),
    "stream": _stream,
    "batch": lambda m: m.batch([MESSAGES, MESSAGES]),
    "tools": lambda m: m.bind_tools([look]).invoke(MESSAGES),
    "structured": lambda m: m.with_structured_output(Verdict).invoke(MESSAGES),
    "retry": lambda m: m.with_retry().invoke(MESSAGES),
    "fallbacks": lambda m: ScriptedModel(replies={"": OSError("down")}).with_fallbacks([m]).invoke(MESSAGES),
    "chain": lambda m: (TEMPLATE | m).invoke(ASKED),
    "prompt value": lambda m: m.invoke(TEMPLATE.invoke(ASKED)),
    "tuples": lambda m: m.invoke([("system", SENT), ("human", "why?")]),
    "dicts": lambda m: m.invoke([{"role": "system", "content": SENT}, {"role": "user", "content": "why?"}]),
    "own config": lambda m: m.invoke(MESSAGES, {"configurable": {"mine": 1}, "metadata": {"mine": 2}}),
    "not streaming": lambda m: list(m.model_copy(update={"disable_streaming": True}).stream(MESSAGES)),
}


async def _astream(m: ScriptedModel) -> Any:
    return [c async for c in m.astream(MESSAGES)]


async def _abatch(m: ScriptedModel) -> Any:
    return await m.abatch([MESSAGES, MESSAGES])


async def _events(m: ScriptedModel) -> Any:
    return [e async for e in m.astream_events(MESSAGES, version="v2")]


ASYNC: dict[str, Callable[[ScriptedModel], Any]] = {
    "ainvoke": lambda m: m.ainvoke(MESSAGES),
    "astream": _astream,
    "abatch": _abatch,
    "aevents": _events,
    "atools": lambda m: m.bind_tools([look]).ainvoke(MESSAGES),
    "astructured": lambda m: m.with_structured_output(Verdict).ainvoke(MESSAGES),
    "aretry": lambda m: m.with_retry().ainvoke(MESSAGES),
    "afallbacks": lambda m: ScriptedModel(replies={"": OSError("x")}).with_fallbacks([m]).ainvoke(MESSAGES),
    "achain": lambda m: (TEMPLATE | m).ainvoke(ASKED),
}


def graph(way: str, m: ScriptedModel) -> Any:
    """A graph whose node calls the model that way."""

    def node(state: State) -> State:
        SYNC[way](m)
        return {}

    async def anode(state: State) -> State:
        await ASYNC[way](m)
        return {}

    return (
        StateGraph(State)
        .add_node("solver", node if way in SYNC else anode)
        .add_edge(START, "solver")
        .compile()
    )


def dumped(messages: Any) -> list[Any]:
    return [m.model_dump() for m in messages]


@pytest.mark.parametrize("way", [*SYNC, *ASYNC])
async def test_every_way_to_call(way: str) -> None:
    plain, same, changed, seen = model(), model(), model(), Seen()
    await graph(way, plain).ainvoke({})
    with intercepting(PROMPTS) as found:
        with published(PROMPTS.book) as version:
            await graph(way, same).ainvoke({}, run_config(PROMPTS, version))
        with published(edit(PROMPTS, "short", "kind")) as version:
            await graph(way, changed).ainvoke({}, run_config(PROMPTS, version, seen))

    assert [dumped(c.messages) for c in same.calls] == [dumped(c.messages) for c in plain.calls]
    assert [c.tools for c in same.calls] == [c.tools for c in plain.calls]
    for before, call in zip(plain.calls, changed.calls, strict=True):
        expected = dumped(before.messages)
        assert expected[0]["content"] == SENT
        expected[0]["content"] = EDITED
        assert dumped(call.messages) == expected
    assert {p[0].text for p in seen.prompts} == {EDITED}
    extra = 1 if "fallbacks" in way else 0  # the model that is down was asked, too
    calls = len(plain.calls) + len(changed.calls) + 2 * extra
    assert (found.matched, found.missed) == (calls, {})


async def test_a_call_without_edits_gets_the_callers_own_input() -> None:
    got: list[Any] = []

    class Watched(ScriptedModel):
        def _convert_input(self, model_input: Any) -> Any:
            got.append(model_input)
            return super()._convert_input(model_input)

    value = TEMPLATE.invoke(ASKED)
    tuples = [("system", SENT), ("human", "why?")]
    inputs: list[Any] = [MESSAGES, value, tuples, "just text"]
    m = Watched(replies={"": "ok"})

    def node(state: State) -> State:
        for given in inputs:
            m.invoke(given)
        return {}

    builder = StateGraph(State).add_node("solver", node).add_edge(START, "solver")
    with intercepting(PROMPTS) as found, published(PROMPTS.book) as version:
        builder.compile().invoke({}, run_config(PROMPTS, version))

    assert all(any(given is g for g in got) for given in inputs)
    assert not [g for g in got if not any(g is given for given in inputs)]
    assert (found.matched, found.missed) == (3, {"solver": 1})


async def ask(prompts: Prompts, book: RuleBook, given: Any) -> tuple[tuple[BaseMessage, ...], Any]:
    """What reaches the model when node `solver` sends `given`, and the interception."""
    m = ScriptedModel(replies={"": "ok"})

    async def solver(state: State) -> State:
        await m.ainvoke(given)
        return {}

    built = StateGraph(State).add_node("solver", solver).add_edge(START, "solver").compile()
    with intercepting(prompts) as found, published(book) as version:
        await built.ainvoke({}, run_config(prompts, version))
    return m.calls[0].messages, found


async def test_only_the_text_of_a_block_changes() -> None:
    image = {"type": "image_url", "image_url": {"url": "http://x/y.png"}}
    blocks: list[Any] = [
        {"type": "text", "text": "Not a slot."},
        image,
        {"type": "text", "text": SENT, "cache_control": {"type": "ephemeral"}},
        "plain",
    ]
    given = [SystemMessage(blocks, id="s1"), HumanMessage("why?")]
    (system, human), found = await ask(PROMPTS, edit(PROMPTS, "short", "kind"), given)

    assert system.content == [
        blocks[0],
        image,
        {"type": "text", "text": EDITED, "cache_control": {"type": "ephemeral"}},
        "plain",
    ]
    assert (system.id, human, found.matched) == ("s1", given[1], 1)
    assert given[0].content[2]["text"] == SENT  # type: ignore[index]


@pytest.mark.parametrize(
    ("old", "new", "texts"),
    [
        ("short", "kind", ["You are a {bot}.\n\n- Be kind.", '\n- Write {"json": 1}.\n']),
        ("You are", "Be", ["Be a {bot}.\n\n- Be short.", '\n- Write {"json": 1}.\n']),
        ("json", "yaml", ["You are a {bot}.\n\n- Be short.", '\n- Write {"yaml": 1}.\n']),
        ("short.\n- Write", "calm.\n- Say", ["You are a {bot}.\n\n- Be calm.\n- Say", ' {"json": 1}.\n']),
        (TEXT, "", ["", ""]),
    ],
)
async def test_a_prompt_in_several_blocks_keeps_them(old: str, new: str, texts: list[str]) -> None:
    cut = SENT.index("\n- Write")
    parts = [SENT[:cut], SENT[cut:]]
    blocks: list[Any] = [{"type": "text", "text": t, "cache_control": {"n": n}} for n, t in enumerate(parts)]
    (system,), found = await ask(PROMPTS, edit(PROMPTS, old, new), [SystemMessage(blocks)])
    (same,), _ = await ask(PROMPTS, PROMPTS.book, [SystemMessage(blocks)])

    assert [b["text"] for b in system.content if isinstance(b, dict)] == texts
    assert [b["cache_control"] for b in system.content if isinstance(b, dict)] == [{"n": 0}, {"n": 1}]
    assert same.content == blocks
    assert found.matched == 1


async def test_an_emptied_prompt_is_sent_empty() -> None:
    book = PROMPTS.book.with_agent(parse("solver", ""))
    (system, _), _ = await ask(PROMPTS, book, MESSAGES)

    assert (system.type, system.content, system.id) == ("system", "", "s1")


async def test_instructions_in_the_first_or_the_last_human_message() -> None:
    prompts = Prompts((Slot("solver", "Solve {q} briefly.", ("q",), message="human"),))
    book = edit(prompts, "briefly", "fully")
    history = [HumanMessage("Solve 1 briefly."), AIMessage("1"), HumanMessage("Solve 2 briefly.")]

    said, _ = await ask(prompts, book, history)
    assert [m.text for m in said] == ["Solve 1 fully.", "1", "Solve 2 briefly."]
    (text,), _ = await ask(prompts, book, "Solve 3 briefly.")
    assert (text.type, text.text) == ("human", "Solve 3 fully.")
    (value,), _ = await ask(
        prompts, book, ChatPromptTemplate.from_template("{a}").invoke({"a": "Solve 4 briefly."})
    )
    assert value.text == "Solve 4 fully."
    talk = [HumanMessage("Hello"), HumanMessage("Solve 4 briefly."), HumanMessage("Solve 5 briefly.")]
    said, found = await ask(prompts, book, talk)
    assert [m.text for m in said] == ["Hello", "Solve 4 briefly.", "Solve 5 fully."]
    assert (found.matched, found.missed) == (1, {})
    said, found = await ask(prompts, book, [*talk, AIMessage("5")])
    assert ([m.text for m in said], found.missed) == ([*(m.text for m in talk), "5"], {"solver": 1})
    (system,), found = await ask(prompts, book, [SystemMessage("Solve 6 briefly.")])
    assert (system.text, found.missed) == ("Solve 6 briefly.", {"solver": 1})


async def test_several_prompts_of_one_node_and_the_closer_text_wins() -> None:
    prompts = Prompts(
        (
            Slot("solver", "You are {x}.", ("x",), agent="any"),
            Slot("solver", "You are {x}. Use tools.", ("x",), agent="tools"),
            Slot("solver", "You are done.", agent="done"),
        )
    )
    book = prompts.book
    for name in ("any", "tools", "done"):
        book = book.with_agent(parse(name, f"{name}: {book.render(name)}"))
    sent = ["You are a. b.", "You are a. Use tools.", "You are done.", "You were."]
    messages = [SystemMessage(text) for text in sent]
    said, found = await ask(prompts, book, messages)

    assert [m.text for m in said] == [
        "any: You are a. b.",
        "tools: You are a. Use tools.",
        "done: You are done.",
        "You were.",
    ]
    assert (found.matched, found.missed) == (1, {})


async def test_a_run_that_names_what_is_not_there_is_told_so() -> None:
    lacking = RuleBook({"other": parse("other", "x")})

    with pytest.raises(UnknownNameError, match="no agent 'solver'"):
        await ask(PROMPTS, lacking, MESSAGES)
    m = graph("ainvoke", model())
    with intercepting(PROMPTS):
        with pytest.raises(BindError, match="'gone', which is not published"):
            await m.ainvoke({}, run_config(PROMPTS, "gone"))
        with pytest.raises(BindError, match="which nobody intercepts"):
            await m.ainvoke({}, {"configurable": {"truce_prompts": "strange"}})
