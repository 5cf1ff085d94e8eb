"""`optimize`: run the optimizer graph in a run folder, begin or resume, and read the result."""

from __future__ import annotations

import asyncio
import contextvars
import json
import threading
from collections.abc import Callable, Mapping
from dataclasses import asdict, is_dataclass
from pathlib import Path
from typing import Any

from langchain_core.language_models import BaseChatModel
from langchain_core.runnables import RunnableConfig

from langgraph_truce.bind import optimizing
from langgraph_truce.bind.discover import write_prompts
from langgraph_truce.evaluate import Evaluate, as_evaluator
from langgraph_truce.model import resolve_model
from langgraph_truce.optimizer.folder import Opened, open_folder
from langgraph_truce.optimizer.graph import build
from langgraph_truce.optimizer.lab import RunLab
from langgraph_truce.optimizer.read import read_folder, result_of
from langgraph_truce.optimizer.result import Result
from langgraph_truce.optimizer.session import Event, Session
from langgraph_truce.optimizer.state import State
from langgraph_truce.rollout.failure import first
from langgraph_truce.rollout.run import Runner
from langgraph_truce.rules.rule import content_hash
from langgraph_truce.seams import Method
from langgraph_truce.system import System
from langgraph_truce.task import Splits
from langgraph_truce.threads import home_loop

Model = str | BaseChatModel
THREAD = "optimizer"
STEPS = 12
"""Supersteps of one iteration, test included."""


def optimize(
    system: System,
    splits: Splits,
    score: Any,
    *,
    method: Method,
    model: Model | Mapping[str, Model] | None = None,
    run: Path | str = "runs/run",
    seed: int = 0,
    on_event: Callable[[Event], None] | None = None,
) -> Result:
    """Find which rules lost the tasks, fix them, prove it, and give the result.

    The same call again resumes a run that was stopped at any moment, or reads one that is finished.

    Args:
        system: The multi-agent graph and its rules.
        splits: Edits come from train, the gate uses validation, test is opened once at the end.
        score: A LangSmith-style evaluator, or an `Evaluate` with its objective and range.
        method: `langgraph_truce.methods.truce()`, `offline()`, ...
        model: Critic and optimizer model: a chat model, an `init_chat_model` string, or several by purpose
            (`credit`, `suggest`, `merge`, `write`; "" for the rest). None for methods that ask no model.
        run: The run folder.
        seed: Of every draw.
        on_event: Called with progress events.

    Raises:
        UserMistake: something the caller can put right; the message says how.
        RunError: the folder is in use or belongs to another run; or no task could be run.
    """

    async def go() -> Result:
        return await aoptimize(
            system, splits, score, method=method, model=model, run=run, seed=seed, on_event=on_event
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
    run: Path | str = "runs/run",
    seed: int = 0,
    on_event: Callable[[Event], None] | None = None,
) -> Result:
    """As `optimize`, for async code."""
    system.in_process("optimize")
    evaluate = score if isinstance(score, Evaluate) else as_evaluator(score)
    models = _models(model)
    check = getattr(method.gate, "check", None)
    if check is not None:  # refuse before anything is spent
        check(len(splits.validation), method.iterations)
    async with open_folder(Path(run), _manifest(system, splits, evaluate, method, seed)) as folder:
        with folder.journal.installed(), optimizing():
            if system.prompts is not None:  # beside the rules, so that they fit the bare graph again
                write_prompts(system.prompts, run)
            session = _session(system, splits, evaluate, method, models, folder, seed, on_event)
            await _drive(session, folder)
            return await result_of(folder.records, Path(run))


def _session(
    system: System,
    splits: Splits,
    evaluate: Evaluate,
    method: Method,
    models: Mapping[str, BaseChatModel],
    folder: Opened,
    seed: int,
    on_event: Callable[[Event], None] | None,
) -> Session:
    runner = Runner(system, evaluate, folder.journal, folder.records, seed)
    runner.keep = folder.records if method.forks else None
    lab = RunLab(runner, models, folder.journal, seed)
    session = Session(system, splits, method, lab, folder.records, folder.journal.meter, on_event or _quiet)
    runner.on_done = session.rolled
    return session


async def _drive(session: Session, folder: Opened) -> None:
    """Begin or resume the optimizer graph until it is done."""
    graph = build(session, folder.saver)
    limit = (session.method.iterations + 1) * STEPS
    config = RunnableConfig(configurable={"thread_id": THREAD}, recursion_limit=limit)
    found = await graph.aget_state(config)
    begin: State | None = None
    if not found.created_at:
        version = await session.records.write_book(session.system.book)
        begin = State(
            iteration=0, initial=version, version=version, sample=[], memory={}, decision="", idle=0, done=""
        )
    elif not found.next:
        return
    try:
        # In a context of its own: whoever calls optimize() inside a graph of theirs must not lend it their run.
        loop = asyncio.get_running_loop()
        running = graph.ainvoke(begin, config, durability="sync")
        await loop.create_task(running, context=contextvars.Context())
    except BaseExceptionGroup as group:
        raise first(group) from group


def _models(model: Model | Mapping[str, Model] | None) -> dict[str, BaseChatModel]:
    if model is None:
        return {}
    if isinstance(model, Mapping):
        return {purpose: resolve_model(m) for purpose, m in model.items()}
    return {"": resolve_model(model)}


def _manifest(
    system: System, splits: Splits, evaluate: Evaluate, method: Method, seed: int
) -> dict[str, Any]:
    """What makes two runs the same run."""
    tasks = {
        name: content_hash(
            json.dumps([t.to_json() for t in getattr(splits, name)], sort_keys=True, default=str)
        )
        for name in ("train", "validation", "test")
    }
    return {
        "system": system.fingerprint,
        "rules": system.book.version,
        **({"prompts": system.prompts.id} if system.prompts else {}),
        "tasks": tasks,
        "method": method.name,
        "gate": {
            "name": type(method.gate).__name__,
            **(asdict(method.gate) if is_dataclass(method.gate) else {}),
        },
        "settings": {**method.settings, "iterations": method.iterations, "sample": method.sample},
        "objective": evaluate.objective,
        **({"shaping": evaluate.shaping} if evaluate.shaping else {}),
        "seed": seed,
    }


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
    """The result of a finished run, from its folder; nothing is run.

    Raises:
        RunError: no run folder, a damaged one, or a run that is not finished.
    """
    return asyncio.run(read_folder(Path(run)))
