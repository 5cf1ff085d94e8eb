"""kill -9 in the middle of rollouts: what was committed is not asked again, and the result is that of a quiet run."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from langgraph_truce.model import Journal

PROGRAM = """
import asyncio, json, os, sys
from langgraph_truce.model import Journal, JournalCallback
from langgraph_truce.testing import ScriptedModel
from langgraph.graph import END, START, StateGraph
from typing import TypedDict

where, calls, rollouts = sys.argv[1], sys.argv[2], int(sys.argv[3])

def reply(messages):
    fd = os.open(calls, os.O_APPEND | os.O_CREAT | os.O_WRONLY)
    os.write(fd, (messages[-1].text + "\\n").encode())
    os.close(fd)
    return f"answer to {messages[-1].text}"

model = ScriptedModel(replies=reply, latency=0.01)

class State(TypedDict, total=False):
    task: str
    text: str

async def think(state):
    return {"text": (await model.ainvoke(f"{state['task']}: {state.get('text', '')}"[:60])).text}

graph = StateGraph(State)
graph.add_node("one", think)
graph.add_node("two", think)
graph.add_node("three", think)
graph.add_edge(START, "one")
graph.add_edge("one", "two")
graph.add_edge("two", "three")
run = graph.compile()

async def main():
    gate = asyncio.Semaphore(8)
    async def rollout(i):
        async with gate:
            task = f"task {i}"
            return await run.ainvoke({"task": task}, {"callbacks": [JournalCallback(journal, ("sys", task, "0"))]})
    return await asyncio.gather(*(rollout(i) for i in range(rollouts)))

with Journal.open(where) as journal, journal.installed():
    print(json.dumps(asyncio.run(main())))
"""


def start(where: str, calls: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", PROGRAM, where, str(calls), "60"], stdout=subprocess.PIPE, text=True
    )


def lines(calls: Path) -> list[str]:
    return calls.read_text().splitlines() if calls.exists() else []


def quiet(task: str) -> str:
    """What an undisturbed rollout answers."""
    text = ""
    for _ in range(3):
        text = f"answer to {f'{task}: {text}'[:60]}"
    return text


@pytest.mark.slow
def test_nothing_committed_is_asked_again(where: str, tmp_path: Path) -> None:
    calls = tmp_path / "calls.txt"
    process = start(where, calls)
    deadline = time.monotonic() + 30
    while len(lines(calls)) < 70 and time.monotonic() < deadline:
        time.sleep(0.005)
    os.kill(process.pid, signal.SIGKILL)
    process.communicate()
    made = len(lines(calls))
    with Journal.open(where) as journal:
        committed = len(journal)
        assert journal.meter.tally("task").calls == committed
    assert 0 < committed < 180
    assert made - committed <= 8  # only what was in flight may be lost
    out, _ = start(where, calls).communicate(timeout=60)
    assert len(lines(calls)) - made == 180 - committed
    tasks = [f"task {i}" for i in range(60)]
    assert json.loads(out) == [{"task": t, "text": quiet(t)} for t in tasks]
