"""What of a parent's rollout is a candidate's: what was really read decides, and what cannot be told is run whole."""

from __future__ import annotations

import operator
import random
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Annotated, Any, TypedDict

from langchain_core.messages import HumanMessage, SystemMessage
from langchain_core.runnables import RunnableConfig, RunnableLambda
from langchain_core.tools import tool
from langgraph.graph import END, START, StateGraph
from langgraph.store.memory import InMemoryStore

from langgraph_truce.bind import instructions
from langgraph_truce.bind.context import ROLLOUT, VERSION
from langgraph_truce.errors import UnknownNameError
from langgraph_truce.rollout.shared import Origins
from langgraph_truce.rules import RuleBook
from langgraph_truce.system import System, ToolReplay
from langgraph_truce.testing import ScriptedModel
from tests.rollout.sharing import Held, book_of, echo, edited, paid, running, tasks, told


class State(TypedDict, total=False):
    case: int
    said: Annotated[list[str], operator.add]
    odd: Any


Reads = Callable[[State], str]


def chain(
    nodes: dict[str, Reads], model: ScriptedModel | None = None, ran: Counter[str] | None = None
) -> Any:
    """Nodes one after the other; each asks the model with the rules that its function reads."""
    asked = model or ScriptedModel(replies=echo)

    def node(name: str, reads: Reads) -> Any:
        def run(state: State) -> dict[str, Any]:
            if ran is not None:
                ran[name] += 1
            seen = " ".join([str(state.get("case")), *state.get("said", [])])
            return {"said": [asked.invoke([SystemMessage(reads(state)), HumanMessage(seen)]).text]}

        return run

    builder = StateGraph(State)
    for before, (name, reads) in zip((START, *nodes), nodes.items(), strict=False):
        builder.add_node(name, node(name, reads)).add_edge(before, name)
    return builder.compile()


def own(role: str, number: int | None = None) -> Reads:
    return lambda _: instructions(role, round=number)


async def nodes_again(system: System, before: RuleBook, after: RuleBook) -> tuple[int, Counter[str]]:
    """Steps of the candidate's rollout that stand from the parent's, and how the runner made it; equal to a whole run."""
    async with running(system) as runner:
        (parent,) = await runner.run_all(tasks(1), before, purpose="gate")
        (shared,) = await runner.run_all(tasks(1), after, purpose="gate", parent=before)
        how = runner.ran
    async with running(system) as alone:
        (whole,) = await alone.run_all(tasks(1), after)
    assert told(shared) == told(whole)
    assert shared.outcome == whole.outcome
    old = told(parent)
    return sum(1 for row in told(shared) if row in old), how


ABC = ("a", "b", "c")


async def test_the_node_that_read_a_changed_rule_decides_not_the_role_of_its_name() -> None:
    graph = chain({"a": own("a"), "b": own("c"), "c": lambda _: "fixed"})
    before = book_of(*ABC)

    assert await nodes_again(System(graph, before), before, edited(before, "c")) == (
        1,
        Counter(whole=1, forked=1),
    )
    assert await nodes_again(System(graph, before), before, edited(before, "b")) == (
        3,
        Counter(whole=1, reused=1),
    )


async def test_rules_of_one_round_touch_that_round_alone() -> None:
    graph = chain({"a": own("a", 1), "b": own("a", 2), "c": own("a", 3)})
    before = book_of(*ABC)

    assert (await nodes_again(System(graph, before), before, edited(before, "a@2")))[0] == 1
    assert (await nodes_again(System(graph, before), before, edited(before, "a@3")))[0] == 2
    assert (await nodes_again(System(graph, before), before, edited(before, "a@4")))[1]["reused"] == 1


async def test_an_agent_that_a_node_looked_for_in_vain_is_a_change_when_it_comes() -> None:
    def hinted(_: State) -> str:
        try:
            return instructions("b~2")
        except UnknownNameError:
            return instructions("b")

    before = book_of(*ABC)
    after = RuleBook({**before.agents, "b~2": replace(before.agents["c"], agent="b~2")})
    graph = chain({"a": own("a"), "b": hinted, "c": own("c")})

    assert await nodes_again(System(graph, before), before, after) == (1, Counter(whole=1, forked=1))


async def test_a_rule_read_on_the_way_into_the_graph_is_a_reason_to_run_whole() -> None:
    builder = (
        StateGraph(State).add_node("a", lambda _: {"said": ["a"]}).add_node("b", lambda _: {"said": ["b"]})
    )
    builder.add_conditional_edges(START, lambda _: "a" if "new" not in instructions("b") else "b", ["a", "b"])
    before = book_of("a", "b")
    system = System(builder.compile(), before)

    assert await nodes_again(system, before, edited(before, "b")) == (0, Counter(whole=2))


async def test_a_rollout_that_read_no_changed_rule_costs_nothing_and_has_the_candidates_name() -> None:
    ran: Counter[str] = Counter()
    before = book_of(*ABC)
    after = edited(before, "c")
    system = System(chain({"a": own("a"), "b": own("b"), "c": own("b")}, ran=ran), before)
    async with running(system) as runner:
        parents = await runner.run_all(tasks(3), before, purpose="gate")
        spent, nodes = paid(runner), ran.total()
        shared = await runner.run_all(tasks(3), after, purpose="gate", parent=before)

        assert (paid(runner), ran.total()) == (spent, nodes)
        assert [r.id for r in shared] == [f"{after.version}/t{n}/0" for n in range(3)]
        assert [r.trajectory.rollout for r in shared] == [r.id for r in shared]
        assert [r.outcome for r in shared] == [r.outcome for r in parents]
        assert await runner.run_all(tasks(3), after, purpose="gate") == shared


async def test_without_what_was_kept_the_rerun_is_whole_and_pays_no_reply_of_the_prefix_again() -> None:
    before = book_of(*ABC)
    system = System(chain({name: own(name) for name in ABC}), before)
    async with running(system) as runner:
        runner.origins = Origins(most_bytes=0)
        await runner.run_all(tasks(2), before, purpose="gate")
        spent = paid(runner)
        await runner.run_all(tasks(2), edited(before, "c"), purpose="gate", parent=before)

        assert runner.ran == Counter(whole=4)
        assert paid(runner) - spent == 2


async def test_after_a_crash_the_rest_is_run_whole_with_the_same_results_and_nothing_is_paid_twice() -> None:
    before = book_of(*ABC)
    after = edited(before, "b")
    system = System(chain({name: own(name) for name in ABC}), before)
    async with running(system) as undisturbed:
        await undisturbed.run_all(tasks(4), before, purpose="gate")
        expected = await undisturbed.run_all(tasks(4), after, purpose="gate", parent=before)
        total = paid(undisturbed)
    store, held = InMemoryStore(), Held()
    async with running(system, store=store, held=held) as first:
        await first.run_all(tasks(4), before, purpose="gate")
        await first.run_all(tasks(2), after, purpose="gate", parent=before)
    lost = [name for name in held.by if name.startswith(after.version)][1:]
    for name in lost:  # its replies were journalled, and the process was killed before the rollout was kept
        del held.by[name]
    async with running(system, store=store, held=held) as second:
        resumed = await second.run_all(tasks(4), after, purpose="gate", parent=before)

        assert second.ran == Counter(whole=3)
        assert paid(second) == total
    assert list(map(told, resumed)) == list(map(told, expected))


@tool
def book_a_room(number: int) -> str:
    """Book a room."""
    return f"booked {number}"


def with_tool(calls: Counter[str], at: str) -> System:
    def node(name: str) -> Any:
        def run(state: State) -> dict[str, Any]:
            said = instructions(name)
            if name == at and state["case"] == 0:
                calls[name] += 1
                said += book_a_room.invoke({"number": 7})
            return {"said": [said]}

        return run

    builder = StateGraph(State)
    for before, name in zip((START, *ABC), ABC, strict=False):
        builder.add_node(name, node(name)).add_edge(before, name)
    return System(builder.compile(), book_of(*ABC))


async def test_a_tool_behind_the_fork_that_is_not_declared_safe_makes_all_reruns_whole() -> None:
    ways: list[tuple[dict[str, ToolReplay], Counter[str]]] = [
        ({}, Counter(whole=6)),
        ({"book_a_room": "recorded"}, Counter(whole=6)),
        ({"book_a_room": "safe"}, Counter(whole=3, forked=3)),
    ]
    for declared, how in ways:
        calls: Counter[str] = Counter()
        system = replace(with_tool(calls, "c"), tools=declared)
        async with running(system) as runner:
            await runner.run_all(tasks(3), system.book, purpose="gate")
            await runner.run_all(tasks(3), edited(system.book, "b"), purpose="gate", parent=system.book)

            assert runner.ran == how
            assert calls["c"] == 2


async def test_a_tool_before_the_fork_is_not_called_again() -> None:
    calls: Counter[str] = Counter()
    system = with_tool(calls, "a")
    async with running(system) as runner:
        await runner.run_all(tasks(3), system.book, purpose="gate")
        await runner.run_all(tasks(3), edited(system.book, "b"), purpose="gate", parent=system.book)

        assert runner.ran == Counter(whole=3, forked=3)
        assert calls["a"] == 1


async def test_a_tool_that_a_fork_turns_to_for_the_first_time_ends_sharing() -> None:
    def turns(state: State) -> dict[str, Any]:
        said = instructions("b")
        return {"said": [book_a_room.invoke({"number": 1}) if "new" in said else said]}

    builder = StateGraph(State).add_node("a", lambda _: {"said": [instructions("a")]}).add_node("b", turns)
    builder.add_edge(START, "a").add_edge("a", "b")
    before = book_of("a", "b")
    after = edited(before, "b")
    async with running(System(builder.compile(), before)) as runner:
        await runner.run_all(tasks(2), before, purpose="gate")
        shared = await runner.run_all(tasks(2), after, purpose="gate", parent=before)

        assert [r.trajectory.steps[-1].tools[0]["name"] for r in shared] == ["book_a_room"] * 2
        assert "book_a_room" in runner.whole
        assert (runner.ran["whole"], len(runner.origins)) == (4, 0)


async def test_a_state_that_cannot_be_stored_fails_no_run_and_is_not_shared() -> None:
    builder = StateGraph(State).add_node("a", lambda _: {"odd": lambda: 1, "said": [instructions("a")]})
    builder.add_node("b", lambda s: {"said": [f"{s['odd']()} {instructions('b')}"]})
    builder.add_edge(START, "a").add_edge("a", "b")
    before = book_of("a", "b")
    async with running(System(builder.compile(), before, outputs=lambda s: s["said"][-1])) as runner:
        (parent,) = await runner.run_all(tasks(1), before, purpose="gate")
        await runner.run_all(tasks(1), edited(before, "b"), purpose="gate", parent=before)

        assert parent.outcome.error == ""
        assert str(parent.outcome.result).startswith("1 You are b.")
        assert runner.whole
        assert runner.ran == Counter(whole=2)


async def test_a_step_that_failed_is_not_forked() -> None:
    def fails(state: State) -> dict[str, Any]:
        text = instructions("b")
        if state["case"] == 1 and "new" not in text:
            raise ValueError("no")
        return {"said": [text]}

    builder = StateGraph(State).add_node("a", lambda _: {"said": [instructions("a")]}).add_node("b", fails)
    builder.add_edge(START, "a").add_edge("a", "b")
    before = book_of("a", "b")
    async with running(System(builder.compile(), before)) as runner:
        parents = await runner.run_all(tasks(2), before, purpose="gate")
        shared = await runner.run_all(tasks(2), edited(before, "b"), purpose="gate", parent=before)

        assert [bool(r.outcome.error) for r in (*parents, *shared)] == [False, True, False, False]
        assert runner.ran == Counter(whole=4)
        assert not runner.whole


async def test_a_loop_ends_at_the_same_step_as_in_a_whole_run() -> None:
    builder = StateGraph(State).add_node("a", lambda _: {"said": [instructions("a")]})
    builder.add_node("b", lambda _: {"said": [instructions("b")[-4:]]})
    builder.add_edge(START, "a").add_edge("a", "b")
    builder.add_conditional_edges("b", lambda s: "b" if s["said"][-1] == "new\n" else END, ["b", END])
    before = book_of("a", "b")
    system = System(builder.compile(), before)
    after = edited(before, "b", "- This is new\n")

    async with running(system) as runner:
        await runner.run_all(tasks(1), before, purpose="gate")
        (shared,) = await runner.run_all(tasks(1), after, purpose="gate", parent=before)
    async with running(system) as alone:
        (whole,) = await alone.run_all(tasks(1), after)
    assert "GraphRecursionError" in shared.outcome.error
    assert len(shared.trajectory.steps) == len(whole.trajectory.steps) == 200


async def test_what_a_node_drew_before_the_fork_stands() -> None:
    rng = random.Random(3)
    builder = StateGraph(State).add_node("a", lambda _: {"said": [f"{rng.random()} {instructions('a')}"]})
    builder.add_node("b", lambda _: {"said": [instructions("b")]}).add_edge(START, "a").add_edge("a", "b")
    before = book_of("a", "b")
    async with running(System(builder.compile(), before)) as runner:
        parents = await runner.run_all(tasks(5), before, purpose="gate")
        shared = await runner.run_all(tasks(5), edited(before, "b"), purpose="gate", parent=before)

        assert [told(r)[0] for r in shared] == [told(r)[0] for r in parents]


async def test_replicates_and_agents_with_equal_prompts_have_samples_of_their_own() -> None:
    rng = random.Random(0)
    model = ScriptedModel(replies=lambda _: f"{rng.random()}")

    def same(name: str) -> Any:
        def run(_: State) -> dict[str, Any]:
            instructions(name)
            return {"said": [model.invoke([HumanMessage("the same words")]).text]}

        return run

    builder = StateGraph(State)
    for name in ABC:
        builder.add_node(name, same(name)).add_edge(START, name)
    before = book_of(*ABC)
    async with running(System(builder.compile(), before)) as runner:
        parents = [(await runner.run_all(tasks(1), before, replicate=n, purpose="gate"))[0] for n in range(3)]
        said = [row for r in parents for row in r.trajectory.steps]
        assert len({str(step.writes) for step in said}) == 9
        after = edited(before, "b")
        for n, parent in enumerate(parents):
            (shared,) = await runner.run_all(tasks(1), after, replicate=n, purpose="gate", parent=before)
            assert told(shared) == told(parent)  # b asks what it asked: the journal has its reply
        assert paid(runner) == 9


async def test_models_that_are_not_journalled_are_asked_again_behind_the_fork_alone() -> None:
    asked: list[str] = []

    def reply(messages: Sequence[Any]) -> str:
        asked.append(messages[0].text.split("\n")[0])
        return "yes"

    before = book_of(*ABC)
    graph = chain({n: own(n) for n in ABC}, ScriptedModel(replies=reply, cache=False))
    async with running(System(graph, before)) as runner:
        await runner.run_all(tasks(1), before, purpose="gate")
        await runner.run_all(tasks(1), edited(before, "b"), purpose="gate", parent=before)

    assert [text[-2] for text in asked] == ["a", "b", "c", "b", "c"]


async def test_a_node_that_hides_its_rollout_is_a_reason_to_run_whole() -> None:
    asked: RunnableLambda[str, str] = RunnableLambda(instructions)

    def hides(state: State) -> dict[str, Any]:
        config = RunnableConfig(configurable={VERSION: state["said"][-1], ROLLOUT: None})
        return {"said": [asked.invoke("b", config)]}

    def tells(_: State, config: RunnableConfig) -> dict[str, Any]:
        return {"said": [config["configurable"][VERSION]]}

    builder: Any = StateGraph(State)
    builder.add_node("a", tells).add_node("b", hides)
    builder.add_edge(START, "a").add_edge("a", "b")
    before = book_of("a", "b")
    async with running(System(builder.compile(), before)) as runner:
        await runner.run_all(tasks(1), before, purpose="gate")

        assert "outside" in runner.whole


async def test_an_excluded_parent_is_no_parent() -> None:
    before = book_of(*ABC)
    down = [True]

    def reply(messages: Sequence[Any]) -> Any:
        return ConnectionError("down") if down[0] else echo(messages)

    system = System(chain({n: own(n) for n in ABC}, ScriptedModel(replies=reply)), before)
    async with running(system) as runner:
        (parent,) = await runner.run_all(tasks(1), before, purpose="gate")
        down[0] = False
        (shared,) = await runner.run_all(tasks(1), edited(before, "c"), purpose="gate", parent=before)

        assert parent.outcome.excluded
        assert not shared.outcome.excluded
        assert runner.ran == Counter(whole=2)
