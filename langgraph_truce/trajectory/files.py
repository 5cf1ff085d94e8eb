"""Trajectories as JSON lines: a first line that says what the file is, then one trajectory a line.

Readers take every schema up to their own; a field added later gets its default.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from langgraph_truce.errors import RunError
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


def read_trajectories(path: Path | str) -> tuple[Trajectory, ...]:
    """Read what `write_trajectories` wrote.

    Raises:
        RunError: no such file, not such a file, a newer schema, or a broken line; names file and line.
    """
    path = Path(path)
    if not path.is_file():
        raise RunError(f"{path}: no such trajectory file; write one with write_trajectories")
    rows = [(n, line) for n, line in enumerate(path.read_text("utf-8").split("\n"), 1) if line.strip()]
    head = _row(path, *rows[0]) if rows else {}
    if head.get("kind") != _KIND:
        raise RunError(f"{path}:1: this is no trajectory file; its first line must hold kind {_KIND!r}")
    if not isinstance(head.get("schema"), int) or head["schema"] > SCHEMA:
        raise RunError(
            f"{path}:1: schema {head.get('schema')!r} is not known here ({SCHEMA} is the newest); update langgraph-truce"
        )
    return tuple(_trajectory(path, n, line) for n, line in rows[1:])


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
    except ValueError as broken:
        raise RunError(
            f"{path}:{number}: not a JSON line ({broken}); the file was cut off or edited, delete the line"
        ) from broken
    if not isinstance(row, dict):
        raise RunError(f"{path}:{number}: a trajectory is a JSON object, got {type(row).__name__}")
    return row


def _trajectory(path: Path, number: int, line: str) -> Trajectory:
    row = _row(path, number, line)
    try:
        return trajectory_from_json(row)
    except (KeyError, TypeError, AttributeError) as broken:
        raise RunError(f"{path}:{number}: not a trajectory ({error_of(broken)}); delete the line") from broken


def error_of(error: Exception) -> str:
    """What a missing or unknown field is called."""
    return f"missing field {error}" if isinstance(error, KeyError) else str(error)
