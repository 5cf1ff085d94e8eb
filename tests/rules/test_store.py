"""RuleStore on every store that LangGraph ships."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator, Iterator
from contextlib import AbstractAsyncContextManager, AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

import pytest
from langgraph.store.base import BaseStore
from langgraph.store.memory import InMemoryStore
from langgraph.store.sqlite import AsyncSqliteStore, SqliteStore

from langgraph_truce.errors import RunError, UnknownNameError
from langgraph_truce.rules import AgentRules, Rule, RuleBook, RuleSlot, RuleStore, parse


def book(n: int) -> RuleBook:
    return RuleBook({"team/solver": parse("team/solver", f"Role.\n- rule {n}\n")})


WEIRD = RuleBook(
    {"a": AgentRules("a", ("\x00\ud800", RuleSlot(Rule("r1", "\x00 ☃ \udfff\\u0000"), "\t")), 3)}
)


@pytest.fixture(params=["memory", "sqlite", pytest.param("postgres", marks=pytest.mark.postgres)])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[BaseStore]:
    opened: AbstractContextManager[Any]
    if request.param == "memory":
        opened = nullcontext(InMemoryStore())
    elif request.param == "sqlite":
        opened = SqliteStore.from_conn_string(str(tmp_path / "rules.db"))
    else:
        from langgraph.store.postgres import PostgresStore

        opened = PostgresStore.from_conn_string(request.getfixturevalue("postgres_url"))
    with opened as store:
        if request.param != "memory":
            store.setup()
        yield store


@pytest.fixture(params=["memory", "sqlite", pytest.param("postgres", marks=pytest.mark.postgres)])
async def astore(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[BaseStore]:
    opened: AbstractAsyncContextManager[Any]
    if request.param == "memory":
        opened = nullcontext(InMemoryStore())
    elif request.param == "sqlite":
        opened = AsyncSqliteStore.from_conn_string(str(tmp_path / "rules.db"))
    else:
        from langgraph.store.postgres import AsyncPostgresStore

        opened = AsyncPostgresStore.from_conn_string(request.getfixturevalue("postgres_url"))
    async with opened as store:
        if request.param != "memory":
            await store.setup()
        yield store


def test_books_come_back_as_they_were_saved(store: BaseStore) -> None:
    rules = RuleStore(store)
    for saved in (book(1), WEIRD):
        version = rules.save(saved)
        assert version == saved.version
        assert rules.load(version) == saved
    assert RuleStore(store).load(WEIRD.version).render("a") == WEIRD.render("a")


def test_versions_keep_their_order_beyond_a_page(store: BaseStore) -> None:
    rules = RuleStore(store)
    saved = [rules.save(book(n)) for n in range(120)]
    assert [rules.save(book(n)) for n in (0, 50, 119)] == [saved[0], saved[50], saved[119]]
    assert rules.versions() == tuple(saved)


def test_active_version_history_and_rollback(store: BaseStore) -> None:
    rules = RuleStore(store)
    assert rules.active() is None
    assert rules.history() == ()
    with pytest.raises(UnknownNameError, match="none was activated"):
        rules.rollback()
    one, two, three = (rules.save(book(n)) for n in (1, 2, 3))
    for version in (one, two, two, three):
        rules.activate(version)
    assert rules.active() == book(3)
    assert rules.rollback() == two
    assert rules.active() == book(2)
    assert rules.rollback() == one
    with pytest.raises(UnknownNameError, match=f"only '{one}' was activated"):
        rules.rollback()
    rules.activate(three)
    assert rules.rollback() == one
    ops = [(entry.op, entry.version) for entry in rules.history()]
    assert ops[:3] == [("activate", one), ("activate", two), ("activate", three)]
    assert ops[3:] == [("rollback", two), ("rollback", one), ("activate", three), ("rollback", one)]
    assert [entry.position for entry in rules.history()] == list(range(1, 8))


def test_unknown_versions_list_what_there_is(store: BaseStore) -> None:
    rules = RuleStore(store)
    version = rules.save(book(1))
    for act in (rules.load, rules.activate):
        with pytest.raises(UnknownNameError, match=f"no version 'abc'; its versions are: {version}"):
            act("abc")
    assert rules.active() is None


def test_prefixes_do_not_mix(store: BaseStore) -> None:
    mine, other = RuleStore(store, ("app", "rules")), RuleStore(store, ("other",))
    mine.activate(mine.save(book(1)))
    assert other.active() is None
    assert other.versions() == ()


def test_a_damaged_entry_is_told() -> None:
    store = InMemoryStore()
    rules = RuleStore(store)
    version = rules.save(book(1))
    (item,) = store.search(("truce", "rules", "books"))
    store.put(item.namespace, item.key, {"book": item.value["book"].replace("rule 1", "rule 2")})
    with pytest.raises(RunError, match=f"entry '{version}' is damaged"):
        rules.load(version)


async def test_the_async_face_does_the_same(astore: BaseStore) -> None:
    rules = RuleStore(astore, ("truce", uuid.uuid4().hex))
    assert await rules.aactive() is None
    one, two = await rules.asave(book(1)), await rules.asave(WEIRD)
    assert await rules.asave(book(1)) == one
    assert await rules.aversions() == (one, two)
    await rules.aactivate(one)
    await rules.aactivate(two)
    assert await rules.aactive() == await rules.aload(two) == WEIRD
    assert await rules.arollback() == one
    assert await rules.aactive() == book(1)
    assert [entry.op for entry in await rules.ahistory()] == ["activate", "activate", "rollback"]
    with pytest.raises(UnknownNameError, match="has no version 'abc'"):
        await rules.aload("abc")
