"""What every decision that asks a model does: insist on one, ask side by side, keep count of what went wrong."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Iterable, Mapping, Sequence
from typing import Any, TypeVar

from langgraph_truce.errors import UserMistake
from langgraph_truce.seams import Lab, Memory

T = TypeVar("T")

KEPT = 20
"""Records a decision's memory holds at most: it lives in the optimizer's state, which stays under 100 kB."""
_WORDS = 500


def require_model(lab: Lab, decision: str) -> None:
    """Refuse to start a decision that asks a model where there is none.

    Raises:
        UserMistake: `lab` has no model.
    """
    if not lab.has_model:
        raise UserMistake(
            f"{decision} asks a critic model and none was given; pass model=... to optimize(), "
            "or take the method that needs none: langgraph_truce.methods.offline()"
        )


async def side_by_side(jobs: Iterable[Coroutine[Any, Any, T]]) -> list[T]:
    """All results, in order of `jobs`; how many really run at once is for `Lab.ask` to say.

    Raises:
        Exception: the first that a job raised, as it was; the other jobs are cancelled.
    """
    try:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(job) for job in jobs]
    except BaseExceptionGroup as several:
        raise several.exceptions[0] from several
    return [task.result() for task in tasks]


def keep(memory: Memory, name: str, records: Sequence[Mapping[str, Any]]) -> Memory:
    """A memory whose `NAME` holds this iteration's `records` and whose `NAME_count` counts those of all iterations.

    At most `KEPT` (20) records stay, with texts cut at 500 characters; the count is of all.
    """
    short = [{k: v[:_WORDS] if isinstance(v, str) else v for k, v in r.items()} for r in records[:KEPT]]
    return {**memory, name: short, f"{name}_count": memory.get(f"{name}_count", 0) + len(records)}
