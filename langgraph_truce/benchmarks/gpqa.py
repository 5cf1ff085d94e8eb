"""GPQA (Rein et al. 2024): graduate-level questions, four options, from a CSV file that the user has.

Its authors ask that no question is put where it can be crawled: nothing of it is shipped here, and what a run stores holds the
questions it ran on. Keep such runs private.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from langgraph_truce.benchmarks.multiple_choice import columns, csv_rows, question, whole
from langgraph_truce.choices import LETTERS
from langgraph_truce.rules.rule import content_hash
from langgraph_truce.seed import seeded
from langgraph_truce.task import Task

_COLUMNS = ("Question", "Correct Answer", "Incorrect Answer 1", "Incorrect Answer 2", "Incorrect Answer 3")


def load(path: Path | str, *, seed: int = 0) -> tuple[Task, ...]:
    """The questions of an official file (`gpqa_diamond.csv`, `gpqa_main.csv`, `gpqa_extended.csv`).

    The file names the right option first; here each question's options are shuffled, by `seed` and the question's own id: the same
    order in every run and whatever other rows the file has.

    Args:
        path: the file, with the columns `Question`, `Correct Answer` and `Incorrect Answer 1` to `3`.
        seed: of the order of the options.

    Raises:
        TaskError: no such file, a missing column, or two rows with one id; the message names file and row.
    """
    path = Path(path)
    rows = csv_rows(path)
    _, _, header = next(rows, ("", 0, []))
    named = ((where, dict(zip(header, row, strict=False))) for where, _, row in rows)
    return whole((_task(row, where, seed) for where, row in named), path)


def _task(row: Mapping[str, Any], where: str, seed: int) -> Task:
    text, *options = columns(row, _COLUMNS, where)
    name = str(row.get("Record ID") or f"gpqa-{content_hash(str(text))}")
    order = list(range(len(options)))
    seeded(seed, "gpqa", name).shuffle(order)
    answer = LETTERS[order.index(0)]
    domain = row.get("High-level domain") or row.get("Subdomain")
    about = {"benchmark": "gpqa", "seed": seed} | ({"subject": domain} if domain else {})
    return question(name, text, [options[i] for i in order], answer, where=where, metadata=about)
