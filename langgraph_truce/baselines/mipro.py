"""MIPROv2 of the real dspy library over a system's instructions: an initialisation, and a column to compare with.

TSCA (section 4) starts from it and compares with it: each agent's instructions are proposed anew and searched together by
one score of the whole system, without credit. Opsahl-Ong et al., "Optimizing Instructions and Demonstrations for
Multi-Stage Language Model Programs", EMNLP 2024. Only instructions are searched, no demonstrations.
"""

from __future__ import annotations

import asyncio
import contextvars
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any, Unpack

from langchain_core.language_models import BaseChatModel

from langgraph_truce.baselines.bridge import Bridge
from langgraph_truce.baselines.settings import Settings, checked
from langgraph_truce.baselines.trials import Trials
from langgraph_truce.bind.discover import write_prompts
from langgraph_truce.codec import to_json
from langgraph_truce.errors import BudgetSpent, MissingExtra
from langgraph_truce.evaluate import Evaluate, as_evaluator
from langgraph_truce.methods import offline
from langgraph_truce.model import Budget, resolve_model
from langgraph_truce.optimizer.identity import measurement, tasks_hash
from langgraph_truce.optimizer.place import Opened, Place
from langgraph_truce.optimizer.planning import Plan, plan
from langgraph_truce.optimizer.read import result_of
from langgraph_truce.optimizer.records import Records
from langgraph_truce.optimizer.result import Result
from langgraph_truce.optimizer.sealed import PLAN, Sealed
from langgraph_truce.optimizer.settings import Run
from langgraph_truce.optimizer.working import Terms, working
from langgraph_truce.rollout.run import Runner
from langgraph_truce.rules import RuleBook
from langgraph_truce.system import System
from langgraph_truce.task import Splits
from langgraph_truce.threads import home_loop

FOUND = "mipro"
"""Name of the box that keeps what the search found."""
NAME = "mipro"


def mipro(
    system: System,
    splits: Splits,
    score: Any,
    *,
    model: str | BaseChatModel,
    budget: Budget | None = None,
    run: Run | Path | str = "runs/mipro",
    seed: int = 0,
    **settings: Unpack[Settings],
) -> Result:
    """Search all agents' instructions with MIPROv2, and measure them on the sealed test.

    The same call again resumes a run that was stopped at any moment, or reads one that is finished. The rules it found
    are rule units again: `optimize(replace(system, rules=result.rules), ...)` goes on from them.

    Args:
        system: The multi-agent graph and its rules.
        splits: MIPROv2 shows train tasks to the prompt model and scores candidates on validation; test is opened once.
        score: A LangSmith-style evaluator, or an `Evaluate`.
        model: The prompt model, which proposes instructions.
        budget: What it may spend at most; at the cap the best candidate so far, of those scored on all validation tasks,
            goes to the test.
        run: The run folder, or a `Run`.
        seed: Of every draw.
        settings: `auto="light"` or `num_candidates` and `num_trials`, and the rest of `settings.Settings`.

    Returns:
        As of `optimize`. `iterations` has a row per scored candidate: `{"iteration": from 0 (the rules as they came),
        "validation_candidate": mean score in [0, 1], "tasks", "whole": on all tasks of the search, "version"}`. There is no
        credit and no ledger; `meter` has the purposes `task`, `propose` and `test`.

    Raises:
        MissingExtra: dspy is not installed.
        UserMistake: something the caller can put right; the message says how.
        ModelReplyError: the prompt model gave nothing that MIPROv2 could go on with.
        RunError: the folder is in use or belongs to another run.
        RunStopped: it was stopped in good order; the same call goes on.
    """

    async def go() -> Result:
        return await amipro(system, splits, score, model=model, budget=budget, run=run, seed=seed, **settings)

    home_loop("amipro", getattr(system.graph, "store", None))
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return asyncio.run(go())
    with ThreadPoolExecutor(1, thread_name_prefix=NAME) as thread:
        return thread.submit(contextvars.Context().run, asyncio.run, go()).result()


async def amipro(
    system: System,
    splits: Splits,
    score: Any,
    *,
    model: str | BaseChatModel,
    budget: Budget | None = None,
    run: Run | Path | str = "runs/mipro",
    seed: int = 0,
    **settings: Unpack[Settings],
) -> Result:
    """As `mipro`, for async code."""
    search = _library()
    system.in_process(NAME)
    chosen = checked(settings, len(splits.validation))
    evaluate = score if isinstance(score, Evaluate) else as_evaluator(score)
    chat, circumstances = resolve_model(model), Run.of(run)
    budget = budget or Budget()
    same = _manifest(system, splits, evaluate, chosen, seed)
    async with working(circumstances, same, system, Terms(budget, {"": chat}, seed)) as (place, spending):
        sealed = Sealed(len(splits.test), system.in_flight, spending, budget.price_list)
        runner = Runner(system, evaluate, place.journal, place.records, seed)
        runner.patience = circumstances.patience
        runner.on_done = _teller(circumstances, place)
        await sealed.expect(place.records, Plan((plan(system, splits, offline()).row("test"),)))
        if system.prompts is not None:
            write_prompts(system.prompts, place.path)
        found = await place.records.read_box(0, FOUND)
        if found is None:
            bridge = Bridge(runner, chat, place.journal, sealed)
            threads = {"num_threads": system.in_flight, **chosen}
            trials = Trials()
            best = await bridge.hosting(lambda: search(bridge, system.book, splits, threads, seed, trials))
            if bridge.why is not None and not isinstance(bridge.why, BudgetSpent):
                raise bridge.why
            found = await _kept(place.records, best or trials.best() or system.book, trials, bridge.why)
        test = await place.records.read_box(0, "test")
        if test is None or test.get("unpaid"):
            await _test(runner, splits, found, sealed, place)
        result = await result_of(place.records, Place.of(circumstances.place))
    return replace(result, iterations=tuple(found["trials"]))


def _library() -> Callable[..., RuleBook | None]:
    """The search; dspy is imported here and nowhere earlier, as it takes a second."""
    try:
        import optuna  # noqa: F401 - MIPROv2 would miss it after everything has been paid

        from langgraph_truce.baselines.dspy_program import search
    except ModuleNotFoundError as e:
        if (e.name or "").split(".")[0] not in {"dspy", "optuna"}:
            raise
        raise MissingExtra("MIPROv2", "'langgraph-truce[mipro]'") from e
    return search


def _manifest(
    system: System, splits: Splits, evaluate: Evaluate, chosen: Mapping[str, Any], seed: int
) -> dict[str, Any]:
    """What makes two runs the same run; how many threads it takes does not."""
    return {
        **measurement(NAME, system, splits.test, evaluate),
        "tasks": {name: tasks_hash(getattr(splits, name)) for name in ("train", "validation", "test")},
        **({"prompts": system.prompts.id} if system.prompts else {}),
        "method": NAME,
        "settings": {k: v for k, v in chosen.items() if k != "num_threads"},
        "seed": seed,
    }


async def _kept(
    records: Records, best: RuleBook, trials: Trials, why: BaseException | None
) -> Mapping[str, Any]:
    """Keep what was found, and give it as it will be read."""
    for trial in trials.rows:
        await records.write_book(trial.book)
    row = {
        "final": await records.write_book(best),
        "stopped": "" if why is None else str(why),
        "trials": trials.to_json(),
        "refused": trials.refused(),
    }
    await records.write_box(0, FOUND, row)
    return row


async def _test(
    runner: Runner, splits: Splits, found: Mapping[str, Any], sealed: Sealed, place: Opened
) -> None:
    """Open the test split, once, with the rules as they came and as they were found (contract 8)."""
    records = place.records
    versions = {"initial": await records.write_book(runner.system.book), "final": found["final"]}
    rows: dict[str, Any] = {"versions": versions, "stopped": found["stopped"], "early": found["stopped"]}
    sealed.open()
    try:
        for arm, version in versions.items():
            book = await records.read_book(version)
            rollouts = await runner.run_all(splits.test, book, purpose="test")
            rows[arm] = {r.task: to_json(replace(r.outcome, result=None)) for r in rollouts}
    except BudgetSpent as spent:  # half a test is no test
        why = f"the sealed test could not be paid: {spent}"
        rows |= {"initial": {}, "final": {}, "unpaid": True, "stopped": why}
    rows["meter"] = sealed.metered(place.journal.meter)
    rows["planned"] = await records.read_box(0, PLAN) or {}
    rows["missed"] = dict(runner.missed)
    await records.write_box(0, "test", rows)


def _teller(circumstances: Run, place: Opened) -> Callable[[str], None]:
    """Progress events, one for every rollout; how many there will be is MIPROv2's to decide."""
    done = 0

    def say(purpose: str) -> None:
        nonlocal done
        done += 1
        if circumstances.on_event is not None:
            stage = "test" if purpose == "test" else "MIPROv2"
            meter = place.journal.meter.snapshot()
            circumstances.on_event({"stage": stage, "iteration": 0, "done": done, "total": 0, "meter": meter})

    return say
