"""`langgraph-truce new`: a ready topology as the start of an application."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def new(
    name: Annotated[str, typer.Argument(help="A ready topology, e.g. manager_worker.")],
    folder: Annotated[Path | None, typer.Argument(help="New folder for it; default: ./NAME.")] = None,
) -> None:
    """Copy a ready topology; nothing is overwritten."""
    from langgraph_truce import graphs

    made = graphs.copy(name, folder or Path(name))
    typer.echo(
        f"{name} is now in {made}. Read {made / 'README.md'}, change the rules in {made / 'rules'}, then:"
    )
    splits = " ".join(f"--{s} {made / 'data' / f'{s}.jsonl'}" for s in ("train", "validation", "test"))
    typer.echo(
        f"  langgraph-truce optimize {made}:system {splits} --evaluator {made}:score --method offline "
        f"--run runs/{made.name}"
    )
