"""`langgraph-truce report`: a run folder, read back."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def report(
    run: Annotated[Path, typer.Argument(help="Run folder.")],
    diff: Annotated[bool, typer.Option("--diff", help="Print only the accepted changes.")] = False,
) -> None:
    """Show scores, credit, edits with their evidence, and model calls of a run."""
    from rich.console import Console

    from langgraph_truce.optimizer import read_run
    from langgraph_truce.report import show

    result = read_run(run)
    if diff:
        typer.echo(result.diff())
    else:
        show(result, Console())
