"""`langgraph-truce evaluate`: what the rules as they are score on a set of tasks."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from langgraph_truce.cli import job, options

if TYPE_CHECKING:
    from langgraph_truce.evaluate import Evaluate
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
        Path, typer.Option(help="Run folder; the same folder again goes on where it stopped.")
    ] = Path("runs/evaluate"),
    rules: options.Rules = None,
    objective: options.Objective = "",
    input_columns: options.InputColumns = "",
    output_columns: options.OutputColumns = "",
    outputs: options.Outputs = "",
) -> None:
    """Run the system on the tasks and score the answers; nothing is edited.

    The run folder then holds outcomes.jsonl and trajectories.jsonl, for `credit --jsonl ... --scores ...`.
    """
    chosen = job.tasks(tasks, input_columns, output_columns)
    score = job.score(evaluator, objective)
    own = options.settings(outputs=outputs)
    system = job.load_system(app, rules, "", chosen, run, settings=own)

    from langgraph_truce.report import Progress
    from langgraph_truce.trajectory import write_trajectories

    with Progress() as progress:
        measuring = Measuring(system, chosen, score, run, progress)
        rollouts = asyncio.run(measuring.go())
    (run / OUTCOMES).write_text("".join(_line(r) for r in rollouts), encoding="utf-8")
    ran = [replace(r.trajectory, rollout=r.task) for r in rollouts if not r.outcome.excluded]
    write_trajectories(ran, run / TRAJECTORIES)
    typer.echo(_words(rollouts))
    typer.echo(f"Outcomes: {run / OUTCOMES}\nTrajectories: {run / TRAJECTORIES}")


@dataclass(frozen=True, slots=True)
class Measuring:
    """One evaluation of one system."""

    system: System
    tasks: Sequence[Task]
    score: Evaluate
    run: Path
    on_event: Callable[[Mapping[str, Any]], None]

    async def go(self) -> tuple[Rollout, ...]:
        """Every task's rollout, in order; finished ones are read from the run folder.

        Raises:
            RunError: the folder is in use, or belongs to another run.
        """
        from langgraph_truce.bind import optimizing
        from langgraph_truce.optimizer.folder import open_folder
        from langgraph_truce.rollout.run import Runner

        async with open_folder(self.run, self._manifest()) as folder:
            with folder.journal.installed(), optimizing():
                runner = Runner(self.system, self.score, folder.journal, folder.records)
                done = 0

                def say(_purpose: str) -> None:
                    nonlocal done
                    done += 1
                    self._say(done, folder.journal.meter.snapshot())

                runner.on_done = say
                self._say(0, folder.journal.meter.snapshot())
                return await runner.run_all(self.tasks, self.system.book)

    def _say(self, done: int, meter: Mapping[str, Any]) -> None:
        self.on_event(
            {"stage": "evaluate", "iteration": 0, "done": done, "total": len(self.tasks), "meter": meter}
        )

    def _manifest(self) -> dict[str, Any]:
        from langgraph_truce.rules.rule import content_hash

        tasks = content_hash(json.dumps([t.to_json() for t in self.tasks], sort_keys=True, default=str))
        return {
            "job": "evaluate",
            "system": self.system.fingerprint,
            "rules": self.system.book.version,
            "tasks": tasks,
            "evaluator": self.score.name,
            "objective": self.score.objective,
        }


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
