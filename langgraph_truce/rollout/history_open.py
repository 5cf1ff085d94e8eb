"""Open a checkpointer's database for reading, and read it although some of its rows cannot be."""

from __future__ import annotations

import asyncio
import copy
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

from langgraph.checkpoint.base import BaseCheckpointSaver
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.checkpoint.serde.base import SerializerProtocol
from langgraph.checkpoint.serde.jsonplus import JsonPlusSerializer
from langgraph.checkpoint.sqlite import SqliteSaver
from langgraph.checkpoint.sqlite.aio import AsyncSqliteSaver

from langgraph_truce.errors import MissingExtra, UserMistake
from langgraph_truce.model.stores import GUARDS

_NEWEST_FIRST = "SELECT thread_id, max(checkpoint_id) FROM checkpoints GROUP BY thread_id ORDER BY 2 DESC"
_WAYS = "give sqlite:///threads.db, the path of a SQLite file, or postgresql://USER@HOST/DATABASE"


@dataclass(frozen=True, slots=True)
class Undecoded:
    """Stands for stored bytes that could not be read."""

    type: str
    """LangGraph's name of their format: msgpack, json, pickle."""
    why: str


class Lenient(SerializerProtocol):
    """A serializer that gives `Undecoded` where another raises."""

    def __init__(self, inner: SerializerProtocol) -> None:
        self._inner = inner

    def dumps_typed(self, obj: Any) -> tuple[str, bytes]:
        """As the serializer below."""
        return self._inner.dumps_typed(obj)

    def loads_typed(self, data: tuple[str, bytes]) -> Any:
        """As the serializer below, or `Undecoded`."""
        try:
            return self._inner.loads_typed(data)
        except Exception as broken:  # noqa: BLE001 (stored bytes can break a reader in any way; that is recorded)
            if data[0] == "pickle":
                return Undecoded("pickle", "it is pickled, and loading that may run any code")
            first = str(broken).partition("\n")[0][:200]
            return Undecoded(str(data[0]), f"{type(broken).__name__}: {first}")


def lenient(saver: BaseCheckpointSaver[Any]) -> BaseCheckpointSaver[Any]:
    """A shallow copy of `saver`, as LangGraph makes them, that reads past what cannot be decoded."""
    clone = copy.copy(saver)
    clone.serde = Lenient(saver.serde)
    return clone


@contextmanager
def open_saver(where: str | Path, *, revive: bool = False) -> Iterator[BaseCheckpointSaver[Any]]:
    """A checkpointer over an existing database, read-only: no table is made or changed, no row is written.

    Args:
        where: `sqlite:///FILE`, the path of a SQLite file, or `postgresql://...`.
        revive: False: types that LangGraph does not know as safe come as plain data, nothing of the application is
            imported for them. True: as in the application itself, which forks and evaluators need.

    Raises:
        UserMistake: no such file or database, no checkpoints in it, or an address of another kind.
        MissingExtra: a PostgreSQL address without the `postgres` extra.
    """
    text = str(where)
    if text.startswith(("postgres://", "postgresql://")):
        with _postgres(text, _serde(revive=revive)) as saver:
            yield saver
        return
    if "://" in text and not text.startswith("sqlite:///"):
        raise UserMistake(f"{text!r} is no checkpointer that can be opened here; {_WAYS}")
    with closing(_sqlite(Path(text.removeprefix("sqlite:///")))) as db:
        saver = SqliteSaver(db, serde=_serde(revive=revive))
        columns = {row[1] for row in db.execute("PRAGMA table_info(writes)")}
        saver.is_setup = "task_path" in columns  # else its own set-up learns, on this read-only connection
        yield saver


def thread_ids(saver: BaseCheckpointSaver[Any]) -> list[str]:
    """Ids of all threads that a saver holds, newest first; a saver of an unknown kind is read to its end for them."""
    if isinstance(saver, InMemorySaver):
        return sorted(saver.storage, key=lambda t: max(map(max, filter(None, saver.storage[t].values()))))[
            ::-1
        ]
    if isinstance(saver, SqliteSaver):
        with saver.cursor(transaction=False) as cursor:
            return [str(row[0]) for row in cursor.execute(_NEWEST_FIRST).fetchall()]
    if _is_postgres(saver):
        return _postgres_ids(saver)
    return list(dict.fromkeys(str(row.config["configurable"]["thread_id"]) for row in saver.list(None)))


async def athread_ids(saver: BaseCheckpointSaver[Any]) -> list[str]:
    """As `thread_ids`, for async savers too."""
    if isinstance(saver, AsyncSqliteSaver):
        async with saver.conn.execute(_NEWEST_FIRST) as cursor:
            return [str(row[0]) for row in await cursor.fetchall()]
    if _is_postgres(saver) and hasattr(saver, "loop"):
        return await _apostgres_ids(saver)
    try:
        rows = [row async for row in saver.alist(None)] if type(saver).alist is not _NO_ALIST else None
    except NotImplementedError:
        rows = None
    if rows is None or isinstance(saver, InMemorySaver):
        return await asyncio.to_thread(thread_ids, saver)
    return list(dict.fromkeys(str(row.config["configurable"]["thread_id"]) for row in rows))


_NO_ALIST = BaseCheckpointSaver.alist


def _serde(*, revive: bool) -> JsonPlusSerializer:
    return JsonPlusSerializer() if revive else JsonPlusSerializer(allowed_msgpack_modules=None)


def _sqlite(file: Path) -> sqlite3.Connection:
    if not file.is_file():
        raise UserMistake(f"{file}: no such SQLite file; {_WAYS}")
    name = quote(str(file.resolve()))
    try:
        return _checked(sqlite3.connect(f"file:{name}?mode=ro", uri=True, check_same_thread=False), file)
    except sqlite3.OperationalError as closed:
        # a file in WAL mode whose folder cannot be written to opens only as one that nobody changes
        if Path(f"{file}-wal").exists():
            raise UserMistake(f"{file}: cannot open this SQLite file: {closed}") from closed
        return _checked(
            sqlite3.connect(f"file:{name}?mode=ro&immutable=1", uri=True, check_same_thread=False), file
        )


def _checked(db: sqlite3.Connection, file: Path) -> sqlite3.Connection:
    try:
        for guard in GUARDS:
            db.execute(guard)
        tables = {row[0] for row in db.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
    except sqlite3.OperationalError:
        db.close()
        raise
    except sqlite3.DatabaseError as broken:
        db.close()
        raise UserMistake(f"{file}: this is no SQLite database ({broken}); {_WAYS}") from broken
    if not {"checkpoints", "writes"} <= tables:
        db.close()
        raise UserMistake(
            f"{file}: this database holds no LangGraph checkpoints (its tables: {', '.join(sorted(tables)) or 'none'}); "
            "give the file that the graph's SqliteSaver writes to"
        )
    return db


@contextmanager
def _postgres(url: str, serde: JsonPlusSerializer) -> Iterator[BaseCheckpointSaver[Any]]:
    try:
        import psycopg
        from langgraph.checkpoint.postgres import PostgresSaver
        from psycopg.rows import dict_row
    except ImportError as e:
        raise MissingExtra("a PostgreSQL checkpointer", "'langgraph-truce[postgres]'") from e
    try:
        db = psycopg.connect(url, autocommit=True, prepare_threshold=0, row_factory=dict_row)
    except psycopg.Error as e:
        said = str(e).strip().partition("\n")[0]
        raise UserMistake(
            f"cannot connect to PostgreSQL: {said}; check the address and that the server runs"
        ) from e
    with db:
        db.execute("SET default_transaction_read_only = on")
        columns = db.execute(
            "SELECT column_name FROM information_schema.columns "
            "WHERE table_name = 'checkpoint_writes' AND table_schema = ANY(current_schemas(false))"
        ).fetchall()
        if not columns:
            raise UserMistake(
                "this PostgreSQL database holds no LangGraph checkpoints (no table checkpoint_writes on its search path); "
                "give the address that the graph's PostgresSaver writes to"
            )
        if "task_path" not in {row["column_name"] for row in columns}:
            raise UserMistake(
                "the checkpoint tables of this PostgreSQL database are of an older version; they are not changed here: "
                "call setup() of your own PostgresSaver once"
            )
        yield PostgresSaver(db, serde=serde)


def _is_postgres(saver: object) -> bool:
    return any(kind.__module__.startswith("langgraph.checkpoint.postgres") for kind in type(saver).__mro__)


def _postgres_ids(saver: Any) -> list[str]:
    if hasattr(saver.conn, "getconn"):  # a pool
        with saver.conn.connection() as db:
            return _first_column(db.execute(_NEWEST_FIRST).fetchall())
    return _first_column(saver.conn.execute(_NEWEST_FIRST).fetchall())


async def _apostgres_ids(saver: Any) -> list[str]:
    if hasattr(saver.conn, "getconn"):
        async with saver.conn.connection() as db:
            return _first_column(await (await db.execute(_NEWEST_FIRST)).fetchall())
    async with saver.lock:
        return _first_column(await (await saver.conn.execute(_NEWEST_FIRST)).fetchall())


def _first_column(rows: Any) -> list[str]:
    return [str(row["thread_id"] if isinstance(row, dict) else row[0]) for row in rows]
