"""`langgraph-truce plan`: what a run will ask of its models, before it asks."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from langgraph_truce.cli import job, options

if TYPE_CHECKING:
    from langgraph_truce.model import Budget
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
    model: options.Model = "",
    task_model: Annotated[
        str,
        typer.Option(
            help="The system's own model, as --model; its price and output limit make the range narrower."
        ),
    ] = "",
    rules: Annotated[
        Path | None,
        typer.Option(
            help="Folder of rule files (ROLE.md). A bare graph needs it: `rules discover` writes it, by running examples."
        ),
    ] = None,
    iterations: options.Iterations = None,
    calls_per_task: Annotated[
        float | None,
        typer.Option(min=0, help="Model calls of one rollout; default: the system's own figure."),
    ] = None,
    input_columns: options.InputColumns = "",
    output_columns: options.OutputColumns = "",
    aggregator: options.Aggregator = "",
    tool: options.Tools = None,
    budget_calls: options.BudgetCalls = None,
    budget_tokens: options.BudgetTokens = None,
    budget_usd: options.BudgetUsd = None,
    budget_seconds: options.BudgetSeconds = None,
    prices: options.PriceFile = None,
) -> None:
    """Say how many model calls, tokens and dollars `optimize` would spend, and whether a budget suffices; nothing is run."""
    from dataclasses import replace

    chosen = job.method(method, iterations)
    splits = job.Files(train, validation, test, input_columns, output_columns).splits()
    system = job.load_system(app, rules, aggregator, settings=options.settings(tool))
    system.in_process("optimize")
    if evaluator:
        job.score(evaluator, objective)
    if calls_per_task is not None:
        system = replace(system, calls=calls_per_task)
    budget = job.budget(budget_calls, budget_tokens, budget_usd, budget_seconds, prices)

    from langgraph_truce.cli import target
    from langgraph_truce.model import resolve_model
    from langgraph_truce.optimizer import plan as expect
    from langgraph_truce.optimizer.doors import asked

    known = [
        asked(resolve_model(target.model(name)), budget.price_list) if name else None
        for name in (model, task_model)
    ]
    critics = {"": known[0]} if known[0] else {}
    expected = expect(system, splits, chosen, critics=critics, task=known[1])
    show(expected)
    if budget.capped:
        typer.echo("\n".join(verdicts(expected, budget)))


def show(expected: Plan) -> None:
    """Print the plan as a table."""
    from rich.console import Console
    from rich.table import Table

    table = Table(
        "purpose",
        "calls",
        "tokens",
        "dollars",
        "counted as",
        title="What the run will spend: fewest to most",
        title_justify="left",
        box=None,
    )
    for row in expected.rows:
        calls = _range((row.low, row.high))
        table.add_row(row.purpose, calls, _range(row.tokens), _dollars(row.usd), row.words)
    total = _range((expected.low, expected.high)), _range(expected.tokens), _dollars(expected.usd)
    table.add_row("all", *total, "replies in the journal of the run are free")
    console = Console()
    console.print(table)
    console.print(f"Tokens: {expected.assumed}. Judges in the evaluator are not counted.", soft_wrap=True)
    if expected.usd is None:
        console.print("Dollars: name the models (--model, --task-model), or their prices (--prices).")


def verdicts(expected: Plan, budget: Budget) -> list[str]:
    """For every cap, whether it suffices, and for what."""
    test = expected.row("test")
    need: dict[str, tuple[float, float, float, float] | None] = {
        "calls": (expected.low, expected.high, test.low, test.high),
        "tokens": (*expected.tokens, *test.tokens),
        "usd": None if expected.usd is None or test.usd is None else (*expected.usd, *test.usd),
    }
    said = []
    for name, amounts in need.items():
        cap = getattr(budget, name)
        if cap is not None:
            unit = "$" if name == "usd" else ""
            named = f"{unit}{cap:,g}" if unit else f"{cap:,} {name}"
            said.append(f"A budget of {named} {_suffices(cap, amounts)}.")
    if budget.seconds is not None:
        said.append(
            f"A budget of {budget.seconds:g} seconds: how long calls take is not known before they are made."
        )
    return said


def _suffices(cap: float, need: tuple[float, float, float, float] | None) -> str:
    if need is None:
        return "cannot be compared: the price of a model is unknown"
    low, high, least, test = need
    if cap >= high:
        return "suffices for all of it"
    if cap >= low:
        return (
            "suffices for the least of it: at the cap the run ends with the best proven rules and their test"
        )
    if cap > test:
        return "does not suffice for all iterations: the run will end early with its sealed test"
    return f"{'does' if cap < least else 'may'} not suffice even for the sealed test at the end"


def _range(amounts: tuple[int, int]) -> str:
    low, high = amounts
    return f"{low:,}" if low == high else f"{low:,} to {high:,}"


def _dollars(amounts: tuple[float, float] | None) -> str:
    return "unknown" if amounts is None else f"{amounts[0]:,.2f} to {amounts[1]:,.2f}"
