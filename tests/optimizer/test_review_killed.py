"""A process that is killed between question and answer, or while the answer is acted on, loses neither; a real terminal asks."""

from __future__ import annotations

import json
import os
import pty
import select
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from langgraph_truce.optimizer import read_ledger, read_run
from langgraph_truce.optimizer.ledger import timeless

ROOT = Path(__file__).parents[2]
CHILD = """
import json, os, signal, sys
from pathlib import Path
from langgraph_truce.gate.exact import PairedGate
from langgraph_truce.optimizer import Run, optimize
from langgraph_truce.optimizer.records import Records
from tests.optimizer.conftest import Toy, score

folder, approve, kill = sys.argv[1:4]
toy = Toy()
reply = toy._reply
toy._reply = lambda *given: (Path(folder + ".calls").open("a").write("x"), reply(*given))[1]


class Person:
    async def __call__(self, proposal):
        if kill == "question":
            os.kill(os.getpid(), signal.SIGKILL)
        Path(folder + ".asked").open("a").write(json.dumps(proposal["asked_at"]) + "\\n")
        return {"edits": {"e1.1": {"answer": "reword", "text": "SHOUT, please."}}, "by": "ann"}


if kill in ("gate", "line"):
    calls = []
    decide, append = PairedGate.__call__, Records.append

    async def gate(self, *given):
        calls.append(1)
        found = await decide(self, *given)
        if kill == "gate" and Path(folder + ".asked").exists():
            os.kill(os.getpid(), signal.SIGKILL)
        return found

    async def line(self, iteration, index, one):
        if kill == "line" and index == 1:
            os.kill(os.getpid(), signal.SIGKILL)
        return await append(self, iteration, index, one)

    PairedGate.__call__, Records.append = gate, line

who = Person() if approve == "person" else approve
optimize(toy.system(), toy.splits(12), score, method=toy.method("SHOUT."), run=Run(folder, approve=who))
"""


def child(folder: Path, approve: str = "person", kill: str = "", **more: Any) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-c", CHILD, str(folder), approve, kill]
    return subprocess.Popen(command, cwd=ROOT, env=os.environ | {"PYTHONPATH": str(ROOT)}, **more)


def calls(folder: Path) -> int:
    return len(Path(f"{folder}.calls").read_text())


@pytest.mark.parametrize("kill", ["question", "gate", "line"])
def test_killed_in_the_middle_of_a_review(tmp_path: Path, kill: str) -> None:
    clean, killed = tmp_path / "clean", tmp_path / "killed"
    assert child(clean).wait(120) == 0
    assert child(killed, kill=kill).wait(120) == -signal.SIGKILL
    waiting = read_ledger(killed)
    assert not waiting.finished
    assert (waiting.waiting is not None) == (kill == "question")

    assert child(killed).wait(120) == 0

    assert timeless(read_run(killed).ledger) == timeless(read_run(clean).ledger)
    assert read_run(killed).rules == read_run(clean).rules
    assert calls(killed) == calls(clean), "no reply was asked for twice"
    asked = [json.loads(line) for line in Path(f"{killed}.asked").read_text().splitlines()]
    assert len(asked) == 1, "an answer that was given is not asked for again"
    if waiting.waiting is not None:
        assert asked == [waiting.waiting["asked_at"]], "it is the question that was asked before"


def test_a_real_terminal_asks(tmp_path: Path) -> None:
    ours, theirs = pty.openpty()
    process = child(tmp_path / "run", "ask", stdin=theirs, stdout=theirs, stderr=theirs, close_fds=True)
    os.close(theirs)
    try:
        seen = _until(ours, b"answer later: ")
        os.write(ours, b"a\n")
        _until(ours, None)
        assert process.wait(60) == 0
    finally:
        process.kill()
        process.wait()
        os.close(ours)
    assert b"+ SHOUT." in seen
    last = read_ledger(tmp_path / "run").lines[-1]
    assert (last["kind"], last["decision"]) == ("review", "accept")


def _until(fd: int, words: bytes | None, seconds: float = 90) -> bytes:
    """What the terminal showed up to these words; None: until nobody writes there any more."""
    seen, deadline = b"", time.monotonic() + seconds
    while time.monotonic() < deadline:
        if not select.select([fd], [], [], 0.2)[0]:
            continue
        try:
            part = os.read(fd, 4096)
        except OSError:  # the other side is closed: Linux says so with an error
            part = b""
        seen += part
        if not part or (words is not None and words in seen):
            return seen
    raise AssertionError(f"not within {seconds} s, there was: {seen!r}")
