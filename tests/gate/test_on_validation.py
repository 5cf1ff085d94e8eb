"""`on_validation`: the mean decides, and the verdict says that nothing is controlled."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from langgraph_truce.gate import on_validation
from langgraph_truce.rules import Edit

Score = Callable[[int, int, str], float | None]


def better_on(count: int, word: str) -> Score:
    return lambda n, r, text: 1.0 if n >= count or word in text else 0.0


async def test_any_rise_is_accepted_and_marked(kit: Any) -> None:
    edits = (kit.add("e1.1", "good"), kit.add("e1.2", "idle"))
    verdict, memory = await on_validation()(
        kit.batch(*edits, tasks=3), {"a": 1}, kit.Bench(better_on(1, "good"))
    )
    assert (verdict.decision, verdict.edits, verdict.alpha) == ("accept", edits, 1.0)
    assert "no error control" in verdict.words
    assert verdict.comparison.estimate == pytest.approx(1 / 3)
    assert memory == {"a": 1}


async def test_no_rise_is_rejected(kit: Any) -> None:
    verdict, _ = await on_validation()(kit.batch(kit.add("e1.1", "x")), {}, kit.Bench(better_on(1, "good")))
    assert (verdict.decision, verdict.edits) == ("reject", ())
    assert "no error control" in verdict.words


async def test_what_cannot_be_measured_is_inconclusive(kit: Any) -> None:
    stale = Edit("e1.1", "DELETE", "solver", rule="r9", old_hash="0" * 16)
    verdict, _ = await on_validation()(kit.batch(stale), {}, kit.Bench(better_on(1, "good")))
    assert verdict.decision == "inconclusive"
    assert "do not fit" in verdict.trials[0]["why"]
    empty, _ = await on_validation()(kit.batch(), {}, kit.Bench(better_on(1, "good")))
    assert empty.decision == "inconclusive"
    gone, _ = await on_validation()(kit.batch(kit.add("e1.1", "x")), {}, kit.Bench(lambda n, r, t: None))
    assert "excluded" in gone.words
