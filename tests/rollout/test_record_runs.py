"""Recording around the steps: values, nesting, cancelling, time limits and savers."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Any, TypedDict

import pytest
from langchain_core.callbacks import BaseCallbackHandler
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import START, StateGraph
from pydantic import BaseModel

from langgraph_truce.rollout.interrupts import RunOptions
from langgraph_truce.rollout.record import Recorded, record


class Form(BaseModel):
    name: str = ""
    tags: set[str] = set()


@dataclass
class Point:
    x: float


class Odd:
    def __repr__(self) -> str:
        raise RuntimeError("no repr")


async def test_every_value_becomes_json(kit: Any) -> None:
    class Box(TypedDict, total=False):
        values: Any

    builder = StateGraph(Box)
    builder.add_node(
        "n",
        lambda s: {"values": [Form(name="n", tags={"b", "a"}), Point(float("nan")), object(), Odd(), b"x"]},
    )
    builder.add_edge(START, "n")
    done = await record(builder.compile(), {"values": 1}, rollout="r")
    form, point, thing, odd, raw = kit.wrote(done, "n#1.0")["values"]
    assert form == {"name": "n", "tags": ["a", "b"]}
    assert point == {"x": {"$type": "builtins.float", "repr": "nan"}}
    assert thing == {"$type": "builtins.object", "repr": "<object object>"}
    assert odd["repr"] == "repr failed: RuntimeError"
    assert raw == {"$type": "builtins.bytes", "repr": "b'x'"}


async def test_state_changed_in_place_does_not_change_the_record(kit: Any) -> None:
    def vandal(state: Any) -> dict[str, Any]:
        state["messages"].append("smuggled")
        return {"round": 1}

    builder = StateGraph(kit.Debate)
    builder.add_node("n", vandal)
    builder.add_edge(START, "n")
    done = await record(builder.compile(), kit.question, rollout="r")
    assert kit.seen(done, "n#1.0") == {"question": "why?", "messages": []}


async def test_equal_runs_give_equal_contents(kit: Any) -> None:
    first, second = [await record(kit.debate(), kit.question, rollout="r") for _ in range(2)]
    assert first.trajectory.blobs == second.trajectory.blobs
    assert [s.writes for s in first.trajectory.steps] == [s.writes for s in second.trajectory.steps]


async def test_the_users_graph_and_callbacks_are_left_alone(kit: Any) -> None:
    graph = kit.debate()
    ended: list[str] = []

    class Mine(BaseCallbackHandler):
        def on_llm_end(self, response: Any, **kwargs: Any) -> None:
            ended.append("llm")

    config: Any = {"callbacks": [Mine()], "configurable": {"mine": 1}}
    done = await record(graph, kit.question, rollout="r", config=config)
    assert len(ended) == sum(len(s.calls) for s in done.trajectory.steps) == 6
    assert graph.checkpointer is None
    assert len(config["callbacks"]) == 1
    assert config["configurable"] == {"mine": 1}


async def test_a_rollout_inside_another_graph_is_its_own(kit: Any) -> None:
    results: list[Recorded] = []

    async def outer(state: Any) -> dict[str, Any]:
        results.append(await record(kit.debate(rounds=1), kit.question, rollout="inner"))
        return {}

    builder = StateGraph(kit.Debate)
    builder.add_node("outer", outer)
    builder.add_edge(START, "outer")
    around = await record(builder.compile(), kit.question, rollout="outer")
    assert kit.ids(around.trajectory) == ["outer#1.0"]
    assert kit.ids(results[0].trajectory) == ["critic#1.0", "solver#1.0", "judge#1.0"]
    assert sum(len(s.calls) for s in around.trajectory.steps) == 0


async def test_cancelling_the_caller_cancels_the_rollout(kit: Any) -> None:
    started, ended = asyncio.Event(), asyncio.Event()

    async def endless(state: Any) -> dict[str, Any]:
        started.set()
        try:
            await asyncio.sleep(60)
        finally:
            ended.set()
        return {}

    builder = StateGraph(kit.Debate)
    builder.add_node("n", endless)
    builder.add_edge(START, "n")
    running = asyncio.create_task(record(builder.compile(), kit.question, rollout="r"))
    await started.wait()
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert ended.is_set()


async def test_a_run_that_takes_too_long_keeps_what_it_did(kit: Any) -> None:
    async def endless(state: Any) -> dict[str, Any]:
        await asyncio.sleep(60)
        return {}

    builder = StateGraph(kit.Debate)
    builder.add_node("quick", kit.speaker("quick"))
    builder.add_node("slow", endless)
    builder.add_edge(START, "quick")
    builder.add_edge("quick", "slow")
    done = await record(builder.compile(), kit.question, rollout="r", options=RunOptions(timeout=0.3))
    assert isinstance(done.error, TimeoutError)
    assert kit.ids(done.trajectory) == ["quick#1.0", "slow#1.0"]
    assert kit.of(done, "slow#1.0").error.startswith("CancelledError")


async def test_a_database_that_fails_is_an_error_of_the_rollout(kit: Any) -> None:
    class Full(InMemorySaver):
        async def aput_writes(self, *args: Any, **kwargs: Any) -> None:
            raise OSError("disk full")

    done = await record(kit.debate(), kit.question, rollout="r", saver=Full())
    assert isinstance(done.error, OSError)


async def test_checkpoints_are_all_written_when_record_returns(kit: Any) -> None:
    class Slow(InMemorySaver):
        async def aput(self, *args: Any, **kwargs: Any) -> Any:
            await asyncio.sleep(0.02)
            return await super().aput(*args, **kwargs)

    saver = Slow()
    done = await record(kit.debate(join=True), kit.question, rollout="r", saver=saver)
    state = (
        await kit.debate(join=True)
        .copy({"checkpointer": saver})
        .aget_state({"configurable": {"thread_id": "r"}})
    )
    assert state.next == ()
    assert len(state.values["messages"]) == len(done.state["messages"])
