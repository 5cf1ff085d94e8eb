"""Trajectories as Parquet: one row a step, for data frames; contents and calls are JSON text."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from langgraph_truce.errors import NOT_JSON, MissingExtra, RunError
from langgraph_truce.trajectory.files import SCHEMA, step_from_json
from langgraph_truce.trajectory.step import Step, Trajectory

_TEXT = ("id", "role", "input", "error")
_NUMBERS = ("superstep", "visit", "index", "round")
_JSON = ("writes", "calls", "tools", "goto")
_KIND = b"langgraph-truce"


def _pyarrow() -> tuple[Any, Any]:
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError as missing:
        raise MissingExtra("Parquet", "langgraph-truce[parquet]") from missing
    return pyarrow, pyarrow.parquet


def write_parquet(trajectories: Iterable[Trajectory], path: Path | str) -> None:
    """Write trajectories; `read_parquet` gives them back equal.

    Columns: rollout, the fields of `Step` (its lists and mappings as JSON), and `blobs`: on a rollout's first row
    the JSON of all its contents, null on the others. A trajectory without steps is one row whose id is null.

    Raises:
        MissingExtra: pyarrow is not installed.
    """
    arrow, parquet = _pyarrow()
    text, number = arrow.string(), arrow.int64()
    schema = arrow.schema(
        [("rollout", text), ("prompts_known", arrow.bool_())]
        + [(name, text) for name in _TEXT]
        + [(name, number) for name in _NUMBERS]
        + [("latency", arrow.float64())]
        + [(name, text) for name in _JSON]
        + [("blobs", text)],
        metadata={_KIND: str(SCHEMA).encode()},
    )
    rows = [row for t in trajectories for row in _rows(t)]
    parquet.write_table(arrow.Table.from_pylist(rows, schema), str(path), compression="zstd")


def read_parquet(path: Path | str) -> tuple[Trajectory, ...]:
    """Read what `write_parquet` wrote.

    Raises:
        MissingExtra: pyarrow is not installed.
        RunError: no such file, or not such a file.
    """
    arrow, parquet = _pyarrow()
    if not Path(path).is_file():
        raise RunError(f"{path}: no such file; write one with write_parquet")
    try:
        table = parquet.read_table(str(path))
    except arrow.ArrowInvalid as broken:
        raise RunError(f"{path}: not a Parquet file ({broken})") from broken
    if int((table.schema.metadata or {}).get(_KIND, b"0")) not in range(1, SCHEMA + 1):
        raise RunError(f"{path}: no trajectories of schema 1 to {SCHEMA}; write the file with write_parquet")
    try:
        return _read_rows(table.to_pylist())
    except (*NOT_JSON, KeyError, TypeError, AttributeError, IndexError) as e:
        raise RunError(
            f"{path}: these are no trajectories ({type(e).__name__}: {e}); write the file with write_parquet"
        ) from e


def _read_rows(rows: list[dict[str, Any]]) -> tuple[Trajectory, ...]:
    trajectories: list[Trajectory] = []
    steps: list[Step] = []
    for row in rows:
        if row["blobs"] is not None:
            steps = []
            trajectories.append(
                Trajectory(row["rollout"], (), json.loads(row["blobs"]), row["prompts_known"])
            )
        if row["id"] is not None:
            steps.append(_step(row))
            last = trajectories[-1]
            trajectories[-1] = Trajectory(last.rollout, tuple(steps), last.blobs, last.prompts_known)
    return tuple(trajectories)


def _rows(trajectory: Trajectory) -> list[dict[str, Any]]:
    about = {"rollout": trajectory.rollout, "prompts_known": trajectory.prompts_known}
    rows = [
        {**about, **asdict(step), **{name: json.dumps(asdict(step)[name]) for name in _JSON}}
        for step in trajectory.steps
    ] or [dict(about)]
    rows[0]["blobs"] = json.dumps(dict(trajectory.blobs))
    return rows


def _step(row: dict[str, Any]) -> Step:
    fields = {name: row[name] for name in (*_TEXT, *_NUMBERS, "latency")}
    return step_from_json({**fields, **{name: json.loads(row[name]) for name in _JSON}})
