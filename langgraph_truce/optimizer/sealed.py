"""What the sealed test will cost, held back until it begins; and what a run cost, beside what was planned."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from langgraph_truce.model import Meter
from langgraph_truce.model.cost import Cost
from langgraph_truce.model.prices import Prices, usd
from langgraph_truce.model.spending import Held, Spending
from langgraph_truce.optimizer.planning import Plan
from langgraph_truce.optimizer.records import Records
from langgraph_truce.seams import Rollout

ARMS = 2
"""The rules it began with, and those it ends with."""
PLAN = "plan"
"""Name of the box that keeps what was planned at the start."""
SPARE = 1.15
"""Edited prompts are longer, and replies vary."""
AT_MOST = 0.5
"""Share of what is left that is held back before the run has rollouts of its own: a plan's range is wide."""


@dataclass
class Sealed:
    """The share of a budget that belongs to the sealed test."""

    tasks: int = 0
    """Of the test split."""
    in_flight: int = 1
    spending: Spending | None = None
    """None: there is no budget to hold back from."""
    prices: Prices = field(default_factory=Prices)

    async def expect(self, records: Records, plan: Plan) -> None:
        """Keep the plan, once, and hold back what it says of the test until the run knows better."""
        if await records.read_box(0, PLAN) is None:
            await records.write_box(0, PLAN, plan.to_json())
        if self.spending is not None:
            row = plan.row("test")
            dollars = 0.0 if row.usd is None else sum(row.usd) / 2
            expected = Cost.of(row.high, sum(row.tokens) // 2, dollars)
            self.spending.hold(Held(expected.least(self.spending.left.times(AT_MOST))))

    def learn(self, rollouts: Sequence[Rollout]) -> None:
        """Hold back what `rollouts`, of train tasks with the current rules, say that the test will cost."""
        if self.spending is None or not rollouts:
            return
        calls = [sum(len(s.calls) for s in r.trajectory.steps) for r in rollouts]
        took = [sum(s.latency or 0.0 for s in r.trajectory.steps) for r in rollouts]
        per_task = self.tasks * ARMS
        # the sum of so many rollouts, two standard errors above what is expected
        most = per_task * statistics.fmean(calls) + 2 * statistics.pstdev(calls) * math.sqrt(per_task)
        paid = self.spending.of_purpose("task")
        whole = paid.times(most / paid.calls) if paid.calls else Cost()
        judged = self.spending.of_purpose("evaluate")
        ran = paid.calls + self.spending.of_purpose("gate").calls
        judges = judged.times(most / ran) if ran else judged
        cost = Cost(whole.calls, math.ceil(SPARE * whole.tokens), math.ceil(SPARE * whole.nano))
        at_once = min(self.in_flight, self.tasks) or 1
        seconds = SPARE * ARMS * max(*took, self.tasks * statistics.fmean(took) / at_once)
        self.spending.hold(Held(cost.plus(judges.times(SPARE)).plus(self._room()), seconds))

    def open(self) -> None:
        """The test begins: what was held back is there for it, and for the judges of its answers."""
        if self.spending is not None:
            self.spending.hold(Held())

    def metered(self, meter: Meter) -> dict[str, dict[str, Any]]:
        """What was spent by purpose, with `"usd"`."""
        return metered(meter, self.prices)

    def _room(self) -> Cost:
        """The last call of a test must fit as it is reserved, not as it is paid."""
        assert self.spending is not None
        return Cost(0, self.spending.largest.tokens, self.spending.largest.nano)


def metered(meter: Meter, prices: Prices) -> dict[str, dict[str, Any]]:
    """What was spent by purpose, with `"usd"`: dollars, or None where the price of a model is unknown."""
    dollars = usd(meter.by_model(), prices)
    rows: Mapping[str, Mapping[str, Any]] = meter.snapshot()
    return {purpose: {**row, "usd": dollars[purpose]} for purpose, row in rows.items()}
