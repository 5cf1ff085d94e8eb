"""A credit report for people: tables for a terminal, or plain text."""

from __future__ import annotations

import io
from collections.abc import Sequence

from rich.console import Console, Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from langgraph_truce.report.credit import CreditReport, CreditRow

WIDTH = 110
"""Columns of a report that is not shown on a terminal."""
NAME = 40
"""Columns of a name; longer ones push what comes after them aside."""
SHOWN = 20
"""Sentences of one kind that are shown; the JSON holds all."""


def render_credit(report: CreditReport, width: int = WIDTH) -> str:
    """The report as plain text, at most `width` columns wide."""
    console = Console(file=io.StringIO(), width=width, color_system=None, force_terminal=False)
    show_credit(report, console)
    assert isinstance(console.file, io.StringIO)
    return "".join(f"{line.rstrip()}\n" for line in console.file.getvalue().splitlines())


def show_credit(report: CreditReport, console: Console) -> None:
    """Print the report, in colour where the console has it."""
    console.print(Text(_headline(report)))
    console.print()
    parts = (
        ("Credit by round", report.rounds),
        ("Credit by role, worst first", report.roles),
        ("Credit by rule, worst first", report.rules),
    )
    for title, rows in parts:
        console.print(Text(title, style="bold"))
        console.print(Padding(_table(rows), (0, 0, 1, 2)))
    for title, sentences in (
        ("Not known", report.unknown),
        ("Not read or judged, or not all of it", report.problems),
    ):
        if sentences:
            console.print(Text(title, style="bold"))
            console.print(Padding(_sentences(sentences), (0, 0, 1, 2)))


def _headline(report: CreditReport) -> str:
    score = f", mean score {report.score:.3f}" if report.score is not None else ""
    left_out = f"; {report.left_out} left out" if report.left_out else ""
    return f"{counted_threads(report.threads)} judged by {report.source}{score}{left_out}"


def _table(rows: Sequence[CreditRow]) -> RenderableType:
    if not rows:
        return Text("not known")
    values = [_value(row) for row in rows]
    name_wide, value_wide = min(NAME, max(len(row.name) for row in rows)), max(map(len, values))
    parts: list[RenderableType] = []
    for row, value in zip(rows, values, strict=True):
        value.pad_right(value_wide - len(value))
        name = (row.name.ljust(name_wide), "bold")
        parts.append(Text.assemble(name, "  ", value, "  ", (_count(row), "dim")))
        told = [Text(" ".join(row.text.split()))] if row.text else []
        told += [Text(words) for words in row.words[:1]]
        told += [Text.assemble((f"{s.thread} {s.step}: ", "dim"), s.quote) for s in row.steps]
        # below the name, not beside it: role paths may be as long as the page is wide
        parts += [Padding(text, (0, 0, 0, 4)) for text in told]
    return Group(*parts)


def _value(row: CreditRow) -> Text:
    if row.value is None:
        return Text("" if row.influence is None else f"influence {row.influence:.3f}")
    return Text(f"{row.value:+.2f}", style="red" if row.value < 0 else "green")


def _count(row: CreditRow) -> str:
    return f"{row.credits} {'credit' if row.credits == 1 else 'credits'}, {counted_threads(row.tasks)}"


def counted_threads(number: int) -> str:
    """`1 thread`, `2 threads`."""
    return f"{number} {'thread' if number == 1 else 'threads'}"


def _sentences(sentences: Sequence[str]) -> RenderableType:
    grid = Table.grid()
    for sentence in sentences[:SHOWN]:
        grid.add_row(Text(sentence, overflow="fold"))
    if len(sentences) > SHOWN:
        grid.add_row(Text(f"and {len(sentences) - SHOWN} more"))
    return grid
