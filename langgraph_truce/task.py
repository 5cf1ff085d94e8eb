"""Task, Splits and Outcome, and task files (JSONL, CSV)."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from langgraph_truce.errors import NOT_JSON, TaskError
from langgraph_truce.rules.rule import content_hash


def _canonical(value: Any) -> str:
    return json.dumps(value, sort_keys=True, ensure_ascii=True, default=str)


@dataclass(frozen=True, slots=True)
class Task:
    """One task 𝒯: what goes in, and what a right answer is."""

    id: str
    inputs: Mapping[str, Any]
    """What the system is given, by name; not empty."""
    reference_outputs: Mapping[str, Any] = field(default_factory=dict)
    """What the evaluator compares with; the system never sees it."""
    metadata: Mapping[str, Any] = field(default_factory=dict)
    """Anything else (difficulty, source); shown in reports."""

    @property
    def content(self) -> str:
        """Hash of the inputs: two tasks with equal inputs are the same task, whatever their ids."""
        return content_hash(_canonical(self.inputs))

    @classmethod
    def of(cls, row: Mapping[str, Any], where: str = "task") -> Task:
        """A task from a row: `{"inputs": {...}, "reference_outputs" | "outputs": {...}, "id"?, "metadata"?}`.

        Raises:
            TaskError: inputs are missing, empty or no mapping; the message begins with `where`.
        """
        inputs = row.get("inputs")
        if not isinstance(inputs, Mapping) or not inputs:
            raise TaskError(
                f"{where}: a task needs 'inputs', a non-empty mapping, got {inputs!r}; "
                'write {"inputs": {"question": ...}, "reference_outputs": {"answer": ...}}'
            )
        reference = row.get("reference_outputs", row.get("outputs")) or {}
        metadata = row.get("metadata") or {}
        for name, value in (("reference_outputs", reference), ("metadata", metadata)):
            if not isinstance(value, Mapping):
                raise TaskError(f"{where}: {name!r} must be a mapping, got {value!r}")
        task_id = str(row.get("id") or content_hash(_canonical(inputs)))
        return cls(task_id, dict(inputs), dict(reference), dict(metadata))

    def to_json(self) -> dict[str, Any]:
        """As JSON; `of` reads it back equal."""
        return {
            "id": self.id,
            "inputs": dict(self.inputs),
            "reference_outputs": dict(self.reference_outputs),
            "metadata": dict(self.metadata),
        }


@dataclass(frozen=True, slots=True)
class Outcome:
    """The result r of a rollout and its evaluation R(𝒯, r)."""

    result: Any
    """What the system answered; None where it raised."""
    score: float
    """The objective in [0, 1], higher is better; 0.0 where the user's code raised or timed out."""
    feedback: str = ""
    """The evaluator's comment in words: what credit reads."""
    scores: Mapping[str, float] = field(default_factory=dict)
    """Every key the evaluator returned, each in [0, 1]; holds the objective too."""
    error: str = ""
    """`Type: message` where the user's code raised or timed out; scored."""
    excluded: str = ""
    """Why this rollout does not count (infrastructure failed after retries); empty where it counts."""
    progress: Mapping[str, float] = field(default_factory=dict)
    """Round number as text -> score in [0, 1] of the state after it; empty where no evaluator scores states."""


def read_tasks(
    path: Path | str, *, inputs: Sequence[str] = (), outputs: Sequence[str] = ()
) -> tuple[Task, ...]:
    """Tasks from a `.jsonl` or `.csv` file.

    JSONL rows are read by `Task.of`; rows without `inputs`, and all CSV rows, need `inputs` and `outputs`: the
    columns that go in and those that are the reference.

    Raises:
        TaskError: no such file, a broken row, a missing column, two tasks with one id, or no task at all.
    """
    path = Path(path)
    if not path.is_file():
        raise TaskError(f"{path}: no such task file; give a .jsonl or .csv file")
    rows = _rows(path)
    tasks = [_task(row, f"{path}:{n}", inputs, outputs) for n, row in rows]
    if not tasks:
        raise TaskError(f"{path}: the file holds no task; write one JSON object a line")
    _unique([t.id for t in tasks], str(path))
    return tuple(tasks)


def write_tasks(tasks: Iterable[Task], path: Path | str) -> None:
    """Write tasks as JSON lines; `read_tasks` reads them back equal."""
    Path(path).write_text(
        "".join(json.dumps(t.to_json(), ensure_ascii=False) + "\n" for t in tasks), encoding="utf-8"
    )


def _rows(path: Path) -> list[tuple[int, Mapping[str, Any]]]:
    text = path.read_text(encoding="utf-8")
    if path.suffix == ".csv":
        return [(n, row) for n, row in enumerate(csv.DictReader(text.splitlines()), 2)]
    if path.suffix not in {".jsonl", ".ndjson"}:
        raise TaskError(
            f"{path}: cannot read {path.suffix or 'a file without ending'!r}; give .jsonl or .csv"
        )
    rows: list[tuple[int, Mapping[str, Any]]] = []
    for n, line in enumerate(text.splitlines(), 1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except NOT_JSON as e:
            raise TaskError(f"{path}:{n}: not a JSON object: {e}") from e
        if not isinstance(row, Mapping):
            raise TaskError(f"{path}:{n}: a task is a JSON object, got {type(row).__name__}")
        rows.append((n, row))
    return rows


def _task(row: Mapping[str, Any], where: str, inputs: Sequence[str], outputs: Sequence[str]) -> Task:
    if "inputs" in row and not inputs:
        return Task.of(row, where)
    if not inputs:
        raise TaskError(
            f"{where}: the row has no 'inputs'; name the columns that go in (there are: {', '.join(row)})"
        )
    for name in (*inputs, *outputs):
        if name not in row:
            raise TaskError(f"{where}: no column {name!r}; there are: {', '.join(row)}")
    return Task.of(
        {"id": row.get("id"), "inputs": {k: row[k] for k in inputs}, "outputs": {k: row[k] for k in outputs}},
        where,
    )


def _unique(ids: Sequence[str], where: str) -> None:
    seen: set[str] = set()
    for i in ids:
        if i in seen:
            raise TaskError(
                f"{where}: task id {i!r} is used twice; ids must be unique (equal inputs give equal ids)"
            )
        seen.add(i)


@dataclass(frozen=True, slots=True)
class Splits:
    """Train, validation and test tasks: disjoint by content, none empty (contract 8).

    Edits come from train, the gate uses validation, test is opened once, at the end.

    Raises:
        TaskError: a split is empty, or one task (equal inputs) stands twice.
    """

    train: Sequence[Task]
    validation: Sequence[Task]
    test: Sequence[Task]

    def __post_init__(self) -> None:
        seen: dict[str, tuple[str, str]] = {}
        ids: dict[str, str] = {}
        for name in ("train", "validation", "test"):
            tasks: Sequence[Task] = getattr(self, name)
            if not tasks:
                raise TaskError(f"the {name} split is empty; give at least one task")
            for task in tasks:
                if task.content in seen:
                    other, twin = seen[task.content]
                    raise TaskError(
                        f"task {task.id!r} of {name} has the same inputs as {twin!r} of {other}; "
                        "the splits must be disjoint, remove one of them"
                    )
                if task.id in ids:
                    raise TaskError(
                        f"task id {task.id!r} stands in {ids[task.id]} and in {name}; ids must be unique"
                    )
                seen[task.content] = (name, task.id)
                ids[task.id] = name

    @classmethod
    def read(cls, train: Path | str, validation: Path | str, test: Path | str) -> Splits:
        """Three task files as splits."""
        return cls(read_tasks(train), read_tasks(validation), read_tasks(test))
