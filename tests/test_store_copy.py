"""A run's copy of a long-term store: it reads through, writes for itself, and lists as one store would."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from langgraph.store.base import BaseStore, PutOp
from langgraph.store.memory import InMemoryStore
from langgraph.store.sqlite import SqliteStore
from langgraph.store.sqlite.aio import AsyncSqliteStore

from langgraph_truce.store_copy import StoreCopy, store_copy

NAMES = st.sampled_from([("a",), ("a", "b"), ("a", "b", "c"), ("d",)])
WRITES = st.lists(st.tuples(NAMES, st.sampled_from("xyz"), st.none() | st.integers(0, 3)), max_size=12)


def put(store: BaseStore, writes: Any) -> None:
    for namespace, key, n in writes:
        store.batch([PutOp(namespace, key, None if n is None else {"n": n})])


def seen(store: BaseStore, prefix: tuple[str, ...], **how: Any) -> list[Any]:
    return sorted((i.namespace, i.key, i.value["n"]) for i in store.search(prefix, limit=100, **how))


@settings(max_examples=60)
@given(before=WRITES, after=WRITES)
def test_it_shows_what_one_store_would(before: Any, after: Any) -> None:
    original, plain = InMemoryStore(), InMemoryStore()
    put(original, before)
    put(plain, before)
    kept = [item.dict() for item in original.search((), limit=100)]
    copy = StoreCopy(original)
    put(copy, after)
    put(plain, after)
    assert [item.dict() for item in original.search((), limit=100)] == kept
    for prefix in [(), ("a",), ("a", "b")]:
        assert seen(copy, prefix) == seen(plain, prefix)
        assert seen(copy, prefix, filter={"n": {"$gt": 1}}) == seen(plain, prefix, filter={"n": {"$gt": 1}})
    for namespace, key, _ in [*before, *after]:
        mine, theirs = copy.get(namespace, key), plain.get(namespace, key)
        assert (mine and mine.value) == (theirs and theirs.value)
    shown = {
        i.namespace for i in plain.search((), limit=100)
    }  # the memory store lists emptied namespaces too
    assert set(copy.list_namespaces()) >= shown
    assert set(copy.list_namespaces()) <= set(plain.list_namespaces())
    assert copy.list_namespaces(max_depth=1) == sorted({n[:1] for n in copy.list_namespaces()})
    pages = [copy.search((), limit=2, offset=n) for n in range(0, 20, 2)]
    whole = [(i.namespace, i.key) for page in pages for i in page]
    assert whole == [(i.namespace, i.key) for i in copy.search((), limit=100)]


@pytest.fixture
def sqlite() -> Iterator[SqliteStore]:
    db = sqlite3.connect(":memory:", isolation_level=None, check_same_thread=False)
    store = SqliteStore(db)
    store.setup()
    yield store
    db.close()


def test_a_database_is_never_written(sqlite: SqliteStore) -> None:
    for n in range(30):
        sqlite.put(("docs", str(n % 3)), f"k{n}", {"n": n})
    copy = store_copy(sqlite)
    assert copy is not None
    copy.delete(("docs", "0"), "k0")
    copy.put(("docs", "1"), "k1", {"n": 100})
    copy.put(("other",), "new", {"n": 7})
    assert copy.get(("docs", "0"), "k0") is None
    values = {i.key: i.value["n"] for i in copy.search(("docs",), limit=100)}
    assert len(values) == 29
    assert values["k1"] == 100
    assert sorted(copy.list_namespaces()) == [("docs", "0"), ("docs", "1"), ("docs", "2"), ("other",)]
    assert len(sqlite.search((), limit=100)) == 30
    for n in range(0, 30, 3):
        copy.delete(("docs", "0"), f"k{n}")
    assert ("docs", "0") not in copy.list_namespaces()
    assert copy.list_namespaces(limit=1, offset=1) == [("docs", "2")]
    assert store_copy(None) is None


def embed(texts: list[str]) -> list[list[float]]:
    return [[float(text.count(letter)) for letter in "abc"] for text in texts]


def test_semantic_searches_rank_both_sides() -> None:
    index: Any = {"dims": 3, "embed": embed, "fields": ["text"]}
    original = InMemoryStore(index=index)
    original.put(("n",), "a", {"text": "aaaa"})
    original.put(("n",), "b", {"text": "bbbb"})
    copy = StoreCopy(original)
    copy.put(("n",), "mine", {"text": "aaab"})
    assert [i.key for i in copy.search(("n",), query="a", limit=2)] == ["a", "mine"]
    assert [i.key for i in copy.search(("n",), query="b", limit=3)] == ["b", "mine", "a"]
    copy.delete(("n",), "a")
    assert [i.key for i in copy.search(("n",), query="a", limit=5)] == ["mine", "b"]


async def test_async_stores_on_their_own_loop() -> None:
    async with AsyncSqliteStore.from_conn_string(":memory:") as original:
        await original.setup()
        await original.aput(("a",), "x", {"n": 1})
        copy = StoreCopy(original)
        await copy.aput(("a",), "y", {"n": 2})
        await copy.adelete(("a",), "x")
        assert [i.key for i in await copy.asearch(("a",))] == ["y"]
        assert await copy.alist_namespaces() == [("a",)]
        assert await copy.aget(("a",), "x") is None
        assert await original.aget(("a",), "x") is not None
        assert await original.aget(("a",), "y") is None
