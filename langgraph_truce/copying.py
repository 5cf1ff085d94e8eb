"""Copied text (contract 10): an edit must not carry what the gate will be asked."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from langgraph_truce.task import Task

RUN = 40
"""Characters (white space and case levelled) that two texts must share in one run to count as copied."""
_BETWEEN = "\x00"


def copied(text: str, forbidden: Iterable[Task], allowed: Iterable[str], run: int = RUN) -> str:
    """The first run of `run` characters that `text` shares with a forbidden task's inputs or reference; empty where none.

    What also stands in `allowed` (train tasks, the current rules) is no copy: tasks of one kind share their boilerplate.
    """
    plain = _level(text)
    if len(plain) < run:
        return ""
    taboo = _BETWEEN.join(_level(t) for task in forbidden for t in task_texts(task))
    free = _BETWEEN.join(_level(t) for t in allowed)
    pieces = (plain[i : i + run] for i in range(len(plain) - run + 1))
    return next((p for p in pieces if p in taboo and p not in free), "")


def task_texts(task: Task) -> tuple[str, ...]:
    """Every string in the task's inputs and reference, however deep."""
    return (*_strings(task.inputs), *_strings(task.reference_outputs))


def quoted_task(text: str, tasks: Sequence[Task]) -> str:
    """Id of the task whose inputs `text` quotes longest, whole strings only; empty where it quotes none."""
    plain = _level(text)
    best = (0, "")
    for task in tasks:
        quotes = [level for t in _strings(task.inputs) if (level := _level(t)) and level in plain]
        best = max(best, (max(map(len, quotes), default=0), task.id))
    return best[1] if best[0] else ""


def _level(text: str) -> str:
    return " ".join(text.casefold().split())


def _strings(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for item in value.values():
            yield from _strings(item)
    elif isinstance(value, list | tuple):
        for item in value:
            yield from _strings(item)
