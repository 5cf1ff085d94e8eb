"""MMLU (Hendrycks et al. 2021): 57 subjects, four options."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from langgraph_truce.benchmarks.multiple_choice import (
    columns,
    csv_rows,
    json_lines,
    place,
    question,
    whole,
)
from langgraph_truce.errors import TaskError, UnknownNameError
from langgraph_truce.task import Task

_COLUMNS = 6
"""Of the official files: question, four options, letter; they have no header."""


def load(
    folder: Path | str | None = None, split: str = "test", *, subjects: Sequence[str] = ()
) -> tuple[Task, ...]:
    """The questions of a split, by subject; ids are `SUBJECT/SPLIT/ROW`, with rows from 0.

    Args:
        folder: holds `SPLIT.jsonl` or `SPLIT_20pct.jsonl` (a fixed fifth), or the official `SUBJECT_SPLIT.csv` files, directly or in a
            folder `SPLIT`; None is `$TRUCE_DATA/mmlu`.
        split: `dev`, `val` or `test`.
        subjects: only these ("abstract_algebra"); empty for all.

    Raises:
        TaskError: no such folder or files, or a row that cannot be read.
        UnknownNameError: no such subject; the message lists those there are.
    """
    place_ = place("mmlu", folder)
    listed = [f for f in (place_ / f"{split}.jsonl", place_ / f"{split}_20pct.jsonl") if f.is_file()]
    tables = sorted((place_ / split).glob(f"*_{split}.csv")) or sorted(place_.glob(f"*_{split}.csv"))
    if listed:
        tasks = whole(_rows(listed[0]), listed[0])
    elif tables:
        tasks = whole((t for table in tables for t in read_table(table)), place_)
    else:
        raise TaskError(
            f"{place_}: no {split}.jsonl, no {split}_20pct.jsonl and no SUBJECT_{split}.csv; give the folder of MMLU"
        )
    there = sorted({str(t.metadata["subject"]) for t in tasks})
    for subject in subjects:
        if subject not in there:
            raise UnknownNameError(f"{place_}: no subject {subject!r}; there are: {', '.join(there)}")
    return tuple(t for t in tasks if not subjects or t.metadata["subject"] in subjects)


def read_table(path: Path | str) -> tuple[Task, ...]:
    """The questions of one official file, `SUBJECT_SPLIT.csv` without header: question, four options, letter.

    Raises:
        TaskError: no such file, a row with another number of columns, or a wrong letter; the message names file and row.
    """
    path = Path(path)
    subject, _, split = path.stem.rpartition("_")
    if not subject:
        raise TaskError(f"{path}: an official file of MMLU is called SUBJECT_SPLIT.csv")
    tasks = []
    for where, number, row in csv_rows(path):
        if len(row) != _COLUMNS:
            raise TaskError(
                f"{where}: a row has a question, four options and a letter, got {len(row)} columns"
            )
        name = f"{subject}/{split}/{number}"
        tasks.append(question(name, row[0], row[1:5], row[5].strip(), where=where, metadata=_about(subject)))
    return whole(tasks, path)


def _rows(path: Path) -> Iterator[Task]:
    for where, _, row in json_lines(path):
        name, subject, text, options, answer = columns(
            row, ("id", "subject", "question", "choices", "answer"), where
        )
        yield question(str(name), text, options, answer, where=where, metadata=_about(subject))


def _about(subject: Any) -> Mapping[str, Any]:
    return {"benchmark": "mmlu", "subject": str(subject)}
