"""Graphs that wait for a person."""

from __future__ import annotations

from typing import Any

from langgraph.func import entrypoint, task
from langgraph.graph import START, StateGraph
from langgraph.types import interrupt

from tests.rollout.kinds.kind import Kind
from tests.rollout.kinds.shapes import State, _one, note


def _asks(model: Any, name: str) -> Any:
    async def node(state: State) -> dict[str, Any]:
        before = await note(model, f"{name} drafts")(state)
        said = interrupt({"draft": before["notes"][0]})
        after = await note(model, f"{name} hears {said}")(state)
        return {"notes": before["notes"] + after["notes"]}

    return node


def build_question(model: Any) -> Any:
    """A node asks the model, then a person, then the model."""
    builder = StateGraph(State).add_sequence([("asks", _asks(model, "asks")), ("end", note(model, "end"))])
    return builder.add_edge(START, "asks").compile()


def build_questions_side_by_side(model: Any) -> Any:
    """Two questions at once beside a node that asks nothing."""
    builder = StateGraph(State).add_node("quiet", note(model, "quiet"))
    for name in ("a", "b"):
        builder.add_node(name, _asks(model, name)).add_edge(START, name)
    return builder.add_edge(START, "quiet").compile()


def build_question_until_valid(model: Any) -> Any:
    """A node that asks until it likes the answer."""

    async def asks(state: State) -> dict[str, Any]:
        tries = 1
        while interrupt(f"try {tries}") != "3":
            tries += 1
        return {**await note(model, f"after {tries}")(state), "round": tries}

    return StateGraph(State).add_node("asks", asks).add_edge(START, "asks").compile()


def build_question_in_subgraph(model: Any) -> Any:
    """A question two levels down, after a node of the subgraph that must not run twice."""
    inner = StateGraph(State).add_sequence(
        [("before", note(model, "before")), ("asks", _asks(model, "asks"))]
    )
    team = StateGraph(State).add_node("inner", inner.add_edge(START, "before").compile())
    builder = StateGraph(State).add_node("team", team.add_edge(START, "inner").compile())
    return builder.add_edge(START, "team").compile()


def build_breakpoints(model: Any) -> Any:
    """Breakpoints before and after nodes."""
    builder = StateGraph(State).add_sequence([(n, note(model, n)) for n in ("a", "b", "c")])
    return builder.add_edge(START, "a").compile(interrupt_before=["b"], interrupt_after=["b"])


def build_asking_function(model: Any) -> Any:
    """An entrypoint and a task that ask."""

    @task
    async def drafts(text: str) -> str:
        return str((await note(model, "drafts")({"task": text}))["notes"][0])

    @task
    async def checks(text: str) -> str:
        return f"{text} ({interrupt({'check': text})})"

    @entrypoint()
    async def flow(text: str) -> str:
        draft = await drafts(text)
        return f"{await checks(draft)}; {interrupt('last words?')}"

    return flow


def _yes(value: Any) -> str:
    return f"yes to {value}"


ASKING = (
    Kind(build_question, _one, "asks#1.0@1 end#1.0@1", 3, answers=_yes),
    Kind(build_questions_side_by_side, _one, "a#1.0@1 b#1.0@1 quiet#1.0@1", 5, answers=_yes),
    Kind(build_question_until_valid, _one, "asks#1.0@1", 1, answers=lambda value: value[-1]),
    Kind(
        build_question_in_subgraph,
        _one,
        "team#1.0@1 team/inner#1.0@1 team/inner/before#1.0@1 team/inner/asks#1.0@1",
        3,
        answers=_yes,
    ),
    Kind(build_breakpoints, _one, "a#1.0@1 b#1.0@1 c#1.0@1", 3, answers=_yes),
    Kind(
        build_asking_function,
        lambda: "why?",
        "flow#1.0@1 flow/drafts#1.0@1 flow/checks#1.0@1",
        1,
        answers=_yes,
    ),
)
