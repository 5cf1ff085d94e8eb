"""Saves that run behind the graph, in order: a database does not hold up the nodes."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Coroutine
from typing import Any

Save = Coroutine[Any, Any, Any]


class SaveQueue:
    """Runs saves one after the other; the first that fails stops the rest. Belongs to one event loop."""

    def __init__(self) -> None:
        self._open: deque[Save] = deque()
        self._writer: asyncio.Task[None] | None = None
        self._failed: Exception | None = None

    def add(self, save: Save) -> None:
        """Queue a save; after a failure it is dropped, `check` and `flush` tell."""
        if self._failed is not None:
            save.close()
            return
        self._open.append(save)
        if self._writer is None or self._writer.done():
            self._writer = asyncio.get_running_loop().create_task(self._write())

    def check(self) -> None:
        """Raise what a save raised, if one did."""
        if self._failed is not None:
            raise self._failed

    async def flush(self) -> None:
        """Wait until everything is written; raises what a save raised."""
        if self._writer is not None:
            await asyncio.shield(self._writer)
        self.check()

    async def close(self) -> None:
        """Finish the save that is running and drop the others: the run was stopped."""
        self._drop()
        if self._writer is not None:
            await asyncio.wait([self._writer])

    async def _write(self) -> None:
        while self._open:
            try:
                await self._open.popleft()
            except Exception as failed:  # noqa: BLE001 (kept, and raised by check and flush)
                self._failed = failed
                self._drop()

    def _drop(self) -> None:
        while self._open:
            self._open.popleft().close()
