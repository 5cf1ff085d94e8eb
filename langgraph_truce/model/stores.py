"""A synchronous `BaseStore` in a SQLite file or in PostgreSQL, and a saver in a SQLite file."""

from __future__ import annotations

import asyncio
import os
import sqlite3
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, closing, contextmanager, suppress
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import aiosqlite
from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.base import ChannelVersions, Checkpoint, CheckpointMetadata
from langgraph.checkpoint.serde.jsonplus import JsonPlusSerializer
from langgraph.checkpoint.sqlite.aio import AsyncSqliteSaver
from langgraph.store.base import BaseStore, SearchItem
from langgraph.store.memory import InMemoryStore
from langgraph.store.sqlite import SqliteStore

from langgraph_truce.errors import RunError
from langgraph_truce.model.address import Address

WAL_PAGES = 16_384
"""Pages (of 4 kB) that gather in a WAL before they are copied into the file: the longer, the rarer a torn copy."""
GUARDS = ("PRAGMA trusted_schema=OFF", "PRAGMA cell_size_check=ON")
"""For a file that may be a stranger's: its schema calls no function that does more than compute; broken pages are found."""
ACTING = (
    "SELECT type, name FROM sqlite_master WHERE type IN ('trigger', 'view') OR sql LIKE 'CREATE VIRTUAL%'"
)
"""What acts when it is read or written; no run and no checkpointer makes such things."""
ALL = 10**9
"""Items of a namespace at most; they are read in one page, because the order of pages is that of the last change."""


TABLE = "store"
"""Where LangGraph's stores keep what is put."""


@contextmanager
def open_store(where: str | Path | Address, *, read_only: bool = False) -> Iterator[BaseStore]:
    """A store in the SQLite file `where` (made where it is not), or in PostgreSQL where `where` is its URL.

    Every batch is one transaction, durable when it returns.

    Args:
        where: A file, or `postgresql://...`.
        read_only: Nothing is made, set up or written; reading goes on beside a writer. A file whose writer was killed before
            it made its first table is empty.

    Raises:
        MissingExtra: a PostgreSQL URL without the `postgres` extra.
        RunError: the file or the database cannot be opened.
    """
    if isinstance(where, Address) or Address.fits(where):
        from langgraph_truce.model.postgres import Line, LineStore

        address = where if isinstance(where, Address) else Address.of(str(where))
        with Line(address, read_only=read_only) as line:
            yield LineStore(line)
        return
    db = _connect(Path(where), read_only=read_only)
    store = FileStore(db)
    try:
        with _said(where):
            store.is_setup = read_only
            store.setup()
            empty = (
                read_only and not db.execute(f"SELECT 1 FROM sqlite_master WHERE name = '{TABLE}'").fetchone()
            )
        yield InMemoryStore() if empty else store
    finally:
        # A cancelled rollout leaves its read running in a thread: a connection closed under it crashes the process.
        with store.lock:
            db.close()


@runtime_checkable
class Keyed(Protocol):
    """A store that can tell its keys without reading what stands under them."""

    def keys(self, namespace: tuple[str, ...]) -> list[str]:
        """All keys of exactly this namespace, in no order."""


def keys_of(store: BaseStore, namespace: tuple[str, ...]) -> list[str]:
    """All keys of a namespace, sorted; cheap where the store is `Keyed`."""
    if isinstance(store, Keyed):
        return sorted(store.keys(namespace))
    return sorted(item.key for item in items_of(store, namespace))


def items_of(store: BaseStore, namespace: tuple[str, ...]) -> list[SearchItem]:
    """All items of a namespace, by key."""
    return sorted(store.search(namespace, limit=ALL), key=lambda item: item.key)


class FileStore(SqliteStore):
    """LangGraph's store in a file, which takes a batch back as a whole where a part of it fails (a full disk)."""

    def keys(self, namespace: tuple[str, ...]) -> list[str]:
        """See `Keyed`; read from the index alone."""
        with self._cursor(transaction=False) as cursor:
            cursor.execute("SELECT key FROM store WHERE prefix = ?", (".".join(namespace),))
            return [str(row[0]) for row in cursor.fetchall()]

    @contextmanager
    def _cursor(self, *, transaction: bool = True) -> Iterator[sqlite3.Cursor]:
        with self.lock, closing(self.conn.cursor()) as cursor:
            if transaction:
                cursor.execute("BEGIN")
            try:
                yield cursor
                if transaction:
                    cursor.execute("COMMIT")
            except BaseException:
                if self.conn.in_transaction:
                    self.conn.execute("ROLLBACK")
                raise


class FileSaver(AsyncSqliteSaver):
    """LangGraph's saver in a file, which takes a write back as a whole where a part of it fails (a full disk).

    Without that the next write would commit the part, and a task with a part of its writes is one that never goes on.
    """

    @classmethod
    @asynccontextmanager
    async def open(cls, path: Path) -> AsyncIterator[FileSaver]:
        """The saver in the SQLite file `path`, made where it is not.

        Raises:
            RunError: there is something in the file that acts.
        """
        async with aiosqlite.connect(path) as db:
            for guard in GUARDS:
                await db.execute(guard)
            async with db.execute(ACTING) as found:
                refuse_acting(path, await found.fetchone())
            saver = cls(db, serde=plain_serde())
            # WAL with NORMAL: a killed process loses nothing; only a power cut can take back the last moments, and what
            # was paid for is in the journal, which keeps SQLite's full durability.
            await db.execute("PRAGMA journal_mode=WAL")
            await db.execute("PRAGMA synchronous=NORMAL")
            yield saver

    def __init__(self, db: aiosqlite.Connection, *, serde: JsonPlusSerializer) -> None:
        super().__init__(db, serde=serde)
        self._turn = asyncio.Lock()

    async def aput(
        self,
        config: RunnableConfig,
        checkpoint: Checkpoint,
        metadata: CheckpointMetadata,
        new_versions: ChannelVersions,
    ) -> RunnableConfig:
        """As AsyncSqliteSaver, whole or not at all."""
        async with self._whole():
            return await super().aput(config, checkpoint, metadata, new_versions)

    async def aput_writes(
        self, config: RunnableConfig, writes: Sequence[tuple[str, Any]], task_id: str, task_path: str = ""
    ) -> None:
        """As AsyncSqliteSaver, whole or not at all."""
        async with self._whole():
            await super().aput_writes(config, writes, task_id, task_path)

    @asynccontextmanager
    async def _whole(self) -> AsyncIterator[None]:
        async with self._turn:
            try:
                yield
            except BaseException:
                await self.conn.rollback()
                raise


def plain_serde() -> JsonPlusSerializer:
    """Of checkpoints: strict msgpack with an empty allow-list, so that nothing that is read back can run code."""
    return JsonPlusSerializer(allowed_msgpack_modules=[])


def check_file(path: Path) -> None:
    """Look through a SQLite file of a copied folder.

    Raises:
        RunError: it is torn: the copy was made while a run wrote to it.
    """
    try:
        with closing(_guarded(sqlite3.connect(path), path)) as db:
            found = [str(row[0]) for row in db.execute("PRAGMA integrity_check(1)")]
    except sqlite3.DatabaseError as e:
        found = [str(e)]
    if found != ["ok"]:
        raise RunError(
            f"{path}: damaged ({found[0].splitlines()[-1]}); if this folder was copied while its run was going on, "
            "copy it again now that the run has stopped"
        )


def _connect(path: Path, *, read_only: bool) -> sqlite3.Connection:
    with _said(path):
        if read_only:
            return _reader(path)
        if not path.exists():
            _make(path)
        db = _guarded(sqlite3.connect(path, check_same_thread=False, isolation_level=None), path)
        db.execute("PRAGMA journal_mode=WAL")
        db.execute(f"PRAGMA wal_autocheckpoint={WAL_PAGES}")
        return db


def _make(path: Path) -> None:
    """Make the file with its tables, whole or not at all: LangGraph makes them in several steps that cannot be repeated."""
    fresh = path.with_name(f"{path.name}.{os.getpid()}.new")
    fresh.unlink(missing_ok=True)  # of an earlier process with this number, killed here
    try:
        db = sqlite3.connect(fresh, isolation_level=None)
        try:
            SqliteStore(db).setup()
        finally:
            db.close()
        with suppress(FileExistsError):  # somebody was first
            os.link(fresh, path)
    finally:
        fresh.unlink(missing_ok=True)


def _reader(path: Path) -> sqlite3.Connection:
    """A connection that writes nothing; where the folder cannot be written either, the file is taken as it lies."""
    name = path.absolute().as_uri()
    db = sqlite3.connect(f"{name}?mode=rw", uri=True, check_same_thread=False, isolation_level=None)
    try:
        # not mode=ro: the last one out could not tidy up the WAL
        db.execute("PRAGMA query_only=ON")
        return _guarded(db, path)
    except sqlite3.OperationalError:
        db.close()
        if not path.is_file() or path.with_name(path.name + "-wal").exists():
            raise
        db = sqlite3.connect(f"{name}?immutable=1", uri=True, check_same_thread=False, isolation_level=None)
        db.execute("PRAGMA query_only=ON")
        return _guarded(db, path)


def _guarded(db: sqlite3.Connection, path: Path) -> sqlite3.Connection:
    """The same connection, on its guard; closed where there is something in the file that acts."""
    try:
        for guard in GUARDS:
            db.execute(guard)
        refuse_acting(path, db.execute(ACTING).fetchone())
    except BaseException:
        db.close()
        raise
    return db


def refuse_acting(path: Path, found: Any) -> None:
    """Refuse a database with something in it that acts: what `ACTING` found, or None.

    Raises:
        RunError: there is such a thing.
    """
    if found is not None:
        kind, name = found
        what = "virtual table" if kind == "table" else kind
        raise RunError(
            f"{path}: there is a {what} {name!r} in this database, and no run makes one; the file is a stranger's, or was "
            "changed: do not go on with it"
        )


@contextmanager
def _said(where: str | Path) -> Iterator[None]:
    try:
        yield
    except sqlite3.Error as e:
        there = Path(where).parent.is_dir()
        hint = "is the disk full, or is it no SQLite file?" if there else "give a file in an existing folder"
        raise RunError(f"{where}: cannot open this SQLite file: {e}; {hint}") from e
