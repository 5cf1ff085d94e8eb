"""A store in a file: closing it while a thread still reads."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

CHILD = """
import sqlite3, sys, threading
from langgraph.store.base import PutOp
from langgraph_truce.model import open_store

def read(store):
    try:
        while True:
            store.search(("run",), limit=500)
    except sqlite3.ProgrammingError:
        return  # the database is closed: what a thread that outlived its run gets to see

for n in range(30):
    with open_store(f"{sys.argv[1]}/{n % 3}.sqlite") as store:
        store.batch([PutOp(("run",), str(i), {"json": "x" * 500}, index=False) for i in range(300)])
        threads = [threading.Thread(target=read, args=(store,)) for _ in range(3)]
        for t in threads:
            t.start()
    for t in threads:
        t.join()
print("done")
"""


def test_a_read_that_outlives_the_run_does_not_crash_the_process(tmp_path: Path) -> None:
    """A cancelled rollout leaves its read in a thread; closing the connection under it is a segmentation fault."""
    done = subprocess.run(
        [sys.executable, "-c", CHILD, str(tmp_path)], capture_output=True, text=True, check=False, timeout=120
    )

    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stdout.endswith("done\n")
