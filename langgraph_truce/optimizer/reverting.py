"""`revert`: the rules without one edit, measured against the rules as they are, and then taken back or not."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from langgraph_truce.errors import RunError, UserMistake
from langgraph_truce.evaluate import Evaluate, as_evaluator
from langgraph_truce.gate import compare
from langgraph_truce.model import Budget
from langgraph_truce.model.prices import Prices
from langgraph_truce.optimizer.history import ledger_of
from langgraph_truce.optimizer.identity import tasks_hash
from langgraph_truce.optimizer.ledger import cost, now, standing
from langgraph_truce.optimizer.place import Place, read_manifest
from langgraph_truce.optimizer.sealed import metered
from langgraph_truce.optimizer.settings import Run
from langgraph_truce.optimizer.working import Terms, working
from langgraph_truce.rollout.run import Runner
from langgraph_truce.rules import RuleBook
from langgraph_truce.seams import Comparison
from langgraph_truce.system import System
from langgraph_truce.task import Task

FRESH = 1_000_000
"""Number of the first replicate that is measured here: no gate ever saw it, so nothing was chosen for how it scored."""
Finding = Literal["worse", "better", "close", "open"]


@dataclass(frozen=True, slots=True)
class Recheck:
    """How closely the reverted rules are looked at.

    Raises:
        UserMistake: a setting out of range.
    """

    replicates: int = 1
    """Rollouts per task and arm, averaged per task; at least 1."""
    margin: float = 0.02
    """A loss of mean score that counts as none, in [0, 1)."""

    def __post_init__(self) -> None:
        if self.replicates < 1:
            raise UserMistake(f"replicates is at least 1, got {self.replicates!r}")
        if not 0 <= self.margin < 1:
            raise UserMistake(
                f"margin is a difference of mean scores, at least 0 and below 1, got {self.margin!r}"
            )


@dataclass(frozen=True, slots=True)
class Reverted:
    """The rules without an edit, and how they do."""

    edit: str
    rules: RuleBook
    """Without the edit."""
    before: RuleBook
    """With it."""
    comparison: Comparison
    """Without it against with it, on the validation tasks; two-sided."""
    margin: float
    applied: bool = False
    """True where it was taken back in the ledger."""

    @property
    def finding(self) -> Finding:
        """What the interval of the difference shows about the rules without the edit."""
        if self.comparison.high < 0:
            return "worse"
        if self.comparison.low > 0:
            return "better"
        return "close" if self.comparison.low >= -self.margin else "open"

    def text(self) -> str:
        """The finding in words."""
        c = self.comparison
        shown = {
            "worse": "shown to be worse",
            "better": "shown to be better",
            "close": f"no worse than by {100 * self.margin:g} points",
            "open": f"not shown to be worse, and a loss of more than {100 * self.margin:g} points is not ruled out",
        }[self.finding]
        return (
            f"Without {self.edit}: {c.baseline:.3f} -> {c.candidate:.3f} on {c.n} validation tasks, {c.estimate:+.3f} "
            f"({c.low:+.3f} to {c.high:+.3f}), p = {c.p_value:.3g} two-sided; {len(c.fixed)} fixed, "
            f"{len(c.broken)} broken: {shown}."
        )


def revert(
    edit: str,
    run: Run | Place | Path | str,
    system: System,
    validation: Sequence[Task],
    score: Any,
    *,
    agree: Callable[[Reverted], bool] | None = None,
    by: str = "somebody",
    recheck: Recheck | None = None,
) -> Reverted:
    """Measure the rules without an edit against the rules as they are, and take the edit back.

    Args:
        edit: Its id.
        run: The place of the finished run, or a `Run` that says how to behave towards endpoints.
        system: The system that was optimized.
        validation: The run's validation tasks.
        score: The run's evaluator.
        agree: Told the figures, says whether the edit goes; None: it goes.
        by: Who says so, for the ledger.
        recheck: How closely to look.

    Raises:
        UnknownNameError: no such edit was applied.
        UserMistake: a later edit stands on it; other validation tasks or another system than the run's.
        RunError: no run, one that is not finished, or one that another process writes to.
    """
    return asyncio.run(arevert(edit, run, system, validation, score, agree=agree, by=by, recheck=recheck))


async def arevert(
    edit: str,
    run: Run | Place | Path | str,
    system: System,
    validation: Sequence[Task],
    score: Any,
    *,
    agree: Callable[[Reverted], bool] | None = None,
    by: str = "somebody",
    recheck: Recheck | None = None,
) -> Reverted:
    """As `revert`, for async code."""
    system.in_process("revert")
    evaluate = score if isinstance(score, Evaluate) else as_evaluator(score)
    settings = Run.of(run)
    same_run(settings.place, system, validation, evaluate)
    recheck = recheck or Recheck()
    async with working(settings, None, system, Terms(Budget(), {}, 0)) as (opened, _):
        ledger = await ledger_of(opened.records, settings.place)
        if not ledger.finished:
            raise RunError(f"{ledger.place}: this run is not finished; give its optimize command again first")
        rules = ledger.without(edit)
        prices = Prices()
        before = metered(opened.journal.meter, prices)
        runner = Runner(system, evaluate, opened.journal, opened.records, 0)
        runner.patience = settings.patience
        comparison = await _compared(runner, validation, (ledger.rules, rules), recheck)
        found = Reverted(edit, rules, ledger.rules, comparison, recheck.margin)
        if agree is not None and not agree(found):
            return found
        paid = cost(before, metered(opened.journal.meter, prices))
        await opened.records.write_book(rules)
        await opened.records.append_after(_line(standing(ledger.lines)[edit], found, by, paid))
    return Reverted(edit, rules, ledger.rules, comparison, recheck.margin, applied=True)


async def _compared(
    runner: Runner, tasks: Sequence[Task], books: tuple[RuleBook, RuleBook], recheck: Recheck
) -> Comparison:
    """The second book against the first."""
    arms: list[dict[str, list[float | None]]] = []
    for book in books:
        arm: dict[str, list[float | None]] = {task.id: [] for task in tasks}
        for replicate in range(FRESH, FRESH + recheck.replicates):
            for rollout in await runner.run_all(tasks, book, replicate=replicate, purpose="revert"):
                outcome = rollout.outcome
                arm[rollout.task].append(None if outcome.excluded else outcome.score)
        arms.append(arm)
    return compare(*arms, alternative="two-sided")


def _line(last: Any, found: Reverted, by: str, paid: dict[str, Any]) -> dict[str, Any]:
    c = found.comparison
    return {
        **last,
        "kind": "revert",
        "decision": "reverted",
        "words": found.text(),
        "estimate": c.estimate,
        "low": c.low,
        "high": c.high,
        "p_value": c.p_value,
        "alpha": None,
        "fixed": list(c.fixed),
        "broken": list(c.broken),
        "set": [found.edit],
        "cost": paid,
        "approver": by,
        "version_before": found.before.version,
        "version_after": found.rules.version,
        "at": now(),
    }


def same_run(run: Place | Path | str, system: System, validation: Sequence[Task], evaluate: Evaluate) -> None:
    """Refuse figures that would not be about this run.

    Raises:
        UserMistake: other validation tasks, another system or another objective than the run's.
    """
    there = read_manifest(run)
    wrong = {
        "system": there.get("system") != system.fingerprint,
        "validation tasks": there.get("tasks", {}).get("validation") != tasks_hash(validation),
        "objective": there.get("objective") != evaluate.objective,
    }
    if odd := [name for name, differs in wrong.items() if differs]:
        raise UserMistake(
            f"{Place.of(run)}: these are not the run's {' and '.join(odd)}; give what optimize() was given, or the figures "
            "would not be about this run"
        )
