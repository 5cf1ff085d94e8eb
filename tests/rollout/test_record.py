"""Recording: every LangGraph shape comes out as the steps that ran, joined with their model calls."""

from __future__ import annotations

import operator
from typing import Annotated, Any, TypedDict

import pytest
from langchain_core.messages import SystemMessage
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.func import entrypoint, task
from langgraph.graph import END, START, StateGraph
from langgraph.types import Command, Send

from langgraph_truce.rollout.record import record


class Work(TypedDict, total=False):
    items: list[str]
    item: str
    done: Annotated[list[str], operator.add]


@pytest.mark.parametrize("join", [False, True])
@pytest.mark.parametrize("sync", [False, True])
@pytest.mark.parametrize("saver", [None, InMemorySaver])
async def test_fan_out_and_loop(kit: Any, *, join: bool, sync: bool, saver: Any) -> None:
    done = await record(
        kit.debate(join=join, sync=sync),
        kit.question,
        rollout="r",
        saver=saver and saver(),
        aggregator="judge",
    )
    assert done.error is None
    assert done.unjoined == 0
    assert len(done.state["messages"]) == 6
    assert kit.ids(done.trajectory) == [
        "critic#1.0",
        "solver#1.0",
        "judge#1.0",
        "critic#2.0",
        "solver#2.0",
        "judge#2.0",
    ]
    assert [s.round for s in done.trajectory.steps] == [1, 1, 1, 2, 2, 2]
    assert [s.superstep for s in done.trajectory.steps] == [1, 1, 2, 3, 3, 4]
    assert all(s.latency is not None and s.latency > 0 for s in done.trajectory.steps)


async def test_a_step_holds_prompt_output_usage_input_and_writes(kit: Any) -> None:
    done = await record(kit.debate(), kit.question, rollout="r", aggregator="judge")
    (call,) = kit.of(done, "critic#2.0").calls
    value = done.trajectory.value
    assert value(call.prompt) == [
        {"role": "system", "content": "critic"},
        {"role": "user", "content": "why?"},
        {"role": "assistant", "content": "critic sees 2", "name": "critic"},
        {"role": "assistant", "content": "solver sees 2", "name": "solver"},
        {"role": "assistant", "content": "judge sees 4", "name": "judge"},
    ]
    assert call.output is not None
    assert value(call.output) == {"role": "assistant", "content": "critic sees 5"}
    assert (call.usage.input_tokens, call.usage.output_tokens) == (5, 3)
    assert call.latency is not None
    assert call.latency > 0
    assert call.error == ""
    assert call.model == "scripted"
    assert kit.wrote(done, "critic#2.0") == {
        "messages": [{"role": "assistant", "content": "critic sees 5", "name": "critic"}]
    }
    given = kit.seen(done, "critic#2.0")
    assert given["question"] == "why?"
    assert given["round"] == 1
    assert len(given["messages"]) == 3


async def test_rounds_without_aggregator_begin_when_a_role_runs_again(kit: Any) -> None:
    done = await record(kit.debate(rounds=3), kit.question, rollout="r")
    assert [s.round for s in done.trajectory.steps] == [1, 1, 1, 2, 2, 2, 3, 3, 3]


async def test_send_gives_one_step_each_with_its_own_input(kit: Any) -> None:
    async def worker(state: Work) -> dict[str, Any]:
        reply = await kit.model.ainvoke([SystemMessage(state["item"])])
        return {"done": [str(reply.content)]}

    builder = StateGraph(Work)
    builder.add_node("worker", worker)
    builder.add_node("join", lambda s: {"item": ",".join(s["done"])})
    builder.add_conditional_edges(
        START, lambda s: [Send("worker", {"item": x}) for x in s["items"]], ["worker"]
    )
    builder.add_edge("worker", "join")
    done = await record(builder.compile(), {"items": ["c", "a", "b"]}, rollout="r")
    assert kit.ids(done.trajectory) == ["worker#1.0", "worker#1.1", "worker#1.2", "join#1.0"]
    assert [kit.seen(done, f"worker#1.{n}") for n in range(3)] == [
        {"item": "c"},
        {"item": "a"},
        {"item": "b"},
    ]
    assert kit.wrote(done, "worker#1.1") == {"done": ["a sees 1"]}
    assert done.trajectory.value(kit.of(done, "worker#1.2").calls[0].prompt) == [
        {"role": "system", "content": "b"}
    ]


@pytest.mark.parametrize(
    ("checkpointer", "saver"),
    [(None, None), (None, InMemorySaver), (False, None), ("own", None), ("own", InMemorySaver)],
)
async def test_a_subgraph_called_in_a_function_twice_beside_a_fan_out(
    kit: Any, checkpointer: Any, saver: Any
) -> None:
    inner = kit.debate(rounds=1)
    if checkpointer is not None:
        inner = inner.copy({"checkpointer": InMemorySaver() if checkpointer == "own" else checkpointer})

    async def team(state: Work) -> dict[str, Any]:
        texts = []
        for question in ("first", "second"):
            state_after = await inner.ainvoke({"question": f"{state['item']} {question}", "messages": []})
            texts.append(state_after["messages"][-1].content)
        return {"done": texts}

    builder = StateGraph(Work)
    builder.add_node("team", team)
    builder.add_conditional_edges(START, lambda s: [Send("team", {"item": x}) for x in s["items"]], ["team"])
    done = await record(builder.compile(), {"items": ["p", "q"]}, rollout="r", saver=saver and saver())
    assert done.error is None
    steps = done.trajectory.steps
    assert [s.role for s in steps].count("team/judge") == 4
    assert kit.of(done, "team/judge#1.1").superstep == 2
    if checkpointer is not False:  # without any saver LangGraph does not tell the two calls apart
        one = ["team/critic#{}", "team/solver#{}", "team/judge#{}"]
        first, second = ([name.format(v) for v in (1, 2) for name in one] for _ in range(2))
        expected = ["team#1.0", *(f"{n}.0" for n in first), "team#1.1", *(f"{n}.1" for n in second)]
        assert kit.ids(done.trajectory) == expected
        prompt = done.trajectory.value(kit.of(done, "team/critic#2.1").calls[0].prompt)
        assert prompt[1]["content"] == "q second"
    assert len({s.id for s in steps}) == len(steps) == 14
    assert all(s.writes for s in steps)
    assert sum(len(s.calls) for s in steps) == 12


@pytest.mark.parametrize("stateful", [None, True])
async def test_a_subgraph_as_a_node_in_a_loop(kit: Any, *, stateful: bool | None) -> None:
    inner = kit.debate(rounds=1)
    builder = StateGraph(kit.Debate)
    builder.add_node("team", inner.copy({"checkpointer": stateful}) if stateful else inner)
    builder.add_node("boss", kit.speaker("boss"))
    builder.add_edge(START, "team")
    builder.add_edge("team", "boss")
    builder.add_conditional_edges("boss", lambda s: "team" if len(s["messages"]) < 6 else END, ["team", END])
    done = await record(builder.compile(), kit.question, rollout="r", aggregator="boss")
    assert done.error is None
    one = ["team", "team/critic", "team/solver", "team/judge", "boss"]
    assert [s.role for s in done.trajectory.steps] == one * 2
    assert [s.round for s in done.trajectory.steps] == [1] * 5 + [2] * 5
    assert [s.visit for s in done.trajectory.steps] == [1] * 5 + [2] * 5


async def test_command_says_where_it_went(kit: Any) -> None:
    def boss(state: Any) -> Command[str]:
        if state.get("round", 0):
            return Command(goto=END)
        return Command(goto=["solver", Send("critic", {**state, "question": "sent"})], update={"round": 1})

    builder = StateGraph(kit.Debate)
    builder.add_node("boss", boss, destinations=("solver", "critic", END))
    builder.add_node("solver", kit.speaker("solver"))
    builder.add_node("critic", kit.speaker("critic"))
    builder.add_edge(START, "boss")
    builder.add_edge("solver", "boss")
    done = await record(builder.compile(), kit.question, rollout="r")
    assert kit.of(done, "boss#1.0").goto == ("solver", "critic")
    assert kit.of(done, "boss#2.0").goto == (END,)
    assert kit.wrote(done, "boss#1.0") == {"round": 1}
    assert kit.seen(done, "critic#1.0")["question"] == "sent"


async def test_a_jump_to_the_parent_graph_is_no_error(kit: Any) -> None:
    inner = StateGraph(kit.Debate)
    inner.add_node("a", lambda s: Command(goto="other", graph=Command.PARENT, update={"round": 5}))
    inner.add_edge(START, "a")
    builder = StateGraph(kit.Debate)
    builder.add_node("team", inner.compile(), destinations=("other",))
    builder.add_node("other", lambda s: {"round": s["round"] + 1})
    builder.add_edge(START, "team")
    done = await record(builder.compile(), kit.question, rollout="r")
    assert done.state["round"] == 6
    assert kit.of(done, "team/a#1.0").goto == ("other",)
    assert not any(s.error for s in done.trajectory.steps)


async def test_deferred_nodes_come_last(kit: Any) -> None:
    builder = StateGraph(Work)
    for name in ("short", "long", "longer"):
        builder.add_node(name, lambda s, name=name: {"done": [name]})
    builder.add_node("end", lambda s: {"item": "".join(s["done"])}, defer=True)
    builder.add_edge(START, "short")
    builder.add_edge(START, "long")
    builder.add_edge("long", "longer")
    builder.add_edge("short", "end")
    builder.add_edge("longer", "end")
    done = await record(builder.compile(), {"items": []}, rollout="r")
    assert kit.ids(done.trajectory) == ["long#1.0", "short#1.0", "longer#1.0", "end#1.0"]
    assert kit.wrote(done, "end#1.0") == {"item": "longshortlonger"}


async def test_cached_nodes_are_steps_too(kit: Any) -> None:
    from langgraph.cache.memory import InMemoryCache
    from langgraph.types import CachePolicy

    builder = StateGraph(kit.Debate)
    builder.add_node("n", lambda s: {"round": 3}, cache_policy=CachePolicy())
    builder.add_edge(START, "n")
    graph = builder.compile(cache=InMemoryCache())
    for _ in range(2):
        done = await record(graph, kit.question, rollout="r")
        assert kit.wrote(done, "n#1.0") == {"round": 3}
        assert kit.seen(done, "n#1.0")["question"] == "why?"


async def test_functional_api(kit: Any) -> None:
    @task
    async def ask(question: str) -> str:
        return str((await kit.model.ainvoke(question)).content)

    @entrypoint()
    async def flow(question: str) -> str:
        first = await ask(question)
        return await ask(first)

    done = await record(flow, "hm", rollout="r")
    assert done.state == "hm sees 1 sees 1"
    assert [s.role for s in done.trajectory.steps] == ["flow", "flow/ask", "flow/ask"]
    assert [len(s.calls) for s in done.trajectory.steps] == [0, 1, 1]
    assert done.trajectory.value(done.trajectory.steps[1].writes["__return__"]) == "hm sees 1"
