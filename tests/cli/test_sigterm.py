"""SIGTERM on a real process: calls in flight are finished and kept, exit 143, and the same command goes on."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

TASKS = 20
IN_FLIGHT = 4

SLOW = """
import asyncio
from pathlib import Path

import app
from langgraph_truce import System
from langgraph_truce.testing import ScriptedModel


class Slow(ScriptedModel):
    async def _agenerate(self, messages, *args, **kwargs):
        with Path("begun.txt").open("a") as calls:
            calls.write(messages[-1].text + "\\n")
        while not Path("go").exists():
            await asyncio.sleep(0.01)
        reply = await super()._agenerate(messages, *args, **kwargs)
        with Path("ended.txt").open("a") as calls:
            calls.write(messages[-1].text + "\\n")
        return reply


app.ScriptedModel = lambda replies: Slow(replies=replies)
system = System(app.build().compile(name="shop"), app.RULES, in_flight=4)
"""


def lines(file: Path) -> list[str]:
    return file.read_text().splitlines() if file.exists() else []


def begin(shop: Any) -> tuple[list[str], subprocess.Popen[str]]:
    """The command, and its process with `IN_FLIGHT` calls under way that wait for the file `go`."""
    shop.write("slow.py", SLOW)
    command = [str(Path(sys.executable).with_name("langgraph-truce")), *shop.evaluation("slow.py:system")]
    running = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 120
    while len(lines(shop.folder / "begun.txt")) < IN_FLIGHT and time.monotonic() < deadline:
        assert running.poll() is None, running.communicate()
        time.sleep(0.02)
    return command, running


def heard(running: subprocess.Popen[str]) -> str:
    assert running.stderr
    said = ""
    while "asked to end" not in said:
        line = running.stderr.readline()
        assert line, said
        said += line
    return said


def test_the_first_sigterm_finishes_what_is_in_flight(shop: Any) -> None:
    command, running = begin(shop)
    running.send_signal(signal.SIGTERM)
    heard(running)
    (shop.folder / "go").touch()
    _, said = running.communicate(timeout=120)

    assert running.returncode == 143, said
    assert "The same command goes on from here: langgraph-truce evaluate slow.py:system" in said
    assert "Traceback" not in said
    begun, ended = lines(shop.folder / "begun.txt"), lines(shop.folder / "ended.txt")
    assert sorted(begun) == sorted(ended)
    assert len(begun) == IN_FLIGHT, "a call was begun after the signal"

    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr
    assert f"over {TASKS} tasks" in done.stdout
    assert len(lines(shop.folder / "begun.txt")) == TASKS, "a reply that was kept was asked for again"


def test_the_second_sigterm_ends_at_once(shop: Any) -> None:
    command, running = begin(shop)
    running.send_signal(signal.SIGTERM)
    heard(running)
    running.send_signal(signal.SIGTERM)
    running.communicate(timeout=60)

    assert running.returncode == 143
    assert lines(shop.folder / "ended.txt") == []
    (shop.folder / "go").touch()
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr
    assert len(lines(shop.folder / "begun.txt")) == TASKS + IN_FLIGHT
