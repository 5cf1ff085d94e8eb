"""Where rules on the command line lie: rule files, a run folder, a JSON file, or a store that applications read."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from langgraph_truce.errors import NOT_JSON, MissingExtra, RuleFileError, UnknownNameError, UserMistake

if TYPE_CHECKING:
    from langgraph_truce.rules import RuleBook, RuleStore

SQLITE = (".sqlite", ".db")
POSTGRES = ("postgresql://", "postgres://")


def read(place: str, version: str = "") -> RuleBook:
    """The rule book at `place`: of a run the rules as they are now, or a `version`; of a store the active one, or a `version`.

    Raises:
        UserMistake: nothing is there; or a version of a place that has none.
        UnknownNameError: no such version.
        RuleFileError: a file is broken; the message names file and line.
        RunError: the run has not begun, or is damaged.
    """
    path = Path(place)
    if is_run(place):
        from langgraph_truce.optimizer import read_ledger

        ledger = read_ledger(place)
        return ledger.book(version) if version else ledger.rules
    if is_store(place):
        return _read_store(place, version)
    if version:
        raise UserMistake(f"{place} has no versions: --version {version} is for a run or a store")
    if path.suffix == ".json":
        return _read_json(path)
    if not path.is_dir():
        raise UserMistake(
            f"{path}: no such folder; give a folder of rule files (ROLE.md), a run folder, a .json file or a store "
            "(FILE.sqlite, postgresql://...)"
        )
    from langgraph_truce.rules import read_rules

    return read_rules(path)


def write(book: RuleBook, place: str) -> None:
    """Write `book` to `place`: a new folder or .json file, or a store, where it becomes the active version.

    Raises:
        UserMistake: a file or a filled folder is there; nothing is overwritten (a store keeps its versions).
    """
    path = Path(place)
    if is_store(place):
        with _store(place) as store:
            store.activate(store.save(book))
        return
    refuse_filled(place)
    if path.suffix == ".json":
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(book.to_json(), indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
        return
    from langgraph_truce.rules import write_rules

    write_rules(book, path)


def refuse_filled(place: str) -> None:
    """Refuse a file or a folder with something in it.

    Raises:
        UserMistake: `place` is one; nothing is overwritten.
    """
    path = Path(place)
    if path.exists() and not (path.is_dir() and not any(path.iterdir())):
        raise UserMistake(f"{path} exists and is not overwritten; give another place or remove it")


def is_run(place: str) -> bool:
    """True where `place` is a run: its folder, or a database with the run's name behind `#`."""
    if place.startswith(POSTGRES):
        return "#" in place
    return (Path(place) / "run.json").is_file()


def is_store(place: str) -> bool:
    """True where `place` is a database of rules."""
    return place.startswith(POSTGRES) or place.endswith(SQLITE)


def _read_store(place: str, version: str = "") -> RuleBook:
    if not place.startswith(POSTGRES) and not Path(place).is_file():
        raise UserMistake(f"{place}: no such store")
    with _store(place) as store:
        book = store.load(version) if version else store.active()
    if book is None:
        raise UnknownNameError(
            f"{place} has no active rules; put some there with: langgraph-truce rules import"
        )
    return book


@contextmanager
def _store(place: str) -> Iterator[RuleStore]:
    from langgraph_truce.rules import RuleStore

    if place.startswith(POSTGRES):
        try:
            from langgraph.store.postgres import PostgresStore
        except ImportError as e:
            raise MissingExtra("a PostgreSQL store", "'langgraph-truce[postgres]'") from e
        with PostgresStore.from_conn_string(place) as postgres:
            postgres.setup()
            yield RuleStore(postgres)
        return
    from langgraph.store.sqlite import SqliteStore

    with SqliteStore.from_conn_string(place) as sqlite:
        sqlite.setup()
        yield RuleStore(sqlite)


def _read_json(file: Path) -> RuleBook:
    from langgraph_truce.rules import RuleBook

    if not file.is_file():
        raise UserMistake(f"{file}: no such file")
    try:
        return RuleBook.from_json(json.loads(file.read_text(encoding="utf-8")))
    except (*NOT_JSON, LookupError, TypeError, AttributeError) as e:
        raise RuleFileError(
            f"{file}: no rule book: {type(e).__name__}: {e}; write one with: langgraph-truce rules export"
        ) from e
