"""`langgraph-truce plan`: the model calls a run will make, before it makes one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from langgraph_truce.cli import job, options

if TYPE_CHECKING:
    from langgraph_truce.optimizer import Plan


def plan(  # noqa: PLR0913 - one parameter per option
    app: options.System,
    *,
    train: options.Train,
    validation: options.Validation,
    test: options.Test,
    evaluator: options.Evaluator = "",
    objective: options.Objective = "",
    method: options.Method = "truce",
    rules: options.Rules = None,
    iterations: options.Iterations = None,
    calls_per_task: Annotated[
        float | None,
        typer.Option(min=0, help="Model calls of one rollout; default: the system's own figure."),
    ] = None,
    input_columns: options.InputColumns = "",
    output_columns: options.OutputColumns = "",
    aggregator: options.Aggregator = "",
    tool: options.Tools = None,
) -> None:
    """Say how many model calls `optimize` would make; nothing is run."""
    from dataclasses import replace

    chosen = job.method(method, iterations)
    splits = job.Files(train, validation, test, input_columns, output_columns).splits()
    system = job.load_system(app, rules, aggregator, settings=options.settings(tool))
    system.in_process("optimize")
    if evaluator:
        job.score(evaluator, objective)
    if calls_per_task is not None:
        system = replace(system, calls=calls_per_task)

    from langgraph_truce.optimizer import plan as expect

    show(expect(system, splits, chosen))


def show(expected: Plan) -> None:
    """Print the plan as a table."""
    from rich.console import Console
    from rich.table import Table

    table = Table(
        "purpose",
        "calls at least",
        "at most",
        "counted as",
        title="Model calls",
        title_justify="left",
        box=None,
    )
    for row in expected.rows:
        table.add_row(row.purpose, f"{row.low:,}", f"{row.high:,}", row.words)
    table.add_row(
        "all", f"{expected.low:,}", f"{expected.high:,}", "replies in the journal of the run are free"
    )
    Console().print(table)
