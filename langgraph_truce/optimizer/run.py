"""`optimize`: run the optimizer graph in a run folder, begin or resume, and read the result."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from langchain_core.language_models import BaseChatModel

from langgraph_truce.bind.discover import write_prompts
from langgraph_truce.evaluate import Evaluate, as_evaluator
from langgraph_truce.model import Budget, resolve_model
from langgraph_truce.optimizer.doors import asked
from langgraph_truce.optimizer.drive import drive
from langgraph_truce.optimizer.identity import manifest
from langgraph_truce.optimizer.lab import RunLab
from langgraph_truce.optimizer.phases import fewest_tested
from langgraph_truce.optimizer.place import Opened, Place
from langgraph_truce.optimizer.planning import plan
from langgraph_truce.optimizer.read import read_folder, result_of
from langgraph_truce.optimizer.result import Result
from langgraph_truce.optimizer.reviewers import reviewed, reviewer
from langgraph_truce.optimizer.reviewing import tests_planned
from langgraph_truce.optimizer.sealed import Sealed
from langgraph_truce.optimizer.session import Session
from langgraph_truce.optimizer.settings import Event, Run
from langgraph_truce.optimizer.working import Terms, working
from langgraph_truce.rollout.run import Runner
from langgraph_truce.seams import Method
from langgraph_truce.select.blocks import check_marked
from langgraph_truce.system import System
from langgraph_truce.task import Splits
from langgraph_truce.threads import home_loop

Model = str | BaseChatModel


def optimize(
    system: System,
    splits: Splits,
    score: Any,
    *,
    method: Method,
    model: Model | Mapping[str, Model] | None = None,
    budget: Budget | None = None,
    run: Run | Path | str = "runs/run",
    seed: int = 0,
) -> Result:
    """Find which rules lost the tasks, fix them, prove it, and give the result.

    The same call again resumes a run that was stopped at any moment, or reads one that is finished.

    Args:
        system: The multi-agent graph and its rules.
        splits: Edits come from train, the gate uses validation, test is opened once at the end.
        score: A LangSmith-style evaluator, or an `Evaluate` with its objective and range.
        method: `langgraph_truce.methods.truce()`, `offline()`, ...
        model: Critic and optimizer model: a chat model, an `init_chat_model` string, or several by purpose
            (`credit`, `diagnose`, `suggest`, `merge`, `write`; "" for the rest). None for methods that ask no model.
        budget: What the run may spend at most; at the cap it ends with the best proven rules.
        run: The run folder, or a `Run` with who approves edits, who hears of progress, and so on.
        seed: Of every draw.

    Raises:
        UserMistake: something the caller can put right; the message says how.
        RunError: the folder is in use or belongs to another run; or no task could be run.
    """

    async def go() -> Result:
        return await aoptimize(
            system, splits, score, method=method, model=model, budget=budget, run=run, seed=seed
        )

    home_loop("aoptimize", getattr(system.graph, "store", None))
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return asyncio.run(go())
    return _in_own_thread(go)


async def aoptimize(
    system: System,
    splits: Splits,
    score: Any,
    *,
    method: Method,
    model: Model | Mapping[str, Model] | None = None,
    budget: Budget | None = None,
    run: Run | Path | str = "runs/run",
    seed: int = 0,
) -> Result:
    """As `optimize`, for async code."""
    settings = Run.of(run)
    async with opened(
        system, splits, score, method=method, model=model, budget=budget, run=settings, seed=seed
    ) as (session, folder):
        await drive(session, folder.saver, folder.thread)
        return await result_of(folder.records, settings.place)


@asynccontextmanager
async def opened(
    system: System,
    splits: Splits,
    score: Any,
    *,
    method: Method,
    model: Model | Mapping[str, Model] | None,
    budget: Budget | None,
    run: Run,
    seed: int,
) -> AsyncIterator[tuple[Session, Opened]]:
    """The session of a run, begun or resumed, with its place; nothing is run.

    Raises:
        UserMistake: something the caller can put right; the message says how.
        RunError: the place is in use or belongs to another run.
    """
    system.in_process("optimize")
    if method.marked:
        check_marked(system.aggregator)
    evaluate = score if isinstance(score, Evaluate) else as_evaluator(score)
    models = _models(model)
    check, fewest = getattr(method.gate, "check", None), fewest_tested(method, len(splits.validation))
    if check is not None:  # refuse before anything is spent
        check(fewest, tests_planned(method.iterations, reviewed=reviewed(run)))
    asks = reviewer(run, Place.of(run.place).folder)
    same = manifest(system, splits, evaluate, method, seed, reviewed=reviewed(run))
    budget = budget or Budget()

    def tell(words: str) -> None:
        session.tell(words)

    async with working(run, same, system, Terms(budget, models, seed, tell)) as (folder, spending):
        journal, records = folder.journal, folder.records
        sealed = Sealed(len(splits.test), system.in_flight, spending, budget.price_list)
        if system.prompts is not None:  # beside the rules, so that they fit the bare graph again
            write_prompts(system.prompts, folder.path)
        runner = Runner(system, evaluate, journal, records, seed)
        runner.patience = run.patience
        runner.keep = records if method.forks else None
        lab = RunLab(runner, models, journal, seed)
        on_event = run.on_event or _quiet
        session = Session(system, splits, method, lab, records, journal.meter, on_event, asks, sealed)
        critics = {purpose: asked(m, budget.price_list) for purpose, m in models.items()}
        await sealed.expect(records, plan(system, splits, method, critics=critics))
        runner.on_done = session.rolled
        yield session, folder


def _models(model: Model | Mapping[str, Model] | None) -> dict[str, BaseChatModel]:
    if model is None:
        return {}
    if isinstance(model, Mapping):
        return {purpose: resolve_model(m) for purpose, m in model.items()}
    return {"": resolve_model(model)}


def _quiet(event: Event) -> None:
    """No progress display."""


def _in_own_thread(go: Callable[[], Any]) -> Result:
    """Run `go` on a loop of its own: the caller's loop is running and cannot be entered twice."""
    box: list[Result | BaseException] = []

    def work() -> None:
        try:
            box.append(asyncio.run(go()))
        except BaseException as e:  # noqa: BLE001 - handed to the caller's thread, whatever it is
            box.append(e)

    thread = threading.Thread(target=work, name="langgraph-truce")
    thread.start()
    thread.join()
    outcome = box[0]
    if isinstance(outcome, BaseException):
        raise outcome
    return outcome


def read_run(run: Path | str) -> Result:
    """The result of a finished run, from its folder or database; nothing is run, and no lease is needed.

    Raises:
        RunError: no run, a damaged one, or one that is not finished.
    """
    return asyncio.run(read_folder(run))
