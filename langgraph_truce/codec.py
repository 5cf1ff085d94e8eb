"""The library's frozen data as JSON and back: what stores hold is plain JSON, never pickle."""

from __future__ import annotations

import dataclasses
import types
import typing
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any, TypeVar, cast

T = TypeVar("T")


_PLAIN = frozenset({str, int, float, bool, type(None)})


def to_json(value: Any) -> Any:
    """Dataclasses as mappings by field, tuples and other sequences as lists; JSON values stay.

    Objects with their own `to_json` (rules, edits, suggestions, tasks, trajectories) write themselves.

    Raises:
        TypeError: something that has no JSON form.
    """
    kind = type(value)
    if kind in _PLAIN:
        return value
    if kind is dict:
        return {str(k): to_json(v) for k, v in value.items()}
    if kind is list or kind is tuple:
        return [to_json(v) for v in value]
    write = getattr(value, "to_json", None)
    if write is not None:
        return write()
    if dataclasses.is_dataclass(kind):
        return {name: to_json(getattr(value, name)) for name in _names(kind)}
    if isinstance(value, Mapping):
        return {str(k): to_json(v) for k, v in value.items()}
    if isinstance(value, Sequence | set | frozenset) and not isinstance(value, bytes | bytearray):
        return [to_json(v) for v in value]
    raise TypeError(f"{kind.__name__} has no JSON form: {value!r}")


@lru_cache(maxsize=256)
def _names(kind: type) -> tuple[str, ...]:
    return tuple(f.name for f in dataclasses.fields(cast("Any", kind)))


def from_json(kind: type[T], data: Any) -> T:
    """Read what `to_json` wrote for a dataclass `kind`, following its annotations.

    Raises:
        KeyError, TypeError: the data is not of that kind.
    """
    return cast("T", _read(kind, data))


@lru_cache(maxsize=256)
def _hints(kind: type) -> dict[str, Any]:
    return typing.get_type_hints(kind)


def _read(kind: Any, data: Any) -> Any:
    if data is None or kind is Any:
        return data
    origin = typing.get_origin(kind)
    if origin is None:
        return _read_plain(kind, data)
    args = typing.get_args(kind)
    if origin in {typing.Union, types.UnionType}:
        kinds = [a for a in args if a is not type(None)]
        return _read(kinds[0], data) if len(kinds) == 1 else data
    if origin is tuple:
        return tuple(_read(args[0], v) for v in data)
    if isinstance(origin, type) and issubclass(origin, Mapping):
        return {k: _read(args[1], v) for k, v in data.items()}
    if isinstance(origin, type) and issubclass(origin, Sequence):
        return [_read(args[0], v) for v in data]
    return data


def _read_plain(kind: Any, data: Any) -> Any:
    if hasattr(kind, "from_json"):
        return kind.from_json(data)
    if dataclasses.is_dataclass(kind):
        hints = _hints(cast("type", kind))
        return cast("Any", kind)(
            **{n: _read(hints[n], data[n]) for n in _names(cast("type", kind)) if n in data}
        )
    return data
