"""Spending: the keeper that holds a run to its budget (contract 7)."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from langgraph_truce.errors import BudgetRefused, BudgetSpent
from langgraph_truce.model.budget import CAPS, Budget
from langgraph_truce.model.cost import NANO, Cost, unpaid
from langgraph_truce.model.door import Ended, Request
from langgraph_truce.model.journal import Journal
from langgraph_truce.model.meter import Tally

NOTE = "budget"
"""Name of the note in the journal."""
_CHUNKS = (
    64  # of a cap: how much more is noted at a time, so how much a kill can take beside the calls in flight
)
_LOWER = 5.0  # seconds between notes that take back what is no longer in flight
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Held:
    """What is held back for the sealed test."""

    cost: Cost = field(default_factory=Cost)
    seconds: float = 0.0


class Spending:
    """What a run has spent over all its starts, and whether the next call fits.

    A call is reserved at the most it can cost and settled at what its provider said; where that said nothing, the
    reservation counts. What journalled replies cost is read from the journal. The rest (calls in flight, failed ones
    that may have been billed, replies that could not be journalled) stands in a note there: an upper bound that is
    durable before a call may use it, so a kill at any moment can make the run count too much, never too little.

    Args:
        budget: The caps and prices.
        journal: Of the run, opened.
        clock: Seconds, for tests.
    """

    def __init__(self, budget: Budget, journal: Journal, clock: Callable[[], float] = time.monotonic) -> None:
        self.prices = budget.price_list
        self._budget = budget
        self._journal = journal
        self._clock = clock
        noted = journal.noted(NOTE) or {"cost": Cost().to_json(), "seconds": 0.0}
        self._loose = Cost.from_json(noted["cost"])
        """Spent, and not in the journal."""
        self._reserved = Cost()
        self._in_flight = 0
        self._noted = self._loose
        """Durable bound of what is loose or reserved."""
        self._before = float(noted["seconds"])
        """Seconds of earlier starts."""
        self._began = clock()
        self._noted_seconds = self._before
        self._noted_at = -math.inf
        self._held = Held()
        self._largest = Cost()
        self._warned: set[str] = set()
        self._known: dict[tuple[str, int, int | None], Cost] = {}
        self._by_purpose = _by_purpose(journal, self)
        self._journalled = Cost()
        for cost in self._by_purpose.values():
            self._journalled = self._journalled.plus(cost)

    @property
    def spent(self) -> Cost:
        """What was spent so far; calls in flight are not in it."""
        return self._journalled.plus(self._loose)

    @property
    def left(self) -> Cost:
        """What is left of the caps; 0 of what is not capped."""
        budget = self._budget
        caps = Cost.of(budget.calls or 0, budget.tokens or 0, budget.usd or 0.0)
        return caps.minus(self.spent.plus(self._reserved))

    @property
    def reserved(self) -> Cost:
        """What the calls in flight can cost at most."""
        return self._reserved

    @property
    def elapsed(self) -> float:
        """Seconds of the clock, over all starts."""
        return self._before + self._clock() - self._began

    @property
    def largest(self) -> Cost:
        """The largest reservation so far."""
        return self._largest

    def of_purpose(self, purpose: str) -> Cost:
        """What the calls of a purpose cost, as far as they came back or are in the journal."""
        return self._by_purpose.get(purpose, Cost())

    def hold(self, held: Held) -> None:
        """Hold this much back from all calls but those of the purpose `test`."""
        self._held = held

    def check(self, request: Request) -> None:
        """Refuse a call that could not be kept within the budget, whatever is left of it.

        Raises:
            BudgetRefused: a cap on tokens or dollars, and no output limit; a cap on dollars, and no price.
        """
        name = request.name or "without a name"
        if request.output_tokens is None and not (self._budget.tokens is None and self._budget.usd is None):
            cap = "tokens" if self._budget.tokens is not None else "usd"
            raise BudgetRefused(
                f"the model {name!r} has no output limit, so a budget with {cap}= cannot be kept; make it with max_tokens=..., "
                "or cap calls or seconds instead"
            )
        if self._budget.usd is not None and self.prices.find(request.name) is None:
            raise BudgetRefused(
                f"the price of the model {name!r} is unknown, so a budget with usd= cannot be kept; say it in a file, "
                f'{{"{request.model}": {{"input": ..., "output": ...}}}} (dollars per million tokens), with prices=FILE or --prices FILE'
            )

    def wait(self, request: Request, *, patient: bool) -> float:
        """See `Keeper.wait`.

        Raises:
            BudgetSpent: it does not fit, and no call in flight could make room.
            BudgetRefused: see `check`.
        """
        self.check(request)
        cost = self._reservation(request)
        short = self._short(request, cost)
        if not short:
            self._note_for(cost)
            return 0.0
        if patient and self._in_flight:
            left = math.inf if self._budget.seconds is None else self._budget.seconds - self.elapsed
            return left if left > 0 else math.inf
        raise BudgetSpent(self._sentence(short, request, cost))

    def take(self, request: Request) -> None:
        """The call goes now."""
        cost = self._reservation(request)
        self._reserved = self._reserved.plus(cost)
        self._largest = self._largest.most(cost)
        self._in_flight += 1

    def give(self, request: Request, ended: Ended) -> None:
        """It ended: settle it."""
        reserved = self._reservation(request)
        self._reserved = self._reserved.minus(reserved)
        self._in_flight -= 1
        paid = self._paid(request, reserved, ended)
        kept = self._in_journal(request, ended) if ended.journalled else Cost()
        self._journalled = self._journalled.plus(kept)
        self._loose = self._loose.plus(paid.minus(kept))
        if ended.error is None:
            self._by_purpose[request.purpose] = self.of_purpose(request.purpose).plus(paid)
        if self._noted_at + _LOWER < self._clock():
            self._lower()

    def close(self) -> None:
        """Note the exact figures; calls that are still in flight count at their reservations."""
        self._note(self._loose.plus(self._reserved), self.elapsed)

    def _reservation(self, request: Request) -> Cost:
        key = (request.name, request.input_tokens, request.output_tokens)
        cost = self._known.get(key)
        if cost is None:
            cost = self._most(request)
            if len(self._known) > 4 * _CHUNKS:
                self._known.clear()
            self._known[key] = cost
        return cost

    def _most(self, request: Request) -> Cost:
        out = request.output_tokens or 0
        price = self.prices.find(request.name)
        return Cost.of(1, request.input_tokens + out, price.most(request.input_tokens, out) if price else 0.0)

    def _paid(self, request: Request, reserved: Cost, ended: Ended) -> Cost:
        if ended.error is not None:
            return Cost() if unpaid(ended.error) else reserved
        into, out = ended.usage.input_tokens, ended.usage.output_tokens
        if into is None or out is None:
            return reserved
        price = self.prices.find(request.name)
        paid = Cost.of(1, into + out, price.of(into, out) if price else 0.0)
        if not paid.within(reserved):
            self._warn(request, paid, reserved)
        return paid

    def _in_journal(self, request: Request, ended: Ended) -> Cost:
        """What a later start reads from the journal for this call."""
        usage = ended.usage
        tally = Tally(calls=1, input_tokens=usage.input_tokens or 0, output_tokens=usage.output_tokens or 0)
        return self.of_tally(request.name or ended.model, tally)

    def of_tally(self, model: str, tally: Tally) -> Cost:
        """What paid calls of `model` cost, at its plain rates."""
        price = self.prices.find(model)
        into, out = tally.input_tokens, tally.output_tokens
        return Cost.of(tally.calls, into + out, price.together(tally.calls, into, out) if price else 0.0)

    def _short(self, request: Request, cost: Cost) -> str:
        """Name of the cap that the call would pass; empty where it fits."""
        held = Held() if request.purpose == "test" else self._held
        ahead = self.spent.plus(self._reserved).plus(cost).plus(held.cost)
        budget = self._budget
        if budget.calls is not None and ahead.calls > budget.calls:
            return "calls"
        if budget.tokens is not None and ahead.tokens > budget.tokens:
            return "tokens"
        if budget.usd is not None and ahead.nano > budget.usd * NANO:
            return "usd"
        if budget.seconds is not None and self.elapsed + held.seconds >= budget.seconds:
            return "seconds"
        return ""

    def _sentence(self, cap: str, request: Request, cost: Cost) -> str:
        value = getattr(self._budget, cap)
        limit = f"{value:,}" if cap in ("calls", "tokens") else f"{value:,g}"
        held = Held() if request.purpose == "test" else self._held
        spent = {**_figures(self.spent.plus(self._reserved)), "seconds": f"{self.elapsed:,.0f}"}[cap]
        need = {**_figures(cost), "seconds": ""}[cap]
        kept = {**_figures(held.cost), "seconds": f"{held.seconds:,.0f}"}[cap]
        unit = "$" if cap == "usd" else ""
        said = f"the budget of {unit}{limit} {'' if unit else cap + ' '}is spent: {unit}{spent} so far"
        if lost := {**_figures(self._loose), "seconds": ""}[cap].strip("0."):
            said += f" (up to {unit}{lost} of it by calls without a kept reply: cut off, failed but perhaps billed, or not journalled)"
        if need:
            said += (
                f", and the next call ({request.purpose}, {request.name or 'a model'}) may need {unit}{need}"
            )
        return said + (f"; {unit}{kept} are held back for the sealed test" if any_held(held, cap) else "")

    def _note_for(self, cost: Cost) -> None:
        """Make the durable bound reach one call further, and further than that, so that most calls note nothing."""
        need = self._loose.plus(self._reserved).plus(cost)
        elapsed = self.elapsed
        late = self._budget.seconds is not None and elapsed > self._noted_seconds
        if not need.within(self._noted) or late:
            budget, some = self._budget, need.times(1 / 8)
            chunk = Cost(
                budget.calls // _CHUNKS if budget.calls else some.calls,
                budget.tokens // _CHUNKS if budget.tokens else some.tokens,
                int(budget.usd * NANO / _CHUNKS) if budget.usd else some.nano,
            )
            ahead = 0.0 if budget.seconds is None else budget.seconds / _CHUNKS
            self._note(need.plus(chunk), elapsed + ahead)

    def _lower(self) -> None:
        used = self._loose.plus(self._reserved)
        if not self._noted.within(used.times(2)):
            self._note(used.times(1.25), max(self._noted_seconds, self.elapsed))
        self._noted_at = self._clock()

    def _note(self, cost: Cost, seconds: float) -> None:
        self._journal.note(NOTE, {"cost": cost.to_json(), "seconds": seconds})
        self._noted, self._noted_seconds, self._noted_at = cost, seconds, self._clock()

    def _warn(self, request: Request, paid: Cost, reserved: Cost) -> None:
        if request.name not in self._warned:
            self._warned.add(request.name)
            _log.warning(
                "a call of %r cost more than it can by its bytes and its output limit (%s tokens of %s, $%.6f of $%.6f): pictures "
                "given by address, the provider's own tools, or output it does not limit; it is counted in full",
                request.name,
                f"{paid.tokens:,}",
                f"{reserved.tokens:,}",
                paid.usd,
                reserved.usd,
            )


def any_held(held: Held, cap: str) -> bool:
    """True where something is held back of `cap`."""
    return bool(held.seconds if cap == "seconds" else _amounts(held.cost)[cap])


def summary(spending: Spending, budget: Budget) -> dict[str, Any]:
    """Caps and what was spent of each, as JSON: `{"calls": [spent, cap], ...}`; only what is capped."""
    spent: Mapping[str, float] = {**_amounts(spending.spent), "seconds": spending.elapsed}
    return {cap: [spent[cap], getattr(budget, cap)] for cap in CAPS if getattr(budget, cap) is not None}


def _by_purpose(journal: Journal, spending: Spending) -> dict[str, Cost]:
    found: dict[str, Cost] = {}
    for purpose, models in journal.meter.by_model().items():
        for model, tally in models.items():
            found[purpose] = found.get(purpose, Cost()).plus(spending.of_tally(model, tally))
    return found


def _amounts(cost: Cost) -> dict[str, float]:
    return {"calls": cost.calls, "tokens": cost.tokens, "usd": cost.usd}


def _figures(cost: Cost) -> dict[str, str]:
    return {"calls": f"{cost.calls:,}", "tokens": f"{cost.tokens:,}", "usd": f"{cost.usd:,.4f}"}
