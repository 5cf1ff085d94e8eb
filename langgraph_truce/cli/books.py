"""Where rules on the command line lie: rule files, a run folder, a JSON file, or a store that applications read."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from langgraph_truce.errors import MissingExtra, RuleFileError, UnknownNameError, UserMistake

if TYPE_CHECKING:
    from langgraph_truce.rules import RuleBook, RuleStore

SQLITE = (".sqlite", ".db")
POSTGRES = ("postgresql://", "postgres://")


def read(place: str) -> RuleBook:
    """The rule book at `place`: of a run folder the rules it ended with, of a store the active version.

    Raises:
        UserMistake: nothing is there.
        RuleFileError: a file is broken; the message names file and line.
        RunError: the run is not finished.
    """
    path = Path(place)
    if is_store(place):
        return _read_store(place)
    if path.suffix == ".json":
        return _read_json(path)
    if not path.is_dir():
        raise UserMistake(
            f"{path}: no such folder; give a folder of rule files (ROLE.md), a run folder, a .json file or a store "
            "(FILE.sqlite, postgresql://...)"
        )
    if (path / "run.json").is_file():
        from langgraph_truce.optimizer import read_run

        return read_run(path).rules
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


def is_store(place: str) -> bool:
    """True where `place` is a database."""
    return place.startswith(POSTGRES) or place.endswith(SQLITE)


def _read_store(place: str) -> RuleBook:
    if not place.startswith(POSTGRES) and not Path(place).is_file():
        raise UserMistake(f"{place}: no such store")
    with _store(place) as store:
        book = store.active()
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
    except (ValueError, KeyError, TypeError, AttributeError) as e:
        raise RuleFileError(
            f"{file}: no rule book: {type(e).__name__}: {e}; write one with: langgraph-truce rules export"
        ) from e
