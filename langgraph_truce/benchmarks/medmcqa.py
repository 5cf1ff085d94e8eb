"""MedMCQA (Pal et al. 2022): questions of medical entrance examinations, four options.

The official test split has no public answers, so `dev` is what papers report on.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from langgraph_truce.benchmarks.multiple_choice import columns, first_file, json_lines, place, question, whole
from langgraph_truce.choices import LETTERS
from langgraph_truce.errors import TaskError
from langgraph_truce.task import Task

_OPTIONS = ("opa", "opb", "opc", "opd")


def load(
    folder: Path | str | None = None, split: str = "dev", *, single: bool = True, first: int = 1
) -> tuple[Task, ...]:
    """The questions of a split.

    Args:
        folder: holds the official `SPLIT.json`, or `SPLIT_single_2816.jsonl` (its questions with one answer); None is
            `$TRUCE_DATA/medmcqa`.
        split: `dev` or `train`.
        single: see `read`.
        first: see `read`.

    Raises:
        TaskError: no such folder or file, or a row that cannot be read.
    """
    names = (f"{split}.jsonl", f"{split}.json", f"{split}_single_2816.jsonl")
    return read(first_file(place("medmcqa", folder), names), single=single, first=first)


def read(path: Path | str, *, single: bool = True, first: int = 1) -> tuple[Task, ...]:
    """The questions of one file: JSON lines as in the official files, or with `id`, `question`, `choices` and `answer`.

    Args:
        path: the file.
        single: only rows with `choice_type` "single"; the others ask for several options at once. Rows without that column are kept.
        first: `cop` of the first option: 1 in the official files, 0 in the Hugging Face copy.

    Raises:
        TaskError: a row that cannot be read, or two with one id; the message names file and line.
    """
    path = Path(path)
    rows = [(where, row) for where, _, row in json_lines(path)]
    kept = [(where, row) for where, row in rows if not single or row.get("choice_type", "single") == "single"]
    return whole((_task(row, where, first) for where, row in kept), path)


def _task(row: Mapping[str, Any], where: str, first: int) -> Task:
    about = {"benchmark": "medmcqa"}
    if row.get("subject_name"):
        about["subject"] = str(row["subject_name"])
    if "choices" in row:
        name, text, options, answer = columns(row, ("id", "question", "choices", "answer"), where)
        return question(str(name), text, options, answer, where=where, metadata=about)
    name, text, *options = columns(row, ("id", "question", *_OPTIONS), where)
    return question(
        str(name), text, options, _letter(row.get("cop"), where, first), where=where, metadata=about
    )


def _letter(cop: Any, where: str, first: int) -> str:
    """The letter of the right option."""
    if cop in (None, "", -1):
        raise TaskError(f"{where}: no answer in column 'cop'; the test split has none, take dev")
    number = int(cop) - first if str(cop).isdecimal() else -1
    if not 0 <= number < len(_OPTIONS):
        raise TaskError(
            f"{where}: 'cop' is {first} to {first + len(_OPTIONS) - 1}, got {cop!r}; "
            "the official files count from 1, the Hugging Face copy from 0 (first=0)"
        )
    return LETTERS[number]
