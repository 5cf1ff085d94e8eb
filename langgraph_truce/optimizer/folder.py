"""The run folder: manifest, lock, journal, records and the optimizer's checkpoints."""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiosqlite
from langgraph.checkpoint.serde.jsonplus import JsonPlusSerializer
from langgraph.checkpoint.sqlite.aio import AsyncSqliteSaver

from langgraph_truce.errors import RunError
from langgraph_truce.model import Journal, open_store
from langgraph_truce.optimizer.records import Records

MANIFEST = "run.json"
SCHEMA = 1


@dataclass(frozen=True)
class Opened:
    """An open run folder."""

    path: Path
    saver: AsyncSqliteSaver
    records: Records
    journal: Journal


@asynccontextmanager
async def open_folder(path: Path, manifest: Mapping[str, Any]) -> AsyncIterator[Opened]:
    """Open a run folder for writing, made if it is not there; one writer at a time.

    Raises:
        RunError: another process writes to it, or it belongs to another run (system, rules, tasks, method or seed
            differ); the message names what differs.
    """
    path.mkdir(parents=True, exist_ok=True)
    with _locked(path):
        _check_manifest(path, manifest)
        with open_store(path / "records.sqlite") as store, Journal.open(path / "journal.sqlite") as journal:
            records = await Records(store).open()
            try:
                async with AsyncSqliteSaver.from_conn_string(str(path / "checkpoints.sqlite")) as opened:
                    saver = AsyncSqliteSaver(
                        opened.conn, serde=JsonPlusSerializer(allowed_msgpack_modules=[])
                    )
                    await _tune(saver.conn)
                    yield Opened(path, saver, records, journal)
            finally:
                records.close()


async def _tune(connection: aiosqlite.Connection) -> None:
    # WAL with NORMAL: a killed process loses nothing; only a power cut can take back the last moments, and what was
    # paid for is in the journal, which keeps SQLite's full durability.
    await connection.execute("PRAGMA journal_mode=WAL")
    await connection.execute("PRAGMA synchronous=NORMAL")


class _locked:  # noqa: N801 - reads as what it does at its one use
    """An exclusive lock on the folder, given back by the system when the process dies."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __enter__(self) -> None:
        self._file = os.open(self._path / "lock", os.O_CREAT | os.O_RDWR)
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as e:
            os.close(self._file)
            raise RunError(
                f"{self._path}: another process is writing to this run; wait for it or choose another folder"
            ) from e

    def __exit__(self, *error: object) -> None:
        os.close(self._file)


def _check_manifest(path: Path, manifest: Mapping[str, Any]) -> None:
    wanted = {"schema": SCHEMA, **manifest}
    file = path / MANIFEST
    if not file.exists():
        fresh = file.with_suffix(".tmp")
        fresh.write_text(json.dumps(wanted, indent=2, sort_keys=True) + "\n", encoding="utf-8")
        fresh.replace(file)
        return
    found = read_manifest(path)
    # compared as JSON: what was written is what counts, not tuples against lists
    wanted = json.loads(json.dumps(wanted))
    differ = sorted(k for k in wanted.keys() | found.keys() if wanted.get(k) != found.get(k))
    if differ:
        said = "; ".join(f"{k}: {found.get(k)!r} there, {wanted.get(k)!r} now" for k in differ)
        raise RunError(f"{path}: this folder belongs to another run ({said}); choose another run folder")


def read_manifest(path: Path) -> dict[str, Any]:
    """What run a folder belongs to.

    Raises:
        RunError: it is no run folder, or its manifest is damaged.
    """
    file = path / MANIFEST
    if not file.is_file():
        raise RunError(
            f"{path}: no run folder, {MANIFEST} is missing; give the folder that optimize() was given"
        )
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
    except ValueError as e:
        raise RunError(f"{file}: damaged, not JSON: {e}") from e
    if not isinstance(found, dict):
        raise RunError(f"{file}: damaged, a JSON object is expected")
    return found
