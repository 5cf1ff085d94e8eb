"""`plan`: how many model calls a run will make, before it makes one."""

from __future__ import annotations

from dataclasses import dataclass

from langgraph_truce.seams import Method
from langgraph_truce.system import System
from langgraph_truce.task import Splits


@dataclass(frozen=True, slots=True)
class PlanRow:
    """Expected model calls for one purpose."""

    purpose: str
    low: int
    """Fewest: nothing is suggested after the first iteration."""
    high: int
    """Most: every iteration tries all the candidates it may."""
    words: str
    """How it was counted."""


@dataclass(frozen=True, slots=True)
class Plan:
    """Expected model calls of a run. Journalled replies are free, so a resumed run makes fewer."""

    rows: tuple[PlanRow, ...]

    @property
    def low(self) -> int:
        """Fewest calls in all."""
        return sum(r.low for r in self.rows)

    @property
    def high(self) -> int:
        """Most calls in all."""
        return sum(r.high for r in self.rows)


def plan(system: System, splits: Splits, method: Method) -> Plan:
    """Count the calls of `optimize(system, splits, ..., method=method)`.

    A rollout counts `system.calls` model calls, or one per agent of the rule book where that is not known.
    """
    agents = len(system.book.agents)
    per_rollout = system.calls if system.calls is not None else float(agents)
    k = method.iterations
    fewest = min(k, method.patience or k)
    sampled = min(method.sample or len(splits.train), len(splits.train))

    def calls(rollouts: int) -> int:
        return round(rollouts * per_rollout)

    once = 1 if method.reuse else fewest
    each = f"{per_rollout:g} calls a rollout"
    n_val, n_test = len(splits.validation), len(splits.test)
    rows = [
        PlanRow(
            "task",
            calls(sampled * once),
            calls(sampled * k),
            f"{sampled} train tasks, {fewest} to {k} iterations, {each}",
        ),
        PlanRow(
            "gate",
            0,
            calls(n_val * (k + k * method.trials)),
            f"{n_val} validation tasks, baseline and up to {method.trials} candidates an iteration",
        ),
        PlanRow("test", calls(n_test), calls(2 * n_test), f"{n_test} test tasks, before and after, once"),
    ]
    asks = method.asks(sampled, agents) if method.asks else {}
    rows += [PlanRow(p, lo * fewest, hi * k, f"{lo} to {hi} an iteration") for p, (lo, hi) in asks.items()]
    return Plan(tuple(rows))
