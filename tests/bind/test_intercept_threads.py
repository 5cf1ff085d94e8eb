"""Several optimizations in one process, and systems that call models from raw threads."""

from __future__ import annotations

import asyncio
import operator
import threading
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from typing import Annotated, Any, TypedDict

import pytest
from langchain_core.language_models.chat_models import BaseChatModel
from langchain_core.messages import SystemMessage
from langgraph.graph import START, StateGraph

from langgraph_truce.bind import RunContext, published
from langgraph_truce.bind.found import Prompts, Slot
from langgraph_truce.bind.intercept import candidate, intercepting
from langgraph_truce.bind.turns import Turns
from langgraph_truce.errors import BindError
from langgraph_truce.rules import RuleBook, parse
from langgraph_truce.testing import ScriptedModel


class State(TypedDict, total=False):
    said: Annotated[list[str], operator.add]


def echo(messages: Any) -> str:
    """What the model was told."""
    return str(messages[0].text)


def one_node(node: Any, name: str = "solver") -> Any:
    return StateGraph(State).add_node(name, node).add_edge(START, name).compile()


def system(model: ScriptedModel, text: str) -> Any:
    async def node(state: State) -> State:
        return {"said": [(await model.ainvoke([SystemMessage(text)])).text]}

    return one_node(node)


def book(prompts: Prompts, text: str) -> RuleBook:
    original = prompts.book
    for name in original.agents:
        original = original.with_agent(parse(name, text))
    return original


async def run(graph: Any, prompts: Prompts, rules: RuleBook, name: str = "") -> list[str]:
    async with candidate(prompts, rules.version):
        with published(rules) as version:
            context = RunContext(version, "r", "t", prompts=name or prompts.id).configurable()
            out = await graph.ainvoke({"said": []}, {"configurable": context})
    said: list[str] = out["said"]
    return said


def in_threads(*jobs: Callable[[], Any]) -> list[Any]:
    with ThreadPoolExecutor(len(jobs)) as pool:
        return [f.result(60) for f in [pool.submit(job) for job in jobs]]


@pytest.mark.parametrize("same", [True, False])
def test_two_optimizations_do_not_mix(same: bool) -> None:
    """Two threads with an event loop each, the same graph or different ones, many candidates at once in each."""
    before = BaseChatModel.ainvoke
    model = ScriptedModel(replies=echo, latency=0.001)
    texts = ["You solve.", "You solve." if same else "You plan."]
    meet = threading.Barrier(2, timeout=30)

    def optimization(n: int) -> tuple[int, int, Any]:
        graph, prompts = system(model, texts[n]), Prompts((Slot("solver", texts[n]),))

        async def runs() -> tuple[int, int, Any]:
            right = 0
            with intercepting(prompts) as found:
                for turn in range(5):
                    meet.wait()
                    wanted = [f"{n}.{turn}.{c}" for c in range(20)]
                    books = [book(prompts, text) for text in wanted]
                    said = await asyncio.gather(*(run(graph, prompts, b, found.id) for b in books))
                    right += sum(s == [w] for s, w in zip(said, wanted, strict=True))
                meet.wait()
            return right, found.matched, found.missed

        return asyncio.run(runs())

    assert in_threads(lambda: optimization(0), lambda: optimization(1)) == [(100, 100, {})] * 2
    assert BaseChatModel.ainvoke is before


async def test_runs_are_counted_by_those_they_name() -> None:
    prompts = Prompts((Slot("solver", "You solve."),))
    graph, rules = system(ScriptedModel(replies=echo), "You solve."), prompts.book
    with intercepting(prompts) as one, intercepting(prompts) as two:
        await run(graph, prompts, rules)
        await run(graph, prompts, rules, one.id)
        await run(system(ScriptedModel(replies=echo), "What?"), prompts, rules, two.id)
    assert (one.matched, one.missed) == (2, {})
    assert (two.matched, two.missed) == (1, {"solver": 1})


def raw(model: ScriptedModel, *texts: str) -> Any:
    """A node that calls the model from threads of its own."""

    def node(state: State) -> State:
        with ThreadPoolExecutor(2) as pool:
            replies = pool.map(lambda t: model.invoke([SystemMessage(t)]).text, texts)
            return {"said": list(replies)}

    return one_node(node)


RAW = Prompts((Slot("solver", "You solve {q}.", ("q",)),), raw_threads=True)


async def test_raw_threads_send_the_edited_text_one_book_at_a_time() -> None:
    model = ScriptedModel(replies=echo)
    graph = raw(model, "You solve 1.", "Not a slot.")
    running: set[str] = set()
    most = 0

    async def one(rules: RuleBook) -> list[str]:
        nonlocal most
        async with candidate(RAW, rules.version):
            running.add(rules.version)
            most = max(most, len(running))
            said = await run(graph, RAW, rules)  # nested with the same version
            running.discard(rules.version)
        return said

    with intercepting(RAW) as found:
        texts = ["a {q}", "b {q}", "a {q}", "c"] * 5
        said = await asyncio.gather(*(one(book(RAW, text)) for text in texts))
    assert said == [[text.replace("{q}", "1"), "Not a slot."] for text in texts]
    assert (found.matched, found.missed, most) == (20, {}, 1)


async def test_raw_threads_without_turn_need_one_book() -> None:
    model = ScriptedModel(replies=echo)
    graph, rules, more = raw(model, "You solve 1."), book(RAW, "a {q}"), book(RAW, "b {q}")
    with intercepting(RAW) as found, published(rules):
        assert (await graph.ainvoke({"said": []}))["said"] == ["a 1"]
        with published(book(Prompts((Slot("other", "x"),)), "y")):
            assert (await graph.ainvoke({"said": []}))["said"] == ["a 1"]
        with published(more):
            assert (await graph.ainvoke({"said": []}))["said"] == ["You solve 1."]
    assert (found.matched, found.missed) == (2, {"": 1})


async def test_a_turn_whose_book_is_not_published_yet_changes_nothing() -> None:
    model = ScriptedModel(replies=echo)
    with intercepting(RAW) as found:
        async with candidate(RAW, "soon"):
            assert model.invoke([SystemMessage("You solve 1.")]).text == "You solve 1."
    assert (found.matched, found.missed) == (0, {"": 1})


async def test_calls_without_run_are_counted_only_where_a_slot_has_their_text() -> None:
    prompts = Prompts((Slot("solver", "You solve {q}.", ("q",)), Slot("free", "{all}", ("all",))))
    model = ScriptedModel(replies=echo)
    with intercepting(prompts) as found, published(book(prompts, "x")):
        said = await raw(model, "You solve 1.", "Somebody else's.").ainvoke({"said": []})
    assert said["said"] == ["You solve 1.", "Somebody else's."]
    assert (found.matched, found.missed) == (0, {"": 1})


async def test_one_text_of_two_nodes_is_sent_only_while_both_agree() -> None:
    prompts = Prompts((Slot("one", "You solve."), Slot("two", "You solve.")), raw_threads=True)
    graph = raw(ScriptedModel(replies=echo), "You solve.")
    apart = prompts.book.with_agent(parse("one", "You plan."))
    with intercepting(prompts) as found:
        assert await run(graph, prompts, prompts.book) == ["You solve."]
        assert await run(graph, prompts, book(prompts, "You plan.")) == ["You plan."]
        assert await run(graph, prompts, apart) == ["You solve."]
    assert (found.matched, found.missed) == (2, {"": 1})


async def test_the_run_of_another_graph_is_left_alone() -> None:
    model = ScriptedModel(replies=echo)
    with intercepting(RAW) as found, published(book(RAW, "x")):
        async with candidate(RAW, book(RAW, "x").version):
            out = await system(model, "You solve 1.").ainvoke({"said": []})
    assert out["said"] == ["You solve 1."]
    assert (found.matched, found.missed) == (0, {})


def test_turns_hold_over_threads_and_event_loops() -> None:
    """Four threads with a loop each, three versions: never two at once, all get through."""
    now: Counter[str] = Counter()
    lock = threading.Lock()
    together: list[set[str]] = []
    overlap = 0

    async def rollout(version: str) -> None:
        nonlocal overlap
        async with candidate(RAW, version):
            with lock:
                now[version] += 1
                together.append({v for v, n in now.items() if n})
                overlap = max(overlap, now[version])
            await asyncio.sleep(0.001)
            with lock:
                now[version] -= 1

    def loop() -> None:
        async def runs() -> None:
            await asyncio.gather(*(rollout(f"v{n % 3}") for n in range(30)))

        asyncio.run(runs())

    in_threads(*[loop] * 4)
    assert len(together) == 120
    assert all(len(versions) == 1 for versions in together)
    assert overlap > 1


async def test_turns_are_fair() -> None:
    """Who comes after a waiting other version waits behind it, also with the version that is running."""
    turns = Turns()
    order: list[str] = []
    go = asyncio.Event()

    async def rollout(name: str) -> None:
        async with turns.take(("p", name[0])):
            order.append(name)
            await go.wait()

    tasks = []
    for name in ("a0", "a1", "b2", "a3", "b4", "c5", "b6"):
        tasks.append(asyncio.create_task(rollout(name)))
        await asyncio.sleep(0)
    await asyncio.sleep(0.01)
    assert order == ["a0", "a1"]
    go.set()
    await asyncio.gather(*tasks)
    assert order == ["a0", "a1", "b2", "b4", "b6", "a3", "c5"]
    assert turns.current is None


async def test_a_cancelled_wait_and_an_error_give_the_turn_on() -> None:
    turns = Turns()

    async def holds(version: str, until: asyncio.Event | None = None) -> str:
        async with turns.take(("p", version)):
            if until is not None:
                await until.wait()
                raise ArithmeticError(version)
            return version

    go = asyncio.Event()
    first, gone, late = (asyncio.create_task(c) for c in (holds("a", go), holds("b"), holds("c")))
    await asyncio.sleep(0.01)
    gone.cancel()
    await asyncio.wait([gone])
    go.set()
    with pytest.raises(ArithmeticError):
        await first
    assert await asyncio.wait_for(late, 5) == "c"
    for waits in range(6):  # cancelled at about the moment its turn comes
        go = asyncio.Event()
        first, racing = asyncio.create_task(holds("a", go)), asyncio.create_task(holds("b"))
        await asyncio.sleep(0.01)
        go.set()
        for _ in range(waits):
            await asyncio.sleep(0)
        racing.cancel()
        await asyncio.wait([first, racing])
        assert isinstance(first.exception(), ArithmeticError)
        assert turns.current is None


async def test_another_book_inside_a_rollout_is_refused() -> None:
    async with candidate(RAW, "a"), candidate(RAW, "a"):
        with pytest.raises(BindError, match="started inside one with 'a'"):
            async with candidate(RAW, "b"):
                pytest.fail("both at once")
    async with candidate(RAW, "b"):
        pass
    plain = Prompts((Slot("solver", "x"),))
    async with candidate(plain, "a"), candidate(plain, "b"):
        pass


def test_entering_and_leaving_in_many_threads_leaves_no_trace() -> None:
    before = [vars(BaseChatModel)[name] for name in ("invoke", "ainvoke", "stream", "astream")]
    model = ScriptedModel(replies=echo)

    def comes_and_goes() -> int:
        for n in range(200):
            with ExitStack() as stack:
                found = stack.enter_context(intercepting(Prompts((Slot("solver", f"You {n % 7}."),))))
                model.invoke("q")
                assert found.missed == {}
        return 200

    assert in_threads(*[comes_and_goes] * 4) == [200] * 4
    assert [vars(BaseChatModel)[n] for n in ("invoke", "ainvoke", "stream", "astream")] == before
