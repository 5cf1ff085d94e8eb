"""A budget's caps: reserved before a call, settled after, kept over all starts of a run."""

from __future__ import annotations

import asyncio
import logging
import math
import threading
from pathlib import Path
from typing import Any

import pytest
from langchain_core.runnables import RunnableConfig
from langgraph.store.base import PutOp
from langgraph.store.memory import InMemoryStore

from langgraph_truce.errors import BudgetRefused, BudgetSpent, UserMistake
from langgraph_truce.model import Budget, Door, Ended, Journal, JournalCallback, Request
from langgraph_truce.model.cost import Cost, unpaid
from langgraph_truce.model.spending import Held, Spending
from langgraph_truce.testing import ScriptedModel
from langgraph_truce.trajectory.step import Usage

PRICES = {"m": {"input": 1.0, "output": 10.0}}
ASK = Request("task", "p", "m", 100, 50)


def door(journal: Journal, **caps: Any) -> tuple[Door, Spending]:
    spending = Spending(Budget(prices=PRICES, **caps), journal)
    return Door([spending]), spending


def used(into: int | None, out: int | None, **more: Any) -> Ended:
    return Ended(Usage(into, out), 0.1, **more)


class Refused(Exception):
    def __init__(self, status: int) -> None:
        super().__init__(f"status {status}")
        self.status_code = status


# --- caps ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["calls", "tokens", "usd", "seconds"])
@pytest.mark.parametrize("value", [0, -1, True, "5", math.nan, math.inf])
def test_a_cap_is_a_number_above_0(name: str, value: Any) -> None:
    with pytest.raises(UserMistake, match=rf"Budget\({name}=.*above 0 is expected, or None"):
        Budget(**{name: value})


@pytest.mark.parametrize("name", ["calls", "tokens"])
def test_calls_and_tokens_are_whole(name: str) -> None:
    caps: dict[str, Any] = {name: 1.5}
    with pytest.raises(UserMistake, match="whole number"):
        Budget(**caps)


def test_prices_are_read_at_once(tmp_path: Path) -> None:
    with pytest.raises(UserMistake, match="cannot be read"):
        Budget(prices=tmp_path / "gone.json")
    assert not Budget(prices=PRICES).capped
    assert Budget(seconds=0.5).capped


# --- one call after the other -------------------------------------------------------------------------------------


def test_the_reservation_is_settled_at_what_the_provider_says(store: InMemoryStore) -> None:
    with Journal(store) as journal:
        gate, spending = door(journal, tokens=1000)
        passed = gate.enter(ASK)
        assert spending.reserved.tokens == 150
        passed.end(used(40, 10))
        passed.end(used(400, 100))  # told twice: counted once

        assert spending.spent == Cost(1, 50, 140_000)
        assert spending.reserved == Cost()


def test_where_the_provider_says_nothing_the_reservation_counts(store: InMemoryStore) -> None:
    with Journal(store) as journal:
        gate, spending = door(journal, tokens=1000)
        gate.enter(ASK).end(used(None, None))
        gate.enter(ASK).end(used(40, None))

        assert spending.spent.tokens == 300


def test_the_call_that_does_not_fit_is_refused_with_cap_spent_and_need(store: InMemoryStore) -> None:
    with Journal(store) as journal:
        gate, _ = door(journal, usd=0.001)
        gate.enter(ASK).end(used(100, 50))
        with pytest.raises(BudgetSpent) as raised:
            gate.enter(ASK)

    for part in ("$0.001", "$0.0006 so far", "task", "p:m", "may need $0.0006"):
        assert part in str(raised.value)


def test_the_last_call_that_fits_is_made(store: InMemoryStore) -> None:
    with Journal(store) as journal:
        gate, spending = door(journal, calls=3)
        for _ in range(3):
            gate.enter(ASK).end(used(1, 1))
        with pytest.raises(BudgetSpent, match="3 calls is spent: 3 so far"):
            gate.enter(ASK)
        assert spending.spent.calls == 3


def test_more_than_was_reserved_is_counted_in_full_and_said_once(
    store: InMemoryStore, caplog: pytest.LogCaptureFixture
) -> None:
    with Journal(store) as journal, caplog.at_level(logging.WARNING):
        gate, spending = door(journal, tokens=10_000)
        for _ in range(2):
            gate.enter(ASK).end(used(1000, 50))

    assert spending.spent.tokens == 2100
    assert [r.getMessage() for r in caplog.records if "'p:m' cost more than it can" in r.getMessage()] != []
    assert sum("cost more than it can" in r.getMessage() for r in caplog.records) == 1


# --- what failed --------------------------------------------------------------------------------------------------


def caused(outer: Exception, by: BaseException) -> Exception:
    outer.__cause__ = by
    return outer


@pytest.mark.parametrize(
    ("error", "free"),
    [
        (Refused(400), True),
        (Refused(429), True),
        (Refused(500), True),
        (Refused(503), True),
        (Refused(504), False),
        (Refused(408), False),
        (caused(RuntimeError("wrapped"), Refused(429)), True),
        (ConnectionRefusedError(), True),
        (ConnectionResetError(), False),
        (TimeoutError(), False),
        (asyncio.CancelledError(), False),
        (ValueError("the client could not read the reply"), False),
    ],
)
def test_what_a_failed_call_costs(store: InMemoryStore, error: BaseException, free: bool) -> None:
    assert unpaid(error) is free
    with Journal(store) as journal:
        gate, spending = door(journal, calls=10)
        gate.enter(ASK).end(used(None, None, error=error))
        assert spending.spent == (Cost() if free else Cost(1, 150, 600_000))


# --- in flight ----------------------------------------------------------------------------------------------------


async def test_a_call_waits_for_those_in_flight_and_goes_when_they_cost_less(store: InMemoryStore) -> None:
    with Journal(store) as journal:
        gate, spending = door(journal, tokens=400)
        first, second = await gate.aenter(ASK), await gate.aenter(ASK)
        third = asyncio.ensure_future(gate.aenter(ASK))
        await asyncio.sleep(0.01)
        assert not third.done()

        first.end(used(30, 20))  # of 150: the third fits
        (await third).end(used(30, 20))
        second.end(used(30, 20))
        assert spending.spent.tokens == 150


async def test_a_call_that_still_does_not_fit_is_refused_when_nobody_is_in_flight(
    store: InMemoryStore,
) -> None:
    with Journal(store) as journal:
        gate, _ = door(journal, calls=1)
        first = await gate.aenter(ASK)
        second = asyncio.ensure_future(gate.aenter(ASK))
        await asyncio.sleep(0.01)
        assert not second.done()

        first.end(used(1, 1))
        with pytest.raises(BudgetSpent):
            await second


def test_a_thread_waits_too(store: InMemoryStore) -> None:
    with Journal(store) as journal:
        gate, spending = door(journal, tokens=200)
        first = gate.enter(ASK)
        second = threading.Thread(target=lambda: gate.enter(ASK).end(used(1, 1)))
        second.start()
        second.join(0.05)
        assert second.is_alive()

        first.end(used(1, 1))
        second.join(5)
        assert spending.spent.calls == 2


def test_who_cannot_wait_is_refused(store: InMemoryStore) -> None:
    with Journal(store) as journal:
        gate, _ = door(journal, calls=1)
        gate.enter(ASK)
        with pytest.raises(BudgetSpent):
            gate.enter_now(ASK)


# --- what cannot be kept ------------------------------------------------------------------------------------------


def test_no_output_limit_and_no_price_are_refused_with_the_way_out(store: InMemoryStore) -> None:
    endless, unknown = Request("task", "p", "m", 100), Request("task", "p", "unheard-of", 100, 50)
    with Journal(store) as journal:
        for caps in ({"tokens": 10_000}, {"usd": 1.0}):
            with pytest.raises(BudgetRefused, match=r"'p:m' has no output limit.*max_tokens="):
                door(journal, **caps)[0].enter(endless)
        with pytest.raises(BudgetRefused, match=r"price of the model 'p:unheard-of' is unknown.*prices=FILE"):
            door(journal, usd=1.0)[0].enter(unknown)
        door(journal, calls=5, seconds=60)[0].enter(endless)
        door(journal, tokens=10_000)[0].enter(unknown)


# --- the share of the test ----------------------------------------------------------------------------------------


def test_what_is_held_back_is_for_the_test(store: InMemoryStore) -> None:
    with Journal(store) as journal:
        gate, spending = door(journal, calls=3)
        spending.hold(Held(Cost(2, 0, 0)))
        gate.enter(ASK).end(used(1, 1))
        with pytest.raises(BudgetSpent, match="2 are held back for the sealed test"):
            gate.enter(ASK)
        test = Request("test", "p", "m", 100, 50)
        gate.enter(test).end(used(1, 1))
        spending.hold(Held())
        gate.enter(ASK).end(used(1, 1))
        with pytest.raises(BudgetSpent):
            gate.enter(test)


# --- the clock ----------------------------------------------------------------------------------------------------


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def test_no_call_starts_after_the_last_second_of_all_starts(store: InMemoryStore) -> None:
    clock = Clock()
    with Journal(store) as journal:
        first = Spending(Budget(seconds=100), journal, clock)
        Door([first]).enter(ASK)
        clock.now += 60
        first.close()

        clock.now += 5000  # nothing runs
        second = Spending(Budget(seconds=100), journal, clock)
        gate = Door([second])
        assert second.elapsed == pytest.approx(60)
        clock.now += 39
        gate.enter(ASK).end(used(1, 1))
        clock.now += 1
        with pytest.raises(BudgetSpent, match="100 seconds is spent"):
            gate.enter(ASK)


def test_a_kill_does_not_turn_back_the_clock(store: InMemoryStore) -> None:
    clock = Clock()
    with Journal(store) as journal:
        gate = Door([Spending(Budget(seconds=100), journal, clock)])
        for _ in range(8):
            clock.now += 10
            gate.enter(ASK).end(used(1, 1))  # and killed here: nobody closes it
        again = Spending(Budget(seconds=100), journal, clock)
        assert 80 <= again.elapsed <= 83


# --- several starts -----------------------------------------------------------------------------------------------


def test_a_killed_start_counts_at_least_what_it_spent(store: InMemoryStore) -> None:
    with Journal(store) as journal:
        gate, spending = door(journal, calls=1000, tokens=150_000, usd=10.0)
        for _ in range(20):
            gate.enter(ASK).end(used(None, None, error=TimeoutError()))
        for _ in range(30):
            gate.enter(ASK)
        most = spending.spent.plus(spending.reserved)

        _, again = door(journal, calls=1000, tokens=150_000, usd=10.0)  # no close: killed
        assert most.within(again.spent)
        assert again.spent.calls <= most.calls + 1000 // 64
        assert again.spent.nano <= most.nano + 10 * 10**9 // 64


def test_a_closed_start_counts_exactly(store: InMemoryStore) -> None:
    with Journal(store) as journal:
        gate, spending = door(journal, calls=1000)
        gate.enter(ASK).end(used(None, None, error=TimeoutError()))
        gate.enter(ASK).end(used(7, 3))
        spending.close()

        assert door(journal, calls=1000)[1].spent == spending.spent


async def test_journalled_replies_are_counted_again_from_the_journal(tmp_path: Path) -> None:
    model = ScriptedModel(replies={"": "said"}, max_tokens=10, model_name="m")
    spent = []
    for start in range(3):
        with Journal.open(tmp_path / "journal.sqlite") as journal, journal.installed():
            journal.door, spending = door(journal, calls=10, usd=1.0)
            config = RunnableConfig(callbacks=[JournalCallback(journal, ("s",))])
            for question in range(start + 1):
                await model.ainvoke(f"question {question}", config)
            spent.append(spending.spent)
            spending.close()

    assert [cost.calls for cost in spent] == [1, 2, 3]
    assert len(model.calls) == 3
    assert spent[0].nano * 3 == pytest.approx(spent[2].nano, abs=3)


async def test_a_reply_is_reserved_until_it_is_durable() -> None:
    """What a kill takes back, between reply and commit, was paid: a later start must not find it free."""
    model = ScriptedModel(replies={"": "said"}, max_tokens=10, model_name="m")
    seen: list[Cost] = []

    class Watched(InMemoryStore):
        def batch(self, ops: Any) -> Any:
            ops = list(ops)
            if any(isinstance(op, PutOp) and op.namespace[-1] == "000000" for op in ops):
                seen.append(spending.reserved)
            return super().batch(ops)

    with Journal(Watched()) as journal, journal.installed():
        journal.door, spending = door(journal, calls=10)
        await model.ainvoke("q", RunnableConfig(callbacks=[JournalCallback(journal, ("s",))]))
    assert [cost.calls for cost in seen] == [1]
    assert (spending.reserved, spending.spent.calls) == (Cost(), 1)


def test_a_smaller_budget_than_was_spent_stops_at_once_and_a_larger_one_goes_on(store: InMemoryStore) -> None:
    with Journal(store) as journal:
        gate, spending = door(journal, calls=5)
        for _ in range(5):
            gate.enter(ASK).end(used(1, 1))
        spending.close()
        with pytest.raises(BudgetSpent, match="2 calls is spent: 5 so far"):
            door(journal, calls=2)[0].enter(ASK)
        door(journal, calls=6)[0].enter(ASK)
