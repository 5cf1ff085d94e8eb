"""`instructions()`: where a node's rules come from, and that candidates never mix."""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path
from typing import TypedDict

import pytest
from langchain_core.runnables import RunnableConfig
from langgraph.graph import END, START, StateGraph
from langgraph.graph.state import CompiledStateGraph
from langgraph.store.memory import InMemoryStore

from langgraph_truce.bind import RunContext, ainstructions, instructions, optimizing, published
from langgraph_truce.errors import BindError, UnknownNameError
from langgraph_truce.rules import RuleBook, RuleStore, parse


class State(TypedDict, total=False):
    said: str


def book(text: str, role: str = "solver") -> RuleBook:
    return RuleBook({role: parse(role, text)})


def graph_of(
    folder: Path, *, store: InMemoryStore | None = None, sync: bool = False
) -> CompiledStateGraph[State]:
    async def solver(state: State) -> State:
        return {"said": await ainstructions("solver", beside=folder)}

    def sync_solver(state: State) -> State:
        return {"said": instructions("solver", beside=folder)}

    builder = StateGraph(State)
    builder.add_node("solver", sync_solver if sync else solver)
    builder.add_edge(START, "solver")
    builder.add_edge("solver", END)
    return builder.compile(store=store)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "rules").mkdir()
    (tmp_path / "rules" / "solver.md").write_text("From the file.\n\n- Be brief.")
    return tmp_path / "rules"


def under(version: str) -> RunnableConfig:
    return RunnableConfig(configurable=RunContext(version, "r", "t").configurable())


@pytest.mark.parametrize("sync", [False, True])
async def test_without_candidate_or_store_the_files_beside_the_graph_speak(folder: Path, sync: bool) -> None:
    out = await graph_of(folder, sync=sync).ainvoke({})

    assert out["said"].startswith("From the file.")


@pytest.mark.parametrize("sync", [False, True])
async def test_the_active_version_of_the_store_beats_the_files(folder: Path, sync: bool) -> None:
    store = InMemoryStore()
    rules = RuleStore(store)
    rules.activate(rules.save(book("From the store.")))

    out = await graph_of(folder, store=store, sync=sync).ainvoke({})

    assert out["said"] == "From the store."


async def test_a_rewritten_rule_is_seen_by_the_next_run_of_the_same_graph(folder: Path) -> None:
    graph = graph_of(folder)
    before = await graph.ainvoke({})
    (folder / "solver.md").write_text("Rewritten, and longer than it was.")

    after = await graph.ainvoke({})

    assert before["said"] != after["said"] == "Rewritten, and longer than it was."


async def test_the_candidate_beats_the_active_version(folder: Path) -> None:
    store = InMemoryStore()
    rules = RuleStore(store)
    rules.activate(rules.save(book("From the store.")))

    with published(book("The candidate.")) as version:
        out = await graph_of(folder, store=store).ainvoke({}, under(version))

    assert out["said"] == "The candidate."


async def test_a_candidate_that_is_not_published_is_read_from_the_store(folder: Path) -> None:
    store = InMemoryStore()
    version = RuleStore(store).save(book("Kept, not active."))

    out = await graph_of(folder, store=store).ainvoke({}, under(version))

    assert out["said"] == "Kept, not active."


async def test_concurrent_candidates_in_one_process_never_mix(folder: Path) -> None:
    graph = graph_of(folder, sync=False)
    books = [book(f"Candidate {i}.") for i in range(5)]

    async def one(i: int) -> tuple[int, str]:
        with published(books[i % 5]) as version:
            await asyncio.sleep(0.001 * (i % 3))
            out = await graph.ainvoke({}, under(version))
            return i, out["said"]

    said = await asyncio.gather(*(one(i) for i in range(60)))

    assert all(text == f"Candidate {i % 5}." for i, text in said)


def test_without_run_context_during_an_optimization_it_raises(folder: Path) -> None:
    caught: list[BaseException] = []

    def work() -> None:
        try:
            instructions("solver", beside=folder)
        except BindError as e:
            caught.append(e)

    with optimizing():
        thread = threading.Thread(target=work)
        thread.start()
        thread.join()

    assert "without run context" in str(caught[0])
    assert instructions("solver", beside=folder).startswith("From the file.")


async def test_an_unknown_role_and_missing_files_are_named(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(UnknownNameError, match="no agent 'critic'; its agents are: solver"):
        await ainstructions("critic", beside=folder)
    with pytest.raises(BindError, match="no rule files there"):
        instructions("solver", beside=tmp_path / "elsewhere")


async def test_an_unpublished_version_without_store_is_named(folder: Path) -> None:
    with pytest.raises(BindError, match="'feed' is not published"):
        await graph_of(folder).ainvoke({}, under("feed"))


def test_a_round_may_have_rules_of_its_own() -> None:
    two = RuleBook({"solver": parse("solver", "Any round."), "solver@2": parse("solver@2", "Second round.")})

    assert [two.render("solver", r) for r in (1, 2)] == ["Any round.", "Second round."]


def test_a_published_book_is_gone_after_its_last_user() -> None:
    from langgraph_truce.bind.context import TABLE

    with published(book("x")) as version:
        with published(book("x")):
            assert TABLE.get(version) is not None
        assert TABLE.get(version) is not None
    assert TABLE.get(version) is None
