"""The report of a run for a terminal: scores, credit, edits with their evidence, what it cost."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from rich.console import Console, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from langgraph_truce.seams import Comparison

WIDTH = 110
"""Columns of a report that is not shown on a terminal."""

SHOWN = 3
"""Tasks and steps that are named; the rest is counted."""

TOTAL = "total"
"""The meter's row for all purposes together."""

STYLE = {"accept": "green", "reject": "red", "inconclusive": "yellow", "pruned": "dim"}
"""Colour of a verdict."""


class Score(Protocol):
    """A mean score with its interval."""

    @property
    def mean(self) -> float:
        """In [0, 1]."""

    @property
    def low(self) -> float:
        """Lower end of the interval."""

    @property
    def high(self) -> float:
        """Upper end."""

    @property
    def n(self) -> int:
        """Tasks."""


class RunResult(Protocol):
    """What a report needs of a finished run (or of one that was read back)."""

    @property
    def baseline(self) -> Score:
        """Sealed test, rules as they came."""

    @property
    def final(self) -> Score:
        """Sealed test, rules as they are now."""

    @property
    def difference(self) -> Comparison:
        """Final against baseline on the test tasks, two-sided."""

    @property
    def ledger(self) -> Sequence[Mapping[str, Any]]:
        """One record per edit that was tried."""

    @property
    def iterations(self) -> Sequence[Mapping[str, Any]]:
        """One record per iteration."""

    @property
    def credits(self) -> Mapping[str, Mapping[str, Any]]:
        """Role -> `{"mean", "n"}`, and "rounds" where known: round -> mean."""

    @property
    def meter(self) -> Mapping[str, Mapping[str, Any]]:
        """Purpose -> calls, hits, tokens, seconds; "total" is all of them."""

    @property
    def missed(self) -> Mapping[str, int]:
        """Role path -> calls that no found prompt has the text of."""

    @property
    def refused(self) -> Mapping[str, int]:
        """Why contributions could not be replayed -> how many."""

    @property
    def folder(self) -> Path:
        """The run folder."""


def render(result: RunResult, width: int = WIDTH) -> str:
    """The report as plain text, at most `width` columns wide."""
    console = Console(file=io.StringIO(), width=width, color_system=None, force_terminal=False)
    show(result, console)
    assert isinstance(console.file, io.StringIO)
    return "".join(f"{line.rstrip()}\n" for line in console.file.getvalue().splitlines())


def show(result: RunResult, console: Console) -> None:
    """Print the report, in colour where the console has it."""
    parts: tuple[tuple[str, RenderableType], ...] = (
        ("Sealed test", scores(result)),
        ("Iterations", iterations(result.iterations)),
        ("Credit by role", credits_by_role(result.credits)),
        ("Edits", edits(result.ledger)),
        ("Model calls", meter(result.meter)),
    )
    for title, part in parts:
        console.print(Text(title, style="bold"))
        console.print(Padding(part, (0, 0, 1, 2)))
    for role, calls in sorted(result.missed.items()):
        where = f"from {role}" if role else "from raw threads"
        console.print(
            Text(f"{calls} model calls {where} have no prompt that discovery found: they went out unchanged.")
        )
    for why, number in sorted(result.refused.items(), key=lambda item: (-item[1], item[0])):
        plural = "" if number == 1 else "s"
        console.print(Text(f"{number} contribution{plural} could not be replayed: {why.rstrip('.')}."))
    console.print(Text(f"Run folder: {result.folder}"), soft_wrap=True)


def scores(result: RunResult) -> RenderableType:
    """Baseline and final with intervals, and the paired difference."""
    table = _table("rules", "score", "interval", "tasks")
    for name, score in (("as they came", result.baseline), ("as they are now", result.final)):
        table.add_row(name, f"{score.mean:.3f}", f"{score.low:.3f} to {score.high:.3f}", str(score.n))
    d = result.difference
    table.add_row("difference", f"{d.estimate:+.3f}", f"{d.low:+.3f} to {d.high:+.3f}", str(d.n))
    words = f"{p_value(d.p_value)} (paired, two-sided); {len(d.fixed)} tasks fixed, {len(d.broken)} broken"
    left_out = sum(d.excluded.values())
    return _stack(table, Text(words + (f"; {left_out} rollouts left out" if left_out else "")))


def iterations(rows: Sequence[Mapping[str, Any]]) -> RenderableType:
    """One line per iteration: score on train, on validation, and the gate's sentence."""
    if not rows:
        return Text("none")
    table = _table("", "train", "validation", "decision", "why")
    for row in rows:
        before, after = row.get("validation_baseline"), row.get("validation_candidate")
        tried = row.get("trials", True) and before is not None and after is not None
        moved = f"{before:.3f} -> {after:.3f}" if tried else ""
        train = row.get("train_score")
        table.add_row(
            str(row["iteration"]),
            f"{train:.3f}" if train is not None else "",
            moved,
            _verdict(str(row.get("decision", ""))),
            Text(str(row.get("words", ""))),
        )
    return table


def credits_by_role(credits_: Mapping[str, Mapping[str, Any]]) -> RenderableType:
    """Mean credit of each role, worst first; by round where it is known."""
    if not credits_:
        return Text("none was assigned")
    rounds = sorted({int(r) for c in credits_.values() for r in c.get("rounds", {})})
    table = _table("role", "mean credit", "credits", *(f"round {r}" for r in rounds))
    for role, credit in sorted(credits_.items(), key=lambda item: (item[1]["mean"], item[0])):
        by_round = {int(r): v for r, v in credit.get("rounds", {}).items()}
        cells = [f"{by_round[r]:+.2f}" if r in by_round else "" for r in rounds]
        table.add_row(Text(role), f"{credit['mean']:+.2f}", f"{credit['n']:.0f}", *cells)
    return table


def edits(ledger: Sequence[Mapping[str, Any]]) -> RenderableType:
    """Each edit that was tried: verdict with its figures, text, reason, and the tasks and steps it rests on."""
    if not ledger:
        return Text("none was tried")
    table = Table.grid(padding=(0, 2, 1, 0))
    for row in ledger:
        table.add_row(str(row["iteration"]), _edit(row))
    return _stack(
        table,
        Text("The figures are of the joint set that was tested; p against what the iteration may spend."),
    )


def _edit(row: Mapping[str, Any]) -> Text:
    edit, wish = row["edit"], row["edit"].get("suggestion") or {}
    decision, rule = str(row["decision"]), row.get("rule_id") or edit.get("rule") or "(new)"
    block = Text.assemble(
        (f"{edit['op']} {edit['agent']} {rule}", "bold"), ": ", (decision, STYLE.get(decision, ""))
    )
    if row.get("p_value") is not None:
        block.append(f", {row['estimate']:+.3f}, p {row['p_value']:.3g} of {row.get('alpha', 1.0):.3g}")
        block.append(f", {len(row.get('fixed', ()))} tasks fixed, {len(row.get('broken', ()))} broken")
    block.append("\n" + str(edit["text"] or row.get("before", "")))
    asked = [f"asked for by {wish['support']:.0%} of the tasks"] if wish.get("support") else []
    asked += [f"tasks {_some(wish['tasks'])}"] if wish.get("tasks") else []
    steps = [str(step).rpartition("/")[2] for step in wish.get("evidence", ())]
    asked += [f"steps {_some(steps)}"] if steps else []
    for line in (wish.get("reason", ""), "; ".join(asked)):
        block.append(f"\n{line}" if line else "", style="dim")
    return block


def _some(names: Sequence[str]) -> str:
    """The first few names, and how many more there are."""
    there = list(dict.fromkeys(names))
    more = f" and {len(there) - SHOWN} more" if len(there) > SHOWN else ""
    return ", ".join(there[:SHOWN]) + more


def meter(rows: Mapping[str, Mapping[str, Any]]) -> RenderableType:
    """Calls and tokens per purpose, and how many replies the journal gave for nothing."""
    if not rows:
        return Text("none")
    table = _table("purpose", "calls", "from the journal", "tokens in", "tokens out", "seconds")
    for purpose, row in sorted(rows.items(), key=lambda item: (item[0] == TOTAL, item[0])):
        figures = (
            float(row.get(c) or 0) for c in ("calls", "hits", "input_tokens", "output_tokens", "seconds")
        )
        name = "all" if purpose == TOTAL else purpose or "other"
        table.add_row(Text(name), *(f"{figure:,.0f}" for figure in figures))
    return table


def p_value(p: float) -> str:
    """A p-value as people write it."""
    return "p < 0.001" if p < 0.001 else f"p = {p:.3f}"  # noqa: PLR2004 - the usual smallest figure


def _verdict(decision: str) -> Text:
    return Text(decision, style=STYLE.get(decision, ""))


def _table(*columns: str) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for column in columns:
        # the figures stay on one line, the sentences give way
        table.add_column(
            column, overflow="fold", no_wrap=column != "why", ratio=1 if column == "why" else None
        )
    return table


def _stack(*parts: RenderableType) -> Table:
    grid = Table.grid()
    for part in parts:
        grid.add_row(part)
    return grid
