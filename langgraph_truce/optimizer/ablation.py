"""`ablation`: the accepted changes of one agent at a time, measured again after a run is finished (TSCA's ablation by round).

Each arm starts from the rules that the run began with and takes over what the run made of some agents: of one agent (each
round's aggregator, each role), of all roles, of all aggregators, of all agents. The arms are measured on the validation tasks,
never on the test, on replicates of their own. The edits were chosen on these tasks and there are several rows, so what is
reported describes the run and proves nothing: **no error control, after the fact**.

It is kept in a place of its own inside the run's (`RUN/ablation`; in a database `NAME-ablation`), with its journal and
budget; the result is `ablation.json` in the run folder. Arms share every reply of a call that their rules have not reached yet.
"""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from langgraph_truce.errors import BudgetSpent, GateRefused, RunError, UserMistake
from langgraph_truce.evaluate import Evaluate, as_evaluator
from langgraph_truce.gate import compare
from langgraph_truce.model import Budget
from langgraph_truce.optimizer.ablated import ABLATION, Ablation, AblationPlan, Arm, Row, arms_of
from langgraph_truce.optimizer.history import aread_ledger
from langgraph_truce.optimizer.identity import measurement
from langgraph_truce.optimizer.place import Place
from langgraph_truce.optimizer.reverting import same_run
from langgraph_truce.optimizer.settings import Run
from langgraph_truce.optimizer.working import Terms, working
from langgraph_truce.rollout.run import Runner, rollout_id
from langgraph_truce.rules import RuleBook
from langgraph_truce.system import System
from langgraph_truce.task import Task

LEVEL = 0.95
FIRST = 2_000_000
"""Number of the first replicate: no gate ever saw it, nor did `revert`."""
_ROUND = re.compile(r"@(\d+)\Z")
Scores = dict[str, list[float | None]]


def ablation_plan(
    run: Run | Place | Path | str, system: System, validation: Sequence[Task], *, replicates: int = 1
) -> AblationPlan:
    """What `ablation` of a finished run will ask; nothing is run.

    Raises:
        UserMistake: no task, or replicates below 1.
        RunError: no run, or one that is not finished.
    """
    return asyncio.run(aablation_plan(run, system, validation, replicates=replicates))


async def aablation_plan(
    run: Run | Place | Path | str, system: System, validation: Sequence[Task], *, replicates: int = 1
) -> AblationPlan:
    """As `ablation_plan`, for async code."""
    if not validation or replicates < 1:
        raise UserMistake(
            f"ablation: at least one task and one replicate, got {len(validation)} and {replicates}"
        )
    initial, final = await _rules(run)
    arms = arms_of(initial, final, system.aggregator)
    per_rollout = system.calls if system.calls is not None else float(len(initial.agents))
    n = len(validation) * replicates
    versions = len({arm.book.version for arm in arms})
    low, high = (round(n * per_rollout * k) if arms else 0 for k in (1, versions + 1))
    return AblationPlan(arms, len(validation), replicates, low, high)


def ablation(
    run: Run | Place | Path | str,
    system: System,
    validation: Sequence[Task],
    score: Any,
    *,
    replicates: int = 1,
    budget: Budget | None = None,
    seed: int = 0,
) -> Ablation:
    """Measure what the accepted changes of each agent do alone, on the validation tasks of a finished run.

    The same call again goes on where it stopped, or reads what is finished; more replicates use the earlier ones. The run
    itself is only read.

    Args:
        run: The place of the finished run, or a `Run` that says how to behave towards endpoints.
        system: The system that was optimized.
        validation: The run's validation tasks.
        score: The run's evaluator.
        replicates: Of a task in each arm, averaged per task, >= 1.
        budget: What it may spend at most, apart from what the run has spent; at the cap the arms that are finished count.
        seed: Of the rollouts.

    Raises:
        UserMistake: no task, replicates below 1; other validation tasks, another system or objective than the run's.
        RunError: no run, one that is not finished, or one whose ablation another process is at.
    """
    return asyncio.run(
        aablation(run, system, validation, score, replicates=replicates, budget=budget, seed=seed)
    )


async def aablation(
    run: Run | Place | Path | str,
    system: System,
    validation: Sequence[Task],
    score: Any,
    *,
    replicates: int = 1,
    budget: Budget | None = None,
    seed: int = 0,
) -> Ablation:
    """As `ablation`, for async code."""
    system.in_process("ablation")
    evaluate = score if isinstance(score, Evaluate) else as_evaluator(score)
    settings = Run.of(run)
    same_run(settings.place, system, validation, evaluate)
    plan = await aablation_plan(run, system, validation, replicates=replicates)
    initial, final = await _rules(run)
    found = Ablation((), initial.version, final.version)
    if plan.arms:
        found = await _measured(
            _Job(settings, plan, initial, final.version, tuple(validation)),
            system,
            evaluate,
            Terms(budget or Budget(), {}, seed),
        )
    folder = Place.of(settings.place).folder
    folder.mkdir(parents=True, exist_ok=True)
    text = json.dumps(found.to_json(), indent=1, ensure_ascii=False) + "\n"
    (folder / ABLATION).write_text(text, encoding="utf-8")
    return found


async def _rules(run: Run | Place | Path | str) -> tuple[RuleBook, RuleBook]:
    """The rules that a finished run began with, and those it has now."""
    ledger = await aread_ledger(Run.of(run).place)
    if not ledger.finished:
        raise RunError(f"{ledger.place}: this run is not finished; give its optimize command again first")
    return ledger.versions[0].book, ledger.rules


@dataclass(frozen=True, slots=True)
class _Job:
    """One ablation that is asked for."""

    settings: Run
    plan: AblationPlan
    initial: RuleBook
    final: str
    tasks: tuple[Task, ...]

    @property
    def place(self) -> Place:
        """Where its rollouts and replies are kept."""
        at = Place.of(self.settings.place)
        return Place(at.folder / "ablation", at.address, f"{at.name}-ablation")

    @property
    def all(self) -> tuple[Arm, ...]:
        """What is run, in order: the rules that the run began with, then the arms."""
        return (Arm("initial", "all", (), self.initial), *self.plan.arms)


async def _measured(job: _Job, system: System, evaluate: Evaluate, terms: Terms) -> Ablation:
    # further replicates, and arms after a later revert, are the same measurement
    manifest = {
        **measurement("ablation", system, job.tasks, evaluate),
        "rules": job.initial.version,
        "seed": terms.seed,
    }
    async with working(replace(job.settings, place=job.place), manifest, system, terms) as (place, _):
        journal, records = place.journal, place.records
        runner = Runner(system, evaluate, journal, records, terms.seed)
        runner.patience = job.settings.patience
        runner.on_done = _teller(job, journal.meter.snapshot)
        stopped = await _run(runner, job)
        meter = journal.meter.snapshot()
        scores, ran = dict[str, Scores](), 0
        for arm in job.all:
            rows: Scores = {}
            for task in job.tasks:
                names = (
                    rollout_id(arm.book.version, task.id, r)
                    for r in range(FIRST, FIRST + job.plan.replicates)
                )
                kept = [await records.read_rollout(name) for name in names]
                # after a stop, what is not there was not run; else it was excluded
                rows[task.id] = [None if k is None else k.outcome.score for k in kept]
            scores[arm.name] = rows
        versions = {arm.book.version: scores[arm.name] for arm in job.all}
        ran = sum(s is not None for rows in versions.values() for row in rows.values() for s in row)
    found = []
    for arm in job.plan.arms:
        row = _row(job, arm, scores, meter, stopped=bool(stopped))
        if row is not None:
            found.append(row)
    return Ablation(
        tuple(found), job.initial.version, job.final, job.plan.rollouts, ran, stopped, meter=meter
    )


async def _run(runner: Runner, job: _Job) -> str:
    """Every arm, replicate by replicate, so that what is finished at a cap is of all arms; why it ended early, or ""."""
    for replicate in range(FIRST, FIRST + job.plan.replicates):
        for arm in job.all:
            try:
                await runner.run_all(job.tasks, arm.book, replicate=replicate, purpose=arm.purpose)
            except BudgetSpent as spent:
                return str(spent)
    return ""


def _row(
    job: _Job,
    arm: Arm,
    scores: Mapping[str, Scores],
    meter: Mapping[str, Mapping[str, Any]],
    *,
    stopped: bool,
) -> Row | None:
    """The arm against the initial rules, on the replicates that both have; None where there is none, or no pair."""
    before, after = scores["initial"], scores[arm.name]
    columns = range(job.plan.replicates)
    if stopped:
        columns = range(min(_whole(before), _whole(after)))
    if not columns:
        return None
    arms = ({t: [row[i] for i in columns] for t, row in rows.items()} for rows in (before, after))
    try:
        c = compare(*arms, level=LEVEL, alternative="two-sided")
    except GateRefused:
        return None
    number = _ROUND.search(arm.name) if arm.kind == "agent" else None
    return Row(
        name=arm.name,
        kind=arm.kind,
        agents=arm.agents,
        round=int(number[1]) if number else None,
        n=c.n,
        replicates=len(columns),
        estimate=c.estimate,
        low=c.low,
        high=c.high,
        baseline=c.baseline,
        candidate=c.candidate,
        fixed=c.fixed,
        broken=c.broken,
        calls=int(meter.get(arm.purpose, {}).get("calls", 0)),
    )


def _whole(rows: Scores) -> int:
    """Replicates that every task has, from the first on."""
    return min(
        (next((i for i, s in enumerate(row) if s is None), len(row)) for row in rows.values()), default=0
    )


def _teller(job: _Job, meter: Callable[[], Mapping[str, Any]]) -> Callable[[str], None]:
    """Progress events, one for every rollout."""
    done = 0
    total = len(job.all) * job.plan.tasks * job.plan.replicates

    def say(_purpose: str) -> None:
        nonlocal done
        done += 1
        if job.settings.on_event is not None:
            event = {"stage": "ablation", "iteration": 0, "done": done, "total": total, "meter": meter()}
            job.settings.on_event(event)

    return say
