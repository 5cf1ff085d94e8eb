"""Scores by iteration as the geometry of a chart: where marks, intervals and labels stand. The template draws."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from langgraph_truce.report.story import Mean, Story

Series = Literal["train", "baseline", "candidate", "test"]
WIDTH, HEIGHT = 560, 240
LEFT, RIGHT, TOP, BOTTOM = 44, 12, 12, 36
"""Margins."""
OFFSETS = {"train": -9.0, "baseline": 0.0, "candidate": 9.0, "test": 0.0}
"""Marks of one iteration stand beside each other, so that intervals do not cover each other."""


@dataclass(frozen=True, slots=True)
class Mark:
    """One mean with its interval."""

    series: Series
    x: float
    y: float
    top: float
    """Of the interval."""
    bottom: float


@dataclass(frozen=True, slots=True)
class Chart:
    """Everything that is drawn, in units of the view box."""

    marks: tuple[Mark, ...]
    grid: tuple[tuple[float, str], ...]
    """Heights and labels of the horizontal lines."""
    labels: tuple[tuple[float, str], ...]
    """Places and labels under the axis."""
    width: int = WIDTH
    height: int = HEIGHT
    left: int = LEFT
    right: int = WIDTH - RIGHT
    bottom: int = HEIGHT - BOTTOM


def chart(story: Story) -> Chart | None:
    """The chart of a run; None where there is nothing to draw."""
    columns: list[tuple[str, list[tuple[Series, Mean | None]]]] = [
        (
            f"iteration {t.iteration}" if len(story.turns) < 5 else str(t.iteration),  # noqa: PLR2004 - room
            [("train", t.train), ("baseline", t.baseline), ("candidate", t.candidate)],
        )
        for t in story.turns
    ]
    if story.baseline or story.final:
        columns.append(("test before", [("test", story.baseline)]))
        columns.append(("test after", [("test", story.final)]))
    if not columns:
        return None
    step = (WIDTH - LEFT - RIGHT) / len(columns)
    places = [LEFT + step * (i + 0.5) for i in range(len(columns))]
    marks = [m for x, (_, means) in zip(places, columns, strict=True) for m in _marks(x, means)]
    grid = tuple((_height(share), f"{share:.2f}") for share in (0.0, 0.25, 0.5, 0.75, 1.0))
    return Chart(tuple(marks), grid, tuple(zip(places, (name for name, _ in columns), strict=True)))


def _marks(x: float, means: Iterable[tuple[Series, Mean | None]]) -> Iterable[Mark]:
    for series, m in means:
        if m is not None:
            yield Mark(series, x + OFFSETS[series], _height(m.mean), _height(m.high), _height(m.low))


def _height(score: float) -> float:
    return TOP + (1 - score) * (HEIGHT - TOP - BOTTOM)
