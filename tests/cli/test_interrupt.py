"""Ctrl-C on a real process: exit code 130, a sentence, and the same command goes on without asking again."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path
from typing import Any

TASKS = 20

SLOW = """
import time
from pathlib import Path

import app
from langgraph_truce import System
from langgraph_truce.testing import ScriptedModel


def slowly(messages):
    with Path("calls.txt").open("a") as calls:
        calls.write(messages[-1].text + "\\\\n")
    made = len(Path("calls.txt").read_text().splitlines())
    while made >= 4 and not Path("interrupted").exists():
        time.sleep(0.01)
    return app.obey(messages)


app.ScriptedModel = lambda replies: ScriptedModel(replies=slowly)
system = System(app.build().compile(name="shop"), app.RULES, in_flight=1)
"""


def asked(folder: Path) -> list[str]:
    file = folder / "calls.txt"
    return file.read_text().splitlines() if file.exists() else []


def test_ctrl_c_loses_nothing_that_was_paid_for(shop: Any) -> None:
    shop.write("slow.py", SLOW.replace("\\\\", "\\"))
    command = [
        str(Path(sys.executable).with_name("langgraph-truce")),
        *shop.evaluation("slow.py:system"),
    ]
    # where the tests run in the background of a shell, SIGINT is ignored, and that is inherited
    heeding = partial(signal.signal, signal.SIGINT, signal.SIG_DFL)
    running = subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=heeding,  # noqa: PLW1509 - no threads here
    )
    deadline = time.monotonic() + 60
    while len(asked(shop.folder)) < 4 and time.monotonic() < deadline:
        time.sleep(0.02)
    running.send_signal(signal.SIGINT)
    (shop.folder / "interrupted").touch()  # however slow this process is: the other one waits for it
    _, said = running.communicate(timeout=60)

    assert running.returncode == 130, said
    assert "The same command goes on from here: langgraph-truce evaluate slow.py:system" in said
    assert "Traceback" not in said
    before = asked(shop.folder)
    assert 4 <= len(before) < TASKS

    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)

    assert done.returncode == 0, done.stderr
    assert f"over {TASKS} tasks" in done.stdout
    again = asked(shop.folder)[len(before) :]
    assert len(set(again) & set(before[:-1])) == 0, "a finished reply was asked for again"
    assert len(again) <= TASKS - len(before) + 1, "at most the call in flight is asked again"
