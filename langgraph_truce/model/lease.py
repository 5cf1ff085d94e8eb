"""One writer by lease: who holds a run, and how a folder is held.

**A folder** is held by `flock` on its file `lock`. The kernel gives the lock back in the moment its process dies, however
it dies, and as long as the process lives nobody can take it: the writes of a live writer are always its own, and no
writes of a dead one can come later. That is all the fencing a file on a local disk needs. (SQLite's WAL needs a local disk
anyway.) The file also says who holds it, for the sentence that the next one gets, and which file it is itself: in a copied
folder it is another one, and the copy is looked through before it is used.

**A PostgreSQL database** is held by an advisory lock of a session; `model/postgres.py` says why that is enough.
"""

from __future__ import annotations

import fcntl
import json
import os
import socket
import time
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from langgraph_truce.errors import RunError

LOCK = "lock"
"""The file of a run folder that is held."""
GRACE = 2.0
"""Seconds to wait for a lease before refusing: a process that was just killed needs a moment to be gone."""
POLL = 0.05
"""Seconds between two looks."""


@dataclass(frozen=True, slots=True)
class Holder:
    """Who writes to a run."""

    host: str = field(default_factory=socket.gethostname)
    pid: int = field(default_factory=os.getpid)
    since: str = field(default_factory=lambda: datetime.now(UTC).isoformat(timespec="seconds"))
    """UTC."""
    token: str = field(default_factory=lambda: uuid.uuid4().hex)
    """Another one every time a run is opened: tells whether somebody else wrote in between."""

    @classmethod
    def of(cls, found: Mapping[str, Any] | None) -> Holder | None:
        """Read back; None where nobody has written who he is."""
        try:
            return cls(**{name: found[name] for name in cls.__slots__}) if found else None
        except (KeyError, TypeError):
            return None

    def to_json(self) -> dict[str, Any]:
        """As JSON."""
        return {name: getattr(self, name) for name in self.__slots__}

    def __str__(self) -> str:
        return f"process {self.pid} on {self.host}, since {self.since}"


def in_use(place: object, holder: Holder | None) -> RunError:
    """The sentence for the second writer."""
    who = f" ({holder})" if holder else ""
    return RunError(
        f"{place}: another process is writing to this run{who}; wait for it or stop it, or choose another place"
    )


@contextmanager
def folder_lease(folder: Path) -> Iterator[bool]:
    """Hold `folder`; gives True where it is a copy of a run folder that was not opened for writing yet.

    Raises:
        RunError: another process holds it, or its lock cannot be written; the message says who.
    """
    path = folder / LOCK
    try:
        file = os.open(path, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o644)
    except OSError as e:
        raise RunError(f"{path}: cannot be written: {e.strerror}; choose a folder you may write to") from e
    try:
        _hold(file, folder)
        told = _told(file)
        own = _identity(path)
        yield told.get("file", own) != own
    finally:
        os.close(file)


def sign(folder: Path) -> None:
    """Write into the lock of a folder that is held who holds it, and that it is no copy."""
    path = folder / LOCK
    told = {**Holder().to_json(), "file": _identity(path)}
    with path.open("r+", encoding="utf-8") as file:  # in place: another file would be another lock
        file.write(json.dumps(told).ljust(_WIDTH) + "\n")


def _identity(path: Path) -> str:
    found = path.stat()
    return f"{socket.gethostname()}:{found.st_dev}:{found.st_ino}"


_WIDTH = 400  # written over, never cut off: a reader finds the old words or the new ones


def _hold(file: int, folder: Path) -> None:
    until = time.monotonic() + GRACE
    while True:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as e:
            if time.monotonic() > until:
                raise in_use(folder, Holder.of(_told(file))) from e
            time.sleep(POLL)
        else:
            return


def _told(file: int) -> dict[str, Any]:
    try:
        found = json.loads(os.pread(file, 2 * _WIDTH, 0) or b"{}")
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}
