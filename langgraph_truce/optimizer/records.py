"""What a run leaves: rollouts, box results and the ledger, in a `BaseStore` under deterministic keys.

A box run again overwrites equal content, so a crash between two writes leaves nothing half done. `BaseStore.search`
has no order that holds between two pages and gives ten items by default: keys are zero-padded, and a kind is read in one
page. Values are kept as ASCII JSON text, because neither orjson nor PostgreSQL's jsonb takes every string that a model can write.

The ledger is append-only: a line that is there is never written again, whatever comes under its number later. One writer
at a time (`model/lease.py`) makes a look before the write enough for that.
"""

from __future__ import annotations

import asyncio
import base64
import json
import logging
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from langgraph.store.base import BaseStore

from langgraph_truce.codec import from_json, to_json
from langgraph_truce.errors import NOT_JSON, RunError
from langgraph_truce.model import Committer
from langgraph_truce.model.stores import items_of, keys_of
from langgraph_truce.redact import Redactor
from langgraph_truce.rollout.keep import masked
from langgraph_truce.rules import RuleBook
from langgraph_truce.seams import Rollout

WHEN = "at"
"""Field of a ledger line that may differ when a box is run again: the first stays."""
_AFTER = "after"  # behind every iteration: letters sort after digits
_log = logging.getLogger(__name__)


class Records:
    """Rollouts, box results, books and ledger of one run; writes are committed in groups before they return.

    Args:
        store: Any synchronous `BaseStore`; it stays the caller's to close.
        namespace: Where in the store; one run, one namespace.
    """

    def __init__(self, store: BaseStore, namespace: tuple[str, ...] = ("run",)) -> None:
        self._store = store
        self._namespace = namespace
        self._committer = Committer(store)
        self.redact = Redactor()
        """Masks secrets in everything that is kept."""
        self._rollouts: set[str] = set()

    async def open(self) -> Records:
        """Learn which rollouts exist, without reading them, so that asking for a new one costs no I/O."""
        self._rollouts = set(await self._keys("rollouts"))
        return self

    def close(self) -> None:
        """Commit what is waiting; the store stays the caller's to close."""
        self._committer.close()

    async def read_rollout(self, rollout_id: str) -> Rollout | None:
        """The finished rollout `rollout_id`, or None.

        Raises:
            RunError: it is damaged, as everywhere here.
        """
        if rollout_id not in self._rollouts:
            return None
        found = await self._get("rollouts", rollout_id)
        with _sound("rollouts", rollout_id):
            return None if found is None else from_json(Rollout, found)

    @property
    def names(self) -> Collection[str]:
        """Ids of the finished rollouts."""
        return self._rollouts

    def masked(self, rollout: Rollout) -> Rollout:
        """`rollout` as it will be read back: what decisions see must not depend on whether the run was resumed."""
        data = to_json(rollout)
        kept = self.redact.json(data)
        return rollout if kept is data else from_json(Rollout, kept)

    async def write_rollout(self, rollout: Rollout) -> None:
        """Keep a finished rollout: outcome and trajectory in one transaction."""
        await self._put("rollouts", rollout.id, rollout, lambda: self._rollouts.add(rollout.id))

    async def read_checkpoints(self, rollout_id: str) -> bytes | None:
        """The packed checkpoints of a rollout, or None where they were not kept."""
        found = await self._get("checkpoints", rollout_id)
        with _sound("checkpoints", rollout_id):
            return None if found is None else base64.b64decode(found)

    async def write_checkpoints(self, rollout_id: str, packed: bytes) -> None:
        """Keep the packed checkpoints of a rollout; written before the rollout itself, so no kept rollout lacks them."""
        await self._put("checkpoints", rollout_id, base64.b64encode(masked(packed, self.redact)).decode())

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
        with _sound("books", version):
            book = RuleBook.from_json(found)
            if book.version != version:
                raise ValueError(f"its content has version {book.version}")
            return book

    async def write_book(self, book: RuleBook) -> str:
        """Keep a rule book under its version."""
        version = book.version
        await self._put("books", version, book)
        return version

    async def append(self, iteration: int, index: int, line: Mapping[str, Any]) -> Mapping[str, Any]:
        """Add line `index` (from 0) of an iteration to the ledger, where it is not there yet.

        A box that is run again after a crash writes the same line again; then the first one stays, with its time. A line
        that differs in more than its time stays out too, and is logged: what was once in the ledger is never changed.

        Returns:
            The line that is in the ledger now.
        """
        key = f"{iteration:06d}/{index:06d}"
        there: Mapping[str, Any] | None = await self._get("ledger", key)
        if there is None:
            await self._put("ledger", key, line)
            return line
        again = json.loads(json.dumps(self.redact.json(to_json(line))))
        names = sorted((there.keys() | again.keys()) - {WHEN})
        if differ := [n for n in names if there.get(n) != again.get(n)]:
            _log.warning("ledger line %s came again with another %s; the first stays", key, ", ".join(differ))
        return there

    async def append_after(self, line: Mapping[str, Any]) -> int:
        """Add a line behind all lines of the run, for what is done to it later (`revert`).

        Returns:
            Its number among those lines, from 0.
        """
        keys = [key for key in await self._keys("ledger") if key.startswith(_AFTER)]
        await self._put("ledger", f"{_AFTER}/{len(keys):06d}", line)
        return len(keys)

    async def ledger(self) -> tuple[Mapping[str, Any], ...]:
        """The whole ledger: the iterations' lines in order, then those that were added after the run."""
        items = await asyncio.to_thread(items_of, self._store, (*self._namespace, "ledger"))
        return tuple([_loaded("ledger", item.key, item.value) for item in items])

    async def _get(self, kind: str, key: str) -> Any:
        item = await asyncio.to_thread(self._store.get, (*self._namespace, kind), key)
        return None if item is None else _loaded(kind, key, item.value)

    async def _put(self, kind: str, key: str, value: Any, done: Callable[[], None] = lambda: None) -> None:
        data = to_json(value)
        # a masked book would be another one; prompts and edits with secrets are refused before they get here
        text = json.dumps(data if kind == "books" else self.redact.json(data))
        await self._committer.aput((*self._namespace, kind), key, {"json": text}, done)

    async def _keys(self, kind: str) -> list[str]:
        return await asyncio.to_thread(keys_of, self._store, (*self._namespace, kind))


def _loaded(kind: str, key: str, value: Mapping[str, Any]) -> Any:
    with _sound(kind, key):
        return json.loads(value["json"])


@contextmanager
def _sound(kind: str, key: str) -> Iterator[None]:
    """Whatever a stranger, or a broken disk, put under a key becomes a sentence."""
    try:
        yield
    except (*NOT_JSON, LookupError, TypeError, AttributeError) as e:
        raise RunError(
            f"{key!r} among the run's {kind} is damaged ({type(e).__name__}: {e}); copy the run again from where it came from, "
            "or begin it in a new place"
        ) from e
