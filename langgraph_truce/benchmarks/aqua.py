"""AQuA (Ling et al. 2017): algebra word problems with five options, A to E.

The paper's protocol reads A to D only. Where E is right (34 of the 254 test questions) no answer can then be right: read all
five letters (the default of the evaluators), drop these questions (`four_options`), or name the `ceiling`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from langgraph_truce.benchmarks.multiple_choice import columns, first_file, json_lines, place, question, whole
from langgraph_truce.choices import LETTERS
from langgraph_truce.errors import TaskError
from langgraph_truce.task import Task

OPTIONS = 5
_MARK = re.compile(r"\s*\(?([A-E])\s*\)")


def load(
    folder: Path | str | None = None, split: str = "test", *, four_options: bool = False
) -> tuple[Task, ...]:
    """The questions of a split.

    Args:
        folder: holds `SPLIT.jsonl` (with ids) or the official `SPLIT.json`; None is `$TRUCE_DATA/aqua`.
        split: `train`, `dev` or `test`.
        four_options: see `read`.

    Raises:
        TaskError: no such folder or file, or a row that cannot be read.
    """
    return read(
        first_file(place("aqua", folder), (f"{split}.jsonl", f"{split}.json")), four_options=four_options
    )


def read(path: Path | str, *, four_options: bool = False) -> tuple[Task, ...]:
    """The questions of one file, JSON lines with `question`, `options` ("A)21", ..., "E)27") and `correct`.

    Rows without an `id`, as in the official files, get `aqua-STEM-ROW`, with rows from 0. The rationale is left out.

    Args:
        path: the file.
        four_options: leave out the questions whose answer is E, and option E of the others.

    Raises:
        TaskError: a row that cannot be read, or two with one id; the message names file and line.
    """
    path = Path(path)
    tasks = [_task(row, number, where, path.stem) for where, number, row in json_lines(path)]
    if four_options:
        tasks = [_four(t) for t in tasks if t.reference_outputs["answer"] != LETTERS[OPTIONS - 1]]
    return whole(tasks, path)


def _task(row: Mapping[str, Any], number: int, where: str, stem: str) -> Task:
    text, options, correct = columns(row, ("question", "options", "correct"), where)
    if not isinstance(options, list) or len(options) != OPTIONS:
        raise TaskError(f"{where}: a question of AQuA has {OPTIONS} options, got {options!r:.80}")
    texts = [_unmarked(o, LETTERS[i], where) for i, o in enumerate(options)]
    name = str(row.get("id") or f"aqua-{stem}-{number}")
    return question(name, text, texts, correct, where=where, metadata={"benchmark": "aqua"})


def _unmarked(option: Any, letter: str, where: str) -> str:
    """The option's text without its "A)"; what follows may hold letters and brackets of its own."""
    mark = _MARK.match(option) if isinstance(option, str) else None
    if mark is None or mark[1] != letter:
        raise TaskError(f"{where}: option {letter} begins with '{letter})', got {option!r:.80}")
    return str(option[mark.end() :])


def _four(task: Task) -> Task:
    options = dict(task.inputs["options"])
    del options[LETTERS[OPTIONS - 1]]
    return Task(task.id, {**task.inputs, "options": options}, task.reference_outputs, task.metadata)
