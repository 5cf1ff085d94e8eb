"""What is kept of parents: little, and within a limit."""

from __future__ import annotations

from typing import TypedDict

from langgraph.graph import START, StateGraph

from langgraph_truce.bind import instructions
from langgraph_truce.rollout.shared import Origin, Origins
from langgraph_truce.system import System
from tests.rollout.sharing import book_of, running, tasks


class State(TypedDict, total=False):
    case: int
    said: str


async def test_the_gates_parents_take_little_memory_and_other_rollouts_none() -> None:
    builder = StateGraph(State).add_node("a", lambda _: {"said": instructions("a")})
    builder.add_edge(START, "a")
    before = book_of("a")
    async with running(System(builder.compile(), before)) as runner:
        await runner.run_all(tasks(50), before, purpose="gate")

        assert len(runner.origins) == 50
        assert 0 < runner.origins.size < 50 * 10_000
        await runner.run_all(tasks(50), before, replicate=1, purpose="test")
        assert len(runner.origins) == 50


def test_the_oldest_origins_go_first_where_there_are_too_many_bytes() -> None:
    def origin(size: int) -> Origin:
        return Origin(frozenset(), {}, frozenset(), b"x" * size)

    held = Origins(most_bytes=3 * origin(1_000).size)
    for name in "abc":
        held.keep(name, origin(1_000))
    assert held.find("a") is not None
    held.keep("d", origin(1_000))

    assert [held.find(name) is not None for name in "abcd"] == [True, False, True, True]
    held.keep("a", origin(0))
    held.drop("e")
    assert held.size == sum(o.size for n in "acd" if (o := held.find(n)))
    held.clear()
    assert (len(held), held.size) == (0, 0)
