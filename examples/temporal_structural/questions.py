"""The questions of an experiment: 100 to optimize on, and a test set that shares none with them (section 5.1)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from langgraph_truce import Splits, Task
from langgraph_truce.benchmarks import aqua, gpqa, medmcqa, mmlu
from langgraph_truce.benchmarks.multiple_choice import ceiling
from langgraph_truce.benchmarks.protocol import split
from langgraph_truce.choices import letters_of
from langgraph_truce.errors import TaskError

LARGEST = 500
"""Test questions unless asked for: the paper says "larger" than 100, and its appendix has 500 of MMLU."""

PAPER = "ABCD"
"""Letters that the paper's rule reads; the right answer of every eighth question of AQuA is E."""


@dataclass(frozen=True, slots=True)
class Sizes:
    """Numbers of questions."""

    train: int = 50
    validation: int = 50
    test: int | None = None
    """None: all there are, at most `LARGEST`."""
    seed: int = 0
    """Of the draw; the paper keeps the split fixed over runs."""


Loaded = tuple[tuple[Task, ...], tuple[Task, ...]]
"""Questions to optimize on, and those to test on where they are a file of their own; else ()."""


def questions(data: str, folder: Path | None, sizes: Sizes) -> Splits:
    """The splits of a data set.

    Args:
        data: a name of `SOURCES`.
        folder: of its files, for GPQA the CSV file; None is `$TRUCE_DATA/NAME`.
        sizes: how many of each.

    Raises:
        TaskError: no such folder or file, or too few questions.
    """
    pool, held_out = SOURCES[data](folder)
    drawn = split(
        pool,
        held_out=held_out,
        train=sizes.train,
        validation=sizes.validation,
        test=sizes.test,
        seed=sizes.seed,
    )
    return drawn if sizes.test else Splits(drawn.train, drawn.validation, drawn.test[:LARGEST])


def reach(tasks: Sequence[Task], letters: str) -> str:
    """In words: which letters the rule reads, the best accuracy that leaves, and what the paper's A to D would leave."""
    read = letters or max((letters_of(t.inputs) for t in tasks), key=len)
    words = f"it reads {read[0]} to {read[-1]}, ceiling {100 * ceiling(tasks, read):.1f} %"
    if read == PAPER:
        return words
    return f"{words} ({PAPER[0]} to {PAPER[-1]}, as in the paper: {100 * ceiling(tasks, PAPER):.1f} %)"


def _aqua(folder: Path | None) -> Loaded:
    return aqua.load(folder, "dev"), aqua.load(folder)


def _mmlu(folder: Path | None) -> Loaded:
    return mmlu.load(folder, "dev"), mmlu.load(folder)


def _medmcqa(folder: Path | None) -> Loaded:
    return medmcqa.load(folder), ()


def _gpqa(file: Path | None) -> Loaded:
    if file is None:
        raise TaskError(
            "gpqa is not shipped; give the official CSV file that you have: --folder gpqa_diamond.csv"
        )
    return gpqa.load(file), ()


SOURCES: dict[str, Callable[[Path | None], Loaded]] = {
    "aqua": _aqua,
    "mmlu": _mmlu,
    "medmcqa": _medmcqa,
    "gpqa": _gpqa,
}
"""Data sets by name. The test split of AQuA and MMLU is a file of its own; of the others one file is divided."""
