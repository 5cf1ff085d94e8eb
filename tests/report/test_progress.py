"""The progress display: it speaks at every stage, now and then in between, and its figures are right."""

from __future__ import annotations

import io
import logging
from collections.abc import Mapping
from typing import Any

import pytest
from rich.console import Console

from langgraph_truce.report import Progress


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


def event(stage: str, done: int, total: int, iteration: int = 0, calls: int = 0) -> Mapping[str, Any]:
    meter = {"task": {"calls": calls, "input_tokens": 1000 * calls, "output_tokens": None}}
    return {"stage": stage, "iteration": iteration, "done": done, "total": total, "meter": meter}


def plain() -> Console:
    return Console(file=io.StringIO(), force_terminal=False, width=200)


def lines(console: Console) -> list[str]:
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue().splitlines()


def test_a_line_says_stage_tasks_calls_tokens_and_seconds_left() -> None:
    console, clock = plain(), Clock()
    with Progress(console, clock=clock) as progress:
        progress(event("rollouts", 0, 60, iteration=2))
        clock.now += 10
        progress(event("rollouts", 20, 60, iteration=2, calls=41))

    assert lines(console) == [
        "iteration 2, rollouts: 0/60, 0 calls, 0 tokens",
        "iteration 2, rollouts: 20/60, 41 calls, 41.0k tokens, 20 s left",
    ]


def test_resumed_work_does_not_count_as_pace() -> None:
    console, clock = plain(), Clock()
    with Progress(console, clock=clock) as progress:
        progress(event("rollouts", 50, 60))
        clock.now += 10
        progress(event("rollouts", 55, 60))

    assert lines(console)[-1].endswith("10 s left")


def test_lines_are_bounded_by_time_and_stages_are_never_left_out() -> None:
    console, clock = plain(), Clock()
    with Progress(console, every=5, clock=clock) as progress:
        for done in range(101):
            clock.now += 0.1
            progress(event("rollouts", done, 100))
        progress(event("credit", 0, 0))

    said = lines(console)
    assert said[0].startswith("rollouts: 0/100")
    assert said[-2].startswith("rollouts: 100/100")
    assert said[-1] == "credit: 0 calls, 0 tokens"
    assert len(said) <= 6


def test_a_terminal_gets_a_bar(caplog: pytest.LogCaptureFixture) -> None:
    console = Console(file=io.StringIO(), force_terminal=True, width=120)
    with caplog.at_level(logging.INFO, "langgraph_truce.progress"), Progress(console) as progress:
        progress(event("rollouts", 3, 60, calls=7))
        progress(event("credit", 1, 2, iteration=1, calls=7))

    assert "iteration 1, credit" in "".join(lines(console))
    assert [r.message for r in caplog.records] == [
        "rollouts: 3/60, 7 calls, 7.0k tokens",
        "iteration 1, credit: 1/2, 7 calls, 7.0k tokens",
    ]


@pytest.mark.parametrize("terminal", [False, True])
def test_why_a_run_waits_is_said_at_once_and_in_full(terminal: bool) -> None:
    console = Console(file=io.StringIO(), force_terminal=terminal, width=200)
    waits = "openai:m has not answered since 10:00 (gone\x1b[2J); the run waits"
    with Progress(console) as progress:
        progress(event("rollouts", 3, 60, iteration=2))
        progress({**event("rollouts", 3, 60, iteration=2), "words": waits})
        progress({**event("", 0, 0), "words": "openai:m answers again"})

    said = "".join(lines(console))
    assert "iteration 2, rollouts: openai:m has not answered since 10:00 (gone␛[2J); the run waits" in said
    assert "openai:m answers again" in said
    assert "\x1b[2J); the" not in said
