"""`langgraph-truce evaluate`: what the rules as they are score on a set of tasks."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from langgraph_truce.cli import job, options

if TYPE_CHECKING:
    from langgraph_truce.evaluate import Evaluate
    from langgraph_truce.model import Budget
    from langgraph_truce.optimizer import Run
    from langgraph_truce.seams import Rollout
    from langgraph_truce.system import System
    from langgraph_truce.task import Task

OUTCOMES = "outcomes.jsonl"
"""One line per task, in the run folder: id, score, scores, feedback, error, excluded."""
TRAJECTORIES = "trajectories.jsonl"
"""What each task's run did, by task id, in the run folder."""


def evaluate(  # noqa: PLR0913 - one parameter per option
    app: options.System,
    tasks: Annotated[Path, typer.Option(help="Task file (.jsonl, .csv).")],
    evaluator: options.Evaluator,
    *,
    run: Annotated[
        Path,
        typer.Option(
            help="Run folder, or postgresql://USER@HOST/DB#NAME; the same again goes on where it stopped."
        ),
    ] = Path("runs/evaluate"),
    rules: options.Rules = None,
    objective: options.Objective = "",
    input_columns: options.InputColumns = "",
    output_columns: options.OutputColumns = "",
    outputs: options.Outputs = "",
    budget_calls: options.BudgetCalls = None,
    budget_tokens: options.BudgetTokens = None,
    budget_usd: options.BudgetUsd = None,
    budget_seconds: options.BudgetSeconds = None,
    prices: options.PriceFile = None,
    call_timeout: options.CallTimeout = None,
    longest_pause: options.LongestPause = None,
) -> None:
    """Run the system on the tasks and score the answers; nothing is edited.

    At a budget's cap it ends without figures; the same command with more to spend goes on from there.
    The run folder then holds outcomes.jsonl and trajectories.jsonl, for `credit --jsonl ... --scores ...`.
    """
    chosen = job.tasks(tasks, input_columns, output_columns)
    score = job.score(evaluator, objective)
    budget = job.budget(budget_calls, budget_tokens, budget_usd, budget_seconds, prices)
    patience = job.patience(longest_pause)
    own = options.settings(outputs=outputs)
    system = job.load_system(app, rules, "", chosen, run, settings=own)

    from langgraph_truce.optimizer import Run
    from langgraph_truce.optimizer.place import Place
    from langgraph_truce.report import Progress
    from langgraph_truce.trajectory import write_trajectories

    with Progress() as progress:
        how = Run(run, on_event=progress, call_timeout=call_timeout, patience=patience)
        measuring = Measuring(system, chosen, score, how, budget)
        rollouts = asyncio.run(measuring.go())
    folder = Place.of(run).folder
    (folder / OUTCOMES).write_text("".join(_line(r) for r in rollouts), encoding="utf-8")
    ran = [replace(r.trajectory, rollout=r.task) for r in rollouts if not r.outcome.excluded]
    write_trajectories(ran, folder / TRAJECTORIES)
    typer.echo(_words(rollouts))
    typer.echo(f"Outcomes: {folder / OUTCOMES}\nTrajectories: {folder / TRAJECTORIES}")


@dataclass(frozen=True, slots=True)
class Measuring:
    """One evaluation of one system."""

    system: System
    tasks: Sequence[Task]
    score: Evaluate
    run: Run
    budget: Budget

    async def go(self) -> tuple[Rollout, ...]:
        """Every task's rollout, in order and without secrets; finished ones are read from the run folder.

        Raises:
            RunError: the folder is in use, or belongs to another run.
            BudgetSpent: the next call would not fit the budget.
        """
        from langgraph_truce.optimizer.identity import measurement
        from langgraph_truce.optimizer.working import Terms, working
        from langgraph_truce.rollout.run import Runner

        same = measurement("evaluate", self.system, self.tasks, self.score)
        async with working(self.run, same, self.system, Terms(self.budget, {}, 0)) as (folder, _):
            runner = Runner(self.system, self.score, folder.journal, folder.records)
            runner.patience = self.run.patience
            done = 0

            def say(_purpose: str) -> None:
                nonlocal done
                done += 1
                self._say(done, folder.journal.meter.snapshot())

            runner.on_done = say
            self._say(0, folder.journal.meter.snapshot())
            # as they are kept: the files beside the databases are made of these
            ran = await runner.run_all(self.tasks, self.system.book)
            return tuple([folder.records.masked(rollout) for rollout in ran])

    def _say(self, done: int, meter: Mapping[str, Any]) -> None:
        at = {"stage": "evaluate", "iteration": 0, "done": done, "total": len(self.tasks)}
        if self.run.on_event is not None:
            self.run.on_event({**at, "meter": meter})


def _line(rollout: Rollout) -> str:
    outcome = rollout.outcome
    row = {
        "id": rollout.task,
        "score": outcome.score,
        "scores": dict(outcome.scores),
        "feedback": outcome.feedback,
        "error": outcome.error,
        "excluded": outcome.excluded,
    }
    return json.dumps(row, ensure_ascii=False) + "\n"


def _words(rollouts: Sequence[Rollout]) -> str:
    from langgraph_truce.optimizer.result import Estimate

    counted = [r.outcome for r in rollouts if not r.outcome.excluded]
    if not counted:
        return f"No task could be run: {rollouts[0].outcome.excluded}"
    score = Estimate.of([o.score for o in counted])
    failed = sum(1 for o in counted if o.error)
    left_out = len(rollouts) - len(counted)
    words = f"score {score.mean:.3f} ({score.low:.3f} to {score.high:.3f}) over {score.n} tasks"
    words += f"; {failed} ended with an error and count as 0" if failed else ""
    return words + (f"; {left_out} left out, the infrastructure failed" if left_out else "")
