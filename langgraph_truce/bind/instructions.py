"""`instructions("solver")`: the text a node sends, from wherever its rules are.

Order: the candidate under test (`configurable`), the active version in the run's store, the files beside the graph.
"""

from __future__ import annotations

import asyncio
import sys
from functools import lru_cache
from pathlib import Path

from langgraph.config import get_store
from langgraph.store.base import BaseStore

from langgraph_truce.bind.context import TABLE, VERSION, configurable, current_config
from langgraph_truce.bind.reads import note_here
from langgraph_truce.errors import BindError
from langgraph_truce.rules import RuleBook, RuleStore, read_rules

Beside = str | Path | None


def instructions(role: str, *, round: int | None = None, beside: Beside = None) -> str:  # noqa: A002
    """The instructions of `role`, byte for byte; call it inside a node, every time the node runs.

    Args:
        role: Name in the rule book: the node's name, or its path through subgraphs (`team/solver`).
        round: Round of the interaction, from 1, where rounds may have rules of their own (`solver@2.md`).
        beside: Folder (or file) of the rule files; default: `rules/` beside the file that calls.

    Raises:
        BindError: no rules to be found; or an optimization is going on and there is no run context, because the
            call comes from a raw thread: call it in the node and pass the text on.
        UnknownNameError: the rules have no such role.
        RuleFileError: a rule file is broken.
    """
    note_here(role, round)
    book = _candidate(role)
    if book is None:
        store = _store()
        book = RuleStore(store).active() if store is not None else None
    if book is None:
        book = _files(_folder(beside))
    return book.render(role, round)


async def ainstructions(role: str, *, round: int | None = None, beside: Beside = None) -> str:  # noqa: A002
    """As `instructions`, for async nodes: stores and files are read without blocking the event loop."""
    note_here(role, round)
    book = _candidate(role)
    if book is None:
        folder = _folder(beside)
        store = _store()
        book = await RuleStore(store).aactive() if store is not None else None
        if book is None:
            book = await asyncio.to_thread(_files, folder)
    return book.render(role, round)


def _candidate(role: str) -> RuleBook | None:
    """The published book of this run; None where the run names no version."""
    version = configurable().get(VERSION)
    if version is not None:
        book = TABLE.get(str(version))
        if book is not None:
            return book
        store = _store()
        if store is None:
            raise BindError(
                f"instructions({role!r}): rule book {version!r} is not published in this process and the run has no "
                f"store; drop {VERSION!r} from configurable, or compile the graph with the store that holds it"
            )
        return RuleStore(store).load(str(version))
    if TABLE.running and current_config() is None:
        raise BindError(
            f"instructions({role!r}) was called without run context while an optimization is going on: call it in "
            "the node itself and hand the text to threads you start"
        )
    return None


def _store() -> BaseStore | None:
    """The store of the running graph; None where it has none."""
    if current_config() is None:
        return None
    try:
        return get_store()
    except (KeyError, RuntimeError):  # a plain runnable's context: there is no graph, so no store
        return None


def _folder(beside: Beside) -> Path:
    """The folder of the rule files: as told, or `rules/` beside the file that called `instructions`."""
    if beside is not None:
        return Path(beside)
    frame = sys._getframe(1)
    here = str(Path(__file__).parent)
    while frame.f_back is not None and frame.f_code.co_filename.startswith(here):
        frame = frame.f_back
    return Path(frame.f_code.co_filename).parent / "rules"


def _files(folder: Path) -> RuleBook:
    if not folder.exists():
        raise BindError(
            f"{folder}: no rule files there; write ROLE.md files into it, or pass beside=FOLDER to instructions()"
        )
    files = sorted(folder.rglob("*.md")) if folder.is_dir() else [folder]
    stamp = tuple((str(f), f.stat().st_mtime_ns, f.stat().st_size) for f in files)
    return _read(folder, stamp)


@lru_cache(maxsize=64)
def _read(folder: Path, stamp: tuple[tuple[str, int, int], ...]) -> RuleBook:  # noqa: ARG001 - the cache's key
    return read_rules(folder)
