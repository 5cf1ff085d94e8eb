"""Names of `@task` functions: checkpoints keep what they gave back without a name, so the code is asked for candidates."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from types import CodeType
from typing import Any


def functions_of(node: Any) -> tuple[str, ...]:
    """Names of the `@task` functions that a node's code can see, and that those can see, in order of discovery.

    Names that stand in the code itself are looked up; a function that is reached another way (through a module or an
    object) stays without a name.
    """
    found: dict[str, None] = {}
    seen: set[int] = set()
    waiting = list(_code(getattr(node, "bound", None)))
    while waiting:
        function = waiting.pop()
        if id(function) in seen:
            continue
        seen.add(id(function))
        for task in _visible(function):
            found[task.__name__] = None
            waiting.append(task)
    return tuple(found)


def _code(bound: Any) -> Iterator[Any]:
    """The Python functions behind a runnable."""
    for name in ("func", "afunc"):
        function = getattr(bound, name, None)
        if function is not None:
            yield inspect.unwrap(function)


def _visible(function: Any) -> Iterator[Any]:
    """The functions of `@task`s whose names stand in a function's code, comprehensions and inner functions included."""
    if not inspect.isfunction(function):
        return
    cells = dict(zip(function.__code__.co_freevars, function.__closure__ or (), strict=True))
    for name in _names(function.__code__):
        try:
            value = cells[name].cell_contents if name in cells else function.__globals__.get(name)
        except ValueError:  # an empty cell: a name that is bound later
            continue
        called = getattr(value, "func", None)
        if type(value).__module__ == "langgraph.func" and inspect.isfunction(called):
            yield called


def _names(code: CodeType) -> Iterator[str]:
    yield from code.co_names
    yield from code.co_freevars
    for inner in code.co_consts:
        if isinstance(inner, CodeType):
            yield from _names(inner)
