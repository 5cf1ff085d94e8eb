"""A finished rollout's checkpoints as one blob: it can be forked later, in another process."""

from __future__ import annotations

import zlib
from collections import defaultdict
from collections.abc import Sequence
from typing import Any

from langgraph.checkpoint.base import WRITES_IDX_MAP, BaseCheckpointSaver, CheckpointTuple
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.checkpoint.serde.base import SerializerProtocol
from langgraph.checkpoint.serde.jsonplus import JsonPlusSerializer

from langgraph_truce.errors import ReplayRefused, RunError
from langgraph_truce.rollout.tap import LiveSerializer
from langgraph_truce.rollout.thread import aread_rows, read_rows, thread_config

MAGIC = b"truce checkpoints 1\n"
"""How a blob begins: what it is, and which layout."""


def pack(saver: BaseCheckpointSaver[Any], thread_id: str) -> bytes:
    """Every checkpoint of a thread, all namespaces, with what its tasks wrote; compressed. Values are stored once.

    Bytes grow with what the run wrote, not with its number of checkpoints. Nothing is pickled.

    Raises:
        ReplayRefused: nothing is stored under `thread_id`, or a value can only be pickled.
    """
    return _packed(read_rows(saver, thread_config(thread_id)), saver, thread_id)


async def apack(saver: BaseCheckpointSaver[Any], thread_id: str) -> bytes:
    """As `pack`, from async code and of any saver."""
    return _packed(await aread_rows(saver, thread_config(thread_id)), saver, thread_id)


def unpack(blob: bytes, serde: SerializerProtocol | None = None) -> InMemorySaver:
    """A saver that holds the thread, under its old id; `serde` reads the values, LangGraph's own by default.

    Raises:
        RunError: the blob is damaged, or of another version.
    """
    if not blob.startswith(MAGIC):
        raise RunError("these bytes are no kept checkpoints of this version; run the rollout again")
    try:
        held = JsonPlusSerializer().loads_typed(("msgpack", zlib.decompress(blob.removeprefix(MAGIC))))
        thread, checkpoints, values, writes = held
    except Exception as damaged:
        raise RunError(
            f"kept checkpoints are damaged ({type(damaged).__name__}); run the rollout again"
        ) from damaged
    saver = InMemorySaver(serde=serde)
    for namespace, checkpoint, typed, about, parent in checkpoints:
        saver.storage[thread][namespace][checkpoint] = (_pair(typed), _pair(about), parent or None)
    for namespace, channel, version, typed in values:
        saver.blobs[thread, namespace, channel, version] = _pair(typed)
    for namespace, checkpoint, task, n, channel, typed, path in writes:
        saver.writes[thread, namespace, checkpoint][task, n] = (task, channel, _pair(typed), path)
    return saver


def _packed(rows: Sequence[CheckpointTuple], saver: BaseCheckpointSaver[Any], thread_id: str) -> bytes:
    if not rows:
        raise ReplayRefused(
            f"thread {thread_id!r}: the saver holds no checkpoint of it, so there is nothing to keep"
        )
    serde: Any = JsonPlusSerializer() if isinstance(saver.serde, LiveSerializer) else saver.serde
    checkpoints: list[Any] = []
    values: dict[tuple[str, str, Any], Any] = {}
    writes: list[Any] = []
    for row in sorted(rows, key=lambda row: row.checkpoint["id"]):
        namespace = row.config["configurable"].get("checkpoint_ns", "")
        saved: dict[str, Any] = {**row.checkpoint}
        held = saved.pop("channel_values")
        parent = row.parent_config["configurable"]["checkpoint_id"] if row.parent_config else ""
        about = _dumped(serde, row.metadata, thread_id)
        checkpoints.append([namespace, saved["id"], _dumped(serde, saved, thread_id), about, parent])
        for channel, version in saved["channel_versions"].items():
            place = (namespace, channel, version)
            if channel in held and place not in values:
                values[place] = _dumped(serde, held[channel], thread_id)
        counted: dict[str, int] = defaultdict(int)
        order: dict[str, str] = {}
        for task, channel, value in row.pending_writes or ():
            # Paths are not told; their order is, and it is what they are for.
            path = order.setdefault(task, f"{len(order):010d}")
            n = WRITES_IDX_MAP.get(channel, counted[task])
            writes.append([namespace, saved["id"], task, n, channel, _dumped(serde, value, thread_id), path])
            counted[task] += 1
    whole = [thread_id, checkpoints, [[*place, typed] for place, typed in values.items()], writes]
    return MAGIC + zlib.compress(JsonPlusSerializer().dumps_typed(whole)[1])


def _dumped(serde: Any, value: Any, thread_id: str) -> list[Any]:
    kind, data = serde.dumps_typed(value)
    if kind == "pickle":
        raise ReplayRefused(
            f"thread {thread_id!r} holds a {type(value).__name__}, which only pickle can store, and pickles are not kept"
        )
    return [kind, data]


def _pair(typed: Sequence[Any]) -> tuple[str, bytes]:
    kind, data = typed
    return kind, data
