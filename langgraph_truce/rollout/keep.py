"""A finished rollout's checkpoints as one blob: it can be forked later, in another process."""

from __future__ import annotations

import sys
import sysconfig
import zlib
from collections import defaultdict
from collections.abc import Collection, Iterator, Sequence
from dataclasses import is_dataclass
from enum import Enum
from pathlib import Path
from typing import Any

from langgraph.checkpoint.base import WRITES_IDX_MAP, BaseCheckpointSaver, CheckpointTuple
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.checkpoint.serde.base import SerializerProtocol
from langgraph.checkpoint.serde.jsonplus import JsonPlusSerializer
from pydantic import BaseModel

from langgraph_truce.errors import ReplayRefused, RunError
from langgraph_truce.redact import Ext, Redactor, closed_msgpack, opened_msgpack
from langgraph_truce.rollout.tap import LiveSerializer
from langgraph_truce.rollout.thread import aread_rows, read_rows, thread_config

MAGIC = b"truce checkpoints 1\n"
"""How a blob begins: what it is, and which layout."""
KINDS = frozenset({"null", "bytes", "bytearray", "msgpack"})
"""What is written, and so all that is read: of LangGraph's forms, `json` and `pickle` can build objects of any class."""
LARGEST = 1 << 30
"""Bytes a blob may have when it is unpacked."""
_INSTALLED = tuple(Path(sysconfig.get_path(name)).resolve() for name in ("stdlib", "purelib", "platlib"))
_FRAMEWORKS = {
    "",
    "builtins",
    "typing",
    "langgraph",
    "langgraph_supervisor",
    "langgraph_swarm",
    "langchain",
    "langchain_core",
}


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


def pack_memory(saver: InMemorySaver, thread_id: str) -> bytes:
    """As `pack`, of a saver whose values are serialised already: none is read to be written again.

    Raises:
        ReplayRefused: nothing is stored under `thread_id`, or a value is in no form that is kept.
    """
    checkpoints: list[Any] = []
    for namespace, saved in saver.storage[thread_id].items():
        checkpoints += [[namespace, name, *row[:2], row[2] or ""] for name, row in saved.items()]
    values: list[Any] = [[*key[1:], form] for key, form in saver.blobs.items() if form[0] != "empty"]
    writes: list[Any] = [
        [*place[1:], task, n, channel, form, path]
        for place, rows in saver.writes.items()
        for (_, n), (task, channel, form, path) in rows.items()
    ]
    if not checkpoints:
        raise ReplayRefused(
            f"thread {thread_id!r}: the saver holds no checkpoint of it, so there is nothing to keep"
        )
    typed = [form for row in checkpoints for form in row[2:4]]
    typed += [*(row[3] for row in values), *(row[5] for row in writes)]
    if lost := {kind for kind, _ in typed} - KINDS:
        raise ReplayRefused(
            f"thread {thread_id!r} holds values that are not kept as data ({', '.join(sorted(lost))})"
        )
    checkpoints.sort(key=lambda row: row[1])
    whole = [thread_id, checkpoints, values, writes]
    return MAGIC + zlib.compress(JsonPlusSerializer().dumps_typed(whole)[1], 1)


def packages_of(graph: Any) -> frozenset[str]:
    """The package that a graph's state is defined in, where it is not a framework's."""
    schema = getattr(getattr(graph, "builder", None), "state_schema", None)
    return frozenset({getattr(schema, "__module__", "").partition(".")[0]}) - _FRAMEWORKS


def unpack(
    blob: bytes, serde: SerializerProtocol | None = None, *, packages: Collection[str] = ()
) -> InMemorySaver:
    """A saver that holds the thread, under its old id; `serde` reads the values, a strict one by default.

    The blob may come from a stranger: nothing is imported for it, no function is called, and of classes only those that
    LangGraph knows as safe are built, and data classes (dataclasses, pydantic models, enums, named tuples) of modules that
    are loaded already and are the application's: not installed, or in one of `packages`. All else comes as plain data.

    Raises:
        RunError: the blob is damaged, of another version, or too large.
    """
    try:
        thread, checkpoints, values, writes = _held(blob)
        saver = InMemorySaver(
            serde=serde or JsonPlusSerializer(allowed_msgpack_modules=_own_types(blob, packages))
        )
        for namespace, checkpoint, typed, about, parent in checkpoints:
            saver.storage[thread][namespace][checkpoint] = (_pair(typed), _pair(about), parent or None)
        for namespace, channel, version, typed in values:
            saver.blobs[thread, namespace, channel, version] = _pair(typed)
        for namespace, checkpoint, task, n, channel, typed, path in writes:
            saver.writes[thread, namespace, checkpoint][task, n] = (task, channel, _pair(typed), path)
    except RunError:
        raise
    except Exception as damaged:
        raise RunError(
            f"kept checkpoints are damaged ({type(damaged).__name__}); run the rollout again"
        ) from damaged
    return saver


def masked(blob: bytes, redact: Redactor) -> bytes:
    """A blob without secrets; the same bytes where it holds none.

    Raises:
        RunError: the blob is damaged, of another version, or too large.
    """
    held = _held(blob)
    changed = False
    for pair in _typed(held):
        kind, data = pair
        hidden = redact.msgpack(data) if kind == "msgpack" else redact.raw(data)
        changed = changed or hidden != data
        pair[1] = hidden
    return MAGIC + zlib.compress(closed_msgpack(held)) if changed else blob


def _held(blob: bytes) -> list[Any]:
    """What a blob holds: `[thread, checkpoints, values, writes]`, values still as bytes."""
    if not blob.startswith(MAGIC):
        raise RunError("these bytes are no kept checkpoints of this version; run the rollout again")
    opening = zlib.decompressobj()
    try:
        data = opening.decompress(blob.removeprefix(MAGIC), LARGEST)
        if opening.eof:
            thread, checkpoints, values, writes = opened_msgpack(data)
            return [str(thread), list(checkpoints), list(values), list(writes)]
    except Exception as damaged:
        raise RunError(
            f"kept checkpoints are damaged ({type(damaged).__name__}); run the rollout again"
        ) from damaged
    raise RunError(
        f"kept checkpoints are cut off, or more than {LARGEST >> 20} MiB unpacked; run the rollout again"
    )


def _typed(held: Sequence[Any]) -> Iterator[list[Any]]:
    """Every `[kind, bytes]` of a blob."""
    _, checkpoints, values, writes = held
    for row in checkpoints:
        yield from row[2:4]
    for row in values:
        yield row[3]
    for row in writes:
        yield row[5]


def _own_types(blob: bytes, packages: Collection[str]) -> list[tuple[str, ...]]:
    """Of the classes that a blob names, those that may be built."""
    names: set[tuple[str, str]] = set()
    for kind, data in _typed(_held(blob)):
        if kind == "msgpack":
            names |= set(_named(opened_msgpack(data)))
    return [(module, name) for module, name in sorted(names) if _is_own(module, name, packages)]


def _named(value: Any) -> Iterator[tuple[str, str]]:
    if isinstance(value, Ext):
        if value.names:
            yield value.names
        yield from _named(value.inner)
    elif isinstance(value, dict):
        for key, item in value.items():
            yield from _named(key)
            yield from _named(item)
    elif isinstance(value, list | tuple):
        for item in value:
            yield from _named(item)


def _is_own(module: str, name: str, packages: Collection[str]) -> bool:
    """A data class of a module of the application that is loaded already."""
    loaded = sys.modules.get(module)
    kind = vars(loaded).get(name) if loaded else None
    file = getattr(loaded, "__file__", None)
    if not isinstance(kind, type) or kind.__module__ != module or not file:
        return False
    installed = any(Path(file).resolve().is_relative_to(place) for place in _INSTALLED)
    if installed and module.partition(".")[0] not in packages:
        return False
    named_tuple = issubclass(kind, tuple) and hasattr(kind, "_fields")
    return is_dataclass(kind) or named_tuple or issubclass(kind, BaseModel | Enum)


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
    if kind not in KINDS:
        raise RunError(
            f"kept checkpoints hold a value of kind {kind!r}, which this library does not write; it is not read"
        )
    return kind, data
