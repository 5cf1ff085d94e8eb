"""The journal tells calls apart by where they were made, and finds each of them again."""

from __future__ import annotations

import asyncio
import operator
import threading
from typing import Annotated, Any, TypedDict

import pytest
from langchain_core.caches import InMemoryCache
from langchain_core.globals import get_llm_cache, set_llm_cache
from langchain_core.language_models.chat_models import BaseChatModel
from langchain_core.messages import AnyMessage, HumanMessage
from langchain_core.runnables import RunnableConfig
from langgraph.graph import END, START, StateGraph
from langgraph.graph.message import add_messages
from langgraph.store.memory import InMemoryStore
from langgraph.types import Send

from langgraph_truce.model import Journal, JournalCallback
from langgraph_truce.testing import ScriptedModel


def counting() -> ScriptedModel:
    """Every call gets another answer: a sample that is shared shows."""
    lock = threading.Lock()
    n = 0

    def reply(_: Any) -> str:
        nonlocal n
        with lock:
            n += 1
            return f"sample {n}"

    return ScriptedModel(replies=reply)


def config(journal: Journal, *scope: str, purpose: str = "task") -> RunnableConfig:
    return {"callbacks": [JournalCallback(journal, scope, purpose)]}


class State(TypedDict, total=False):
    notes: Annotated[list[str], operator.add]
    item: str


def debate(model: BaseChatModel, *, sync: bool = False) -> Any:
    """Three debaters with equal prompts, two rounds, an aggregator."""

    def say(state: State) -> State:
        return {"notes": [model.invoke("the same question").text]}

    async def asay(state: State) -> State:
        return {"notes": [(await model.ainvoke("the same question")).text]}

    graph = StateGraph(State)
    for name in ("ann", "bob", "cid"):
        graph.add_node(name, say if sync else asay)
        graph.add_edge(name, "judge")

    def fan(state: State) -> Any:
        return ["ann", "bob", "cid"] if len(state.get("notes", ())) < 6 else END

    graph.add_node("judge", lambda _: {})
    graph.add_conditional_edges(START, fan, ["ann", "bob", "cid", END])
    graph.add_conditional_edges("judge", fan, ["ann", "bob", "cid", END])
    return graph.compile()


@pytest.mark.parametrize("sync", [True, False])
async def test_equal_prompts_of_debaters_rounds_and_replicates_are_distinct(where: str, sync: bool) -> None:
    model = counting()
    graph = debate(model, sync=sync)
    with Journal.open(where) as journal, journal.installed():
        first = await graph.ainvoke({"notes": []}, config(journal, "sys", "t1", "0"))
        other = await graph.ainvoke({"notes": []}, config(journal, "sys", "t1", "1"))
        again = await graph.ainvoke({"notes": []}, config(journal, "sys", "t1", "0"))
    assert len(set(first["notes"])) == len(set(other["notes"])) == 6
    assert not set(first["notes"]) & set(other["notes"])
    assert again == first
    assert len(model.calls) == 12
    with Journal.open(where) as journal, journal.installed():
        assert len(journal) == 12
        assert journal.meter.tally("task").calls == 12
        resumed = await graph.ainvoke({"notes": []}, config(journal, "sys", "t1", "0"))
        assert journal.meter.tally("task").hits == 6
    assert resumed == first
    assert len(model.calls) == 12


def test_sync_graph_in_threads(where: str) -> None:
    model = counting()
    graph = debate(model, sync=True)
    with Journal.open(where) as journal, journal.installed():
        first = graph.invoke({"notes": []}, config(journal, "s"))
        assert graph.invoke({"notes": []}, config(journal, "s")) == first
    assert len(set(first["notes"])) == 6
    assert len(model.calls) == 6


async def test_send_branches_and_subgraph_visits_are_distinct(store: InMemoryStore) -> None:
    model = counting()

    async def worker(state: State) -> State:
        return {"notes": [(await model.ainvoke("same")).text]}

    inner = StateGraph(State)
    inner.add_node("worker", worker)
    inner.add_conditional_edges(START, lambda _: [Send("worker", {"item": i}) for i in "ab"], ["worker"])
    outer = StateGraph(State)
    outer.add_node("team", inner.compile())
    outer.add_edge(START, "team")
    outer.add_conditional_edges("team", lambda s: "team" if len(s["notes"]) < 5 else END, ["team", END])
    graph = outer.compile()
    with Journal(store) as journal, journal.installed():
        first = await graph.ainvoke({"notes": []}, config(journal, "s"))
        again = await graph.ainvoke({"notes": []}, config(journal, "s"))
    assert first == again
    assert len(model.calls) == len(set(first["notes"]))
    places = sorted(item.value["place"] for item in store.search(("journal",), limit=99))
    assert places[:2] == ["team#1/worker#1.0", "team#1/worker#1.1"]
    assert places[2].startswith("team#2/")


async def test_a_rollout_inside_another_graphs_node_has_the_same_places(store: InMemoryStore) -> None:
    model = counting()
    inner = debate(model)
    with Journal(store) as journal, journal.installed():
        alone = await inner.ainvoke({"notes": []}, config(journal, "s", "0"))

        async def node(state: State) -> State:
            cfgs = [config(journal, "s", str(n)) for n in (0, 1, 0)]
            runs = await asyncio.gather(*(inner.ainvoke({"notes": []}, c) for c in cfgs))
            asked = await model.with_retry().ainvoke("apart", config(journal, "ask"))
            assert runs[0] == runs[2] == alone
            return {"notes": [asked.text]}

        outer = StateGraph(State)
        outer.add_node("rollouts", node)
        outer.add_edge(START, "rollouts")
        done = await outer.compile().ainvoke({"notes": []})
        apart = await model.ainvoke("apart", config(journal, "ask"))
    assert done["notes"] == [apart.text]
    assert len(model.calls) == 13


async def test_prompts_that_quote_earlier_replies_are_found_again(store: InMemoryStore) -> None:
    model = counting()

    class Chat(TypedDict):
        messages: Annotated[list[AnyMessage], add_messages]

    async def talk(state: Chat) -> Any:
        return {"messages": [await model.ainvoke(state["messages"])]}

    graph = StateGraph(Chat)
    graph.add_node("one", talk)
    graph.add_node("two", talk)
    graph.add_edge(START, "one")
    graph.add_edge("one", "two")
    run = graph.compile()
    with Journal(store) as journal, journal.installed():
        for _ in range(2):
            await run.ainvoke({"messages": [HumanMessage("hi")]}, config(journal, "s"))
    assert len(model.calls) == 2


async def test_occurrences_count_equal_prompts_only(store: InMemoryStore) -> None:
    """Concurrent different calls of one node may come in any order."""
    model = ScriptedModel(replies=lambda m: f"{m[-1].text}!{id(m)}")

    async def node(order: str, cfg: RunnableConfig) -> dict[str, str]:
        replies = await asyncio.gather(*(model.ainvoke(c, cfg) for c in order))
        return {c: r.text for c, r in zip(order, replies, strict=True)}

    with Journal(store) as journal, journal.installed():
        one = await node("abc", config(journal, "s"))
        two = await node("cba", config(journal, "s"))
        assert one == two
        cfg = config(journal, "s")
        same = [await model.ainvoke("a", cfg) for _ in range(2)]
    assert same[0].text == one["a"]
    assert same[1].text != one["a"]
    assert len(model.calls) == 4


async def test_a_stale_place_is_not_used(store: InMemoryStore) -> None:
    model = counting()
    with Journal(store) as journal, journal.installed():
        model.invoke("q", config(journal, "s"))
        model.invoke("q", {"callbacks": []})
        assert len(journal) == 1
    assert len(model.calls) == 2


async def test_journals_do_not_mix_and_leave_no_trace() -> None:
    model = counting()
    mine = InMemoryCache()
    set_llm_cache(mine)
    try:
        with Journal(InMemoryStore()) as a, Journal(InMemoryStore()) as b:
            with a.installed():
                with b.installed():
                    await asyncio.gather(
                        *(model.ainvoke("q", config(j, "s", purpose=p)) for j, p in [(a, "x"), (b, "y")] * 3)
                    )
                outside = await model.ainvoke("outside")
                assert (await model.ainvoke("outside")).text == outside.text
            assert get_llm_cache() is mine
            assert set(a.meter.snapshot()) == {"x", "total"}
            assert set(b.meter.snapshot()) == {"y", "total"}
            assert len(a) == len(b) == 1
        assert len(mine._cache) == 1
    finally:
        set_llm_cache(None)
