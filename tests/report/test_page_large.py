"""A large run (5 iterations, 500 tasks, 20 agents) is read and shown in a few seconds and a few megabytes."""

from __future__ import annotations

import asyncio
import json
import time
from pathlib import Path
from typing import Any

import pytest

from langgraph_truce.codec import to_json
from langgraph_truce.model import open_store
from langgraph_truce.optimizer.ledger import Circumstances, lines
from langgraph_truce.optimizer.read import read_story
from langgraph_truce.optimizer.records import Records
from langgraph_truce.report import page, render
from langgraph_truce.rules import Edit, RuleBook, Suggestion, parse
from langgraph_truce.seams import Batch, Comparison, Rollout, Verdict
from langgraph_truce.task import Outcome
from langgraph_truce.trajectory.step import ModelCall, Step, Trajectory

ITERATIONS, TASKS, AGENTS, EDITS, ROUNDS = 5, 500, 20, 10, 4
SECONDS, BYTES = 6.0, 3_000_000


def rollout(version: str, task: str, replicate: int) -> Rollout:
    name = f"{version}/{task}/{replicate}"
    asked = {f"asked-{i}": [{"role": "user", "content": "question " * 40}] for i in range(AGENTS)}
    said = {
        f"said-{i}": {"role": "assistant", "content": f"agent {i}: " + "word " * 60} for i in range(AGENTS)
    }
    blobs: dict[str, Any] = {**asked, **said}
    steps = tuple(
        Step(
            f"agent{i}#1.0", f"agent{i}", i + 1, 1, 0, 1, None, calls=(ModelCall(f"asked-{i}", f"said-{i}"),)
        )
        for i in range(AGENTS)
    )
    score = float((int(task[-4:]) + replicate) % 3 == 0)
    return Rollout(
        name, task, replicate, version, Outcome("x", score, "wrong desk"), Trajectory(name, steps, blobs)
    )


async def fill(folder: Path) -> None:
    book = RuleBook({f"agent{i}": parse(f"agent{i}", "You work.\n\n- Be brief.\n") for i in range(AGENTS)})
    tasks = [f"task-{n:04d}" for n in range(TASKS)]
    folder.mkdir()
    version = book.version
    (folder / "run.json").write_text(json.dumps({"rules": version, "method": "truce"}), encoding="utf-8")
    with open_store(folder / "records.sqlite") as store:
        records = await Records(store).open()
        await records.write_book(book)
        for t in range(1, ITERATIONS + 1):
            names = [f"{version}/{task}/{t - 1}" for task in tasks]
            await asyncio.gather(
                *(records.write_rollout(rollout(version, task, t - 1)) for task in tasks[:120])
            )
            row = {"train_score": 0.4, "tasks": TASKS, "excluded": 0, "errors": 0}
            await records.write_box(t, "evaluate", row)
            await records.write_box(t, "segment", {name: [] for name in names})
            credits_ = [
                {"role": f"agent{a}", "round": 1 + n % ROUNDS, "value": (a - 10) / 10}
                for n in range(TASKS)
                for a in range(AGENTS)
            ]
            await records.write_box(t, "credit", credits_)
            edits = tuple(
                Edit(
                    f"e{t}.{i}",
                    "ADD",
                    f"agent{i}",
                    text=f"Rule {i}. " * 20,
                    suggestion=Suggestion(
                        "ADD",
                        f"agent{i}",
                        "wish",
                        reason="It is missing. " * 20,
                        evidence=tuple(f"{name}/agent{i}#1.0" for name in names[:100]),
                        tasks=tuple(tasks[:100]),
                        support=0.2,
                    ),
                )
                for i in range(EDITS)
            )
            await records.write_box(t, "write", edits)
            c = Comparison(
                TASKS,
                0.1,
                0.0,
                0.2,
                0.95,
                0.2,
                0.4,
                0.5,
                tuple(tasks[:120]),
                tuple(tasks[200:270]),
                {"baseline": 1},
            )
            verdict = to_json(Verdict("inconclusive", (), c, 0.01, "A gain is not shown."))
            await records.write_box(t, "gate", verdict)
            batch = Batch(t, ITERATIONS, book, {}, edits=edits)
            for i, line in enumerate(lines(batch, verdict, told=Circumstances("2026-01-01T00:00:00+00:00"))):
                await records.append(t, i, line)
        records.close()


@pytest.mark.slow
async def test_a_large_run_stays_small_and_quick(tmp_path: Path) -> None:
    await fill(tmp_path / "run")

    began = time.process_time()  # not the clock: a busy machine is not a slow report
    story = await asyncio.to_thread(read_story, tmp_path / "run")
    html, said = page.render(story), render(story)
    took = time.process_time() - began

    assert story.state == "unfinished"
    assert len(story.edits) == ITERATIONS * EDITS
    assert sum(c.n for c in story.credit) == ITERATIONS * TASKS * AGENTS
    assert story.edits[0].cited == 100
    assert "and 97 more" in said
    assert story.noise.tasks == 100
    assert all(t.shift is not None and len(t.shift.risen) == 20 and t.shift.rose == 120 for t in story.turns)
    assert "and 100 more" in html
    assert len(html.encode()) < BYTES
    assert took < SECONDS
