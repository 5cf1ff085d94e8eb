"""What a run leaves: rollouts, box results and the ledger, in a `BaseStore` under deterministic keys.

A box run again overwrites equal content, so a crash between two writes leaves nothing half done. `BaseStore.search`
has no order and gives ten items by default: keys are zero-padded, and pages are read to the end. Values are kept as
ASCII JSON text, because neither orjson nor PostgreSQL's jsonb takes every string that a model can write.
"""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import Callable, Mapping
from typing import Any

from langgraph.store.base import BaseStore

from langgraph_truce.codec import from_json, to_json
from langgraph_truce.model import Committer
from langgraph_truce.rules import RuleBook
from langgraph_truce.seams import Rollout

PAGE = 200
"""Items read at a time."""


class Records:
    """Rollouts, box results, books and ledger of one run; writes are committed in groups before they return."""

    def __init__(self, store: BaseStore, run: str = "run") -> None:
        self._store = store
        self._run = run
        self._committer = Committer(store)
        self._rollouts: set[str] = set()

    async def open(self) -> Records:
        """Learn which rollouts exist, so that asking for a new one costs no I/O."""
        self._rollouts = {key for key, _ in await asyncio.to_thread(self._items, "rollouts")}
        return self

    def close(self) -> None:
        """Commit what is waiting; the store stays the caller's to close."""
        self._committer.close()

    async def read_rollout(self, rollout_id: str) -> Rollout | None:
        """The finished rollout `rollout_id`, or None."""
        if rollout_id not in self._rollouts:
            return None
        found = await self._get("rollouts", rollout_id)
        return None if found is None else from_json(Rollout, found)

    async def write_rollout(self, rollout: Rollout) -> None:
        """Keep a finished rollout: outcome and trajectory in one transaction."""
        await self._put("rollouts", rollout.id, rollout, lambda: self._rollouts.add(rollout.id))

    async def read_checkpoints(self, rollout_id: str) -> bytes | None:
        """The packed checkpoints of a rollout, or None where they were not kept."""
        found = await self._get("checkpoints", rollout_id)
        return None if found is None else base64.b64decode(found)

    async def write_checkpoints(self, rollout_id: str, packed: bytes) -> None:
        """Keep the packed checkpoints of a rollout; written before the rollout itself, so no kept rollout lacks them."""
        await self._put("checkpoints", rollout_id, base64.b64encode(packed).decode())

    async def read_box(self, iteration: int, box: str) -> Any:
        """The result of a box, as JSON; None where it has not run."""
        return await self._get("boxes", f"{iteration:06d}/{box}")

    async def write_box(self, iteration: int, box: str, result: Any) -> None:
        """Keep the result of a box."""
        await self._put("boxes", f"{iteration:06d}/{box}", result)

    async def read_book(self, version: str) -> RuleBook:
        """The rule book `version` of this run.

        Raises:
            KeyError: it was never kept; that is a damaged run folder.
        """
        found = await self._get("books", version)
        if found is None:
            raise KeyError(version)
        return RuleBook.from_json(found)

    async def write_book(self, book: RuleBook) -> str:
        """Keep a rule book under its version."""
        version = book.version
        await self._put("books", version, book)
        return version

    async def append(self, iteration: int, index: int, record: Mapping[str, Any]) -> None:
        """One line of the ledger; the same (iteration, index) again is the same line again."""
        await self._put("ledger", f"{iteration:06d}/{index:06d}", record)

    async def ledger(self) -> tuple[Mapping[str, Any], ...]:
        """The whole ledger, in order."""
        return tuple([value for _, value in await asyncio.to_thread(self._items, "ledger")])

    async def _get(self, kind: str, key: str) -> Any:
        item = await asyncio.to_thread(self._store.get, (self._run, kind), key)
        return None if item is None else json.loads(item.value["json"])

    async def _put(self, kind: str, key: str, value: Any, done: Callable[[], None] = lambda: None) -> None:
        text = json.dumps(to_json(value))
        await self._committer.aput((self._run, kind), key, {"json": text}, done)

    def _items(self, kind: str) -> list[tuple[str, Any]]:
        found: dict[str, Any] = {}
        offset = 0
        while True:
            page = self._store.search((self._run, kind), limit=PAGE, offset=offset)
            found |= {item.key: item.value["json"] for item in page}
            if len(page) < PAGE:
                break
            offset += PAGE
        return [(key, json.loads(found[key])) for key in sorted(found)]
