"""The optimizer as a graph that a LangGraph server runs: started and approved in Studio, or by any client of the server."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any

from langgraph.pregel import Pregel
from langgraph_sdk.runtime import ServerRuntime

from langgraph_truce.errors import UserMistake
from langgraph_truce.model import Budget
from langgraph_truce.optimizer.drive import STEPS
from langgraph_truce.optimizer.graph import build
from langgraph_truce.optimizer.run import Model, opened
from langgraph_truce.optimizer.settings import Run
from langgraph_truce.seams import Method
from langgraph_truce.system import System
from langgraph_truce.task import Splits

Graph = Pregel[Any, Any, Any, Any]
Factory = Callable[[ServerRuntime[Any]], AbstractAsyncContextManager[Graph]]


def served(
    system: System,
    splits: Splits,
    score: Any,
    *,
    method: Method,
    model: Model | Mapping[str, Model] | None = None,
    budget: Budget | None = None,
    run: Run | Path | str = "runs/run",
    seed: int = 0,
) -> Factory:
    """A graph factory for `langgraph.json` that optimizes `system`, with the arguments of `optimize`.

    The run's files are written on the server's loop: `langgraph dev` needs `--allow-blocking` for it, a deployed server
    BG_JOB_ISOLATED_LOOPS=true. A run of it needs no input (`{}`). With `Run(approve="interrupt")` it stops with the proposal as an interrupt, which
    Studio, the SDK or a web app answers with `Command(resume=ANSWERS)`. Rollouts, ledger and journal are in the run's
    place; the optimizer's own state is in the server's thread. One thread at a time writes to a place. At the budget's cap
    the server's run ends with the error; `optimize` on a place of its own goes on to the sealed test.

    Raises:
        UserMistake: `approve` is neither `auto` nor `interrupt`: a server has no terminal and resumes no command.
    """
    settings = Run.of(run)
    if settings.approve not in ("auto", "interrupt"):
        raise UserMistake(f"a served run is approved by 'auto' or 'interrupt', got {settings.approve!r}")
    limit = (method.iterations + 1) * STEPS

    @asynccontextmanager
    async def optimizer(runtime: ServerRuntime[Any]) -> AsyncIterator[Graph]:
        """The graph: with a session where it is run, without one where it is looked at."""
        if runtime.execution_runtime is None:
            yield build(None)
            return
        async with opened(
            system, splits, score, method=method, model=model, budget=budget, run=settings, seed=seed
        ) as (session, _):
            yield build(session).with_config(recursion_limit=limit)

    return optimizer
