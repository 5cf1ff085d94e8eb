"""Where a run is kept: a folder, or a PostgreSQL database by URL, in one shape: a saver and stores of LangGraph.

A folder holds `run.json` (which run it is), `records.sqlite`, `journal.sqlite`, `checkpoints.sqlite`, `lock` and readable
files. It names nothing outside itself, so it can be copied and resumed elsewhere. A database holds the same under
`truce.NAME` for any number of runs, and the readable files are in `runs/NAME`.
"""

from __future__ import annotations

import re
import sqlite3
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from langgraph.checkpoint.base import BaseCheckpointSaver
from langgraph.store.base import BaseStore

from langgraph_truce.errors import RunError, UserMistake
from langgraph_truce.model import Journal, open_store
from langgraph_truce.model.address import Address
from langgraph_truce.model.commit import unkept
from langgraph_truce.model.lease import folder_lease, sign
from langgraph_truce.model.stores import FileSaver, check_file
from langgraph_truce.optimizer import manifest as manifests
from langgraph_truce.optimizer.manifest import FolderManifest, Manifest, StoredManifest
from langgraph_truce.optimizer.records import Records

RECORDS, JOURNAL, CHECKPOINTS = "records.sqlite", "journal.sqlite", "checkpoints.sqlite"
RUNS = Path("runs")
"""Where the readable files of a run in a database are."""
_NAME = re.compile(r"[A-Za-z0-9_-]{1,80}")
_ROOT = "truce"


@dataclass(frozen=True, slots=True)
class Place:
    """Where a run is kept; as text it is safe to show."""

    folder: Path
    """The run folder; of a run in a database, the folder of its readable files."""
    address: Address | None = None
    """The database, or None."""
    name: str = "run"
    """The run's name in the database."""

    @classmethod
    def of(cls, given: Place | Path | str) -> Place:
        """A folder, or `postgresql://USER@HOST/DATABASE#NAME`.

        Raises:
            UserMistake: a URL that cannot be read, or a name that cannot be one.
        """
        if isinstance(given, Place):
            return given
        if not Address.fits(given):
            if re.match(r"[a-z][a-z0-9+]+:/", str(given)):
                scheme = str(given).partition(":")[0]
                raise UserMistake(
                    f"{scheme}: a run is kept in a folder or in postgresql://USER@HOST/DATABASE#NAME"
                )
            return cls(Path(given))
        url, _, name = str(given).partition("#")
        name = name or "run"
        if not _NAME.fullmatch(name):
            raise UserMistake(
                "the name of a run, after # in its PostgreSQL URL, has letters, digits, - and _, 80 at most; "
                "a # in a password is written %23"
            )
        return cls(RUNS / name, Address.of(url), name)

    @property
    def namespace(self) -> tuple[str, ...]:
        """Where in the database's store this run is."""
        return (_ROOT, self.name)

    def __str__(self) -> str:
        return str(self.folder) if self.address is None else f"{self.address.shown}#{self.name}"


@dataclass(frozen=True)
class Opened:
    """An open place."""

    path: Path
    """Folder of the readable files."""
    saver: BaseCheckpointSaver[Any]
    """The optimizer's checkpoints."""
    records: Records
    journal: Journal
    thread: str = "optimizer"
    """The optimizer's thread in the saver."""


@asynccontextmanager
async def open_place(
    where: Place | Path | str, manifest: Mapping[str, Any] | None = None
) -> AsyncIterator[Opened]:
    """Open a run for writing, made if it is not there; one writer at a time.

    Args:
        where: Its place.
        manifest: Which run it is (JSON); None for one that is there already, whatever it is.

    Raises:
        RunError: another process writes to it; it belongs to another run (system, rules, tasks, method or seed differ),
            the message names what differs; it is a torn copy, or not there.
        Unkept: while it is open, something could not be written.
        UserMistake: see `Place.of`.
    """
    place = Place.of(where)
    try:
        async with (
            _folder(place, manifest) if place.address is None else _database(place, manifest) as opened
        ):
            yield opened
    except sqlite3.Error as e:
        raise unkept(e) from e


@asynccontextmanager
async def read_place(where: Place | Path | str) -> AsyncIterator[Records]:
    """The records of a run, to be read only: no lease is needed, and a run may go on meanwhile.

    Raises:
        RunError: there is no run.
    """
    place = Place.of(where)
    read_manifest(place)
    with open_store(place.address or place.folder / RECORDS, read_only=True) as store:
        yield await Records(store, _of_records(place)).open()


def read_manifest(where: Place | Path | str) -> dict[str, Any]:
    """What run a place belongs to.

    Raises:
        RunError: there is no run, or its manifest is damaged.
    """
    place = Place.of(where)
    if place.address is None:
        return manifests.read(_manifest(place))
    with open_store(place.address, read_only=True) as store:
        return manifests.read(_manifest(place, store))


@contextmanager
def read_journal(where: Place | Path | str) -> Iterator[Journal | None]:
    """The journal of a run, to be read only, for what it has paid; None where there is none yet."""
    place = Place.of(where)
    file = place.folder / JOURNAL
    if place.address is None and not file.is_file():
        yield None
        return
    with (
        open_store(place.address or file, read_only=True) as store,
        Journal(store, _of_journal(place)) as journal,
    ):
        yield journal


@asynccontextmanager
async def _folder(place: Place, manifest: Mapping[str, Any] | None) -> AsyncIterator[Opened]:
    path = place.folder
    if manifest is None:
        read_manifest(place)
    else:
        with _writing(path):
            path.mkdir(parents=True, exist_ok=True)
    with folder_lease(path) as copied:
        if copied:
            _check_copy(path)
        with _writing(path):
            if manifest is not None:
                manifests.check(_manifest(place), manifest, str(place))
            sign(path)
        with open_store(path / RECORDS) as store, Journal.open(path / JOURNAL) as journal:
            async with FileSaver.open(path / CHECKPOINTS) as saver, _records(store, place) as records:
                yield Opened(path, saver, records, journal)


@asynccontextmanager
async def _database(place: Place, manifest: Mapping[str, Any] | None) -> AsyncIterator[Opened]:
    from langgraph_truce.model.postgres import Line, LineSaver, LineStore

    assert place.address is not None
    if manifest is None:
        read_manifest(place)
    with Line(place.address, place.namespace) as line:
        store = LineStore(line)
        if manifest is not None:
            manifests.check(_manifest(place, store), manifest, str(place))
        with _writing(place.folder):
            place.folder.mkdir(parents=True, exist_ok=True)
        with Journal(store, _of_journal(place)) as journal:
            async with _records(store, place) as records:
                thread = "/".join((*place.namespace, "optimizer"))
                yield Opened(place.folder, LineSaver(line), records, journal, thread)


@asynccontextmanager
async def _records(store: BaseStore, place: Place) -> AsyncIterator[Records]:
    records = await Records(store, _of_records(place)).open()
    try:
        yield records
    finally:
        records.close()


def _of_records(place: Place) -> tuple[str, ...]:
    return ("run",) if place.address is None else place.namespace


def _of_journal(place: Place) -> tuple[str, ...]:
    return ("journal",) if place.address is None else (*place.namespace, "journal")


@contextmanager
def _writing(path: Path) -> Iterator[None]:
    """Files beside the databases: what the system says becomes a sentence."""
    try:
        yield
    except OSError as e:
        raise RunError(
            f"{path}: cannot be written: {e.strerror or e}; make room, or choose another place"
        ) from e


def _check_copy(path: Path) -> None:
    for name in (RECORDS, JOURNAL, CHECKPOINTS):
        if (path / name).exists():
            check_file(path / name)


def _manifest(place: Place, store: BaseStore | None = None) -> Manifest:
    if store is None:
        return FolderManifest(place.folder)
    return StoredManifest(store, place.namespace, str(place))
