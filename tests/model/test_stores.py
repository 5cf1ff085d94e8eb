"""A store in a file: closing it while a thread still reads."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from langgraph_truce.model import open_store

CHILD = """
import sqlite3, sys, threading
from langgraph.store.base import PutOp
import pytest

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


def test_a_file_whose_writer_died_before_its_first_table_reads_as_empty(tmp_path: Path) -> None:
    file = tmp_path / "records.sqlite"
    sqlite3.connect(file).execute("PRAGMA journal_mode=WAL").connection.close()

    with open_store(file, read_only=True) as store:
        assert store.search(("anything",)) == []
        assert store.get(("anything",), "key") is None


DIES = """
import os, signal, sqlite3, sys
import pytest

from langgraph_truce.model import open_store

left = [int(sys.argv[2])]

def count(statement):
    if "ALTER" in statement or "CREATE" in statement:
        left[0] -= 1
        if left[0] < 0:
            os.kill(os.getpid(), signal.SIGKILL)

def connect(*args, **kwargs):
    db = plain(*args, **kwargs)
    db.set_trace_callback(count)
    return db

plain, sqlite3.connect = sqlite3.connect, connect
with open_store(sys.argv[1]):
    pass
"""


@pytest.mark.parametrize("statements", range(6))
def test_a_writer_that_is_killed_while_it_makes_the_tables_leaves_nothing_in_the_way(
    tmp_path: Path, statements: int
) -> None:
    file = tmp_path / "records.sqlite"
    child = [sys.executable, "-c", DIES, str(file), str(statements)]
    ended = subprocess.run(child, capture_output=True, check=False, timeout=60)
    assert ended.returncode == -9, ended.stderr.decode()

    with open_store(file) as store:
        store.put(("a",), "key", {"n": 1})
    with open_store(file, read_only=True) as store:
        assert [item.value for item in store.search(("a",))] == [{"n": 1}]
