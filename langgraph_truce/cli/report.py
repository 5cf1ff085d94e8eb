"""`langgraph-truce report`: a run, finished or not, read back."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from langgraph_truce.cli import options


def report(
    run: options.OldRun,
    diff: Annotated[bool, typer.Option("--diff", help="Print only the accepted changes.")] = False,
    html: Annotated[
        Path | None, typer.Option(help="Write the report as one self-contained HTML page to this file.")
    ] = None,
) -> None:
    """Show scores, credit, edits with their evidence, and costs of a run; what is known so far of one that goes on."""
    from rich.console import Console

    from langgraph_truce.optimizer import read_run
    from langgraph_truce.optimizer.read import read_story
    from langgraph_truce.report import page, show

    if diff:
        typer.echo(read_run(run).diff())
        return
    story = read_story(run)
    if html is not None:
        typer.echo(f"Report: {page.write(story, html)}")
    else:
        show(story, Console())
