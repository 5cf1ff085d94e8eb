"""`noise`: the unedited system against itself, in a place of its own; what luck alone does to the scores.

The result is kept as `noise.json` in the run folder (of a run in a database: in the folder of its readable files): the
fields of `gate.noise.Noise`, with `comparison` (of which `candidate` are the later replicates), `deviation` and `floor`,
scores in [0, 1]; and `"planned"`, `"ran"` (rollouts), `"stopped"` (why it ended early, or "").
"""

from __future__ import annotations

import asyncio
import contextvars
import json
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from langgraph_truce.errors import NOT_JSON, BudgetSpent, RunError, UserMistake
from langgraph_truce.evaluate import Evaluate, as_evaluator
from langgraph_truce.gate.noise import Noise, noise_of
from langgraph_truce.model import Budget
from langgraph_truce.optimizer.identity import measurement
from langgraph_truce.optimizer.place import Place
from langgraph_truce.optimizer.settings import Run
from langgraph_truce.optimizer.working import Terms, working
from langgraph_truce.rollout.run import Runner, rollout_id
from langgraph_truce.system import System
from langgraph_truce.task import Task
from langgraph_truce.threads import home_loop

NOISE = "noise.json"
"""The measured noise floor, in the run folder."""


@dataclass(frozen=True, slots=True)
class Measured:
    """What `noise` found."""

    noise: Noise
    planned: int
    """Rollouts that were asked for: tasks times replicates times two arms."""
    ran: int
    """Rollouts it rests on, those left out included."""
    stopped: str
    """Why it ended early; "" where it did not."""
    meter: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """Calls, journal hits, tokens and seconds by purpose, over all starts."""

    def to_json(self) -> dict[str, Any]:
        """As JSON: what `noise.json` holds."""
        told = {"planned": self.planned, "ran": self.ran, "stopped": self.stopped}
        return {**self.noise.to_json(), **told}


def noise(
    system: System,
    tasks: Sequence[Task],
    score: Any,
    *,
    replicates: int = 2,
    level: float = 0.01,
    budget: Budget | None = None,
    run: Run | Path | str = "runs/noise",
    seed: int = 0,
) -> Measured:
    """Run the unedited system on the tasks again and again, and say what luck alone does to its scores.

    The same call again goes on where it stopped, or reads what is finished; more replicates use the earlier ones.

    Args:
        system: The system; its rules are those that are run.
        tasks: The validation tasks, say.
        score: A LangSmith-style evaluator, or an `Evaluate`.
        replicates: Of a task in each of the two arms, >= 1.
        level: Of one gate, for the number of tasks needed: alpha / K.
        budget: What it may spend at most; at the cap what is finished counts.
        run: Where it is kept, or a `Run`.
        seed: Of the run.

    Raises:
        UserMistake: no task, or replicates below 1.
        RunError: the place is in use or belongs to another run.
        GateRefused: no task has two scores.
    """
    made = anoise(system, tasks, score, replicates=replicates, level=level, budget=budget, run=run, seed=seed)
    home_loop("anoise", getattr(system.graph, "store", None))
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return asyncio.run(made)
    with ThreadPoolExecutor(1, thread_name_prefix="noise") as thread:
        return thread.submit(contextvars.Context().run, asyncio.run, made).result()


async def anoise(
    system: System,
    tasks: Sequence[Task],
    score: Any,
    *,
    replicates: int = 2,
    level: float = 0.01,
    budget: Budget | None = None,
    run: Run | Path | str = "runs/noise",
    seed: int = 0,
) -> Measured:
    """As `noise`, for async code."""
    if not tasks or replicates < 1:
        raise UserMistake(
            f"noise: at least one task and one replicate an arm, got {len(tasks)} and {replicates}"
        )
    evaluate = score if isinstance(score, Evaluate) else as_evaluator(score)
    settings = Run.of(run)
    terms = Terms(budget or Budget(), {}, seed)
    # more replicates are the same measurement
    manifest = {**measurement("noise", system, tasks, evaluate), "seed": seed}
    async with working(settings, manifest, system, terms) as (place, _):
        journal = place.journal
        runner = Runner(system, evaluate, journal, place.records, seed)
        runner.patience = settings.patience
        planned = 2 * replicates * len(tasks)
        runner.on_done = _teller(settings, planned, journal.meter.snapshot)
        stopped = await _run(runner, tasks, replicates)
        found: dict[str, list[float | None]] = {task.id: [] for task in tasks}
        for task in tasks:
            for replicate in range(2 * replicates):
                kept = await place.records.read_rollout(rollout_id(system.book.version, task.id, replicate))
                if kept is not None:
                    found[task.id].append(kept.outcome.score)
                elif not stopped:  # an exclusion is not kept
                    found[task.id].append(None)
        meter = journal.meter.snapshot()
    ran = sum(map(len, found.values()))
    measured = Measured(noise_of(found, level=level, seed=seed), planned, ran, stopped, meter)
    text = json.dumps(measured.to_json(), indent=1, ensure_ascii=False) + "\n"
    folder = Place.of(settings.place).folder
    folder.mkdir(parents=True, exist_ok=True)
    (folder / NOISE).write_text(text, encoding="utf-8")
    return measured


def read_noise(run: Place | Path | str) -> dict[str, Any] | None:
    """What `noise.json` of a run says; None where there is none.

    Raises:
        RunError: it is damaged.
    """
    file = Place.of(run).folder / NOISE
    if not file.is_file():
        return None
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
    except NOT_JSON as e:
        raise RunError(f"{file}: damaged, not JSON: {e}; give the noise command again") from e
    if not isinstance(found, dict):
        raise RunError(f"{file}: damaged, a JSON object is expected; give the noise command again")
    return found


async def _run(runner: Runner, tasks: Sequence[Task], replicates: int) -> str:
    """Every task, replicate by replicate, so that what is finished at a cap is of all tasks; why it ended early, or ""."""
    for replicate in range(2 * replicates):
        try:
            await runner.run_all(tasks, runner.system.book, replicate=replicate, purpose="noise")
        except BudgetSpent as spent:
            return str(spent)
    return ""


def _teller(settings: Run, planned: int, meter: Callable[[], Mapping[str, Any]]) -> Callable[[str], None]:
    """Progress events, one for every rollout."""
    done = 0

    def say(_purpose: str) -> None:
        nonlocal done
        done += 1
        if settings.on_event is not None:
            event = {"stage": "noise", "iteration": 0, "done": done, "total": planned, "meter": meter()}
            settings.on_event(event)

    return say
