"""`real_lab`: the lab of a real run over stores in memory, to measure a decision on a system without a run folder."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from langchain_core.language_models import BaseChatModel
from langgraph.store.memory import InMemoryStore

from langgraph_truce.evaluate import as_evaluator
from langgraph_truce.model import Journal, Meter
from langgraph_truce.optimizer.lab import RunLab
from langgraph_truce.optimizer.records import Records
from langgraph_truce.rollout.run import Runner
from langgraph_truce.system import System


@asynccontextmanager
async def real_lab(
    system: System, score: Any, *, model: BaseChatModel | None = None, seed: int = 0
) -> AsyncIterator[tuple[RunLab, Meter]]:
    """A lab that runs, replays, evaluates and asks as `optimize` does, and the meter of its calls.

    Rollouts, checkpoints and journal are kept in memory, and are gone when the block ends. Rollouts that are to be forked
    are run with `purpose="task"`.

    Args:
        system: the system to run.
        score: an evaluator, as `optimize` takes it.
        model: critic; None where no decision asks one.
        seed: of every draw.
    """
    journal = Journal(InMemoryStore())
    records = await Records(InMemoryStore()).open()
    try:
        with journal.installed():
            runner = Runner(system, as_evaluator(score), journal, records, seed, keep=records)
            yield RunLab(runner, {} if model is None else {"": model}, journal, seed), journal.meter
    finally:
        records.close()
        journal.close()
