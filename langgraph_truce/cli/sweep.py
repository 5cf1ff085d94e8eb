"""`langgraph-truce sweep`: which aggregators other thresholds would have edited in a run that was made."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Annotated, TypeVar

import typer

from langgraph_truce.cli import options

if TYPE_CHECKING:
    from langgraph_truce.optimizer.sweep import Swept

N = TypeVar("N", int, float)


def sweep(
    run: options.OldRun,
    *,
    tau: Annotated[
        str, typer.Option(help="Thresholds of the temporal credit, in [0, 1], comma-separated.")
    ] = "0.3,0.4,0.5,0.6,0.7",
    m: Annotated[
        str, typer.Option(help="Informative failures that a round must have, comma-separated.")
    ] = "1,3,5,10",
) -> None:
    """Replay a run's temporal credit with other tau and m; no model is asked and nothing is edited."""
    taus, ms = _numbers("--tau", tau, float), _numbers("--m", m, int)

    from langgraph_truce.optimizer.sweep import read_sweep

    typer.echo("\n".join(table(read_sweep(run, taus=taus, ms=ms))))


def table(swept: Swept) -> list[str]:
    """The lines that are printed; the run's own thresholds are marked."""
    lines = [
        f"{swept.run}: temporal credit of {swept.iterations} iterations, beta {swept.beta:g}; no model was asked",
        f"{'tau':>5} {'m':>4} {'edits':>6}  rounds selected, by iteration",
    ]
    for row in swept.rows:
        mark = "  (the run's own)" if swept.own == (row.tau, row.m) else ""
        lines.append(f"{row.tau:5.2f} {row.m:4} {row.edits:6}  {_rounds(row.rounds)}{mark}")
    return lines


def _rounds(rounds: Mapping[int, tuple[int, ...]]) -> str:
    return "; ".join(f"{i}: {', '.join(map(str, low))}" for i, low in rounds.items()) or "none"


def _numbers(option: str, text: str, kind: Callable[[str], N]) -> tuple[N, ...]:
    from langgraph_truce.errors import UserMistake

    words = [word.strip() for word in text.split(",") if word.strip()]
    try:
        found = tuple(kind(word) for word in words)
    except ValueError as e:
        raise UserMistake(f"{option} {text}: numbers with commas between them are expected") from e
    if not found:
        raise UserMistake(f"{option} {text!r}: at least one number is expected")
    return found
