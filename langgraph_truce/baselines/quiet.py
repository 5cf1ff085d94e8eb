"""Keep a library that prints to the terminal from printing there, in one thread, while everybody else goes on to."""

from __future__ import annotations

import logging
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

_lock = threading.Lock()
_silent: set[int] = set()
"""Threads whose prints are dropped."""
_level: int | None = None
"""Of the library's logger before the first one came."""


class _Aside:
    """A terminal stream without what silent threads print; of the error stream only progress bars are dropped."""

    def __init__(self, stream: Any, *, bars_only: bool) -> None:
        self.stream = stream
        self._bars_only = bars_only

    def write(self, text: str) -> int:
        """As any stream."""
        if threading.get_ident() in _silent and (
            not self._bars_only or text.startswith("\r") or not text.strip()
        ):
            return len(text)
        return int(self.stream.write(text))

    def __getattr__(self, name: str) -> Any:
        return getattr(self.stream, name)


@contextmanager
def quiet(logger: str) -> Iterator[None]:
    """While in this context nothing that this thread prints is shown, and `logger` tells of errors only.

    Counted and thread-safe; the last one out puts everything back.
    """
    global _level  # noqa: PLW0603 (streams and loggers are the process's own; this is what they were)
    with _lock:
        if not _silent:
            sys.stdout, sys.stderr = (
                _Aside(sys.stdout, bars_only=False),
                _Aside(sys.stderr, bars_only=True),
            )
            _level = logging.getLogger(logger).level
            logging.getLogger(logger).setLevel(logging.ERROR)
        _silent.add(threading.get_ident())
    try:
        yield
    finally:
        with _lock:
            _silent.discard(threading.get_ident())
            if not _silent:
                # where somebody put a stream of theirs on top meanwhile, it stays: ours lets everything through now
                sys.stdout, sys.stderr = _under(sys.stdout), _under(sys.stderr)
                logging.getLogger(logger).setLevel(_level or logging.NOTSET)


def _under(stream: Any) -> Any:
    return stream.stream if isinstance(stream, _Aside) else stream
