"""What belongs to the user's graph stays the user's: savers, stores, caches; what it demands is given: context."""

from __future__ import annotations

from typing import Any

from langgraph.cache.memory import InMemoryCache
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.config import get_store
from langgraph.func import entrypoint
from langgraph.graph import START, StateGraph
from langgraph.runtime import Runtime
from langgraph.store.memory import InMemoryStore
from langgraph.types import CachePolicy

from langgraph_truce.rollout.interrupts import RunOptions
from langgraph_truce.rollout.record import record
from tests.rollout.kinds.kind import talker
from tests.rollout.kinds.shapes import State, build_list_edge
from tests.rollout.kinds.states import Dial, build_own_store, build_pydantic_context


async def test_the_threads_of_the_graphs_own_saver_are_not_touched() -> None:
    own = InMemorySaver()

    @entrypoint(checkpointer=own)
    async def flow(text: str, *, previous: Any = None) -> str:
        return f"{previous}, then {text}"

    thread: Any = {"configurable": {"thread_id": "r"}}
    await flow.ainvoke("a", thread)
    compiled = flow.checkpointer
    before = [saved.checkpoint["id"] for saved in own.list(None)]
    done = await record(flow, "b", rollout="r", config=thread)
    assert done.state == "None, then b"  # a fresh thread
    assert [saved.checkpoint["id"] for saved in own.list(None)] == before
    assert flow.checkpointer is compiled


async def test_rollouts_read_the_graphs_store_and_write_a_copy() -> None:
    graph = build_own_store(talker())
    for _ in range(2):
        done = await record(graph, {"task": "why?"}, rollout="r")
        assert done.state["notes"] == ["knows {'a': 1} sees 2"]
    assert graph.store.get(("facts",), "two") is None


async def test_a_store_that_is_given_is_used_as_it_is() -> None:
    store = InMemoryStore()
    await record(build_own_store(talker()), {"task": "why?"}, rollout="r", store=store)
    found = store.get(("facts",), "two")
    assert found is not None
    assert found.value == {"notes": 1}


async def test_a_graph_without_store_has_none() -> None:
    async def node(state: State) -> Any:
        return {"task": repr(get_store())}

    graph = StateGraph(State).add_node("n", node).add_edge(START, "n").compile()
    done = await record(graph, {"task": ""}, rollout="r")
    assert done.state["task"] == "None"


async def test_a_node_cache_does_not_carry_replies_from_one_rollout_to_the_next() -> None:
    ran: list[str] = []

    def node(state: State) -> Any:
        ran.append(state["task"])
        return {"notes": ["x"]}

    builder = StateGraph(State).add_node("n", node, cache_policy=CachePolicy()).add_edge(START, "n")
    graph = builder.compile(cache=InMemoryCache())
    for _ in range(2):
        await record(graph, {"task": "a"}, rollout="r")
    assert len(ran) == 2  # other rules, or another replicate, must not get what the first one said


async def test_a_wrong_context_is_the_rollouts_error() -> None:
    options = RunOptions(context={"level": "high"})
    done = await record(build_pydantic_context(talker()), {"task": "why?"}, rollout="r", options=options)
    assert type(done.error).__name__ == "ValidationError"
    assert done.trajectory.steps == ()


async def test_a_context_is_given_to_every_rollout_anew() -> None:
    async def node(state: State, runtime: Runtime[Dial]) -> Any:
        return {"round": runtime.context.level}

    graph = StateGraph(State, context_schema=Dial).add_node("n", node).add_edge(START, "n").compile()
    for level in (1, 2):
        done = await record(graph, {"task": ""}, rollout="r", options=RunOptions(context=Dial(level=level)))
        assert done.state["round"] == level


async def test_kept_checkpoints_of_a_list_edge_name_no_task_that_never_ran() -> None:
    saver = InMemorySaver()
    graph = build_list_edge(talker())
    await record(graph, {"task": "why?"}, rollout="r", saver=saver)
    kept = graph.copy({"checkpointer": saver})
    thread: Any = {"configurable": {"thread_id": "r"}}
    nexts = [set(s.next) async for s in kept.aget_state_history(thread)]
    assert nexts[::-1] == [{"__start__"}, {"short", "long"}, {"longer"}, {"join"}, set()]
