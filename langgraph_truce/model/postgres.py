"""One connection to PostgreSQL for all that a run keeps there: lost and found again, and its lease with it.

Records, journal and checkpoints of a run go through one session, a `Line`. The session holds an advisory lock on the run:
its lease. Why that is enough for one writer at a time:

- The server gives the lock back when the session ends, and only then. A killed process closes its socket, so its session
  ends at once; a machine that vanished is given up by TCP keep-alives within a minute.
- Everything is written by the very session that holds the lock. A writer that lost its connection has lost its lock and
  its means of writing together, and a commit that was still under way ends before the lock is free.
- A new session takes the lock again before it writes anything. If somebody else has it, or had it in between (the token of
  the lease is another), what this process knows is old: the run ends with a sentence, and nothing is written.
- The session this process lost may live on, on the server, while the network between them is cut. It is ended by its
  process number and its start before its lock is waited for.

What was under way when the connection broke is done again: every write says what stands under a key, so twice is once.
A pooler in transaction mode has no sessions and cannot be used.
"""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from types import TracebackType
from typing import Any, TypeVar

from langgraph.store.base import BaseStore, Op, PutOp, Result

from langgraph_truce.errors import MissingExtra, RunError, Unkept
from langgraph_truce.model.address import Address
from langgraph_truce.model.lease import GRACE, POLL, Holder, in_use
from langgraph_truce.model.stores import plain_serde

try:
    import psycopg
    from langgraph.checkpoint.base import ChannelVersions, Checkpoint, CheckpointMetadata, CheckpointTuple
    from langgraph.checkpoint.postgres import PostgresSaver
    from langgraph.store.postgres import PostgresStore
    from psycopg.rows import DictRow, dict_row
except ImportError as e:
    raise MissingExtra("PostgreSQL", "'langgraph-truce[postgres]'") from e

from langchain_core.runnables import RunnableConfig

T = TypeVar("T")
Db = psycopg.Connection[DictRow]
FIRST, LONGEST = 0.1, 5.0
"""Seconds between tries to reach a lost database: doubled from the first to the longest."""
_ALIVE = {"idle": 20, "interval": 5, "count": 4}  # both sides give a silent other one up within a minute
_log = logging.getLogger(__name__)


class Line:
    """A session that is made again when it is lost; all that goes through it goes in turn.

    Args:
        address: Where the database is.
        lease: Namespace of the run that is written; empty for none.
        read_only: Refuse to write, and set nothing up.

    Raises:
        RunError: the database cannot be reached, or another process holds the lease.
    """

    def __init__(self, address: Address, lease: tuple[str, ...] = (), *, read_only: bool = False) -> None:
        self.address = address
        self._lease = lease
        self.read_only = read_only
        self._lock = threading.RLock()
        self._closing = threading.Event()
        self._holder = Holder()
        self._session: tuple[int, Any] | None = None
        self._ended: RunError | None = None
        self._db = self._begin()

    def __enter__(self) -> Line:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """End the session, and with it the lease."""
        self._closing.set()
        with self._lock:
            self._ended = self._ended or RunError("the run's database connection is closed")
            self._db.close()

    def do(self, work: Callable[[Db], T]) -> T:
        """What `work` gives; done again with a new session where the old one broke.

        Args:
            work: What to do with the connection; twice must be as good as once.

        Raises:
            Unkept: the database did not come back in time, somebody else has written meanwhile, or the database refuses
                (a full disk).
        """
        with self._lock:
            while self._ended is None:
                try:
                    return work(self._db)
                except psycopg.Error as e:
                    if not self._db.closed and not self._db.broken:
                        raise self._refused(e) from None  # its own words may have the password in them
                    self._find_again(e)
            raise Unkept(*self._ended.args) from self._ended

    def _refused(self, error: psycopg.Error) -> Unkept:
        said = f"{type(error).__name__}: {self.address.clean(error)}"
        return Unkept(
            f"{self.address.shown}: the database refused ({said}); nothing is half-written: the same command goes on once "
            "it takes what a run keeps"
        )

    def _find_again(self, why: psycopg.Error) -> None:
        patience = self.address.patience
        said = self.address.clean(why)
        _log.warning("%s: connection lost (%s); trying again for %g s", self.address.shown, said, patience)
        until = time.monotonic() + patience
        wait = FIRST
        while not self._closing.is_set():
            try:
                self._db = self._open()
            except RunError as e:
                self._ended = e
                return
            except psycopg.Error as e:
                if time.monotonic() + wait > until:
                    self._ended = RunError(
                        f"{self.address.shown}: the database did not come back within {patience:g} s "
                        f"({self.address.clean(e)}); the same command goes on once it is there"
                    )
                    return
            else:
                _log.warning("%s: connected again", self.address.shown)
                return
            self._closing.wait(wait)
            wait = min(2 * wait, LONGEST)
        self._ended = RunError(f"{self.address.shown}: the run ended while its database was away")

    def _begin(self) -> Db:
        try:
            return self._open()
        except psycopg.Error as e:
            raise RunError(
                f"cannot connect to PostgreSQL at {self.address.shown}: {self.address.clean(e)}; "
                "check the address and that the server runs"
            ) from None  # its own words may have the password in them

    def _open(self) -> Db:
        alive: dict[str, Any] = {f"keepalives_{name}": value for name, value in _ALIVE.items()}
        db: Db = psycopg.connect(
            self.address.url, autocommit=True, prepare_threshold=0, row_factory=dict_row, **alive
        )
        try:
            for name, value in _ALIVE.items():
                db.execute("SELECT set_config(%s, %s, false)", (f"tcp_keepalives_{name}", str(value)))
            if self.read_only:
                self._look(db)
            else:
                _set_up(db)
            if self._lease:
                self._take(db)
        except BaseException:
            db.close()
            raise
        self._session = _session(db, db.info.backend_pid)
        return db

    def _look(self, db: Db) -> None:
        row = db.execute("SELECT to_regclass('store') AS there").fetchone()
        if row is None or row["there"] is None:
            raise RunError(f"{self.address.shown}: no run was ever kept in this database; check its name")

    def _take(self, db: Db) -> None:
        name = "/".join(self._lease)
        until = time.monotonic() + GRACE
        while not _try_lock(db, name):
            self._end_ghost(db, name)
            if time.monotonic() > until:
                raise in_use(self.address.shown, self._written(db))
            time.sleep(POLL)
        there = self._written(db)
        if self._session is not None and there is not None and there.token != self._holder.token:
            raise RunError(
                f"{self.address.shown}: another process has written to this run while this one had lost the database "
                f"({there}); give the same command again to go on from there"
            )
        PostgresStore(db).put(self._lease, "lease", self._holder.to_json(), index=False)

    def _written(self, db: Db) -> Holder | None:
        item = PostgresStore(db).get(self._lease, "lease")
        return Holder.of(item.value if item else None)

    def _end_ghost(self, db: Db, name: str) -> None:
        """End the session that this process lost, where the server still believes in it."""
        if self._session is not None and _holds(db, name) == self._session:
            db.execute("SELECT pg_terminate_backend(%s)", (self._session[0],))


class LineStore(BaseStore):
    """A store over a `Line`."""

    supports_ttl = False

    def __init__(self, line: Line) -> None:
        self._line = line

    def batch(self, ops: Iterable[Op]) -> list[Result]:
        """One transaction, done again where the connection broke."""
        given = list(ops)
        if self._line.read_only and any(isinstance(op, PutOp) for op in given):
            raise RunError(f"{self._line.address.shown}: opened to be read, not to be written")
        return self._line.do(lambda db: PostgresStore(db).batch(given))

    def keys(self, namespace: tuple[str, ...]) -> list[str]:
        """See `stores.Keyed`."""
        prefix = ".".join(namespace)
        rows = self._line.do(
            lambda db: db.execute("SELECT key FROM store WHERE prefix = %s", (prefix,)).fetchall()
        )
        return [row["key"] for row in rows]

    async def abatch(self, ops: Iterable[Op]) -> list[Result]:
        """As `batch`, in a thread."""
        return await asyncio.to_thread(self.batch, list(ops))


class LineSaver(PostgresSaver):
    """Checkpoints over a `Line`, for async graphs; only plain data is read back."""

    def __init__(self, line: Line) -> None:
        self._line = line
        line.do(lambda db: super(LineSaver, self).__init__(db, serde=plain_serde()))

    async def aget_tuple(self, config: RunnableConfig) -> CheckpointTuple | None:
        """As `get_tuple`."""
        return await self._do(lambda saver: saver.get_tuple(config))

    async def alist(
        self,
        config: RunnableConfig | None,
        *,
        filter: dict[str, Any] | None = None,  # noqa: A002 - LangGraph's name
        before: RunnableConfig | None = None,
        limit: int | None = None,
    ) -> AsyncIterator[CheckpointTuple]:
        """As `list`."""
        rows = await self._do(lambda s: list(s.list(config, filter=filter, before=before, limit=limit)))
        for row in rows:
            yield row

    async def aput(
        self,
        config: RunnableConfig,
        checkpoint: Checkpoint,
        metadata: CheckpointMetadata,
        new_versions: ChannelVersions,
    ) -> RunnableConfig:
        """As `put`."""
        return await self._do(lambda saver: saver.put(config, checkpoint, metadata, new_versions))

    async def aput_writes(
        self, config: RunnableConfig, writes: Sequence[tuple[str, Any]], task_id: str, task_path: str = ""
    ) -> None:
        """As `put_writes`."""
        await self._do(lambda saver: saver.put_writes(config, writes, task_id, task_path))

    async def _do(self, work: Callable[[PostgresSaver], T]) -> T:
        def on(db: Db) -> T:
            self.conn = db  # in turn: the line lets one in at a time
            return work(self)

        return await asyncio.to_thread(self._line.do, on)


def _set_up(db: Db) -> None:
    """Make the tables; runs that begin at the same moment do it one after the other."""
    # polled: one that waited inside the server would hold up CREATE INDEX CONCURRENTLY for ever
    while not _try_lock(db, "setup"):
        time.sleep(POLL)
    try:
        PostgresStore(db).setup()
        PostgresSaver(db).setup()
    finally:
        db.execute("SELECT pg_advisory_unlock(hashtextextended(current_schema() || '/truce/setup', 0))")


def _try_lock(db: Db, name: str) -> bool:
    row = db.execute(
        "SELECT pg_try_advisory_lock(hashtextextended(current_schema() || %s, 0)) AS got",
        (f"/truce/{name}",),
    ).fetchone()
    assert row is not None
    return bool(row["got"])


def _holds(db: Db, name: str) -> tuple[int, Any] | None:
    """(process number, start) of the session that has the lock."""
    row = db.execute(
        "WITH wanted AS (SELECT hashtextextended(current_schema() || %s, 0) AS key) "
        "SELECT pid FROM pg_locks, wanted WHERE locktype = 'advisory' AND granted AND objsubid = 1 "
        "AND classid::bigint = (key >> 32) & 4294967295 AND objid::bigint = key & 4294967295",
        (f"/truce/{name}",),
    ).fetchone()
    return _session(db, row["pid"]) if row else None


def _session(db: Db, pid: int) -> tuple[int, Any]:
    row = db.execute("SELECT backend_start FROM pg_stat_activity WHERE pid = %s", (pid,)).fetchone()
    return pid, row["backend_start"] if row else None
