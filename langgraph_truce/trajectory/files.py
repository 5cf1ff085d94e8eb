"""Trajectories as JSON lines: a first line that says what the file is, then one trajectory a line.

Readers take every schema up to their own; a field added later gets its default.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from langgraph_truce.errors import NOT_JSON, RunError
from langgraph_truce.trajectory.step import ModelCall, Step, Trajectory, Usage

SCHEMA = 1
"""Version of what is written here."""
_KIND = "langgraph-truce trajectories"


def write_trajectories(trajectories: Iterable[Trajectory], path: Path | str) -> None:
    """Write trajectories; `read_trajectories` gives them back equal."""
    with Path(path).open("w", encoding="ascii") as file:
        file.write(json.dumps({"kind": _KIND, "schema": SCHEMA}) + "\n")
        for trajectory in trajectories:
            file.write(json.dumps(trajectory.to_json(), separators=(",", ":")) + "\n")


def read_trajectories(
    path: Path | str, *, broken: Callable[[str], None] | None = None
) -> tuple[Trajectory, ...]:
    """Read what `write_trajectories` wrote.

    Args:
        path: The file.
        broken: Is told, in a sentence with file and line, of each line that is no trajectory; the others are read. None:
            such a line raises.

    Raises:
        RunError: no such file, not such a file, a newer schema, or a broken line; names file and line.
    """
    path = Path(path)
    if not path.is_file():
        raise RunError(f"{path}: no such trajectory file; write one with write_trajectories")
    lines = path.read_text("utf-8", errors="replace").split("\n")
    rows = [(n, line) for n, line in enumerate(lines, 1) if line.strip()]
    head = _row(path, *rows[0]) if rows else {}
    if head.get("kind") != _KIND:
        raise RunError(f"{path}:1: this is no trajectory file; its first line must hold kind {_KIND!r}")
    if not isinstance(head.get("schema"), int) or head["schema"] > SCHEMA:
        raise RunError(
            f"{path}:1: schema {head.get('schema')!r} is not known here ({SCHEMA} is the newest); update langgraph-truce"
        )
    found: list[Trajectory] = []
    for number, line in rows[1:]:
        try:
            found.append(_trajectory(path, number, line))
        except RunError as damage:
            if broken is None:
                raise
            broken(str(damage))
    return tuple(found)


def trajectory_from_json(row: Mapping[str, Any]) -> Trajectory:
    """What `Trajectory.to_json` gave.

    Raises:
        KeyError, TypeError: `row` is no such thing.
    """
    return Trajectory(
        rollout=row["rollout"],
        steps=tuple(step_from_json(step) for step in row["steps"]),
        blobs=row["blobs"],
        prompts_known=row.get("prompts_known", True),
    )


def step_from_json(row: Mapping[str, Any]) -> Step:
    """A step from the dict of its fields.

    Raises:
        KeyError, TypeError: `row` is no step.
    """
    calls = tuple(ModelCall(**{**call, "usage": Usage(**call["usage"])}) for call in row["calls"])
    return Step(**{**row, "calls": calls, "tools": tuple(row["tools"]), "goto": tuple(row["goto"])})


def _row(path: Path, number: int, line: str) -> dict[str, Any]:
    try:
        row = json.loads(line)
    except NOT_JSON as broken:
        raise RunError(
            f"{path}:{number}: not a JSON line ({broken}); the file was cut off or edited, delete the line"
        ) from broken
    if not isinstance(row, dict):
        raise RunError(f"{path}:{number}: a trajectory is a JSON object, got {type(row).__name__}")
    return row


def _trajectory(path: Path, number: int, line: str) -> Trajectory:
    row = _row(path, number, line)
    try:
        found = trajectory_from_json(row)
        lost = next((ref for ref in _references(found) if ref not in found.blobs), None)
    except (*NOT_JSON, LookupError, TypeError, AttributeError) as broken:
        raise RunError(f"{path}:{number}: not a trajectory ({error_of(broken)}); delete the line") from broken
    if lost is not None:
        raise RunError(f"{path}:{number}: not a trajectory (content {lost!r} is missing); delete the line")
    return found


def _references(trajectory: Trajectory) -> Iterator[str]:
    """The contents that steps, and other contents, refer to."""
    for step in trajectory.steps:
        yield from [*([step.input] if step.input is not None else []), *step.writes.values()]
        for call in step.calls:
            yield from [call.prompt, *([call.output] if call.output is not None else [])]
        for tool in step.tools:
            yield from [tool[name] for name in ("input", "output") if tool.get(name) is not None]
    for blob in trajectory.blobs.values():
        if not isinstance(blob, dict) or len(blob) != 1:
            continue
        prefix, *items = blob.get("$list", (None,))
        yield from [prefix] if prefix is not None else []
        for item in [*items, *blob.get("$dict", {}).values()]:
            if isinstance(item, dict) and set(item) == {"$ref"}:
                yield item["$ref"]


def error_of(error: Exception) -> str:
    """What a missing or unknown field is called."""
    return f"missing field {error}" if isinstance(error, KeyError) else str(error)
