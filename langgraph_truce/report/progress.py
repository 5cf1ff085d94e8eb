"""What a run is doing, all the time: a bar on a terminal, plain lines everywhere else, and lines in the log."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, TaskID, TextColumn
from rich.progress import Progress as Bars

from langgraph_truce.report.visible import visible

log = logging.getLogger("langgraph_truce.progress")

TOTAL = "total"
"""The meter's row for all purposes together."""
EVERY = 5.0
"""Seconds between two plain lines of one stage."""

Event = Mapping[str, Any]
"""`{"stage": str, "iteration": int, "done": int, "total": int, "meter": {purpose: {"calls", "input_tokens", ...}}}`; a pause
has `"words"`."""


@dataclass(frozen=True, slots=True)
class Sight:
    """One event in words."""

    stage: str
    """ "iteration 2, credit"."""
    done: int
    total: int
    """Of the stage; 0 where unknown."""
    calls: int
    """Model calls of the run so far; replies read from the journal are not among them."""
    tokens: int
    """Tokens of the run so far, in and out."""
    left: float | None
    """Seconds until the stage ends at its present pace; None before anything is done."""

    def line(self) -> str:
        """All of it in one line."""
        count = [f"{self.done}/{self.total}"] if self.total else []
        left = [f"{_clock(self.left)} left"] if self.left else []
        figures = [*count, f"{self.calls} calls", f"{_many(self.tokens)} tokens", *left]
        return f"{self.stage}: {', '.join(figures)}"


class Progress:
    """The progress display of one run: a context manager that is called with each event.

    Args:
        console: where it is shown; default: stderr, so that results can be piped.
        every: seconds between two plain lines of one stage.
        clock: seconds, monotonic.
    """

    def __init__(
        self,
        console: Console | None = None,
        *,
        every: float = EVERY,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._console = console or Console(stderr=True)
        self._every = every
        self._clock = clock
        self._stage = ""
        self._started = 0.0
        self._first = 0
        self._said = float("-inf")
        self._bars = _bars(self._console) if self._console.is_terminal else None
        self._bar: TaskID | None = None

    def __enter__(self) -> Progress:
        if self._bars:
            self._bars.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bars:
            self._bars.stop()

    def __call__(self, event: Event) -> None:
        """Show `event`; while a person is asked (stage `review`) the bar is out of the way.

        What an event says in words, why the run waits or that it goes on, is shown at once, on a line of its own.
        """
        if words := event.get("words"):
            said = visible(f"{_stage(event)}: {words}" if event["stage"] else str(words))
            self._console.print(said, markup=False, highlight=False, soft_wrap=True)
            return
        if self._bars:
            (self._bars.stop if event["stage"] == "review" else self._bars.start)()
        new = self._enter_stage(event)
        sight = self._sight(event)
        if self._bars:
            self._draw(self._bars, sight, new=new)
        over = sight.total > 0 and sight.done >= sight.total
        if new or over or self._clock() - self._said >= self._every:
            self._said = self._clock()
            log.info(sight.line())
            if not self._bars:
                self._console.print(sight.line(), markup=False, highlight=False, soft_wrap=True)

    def _enter_stage(self, event: Event) -> bool:
        stage = _stage(event)
        if stage == self._stage:
            return False
        self._stage, self._started, self._first = stage, self._clock(), int(event.get("done", 0))
        return True

    def _sight(self, event: Event) -> Sight:
        done, total = int(event.get("done", 0)), int(event.get("total", 0))
        meter = [row for purpose, row in event.get("meter", {}).items() if purpose != TOTAL]
        tokens = sum(m.get("input_tokens") or 0 for m in meter) + sum(
            m.get("output_tokens") or 0 for m in meter
        )
        gained = done - self._first
        pace = (self._clock() - self._started) / gained if gained > 0 else None
        left = pace * (total - done) if pace is not None else None
        return Sight(self._stage, done, total, sum(m.get("calls") or 0 for m in meter), tokens, left)

    def _draw(self, bars: Bars, sight: Sight, *, new: bool) -> None:
        if new or self._bar is None:
            if self._bar is not None:
                bars.remove_task(self._bar)
            self._bar = bars.add_task(sight.stage, total=sight.total or None, tail="")
        tail = sight.line().removeprefix(f"{sight.stage}: ")
        bars.update(self._bar, completed=sight.done, total=sight.total or None, tail=tail)


def _bars(console: Console) -> Bars:
    return Bars(
        TextColumn("{task.description}", markup=False),
        BarColumn(bar_width=24),
        TextColumn("{task.fields[tail]}", markup=False),
        console=console,
        transient=True,
    )


def _stage(event: Event) -> str:
    iteration = int(event.get("iteration", 0))
    return f"iteration {iteration}, {event['stage']}" if iteration else str(event["stage"])


_THOUSAND = 1000
_MINUTE = 60


def _many(n: int) -> str:
    return (
        str(n)
        if n < _THOUSAND
        else f"{n / _THOUSAND:.1f}k"
        if n < _THOUSAND**2
        else f"{n / _THOUSAND**2:.1f}M"
    )


def _clock(seconds: float) -> str:
    whole = round(seconds)
    return f"{whole} s" if whole < _MINUTE else f"{whole // _MINUTE}:{whole % _MINUTE:02d} min"
