"""Jobs side by side, and what a decision remembers of its failures."""

from __future__ import annotations

import asyncio
import json

import pytest

from langgraph_truce.asking import KEPT, keep, side_by_side
from langgraph_truce.errors import ModelReplyError


async def test_results_come_in_the_order_of_the_jobs() -> None:
    gate = asyncio.Event()

    async def last() -> int:
        await gate.wait()
        return 1

    async def first() -> int:
        gate.set()  # would never be reached if the jobs ran one after the other
        return 2

    assert await side_by_side([last(), first()]) == [1, 2]
    assert await side_by_side([]) == []


async def test_an_error_comes_out_as_it_was_and_ends_the_others() -> None:
    ended: list[str] = []

    async def slow() -> None:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            ended.append("slow")
            raise

    async def bad() -> None:
        raise ModelReplyError("no", "reply")

    with pytest.raises(ModelReplyError, match="no"):
        await side_by_side([slow(), bad()])
    assert ended == ["slow"]


def test_records_are_few_and_short_but_all_are_counted() -> None:
    memory = keep({"other": 1, "lost_count": 3}, "lost", [{"why": "x" * 9000, "n": n} for n in range(500)])
    assert memory["lost_count"] == 503
    assert len(memory["lost"]) == KEPT
    assert len(json.dumps(memory)) < 15_000
    again = keep(memory, "lost", [])
    assert again == {"other": 1, "lost": [], "lost_count": 503}
