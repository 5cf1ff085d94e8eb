"""State graphs: loops, fan-outs, hand-offs, joins and nesting."""

from __future__ import annotations

import operator
from typing import Annotated, Any, TypedDict

from langchain_core.messages import HumanMessage, SystemMessage
from langgraph.graph import END, START, MessagesState, StateGraph
from langgraph.types import Command, Send

from tests.rollout.kinds.kind import Kind


class State(TypedDict, total=False):
    task: str
    items: list[str]
    notes: Annotated[list[str], operator.add]
    round: int


class Result(TypedDict, total=False):
    """What a subgraph gives back."""

    notes: Annotated[list[str], operator.add]


def note(model: Any, name: str) -> Any:
    """A node that asks the model and adds a note."""

    async def node(state: State) -> dict[str, Any]:
        said = [HumanMessage(text) for text in [state.get("task", ""), *state.get("notes", [])]]
        reply = await model.ainvoke([SystemMessage(name), *said])
        return {"notes": [reply.text]}

    return node


def build_loop(model: Any) -> Any:
    """Two agents, a judge that closes the round, twice."""

    async def judge(state: State) -> dict[str, Any]:
        return {**await note(model, "judge")(state), "round": state.get("round", 0) + 1}

    builder = StateGraph(State).add_node("solver", note(model, "solver"))
    builder.add_node("critic", note(model, "critic")).add_node("judge", judge)
    for name in ("solver", "critic"):
        builder.add_edge(START, name).add_edge(name, "judge")
    builder.add_conditional_edges("judge", lambda s: ["solver", "critic"] if s["round"] < 2 else END)
    return builder.compile()


def build_list_edge(model: Any) -> Any:
    """The same with the list form of `add_edge`, and branches of two lengths."""
    builder = StateGraph(State)
    for name in ("short", "long", "longer", "join"):
        builder.add_node(name, note(model, name))
    builder.add_edge(START, "short").add_edge(START, "long").add_edge("long", "longer")
    builder.add_edge(["short", "longer"], "join")
    return builder.compile()


def build_deferred(model: Any) -> Any:
    """A join by `defer=True`."""
    builder = StateGraph(State)
    for name in ("short", "long", "longer"):
        builder.add_node(name, note(model, name))
    builder.add_node("join", note(model, "join"), defer=True)
    builder.add_edge(START, "short").add_edge(START, "long").add_edge("long", "longer")
    builder.add_edge("short", "join").add_edge("longer", "join")
    return builder.compile()


def build_messages(model: Any) -> Any:
    """`MessagesState`, two agents in a row."""

    def says(name: str) -> Any:
        async def node(state: MessagesState) -> dict[str, Any]:
            return {"messages": await model.ainvoke([SystemMessage(name), *state["messages"]])}

        return node

    builder = StateGraph(MessagesState).add_sequence([("writer", says("writer")), ("editor", says("editor"))])
    return builder.add_edge(START, "writer").compile()


def build_send(model: Any) -> Any:
    """Map-reduce with `Send`."""
    builder = (
        StateGraph(State).add_node("worker", note(model, "worker")).add_node("join", note(model, "join"))
    )
    fan = lambda s: [Send("worker", {"task": item}) for item in s["items"]]  # noqa: E731
    builder.add_conditional_edges(START, fan, ["worker"]).add_edge("worker", "join")
    return builder.compile()


def build_command(model: Any) -> Any:
    """A boss that hands work on with `Command`, and gets it back."""

    async def boss(state: State) -> Command[Any]:
        update = await note(model, "boss")(state)
        return Command(goto="helper" if len(state["notes"]) < 3 else END, update=update)

    async def helper(state: State) -> Command[Any]:
        return Command(goto="boss", update=await note(model, "helper")(state))

    builder = StateGraph(State).add_node("boss", boss, destinations=("helper", END))
    builder.add_node("helper", helper, destinations=("boss",))
    return builder.add_edge(START, "boss").compile()


def build_parent_command(model: Any) -> Any:
    """A subgraph that hands on to a node of its parent."""

    async def inside(state: State) -> Command[str]:
        return Command(goto="other", graph=Command.PARENT, update=await note(model, "inside")(state))

    team: Any = StateGraph(State).add_node("inside", inside).add_edge(START, "inside").compile()
    builder = StateGraph(State).add_node("team", team, destinations=("other",))
    return builder.add_node("other", note(model, "other")).add_edge(START, "team").compile()


def build_nested(model: Any) -> Any:
    """Three levels, the innermost twice."""

    def wrap(name: str, node: Any) -> Any:
        builder = StateGraph(State, output_schema=Result).add_node(name, node)
        builder.add_node("after", note(model, f"after {name}"))
        return builder.add_edge(START, name).add_edge(name, "after").compile()

    inner = wrap("leaf", note(model, "leaf"))
    builder = StateGraph(State).add_node("left", wrap("deep", inner)).add_node("right", inner)
    return builder.add_edge(START, "left").add_edge(START, "right").compile()


def build_sent_subgraphs(model: Any) -> Any:
    """A fan-out of subgraphs that each loop."""

    async def solve(state: State) -> dict[str, Any]:
        return {**await note(model, "solve")(state), "round": state.get("round", 0) + 1}

    inner = StateGraph(State).add_node("solve", solve).add_edge(START, "solve")
    inner.add_conditional_edges("solve", lambda s: "solve" if s["round"] < 2 else END)

    team = StateGraph(State, output_schema=Result).add_node("inner", inner.compile()).add_edge(START, "inner")
    builder = StateGraph(State).add_node("team", team.compile()).add_node("join", note(model, "join"))
    fan = lambda s: [Send("team", {"task": item, "notes": []}) for item in s["items"]]  # noqa: E731
    return builder.add_conditional_edges(START, fan, ["team"]).add_edge("team", "join").compile()


def _team(model: Any, checkpointer: bool | None) -> Any:
    inner = StateGraph(State).add_node("leaf", note(model, "leaf")).add_edge(START, "leaf")
    return inner.compile(checkpointer=checkpointer)


def build_called_in_function(model: Any) -> Any:
    """A subgraph that a node calls, twice."""
    team = _team(model, None)

    async def caller(state: State) -> dict[str, Any]:
        first = await team.ainvoke({"task": state["task"]})
        second = await team.ainvoke({"task": first["notes"][0]})
        return {"notes": second["notes"]}

    return StateGraph(State).add_node("caller", caller).add_edge(START, "caller").compile()


def _looped(team: Any) -> Any:
    def count(state: State) -> dict[str, Any]:
        return {"round": state.get("round", 0) + 1}

    builder = StateGraph(State).add_node("team", team).add_node("count", count)
    builder.add_edge(START, "team").add_edge("team", "count")
    return builder.add_conditional_edges("count", lambda s: "team" if s["round"] < 2 else END).compile()


def build_stateful_subgraph(model: Any) -> Any:
    """A subgraph that keeps its state between visits."""
    return _looped(_team(model, checkpointer=True))


def build_stateless_subgraph(model: Any) -> Any:
    """A subgraph that keeps nothing, not even checkpoints."""
    return _looped(_team(model, checkpointer=False))


def _one() -> Any:
    return {"task": "why?", "notes": []}


def _three() -> Any:
    return {"task": "all", "items": ["c", "a", "b"], "notes": []}


SHAPES = (
    Kind(
        build_loop,
        _one,
        "critic#1.0@1 solver#1.0@1 judge#1.0@1 critic#2.0@2 solver#2.0@2 judge#2.0@2",
        6,
        aggregator="judge",
    ),
    Kind(build_list_edge, _one, "long#1.0@1 short#1.0@1 longer#1.0@1 join#1.0@1", 4),
    Kind(build_deferred, _one, "long#1.0@1 short#1.0@1 longer#1.0@1 join#1.0@1", 4),
    Kind(build_messages, lambda: {"messages": [HumanMessage("hi")]}, "writer#1.0@1 editor#1.0@1", 2),
    Kind(build_send, _three, "worker#1.0@1 worker#1.1@1 worker#1.2@1 join#1.0@1", 4),
    Kind(
        build_command,
        _one,
        "boss#1.0@1 helper#1.0@1 boss#2.0@2 helper#2.0@2 boss#3.0@3",
        5,
    ),
    Kind(build_parent_command, _one, "team#1.0@1 team/inside#1.0@1 other#1.0@1", 2, silent=True),
    Kind(
        build_nested,
        _one,
        "left#1.0@1 left/deep#1.0@1 left/deep/leaf#1.0@1 left/deep/after#1.0@1 left/after#1.0@1"
        " right#1.0@1 right/leaf#1.0@1 right/after#1.0@1",
        5,
    ),
    Kind(
        build_sent_subgraphs,
        _three,
        " ".join(
            f"team#1.{n}@1 team/inner#1.{n}@1 team/inner/solve#1.{n}@1 team/inner/solve#2.{n}@1"
            for n in range(3)
        )
        + " join#1.0@1",
        7,
    ),
    Kind(build_called_in_function, _one, "caller#1.0@1 caller/leaf#1.0@1 caller/leaf#2.0@1", 2),
    Kind(
        build_stateful_subgraph,
        _one,
        "team#1.0@1 team/leaf#1.0@1 count#1.0@1 team#2.0@2 team/leaf#2.0@2 count#2.0@2",
        2,
        resumes=True,
    ),
    Kind(
        build_stateless_subgraph,
        _one,
        "team#1.0@1 team/leaf#1.0@1 count#1.0@1 team#2.0@2 team/leaf#2.0@2 count#2.0@2",
        2,
    ),
)
