"""A synchronous `BaseStore` in a file or in PostgreSQL."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from langgraph.store.base import BaseStore

from langgraph_truce.errors import MissingExtra, RunError


@contextmanager
def open_store(where: str | Path) -> Iterator[BaseStore]:
    """A store in the SQLite file `where` (made where it is not), or in PostgreSQL where `where` is its URL.

    Every batch is one transaction, durable when it returns.

    Raises:
        MissingExtra: a PostgreSQL URL without the `postgres` extra.
        RunError: the file or the database cannot be opened.
    """
    if str(where).startswith(("postgres://", "postgresql://")):
        with _postgres(str(where)) as store:
            yield store
        return
    from langgraph.store.sqlite import SqliteStore

    try:
        db = sqlite3.connect(where, check_same_thread=False, isolation_level=None)
        db.execute("PRAGMA journal_mode=WAL")
    except sqlite3.Error as e:
        raise RunError(
            f"{where}: cannot open this SQLite file: {e}; give a file in an existing folder"
        ) from e
    store = SqliteStore(db)
    try:
        store.setup()
        yield store
    finally:
        # A cancelled rollout leaves its read running in a thread: a connection closed under it crashes the process.
        with store.lock:
            db.close()


@contextmanager
def _postgres(url: str) -> Iterator[BaseStore]:
    try:
        import psycopg
        from langgraph.store.postgres import PostgresStore
        from psycopg.rows import dict_row
    except ImportError as e:
        raise MissingExtra("a PostgreSQL store", "'langgraph-truce[postgres]'") from e
    try:
        db = psycopg.connect(url, autocommit=True, prepare_threshold=0, row_factory=dict_row)
    except psycopg.Error as e:
        raise RunError(
            f"cannot connect to PostgreSQL: {e}; check the address and that the server runs"
        ) from e
    with db:
        store = PostgresStore(db)
        store.setup()
        yield store
