"""`langgraph-truce demo`: the main job on the manager-worker system, offline and without a key."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer


class DemoModel(StrEnum):
    """What answers in the demo."""

    EMBEDDED = "embedded"
    SCRIPTED = "scripted"


def demo(
    *,
    model: Annotated[
        DemoModel, typer.Option(help="The embedded model, or a deterministic stand-in that runs anywhere.")
    ] = DemoModel.EMBEDDED,
    run: Annotated[
        Path, typer.Option(help="Run folder; the same folder again goes on where it stopped.")
    ] = Path("runs/demo"),
    seed: Annotated[int, typer.Option(help="Seed of every draw.")] = 0,
) -> None:
    """Optimize the manager-worker system on its own data set: plan, credit, edits, sealed test."""
    typer.echo("Loading the manager-worker system ...", err=True)

    from langgraph_truce import graphs
    from langgraph_truce.cli import plan
    from langgraph_truce.cli.optimize import leave
    from langgraph_truce.methods import offline
    from langgraph_truce.optimizer import Run, optimize
    from langgraph_truce.optimizer import plan as expect
    from langgraph_truce.report import Progress

    ready = graphs.load("manager_worker")
    system = ready.system(ready.scripted_model() if model is DemoModel.SCRIPTED else None)
    splits = ready.splits()
    method = offline()
    sizes = f"{len(splits.train)} train, {len(splits.validation)} validation, {len(splits.test)} test"
    typer.echo(
        f"{len(system.book.agents)} agents; requests: {sizes}; model: {model.value}; run folder: {run}\n"
    )
    plan.show(expect(system, splits, method))
    with Progress() as progress:
        settings = Run(run, on_event=progress)
        result = optimize(system, splits, ready.score, method=method, run=settings, seed=seed)
    leave(result)
