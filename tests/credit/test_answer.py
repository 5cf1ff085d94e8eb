from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest

from langgraph_truce.credit import answer_credit
from langgraph_truce.errors import UnknownNameError
from langgraph_truce.seams import Batch, Credit
from langgraph_truce.task import Task
from langgraph_truce.testing.batches import make_batch, make_book, make_rollout, make_rules
from langgraph_truce.testing.lab import FakeLab

BOOK = make_book(make_rules("manager"), make_rules("red"), make_rules("blue"))
WANTED = {"team": "red", "code": "K-1", "desk": "ash"}


def batch(said: Mapping[str, Any], reference: Mapping[str, Any] = WANTED) -> Batch:
    lines = [(role, 1, v if isinstance(v, str) else json.dumps(v)) for role, v in said.items()]
    return make_batch(
        BOOK, [make_rollout("t", lines, score=0.0)], tasks={"t": Task("t", {"request": "hello"}, reference)}
    )


async def credits_of(batch_: Batch, **settings: Any) -> tuple[Credit, ...]:
    return (await answer_credit(**settings)(batch_, {}, FakeLab()))[0]


async def test_value_is_the_share_of_its_own_right_fields_and_words_name_the_wrong_ones() -> None:
    manager, red = await credits_of(
        batch({"manager": {"team": "red"}, "red": {"code": "K-2", "desk": "ASH "}})
    )
    assert (manager.role, manager.value) == ("manager", 1.0)
    assert (red.role, red.value, red.steps) == ("red", 0.0, ("red#1.0",))
    assert red.words == "code: expected 'K-1', gave 'K-2'"


async def test_a_worker_is_not_blamed_for_a_task_that_belongs_to_another() -> None:
    made = batch({"manager": {"team": "blue"}, "blue": {"code": "?", "desk": "?"}})
    other = Task("u", {"request": "for blue"}, {**WANTED, "team": "blue"})
    found = await credits_of(replace(made, tasks={**made.tasks, "u": other}))
    assert [(c.role, c.value) for c in found] == [("manager", -1.0)]


@pytest.mark.parametrize("text", ["no json", '{"code": "K-', "[1]", '{"other": 1}'])
async def test_no_credit_where_there_is_nothing_to_compare(text: str) -> None:
    assert await credits_of(batch({"red": text})) == ()


async def test_a_scorer_decides_where_fields_do_not_match_by_name() -> None:
    found = await credits_of(
        batch({"red": {"summary": "ok"}}), scorers={"red": lambda fields, task: 0.75 * ("summary" in fields)}
    )
    assert [c.value for c in found] == [0.5]


async def test_a_scorer_for_an_unknown_role_is_said() -> None:
    with pytest.raises(UnknownNameError, match=r"green.*manager"):
        await credits_of(batch({"red": {"code": "K-1"}}), scorers={"green": lambda fields, task: 1.0})


async def test_every_cited_step_exists() -> None:
    made = batch({"manager": {"team": "red"}, "red": {"code": "K-2"}})
    for c in await credits_of(made):
        assert set(c.steps) <= made.rollouts[0].trajectory.step_ids
