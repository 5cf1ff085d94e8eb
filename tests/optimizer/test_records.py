"""What a run leaves: complete at any size, and written again without a trace."""

from __future__ import annotations

import pytest
from langgraph.store.memory import InMemoryStore

from langgraph_truce.optimizer.records import Records
from langgraph_truce.rules import RuleBook, parse
from langgraph_truce.seams import Rollout
from langgraph_truce.task import Outcome
from langgraph_truce.trajectory import Trajectory


def rollout(n: int) -> Rollout:
    return Rollout(f"v/t{n}/0", f"t{n}", 0, "v", Outcome({"answer": n}, 0.5), Trajectory(f"v/t{n}/0", (), {}))


async def test_every_page_is_read_and_the_ledger_is_in_order() -> None:
    store = InMemoryStore()
    records = await Records(store).open()
    count = 407
    for n in reversed(range(count)):
        await records.append(1, n, {"n": n})
        await records.write_rollout(rollout(n))

    again = await Records(store).open()

    assert [line["n"] for line in await again.ledger()] == list(range(count))
    assert await again.read_rollout("v/t3/0") == rollout(3)
    assert await again.read_rollout("v/none/0") is None


async def test_the_same_line_again_is_the_same_line() -> None:
    records = await Records(InMemoryStore()).open()
    for _ in range(2):
        await records.append(1, 0, {"n": 1})
        await records.write_box(1, "credit", [1, 2])

    assert await records.ledger() == ({"n": 1},)
    assert await records.read_box(1, "credit") == [1, 2]
    assert await records.read_box(2, "credit") is None


async def test_a_line_that_is_in_the_ledger_stays_as_it_is(caplog: pytest.LogCaptureFixture) -> None:
    records = await Records(InMemoryStore()).open()
    first = await records.append(1, 0, {"n": 1, "at": "early", "tasks": ("a",)})
    again = await records.append(1, 0, {"n": 1, "at": "late", "tasks": ("a",)})

    assert (first["at"], again["at"]) == ("early", "early")
    assert caplog.records == []
    assert (await records.append(1, 0, {"n": 2, "at": "later", "tasks": ("a",)}))["n"] == 1
    assert "ledger line 000001/000000 came again with another n; the first stays" in caplog.text
    assert await records.ledger() == ({"n": 1, "at": "early", "tasks": ["a"]},)


async def test_lines_that_come_after_the_run_stand_behind_it() -> None:
    store = InMemoryStore()
    records = await Records(store).open()
    await records.append(12, 0, {"n": 1})
    assert await records.append_after({"n": 2}) == 0
    again = await Records(store).open()
    assert await again.append_after({"n": 3}) == 1
    await again.append(13, 0, {"n": 1.5})

    assert [line["n"] for line in await again.ledger()] == [1, 1.5, 2, 3]


async def test_books_are_kept_under_their_version() -> None:
    records = await Records(InMemoryStore()).open()
    book = RuleBook({"a": parse("a", "x\n\n- y\n")})

    version = await records.write_book(book)

    assert await records.read_book(version) == book
    with pytest.raises(KeyError):
        await records.read_book("none")


async def test_several_runs_share_one_store() -> None:
    store = InMemoryStore()
    one, two = await Records(store, ("one",)).open(), await Records(store, ("two",)).open()
    await one.append(1, 0, {"run": "one"})

    assert await two.ledger() == ()


async def test_every_string_a_model_can_write_is_kept() -> None:
    records = await Records(InMemoryStore()).open()
    odd = "\ud800 \x00 \u2028 \U0001f600"
    await records.write_box(1, "credit", [odd])

    assert await records.read_box(1, "credit") == [odd]
