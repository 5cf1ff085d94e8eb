"""A multiple-choice question as a task: what every loader of such a benchmark shares."""

from __future__ import annotations

import csv
import io
import json
import os
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from langgraph_truce.choices import FEWEST, LETTERS
from langgraph_truce.errors import NOT_JSON, TaskError
from langgraph_truce.task import Task

DATA = "TRUCE_DATA"
"""Environment variable: the folder that holds one folder per benchmark."""


def question(
    name: str, text: Any, options: Any, answer: Any, *, where: str, metadata: Mapping[str, Any] | None = None
) -> Task:
    """The task of one question: `inputs = {"question", "options": {"A": ...}}`, `reference_outputs = {"answer": "B"}`.

    Args:
        name: its id.
        text: the question.
        options: the texts of the options, without letters, in order; 2 to 10.
        answer: the right one's letter.
        where: file and row, for messages.
        metadata: anything else, such as the subject.

    Raises:
        TaskError: a text is missing or no text, there are too few or too many options, or no option has the answer's letter.
    """
    if not isinstance(text, str) or not text.strip():
        raise TaskError(f"{where}: a question is a text, got {text!r}")
    if not isinstance(options, list | tuple) or not FEWEST <= len(options) <= len(LETTERS):
        raise TaskError(f"{where}: a question has {FEWEST} to {len(LETTERS)} options, got {options!r:.80}")
    odd = [o for o in options if not isinstance(o, str)]
    if odd:
        raise TaskError(f"{where}: an option is a text, got {odd[0]!r:.80}")
    letters = LETTERS[: len(options)]
    if not isinstance(answer, str) or len(answer) != 1 or answer not in letters:
        raise TaskError(f"{where}: the answer is one of the letters {', '.join(letters)}, got {answer!r}")
    inputs = {
        "question": text.strip(),
        "options": {k: o.strip() for k, o in zip(letters, options, strict=True)},
    }
    return Task(name, inputs, {"answer": answer}, dict(metadata or {}))


def whole(tasks: Iterable[Task], where: Path | str) -> tuple[Task, ...]:
    """The tasks of a source, checked as one set.

    Raises:
        TaskError: there is none, or two have one id.
    """
    tasks = tuple(tasks)
    if not tasks:
        raise TaskError(f"{where}: there is no question in it")
    twice = [name for name, n in Counter(t.id for t in tasks).items() if n > 1]
    if twice:
        raise TaskError(f"{where}: question id {twice[0]!r} is used twice; ids must be unique")
    return tasks


def place(benchmark: str, folder: Path | str | None) -> Path:
    """The folder of a benchmark: `folder`, or `$TRUCE_DATA/BENCHMARK`.

    Raises:
        TaskError: it is not there.
    """
    if folder is None:
        root = os.environ.get(DATA, "")
        if not root:
            raise TaskError(
                f"{DATA} is not set; set it to the folder that holds {benchmark}/, or give the folder of your own files"
            )
        folder = Path(root) / benchmark
    folder = Path(folder)
    if not folder.is_dir():
        raise TaskError(f"{folder}: no such folder; give the one that holds the files of {benchmark}")
    return folder


def first_file(folder: Path, names: Sequence[str]) -> Path:
    """The first of `names` that is a file in `folder`.

    Raises:
        TaskError: none is.
    """
    for name in names:
        if (folder / name).is_file():
            return folder / name
    raise TaskError(f"{folder}: no {' and no '.join(names)}; there are: {_listed(folder)}")


def json_lines(path: Path) -> Iterator[tuple[str, int, Mapping[str, Any]]]:
    """`FILE:LINE`, the row's number from 0, and the row, for each JSON line; blank lines are passed over.

    Raises:
        TaskError: no such file, it is not UTF-8, or a line is no JSON object.
    """
    number = 0
    for line, text in enumerate(read_text(path).split("\n"), 1):
        if not text.strip():
            continue
        try:
            row = json.loads(text)
        except NOT_JSON as e:
            raise TaskError(f"{path}:{line}: not a JSON object: {e}") from e
        if not isinstance(row, Mapping):
            raise TaskError(f"{path}:{line}: a question is a JSON object, got {type(row).__name__}")
        yield f"{path}:{line}", number, row
        number += 1


def csv_rows(path: Path) -> Iterator[tuple[str, int, list[str]]]:
    """`FILE: row N`, the row's number from 0, and its columns, for each row of a CSV file; empty rows are passed over.

    Raises:
        TaskError: no such file, or it is no UTF-8 or no CSV.
    """
    rows = csv.reader(io.StringIO(read_text(path), newline=""))
    try:
        for number, row in enumerate(filter(None, rows)):
            yield f"{path}: row {number + 1}", number, row
    except csv.Error as e:
        raise TaskError(f"{path}:{rows.line_num}: not a CSV file: {e}") from e


def read_text(path: Path) -> str:
    """The text of a file.

    Raises:
        TaskError: no such file, or it is not UTF-8.
    """
    if not path.is_file():
        raise TaskError(f"{path}: no such file; there are: {_listed(path.parent)}")
    try:
        return path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as e:
        raise TaskError(f"{path}: not UTF-8 text ({e}); save it as UTF-8") from e


def columns(row: Mapping[str, Any], names: Sequence[str], where: str) -> tuple[Any, ...]:
    """The values of a row's columns.

    Raises:
        TaskError: one is missing.
    """
    for name in names:
        if name not in row:
            raise TaskError(f"{where}: no column {name!r}; there are: {', '.join(map(str, row))}")
    return tuple(row[name] for name in names)


def answers(tasks: Iterable[Task]) -> dict[str, int]:
    """How many questions each letter is the right answer of, by letter: a system that always says "A" gets that share."""
    counted = Counter(str(t.reference_outputs["answer"]) for t in tasks)
    return dict(sorted(counted.items()))


def ceiling(tasks: Sequence[Task], letters: str = "ABCD") -> float:
    """The best accuracy in [0, 1] that a rule that reads only `letters` leaves: AQuA's test set with A to D has 0.866.

    Raises:
        TaskError: there is no task.
    """
    if not tasks:
        raise TaskError("the ceiling of no questions is not known; give at least one")
    return sum(t.reference_outputs["answer"] in letters for t in tasks) / len(tasks)


def _listed(folder: Path) -> str:
    there = sorted(p.name for p in folder.iterdir()) if folder.is_dir() else []
    return ", ".join(there[:12]) or "none"
