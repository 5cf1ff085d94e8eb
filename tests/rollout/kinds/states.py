"""What nodes can be and what they see: models and dataclasses as state, context, caches, retries, chains, sync code."""

from __future__ import annotations

import operator
import time
from dataclasses import dataclass, field
from typing import Annotated, Any, TypedDict

from langchain_core.messages import SystemMessage
from langchain_core.output_parsers import StrOutputParser
from langchain_core.prompts import ChatPromptTemplate
from langchain_core.runnables import RunnableConfig, RunnableLambda, RunnablePassthrough
from langgraph.cache.memory import InMemoryCache
from langgraph.channels import UntrackedValue
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.config import get_store, get_stream_writer
from langgraph.errors import NodeError
from langgraph.graph import END, START, StateGraph
from langgraph.managed import RemainingSteps
from langgraph.runtime import Runtime
from langgraph.store.memory import InMemoryStore
from langgraph.types import CachePolicy, Command, RetryPolicy
from pydantic import BaseModel

from tests.rollout.kinds.kind import Kind
from tests.rollout.kinds.shapes import State, _one, note


class Inner(BaseModel):
    """A member of the pydantic state."""

    score: float = 0.0


class Form(BaseModel):
    """A pydantic state."""

    task: str
    notes: Annotated[list[str], operator.add] = []
    inner: Inner = Inner()


@dataclass
class Card:
    """A dataclass state."""

    task: str
    notes: Annotated[list[str], operator.add] = field(default_factory=list)
    score: float = 0.0


@dataclass
class Setting:
    """A context."""

    tone: str = "plain"


class Dial(BaseModel):
    """A context that checks its fields."""

    level: int


def build_pydantic_state(model: Any) -> Any:
    """Nodes get the model; one writes a dict, one a model, one changes a member."""

    async def first(state: Form) -> dict[str, Any]:
        return {"notes": [(await model.ainvoke([SystemMessage(state.task)])).text], "inner": Inner(score=0.5)}

    async def second(state: Form) -> Form:
        return Form(task=state.task + "!", notes=[str(state.inner.score)])

    builder = StateGraph(Form).add_sequence([("first", first), ("second", second)])
    return builder.add_edge(START, "first").compile()


def build_dataclass_state(model: Any) -> Any:
    """Nodes get the dataclass."""

    async def first(state: Card) -> dict[str, Any]:
        return {"notes": [(await model.ainvoke([SystemMessage(state.task)])).text]}

    def second(state: Card) -> Card:
        return Card(state.task, [f"{len(state.notes)} notes"], 1.0)

    builder = StateGraph(Card).add_sequence([("first", first), ("second", second)])
    return builder.add_edge(START, "first").compile()


def build_context(model: Any) -> Any:
    """A node, and one of a subgraph, read the run's context."""

    async def inside(state: State, runtime: Runtime[Setting]) -> Any:
        return await note(model, f"inside {runtime.context.tone}")(state)

    async def outside(state: State, runtime: Runtime[Setting]) -> Any:
        return await note(model, f"outside {runtime.context.tone}")(state)

    team = StateGraph(State, context_schema=Setting).add_node("inside", inside).add_edge(START, "inside")
    builder = StateGraph(State, context_schema=Setting).add_node("outside", outside)
    builder.add_node("team", team.compile()).add_edge(START, "outside").add_edge("outside", "team")
    return builder.compile()


def build_pydantic_context(model: Any) -> Any:
    """The context is a dict that LangGraph makes a model of."""

    async def node(state: State, runtime: Runtime[Dial]) -> Any:
        return await note(model, f"level {runtime.context.level + 1}")(state)

    return StateGraph(State, context_schema=Dial).add_node("node", node).add_edge(START, "node").compile()


def build_cached(model: Any) -> Any:
    """A node whose writes come out of a cache in the second visit."""

    def turn(state: State) -> dict[str, Any]:
        return {"round": state.get("round", 0) + 1}

    policy = CachePolicy(key_func=lambda *_: "same")
    builder = (
        StateGraph(State).add_node("node", note(model, "node"), cache_policy=policy).add_node("turn", turn)
    )
    builder.add_edge(START, "node").add_edge("node", "turn")
    builder.add_conditional_edges("turn", lambda s: "node" if s["round"] < 2 else END)
    return builder.compile(cache=InMemoryCache())


def build_retried(model: Any) -> Any:
    """A node that fails once after its call, and is tried again."""

    async def flaky(state: State, runtime: Runtime[Any]) -> dict[str, Any]:
        written = await note(model, "flaky")(state)
        assert runtime.execution_info is not None
        if runtime.execution_info.node_attempt == 1:
            raise ConnectionError("lost")
        return dict(written)

    policy = RetryPolicy(initial_interval=0.001, max_attempts=2)
    return StateGraph(State).add_node("flaky", flaky, retry_policy=policy).add_edge(START, "flaky").compile()


def build_error_handler(model: Any) -> Any:
    """A node whose error another function turns into a write and a hand-off."""

    async def bad(state: State) -> dict[str, Any]:
        await note(model, "bad")(state)
        raise ValueError("no luck")

    async def rescue(state: State, error: NodeError) -> Command[str]:
        said = await note(model, "rescue")(state)
        return Command(goto="after", update={"notes": [*said["notes"], type(error.error).__name__]})

    builder = StateGraph(State).add_node("bad", bad, error_handler=rescue, destinations=("after",))
    return builder.add_node("after", note(model, "after")).add_edge(START, "bad").compile()


def build_chains(model: Any) -> Any:
    """Chains and lambdas as nodes."""
    prompt = ChatPromptTemplate.from_messages([("system", "You sum up {task}"), ("user", "{task}")])
    chain = prompt | model | StrOutputParser() | (lambda text: {"notes": [text]})
    shout: Any = RunnableLambda(lambda state: {"notes": [state["notes"][-1].upper()]})
    beside = RunnablePassthrough.assign(task=lambda s: s["task"] + "?") | (lambda s: {"task": s["task"]})
    builder: Any = StateGraph(State).add_sequence([("chain", chain), ("shout", shout), ("beside", beside)])
    return builder.add_edge(START, "chain").compile()


def build_sync(model: Any) -> Any:
    """Sync nodes that block, side by side."""

    def slow(name: str) -> Any:
        def node(state: State, config: RunnableConfig) -> dict[str, Any]:
            time.sleep(0.01)
            return {"notes": [model.invoke([SystemMessage(name + state["task"])], config).text]}

        return node

    builder = StateGraph(State).add_node("a", slow("a")).add_node("b", slow("b")).add_node("c", slow("c"))
    return builder.add_edge(START, "a").add_edge(START, "b").add_edge("a", "c").add_edge("b", "c").compile()


def build_own_saver(model: Any) -> Any:
    """Compiled with a saver of its own."""
    builder = StateGraph(State).add_node("node", note(model, "node")).add_edge(START, "node")
    return builder.compile(checkpointer=InMemorySaver())


def build_own_store(model: Any) -> Any:
    """Compiled with a store of its own, read by one node and written by the next."""

    async def reads(state: State) -> Any:
        found = await get_store().aget(("facts",), "one")
        return await note(model, f"knows {found.value if found else None}")(state)

    async def writes(state: State) -> dict[str, Any]:
        get_stream_writer()("saved")
        await get_store().aput(("facts",), "two", {"notes": len(state["notes"])})
        return {}

    store = InMemoryStore()
    store.put(("facts",), "one", {"a": 1})
    builder = StateGraph(State).add_sequence([("reads", reads), ("writes", writes)]).add_edge(START, "reads")
    return builder.compile(store=store)


class Odd(State, total=False):
    """A state with channels that are no plain values."""

    handle: Annotated[Any, UntrackedValue]
    left: RemainingSteps


class Private(TypedDict, total=False):
    draft: str


def build_odd_channels(model: Any) -> Any:
    """An untracked value, a managed one, and a private channel between two nodes."""

    async def first(state: Odd) -> Private:
        return {"draft": (await model.ainvoke([SystemMessage(f"has {state['left'] > 0}")])).text}

    async def second(state: Private) -> dict[str, Any]:
        return {"notes": [state["draft"]]}

    builder: Any = StateGraph(Odd).add_sequence([("first", first), ("second", second)])
    return builder.add_edge(START, "first").compile()


STATES = (
    Kind(build_pydantic_state, lambda: Form(task="why?"), "first#1.0@1 second#1.0@1", 1),
    Kind(build_dataclass_state, lambda: Card("why?"), "first#1.0@1 second#1.0@1", 1),
    Kind(build_context, _one, "outside#1.0@1 team#1.0@1 team/inside#1.0@1", 2, context=Setting("warm")),
    Kind(build_pydantic_context, _one, "node#1.0@1", 1, context={"level": "2"}),
    Kind(build_cached, _one, "node#1.0@1 turn#1.0@1 node#2.0@2 turn#2.0@2", 1, silent=True),
    Kind(build_retried, _one, "flaky#1.0@1", 2),
    Kind(
        build_error_handler,
        _one,
        "bad#1.0@1 bad/__error_handler__bad#1.0@1 after#1.0@1",
        3,
        failed=("bad#1.0",),
    ),
    Kind(build_chains, _one, "chain#1.0@1 shout#1.0@1 beside#1.0@1", 1),
    Kind(build_sync, _one, "a#1.0@1 b#1.0@1 c#1.0@1", 3),
    Kind(build_own_saver, _one, "node#1.0@1", 1),
    Kind(build_own_store, _one, "reads#1.0@1 writes#1.0@1", 1),
    Kind(build_odd_channels, _one, "first#1.0@1 second#1.0@1", 1),
)
