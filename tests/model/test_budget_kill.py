"""A cap holds over all starts of a run, however often it is killed with -9, with calls in flight."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

from langchain_core.runnables import RunnableConfig

from langgraph_truce.errors import BudgetSpent
from langgraph_truce.model import Budget, Door, Journal, JournalCallback
from langgraph_truce.model.spending import Spending
from langgraph_truce.testing import ScriptedModel

CAP = 200
AT_ONCE = 16


def child(folder: Path, kill_after: int) -> None:
    """Ask question after question, 16 at a time, until the budget is spent; killed after so many calls."""
    log = os.open(folder / "calls.log", os.O_CREAT | os.O_APPEND | os.O_WRONLY)
    made = 0

    class Billed(ScriptedModel):
        async def _agenerate(self, *args: Any, **kwargs: Any) -> Any:
            nonlocal made
            os.write(log, b"call\n")
            made += 1
            if made == kill_after:
                os.kill(os.getpid(), signal.SIGKILL)
            await asyncio.sleep(0.002)
            return await super()._agenerate(*args, **kwargs)

    async def ask(journal: Journal, n: int) -> None:
        config = RunnableConfig(callbacks=[JournalCallback(journal, ("run", str(n)))])
        model = Billed(replies=lambda m: TimeoutError() if n % 5 == 0 else "said", max_tokens=10)
        with contextlib.suppress(TimeoutError):
            await model.ainvoke(f"question {n}", config)

    async def asking(journal: Journal) -> None:
        for first in range(0, 10 * CAP, AT_ONCE):
            await asyncio.gather(*(ask(journal, n) for n in range(first, first + AT_ONCE)))

    with Journal.open(folder / "journal.sqlite") as journal, journal.installed():
        spending = Spending(Budget(calls=CAP), journal)
        journal.door = Door([spending])
        try:
            asyncio.run(asking(journal))
        except BudgetSpent:
            print("spent", flush=True)
        spending.close()


def test_killed_six_times_it_never_passes_the_cap(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, __file__, str(tmp_path)], capture_output=True, text=True, timeout=120, check=False
    )
    made = (tmp_path / "calls.log").read_text().count("call")

    assert done.stdout.split() == ["killed"] * 6 + ["spent", "ended"], done.stderr
    # of each kill, at most the calls in flight and a 64th of the cap are counted that were not made
    assert CAP - 6 * (AT_ONCE + CAP // 64 + 1) <= made <= CAP


def lives(folder: Path) -> None:
    """One process after the other, each killed but the last; forked from one that has the libraries loaded."""
    for kill_after in (3, 20, 7, 31, 1, 16, 10 * CAP):
        life = os.fork()
        if not life:
            child(folder, kill_after)
            os._exit(0)
        status = os.waitpid(life, 0)[1]
        print("killed" if os.WIFSIGNALED(status) else "ended", flush=True)


if __name__ == "__main__":
    lives(Path(sys.argv[1]))
