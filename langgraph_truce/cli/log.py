"""`langgraph-truce log`: what happened to the rules of a run, newest last."""

from __future__ import annotations

import json
from enum import StrEnum
from typing import Annotated

import typer

from langgraph_truce.cli import options


class Decision(StrEnum):
    """What the ledger says of an edit."""

    ACCEPT = "accept"
    PRUNED = "pruned"
    REJECT = "reject"
    INCONCLUSIVE = "inconclusive"
    ERROR = "error"
    DECLINED = "declined"
    DEFERRED = "deferred"
    REVERTED = "reverted"


def log(
    run: options.OldRun,
    *,
    agent: Annotated[str, typer.Option(help="Only this agent.")] = "",
    decision: Annotated[Decision | None, typer.Option(help="Only edits that were decided like this.")] = None,
    iteration: Annotated[int | None, typer.Option(min=1, help="Only this iteration.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object a line.")] = False,
) -> None:
    """Print every edit that was tried and what became of it, oldest first; a run that goes on can be looked at."""
    from langgraph_truce.optimizer import read_ledger
    from langgraph_truce.optimizer.proposal import waiting
    from langgraph_truce.optimizer.reasons import log_words

    ledger = read_ledger(run)
    lines = ledger.select(agent=agent, decision=decision or "", iteration=iteration)
    if as_json:
        for line in lines:
            typer.echo(json.dumps(line))
        return
    for words in log_words(lines):
        typer.echo(words)
    if not lines:
        typer.echo("No edit was tried." if not ledger.lines else "No line of the ledger is like this.")
    if ledger.waiting:
        typer.echo(f"Waiting: {waiting(ledger.waiting)}.")
    elif not ledger.finished:
        typer.echo("The run is not finished.")
    elif ledger.deferred:
        typer.echo(f"Deferred to the end, not applied: {', '.join(ledger.deferred)}.")
