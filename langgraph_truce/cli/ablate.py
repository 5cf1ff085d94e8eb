"""`langgraph-truce ablate`: the accepted changes of one agent at a time, measured again after the run."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from langgraph_truce.cli import job, options


def ablate(  # noqa: PLR0913 - one parameter per option
    run: options.OldRun,
    app: options.System,
    *,
    validation: options.Validation,
    evaluator: options.Evaluator,
    replicates: Annotated[int, typer.Option(min=1, help="Rollouts per task with each set of rules.")] = 1,
    plan: Annotated[
        bool, typer.Option("--plan", help="Say what it would ask of the model, and run nothing.")
    ] = False,
    rules: options.Rules = None,
    seed: options.Seed = 0,
    objective: options.Objective = "",
    input_columns: options.InputColumns = "",
    output_columns: options.OutputColumns = "",
    aggregator: options.Aggregator = "",
    tool: options.Tools = None,
    outputs: options.Outputs = "",
    budget_calls: options.BudgetCalls = None,
    budget_tokens: options.BudgetTokens = None,
    budget_usd: options.BudgetUsd = None,
    budget_seconds: options.BudgetSeconds = None,
    prices: options.PriceFile = None,
    call_timeout: options.CallTimeout = None,
    longest_pause: options.LongestPause = None,
) -> None:
    """Measure what a finished run's changes do one agent at a time, then all roles, all aggregators, and everything.

    It starts from the rules that the run began with and runs the validation tasks again. There is no error control: the figures
    describe the run after the fact. The run folder then holds ablation.json; the same command goes on where it stopped.
    """
    tasks = job.tasks(validation, input_columns, output_columns)
    score = job.score(evaluator, objective)
    budget = job.budget(budget_calls, budget_tokens, budget_usd, budget_seconds, prices)
    patience = job.patience(longest_pause)
    own = options.settings(tool, outputs)
    system = job.load_system(app, rules, aggregator, tasks, Path(run), settings=own)

    from langgraph_truce.optimizer import Run
    from langgraph_truce.optimizer.ablated import ABLATION
    from langgraph_truce.optimizer.ablation import ablation, ablation_plan
    from langgraph_truce.optimizer.place import Place
    from langgraph_truce.report import Progress

    expected = ablation_plan(run, system, tasks, replicates=replicates)
    typer.echo(expected.text())
    if plan:
        return
    with Progress() as progress:
        how = Run(run, on_event=progress, call_timeout=call_timeout, patience=patience)
        found = ablation(how, system, tasks, score, replicates=replicates, budget=budget, seed=seed)
    if found.rows:
        typer.echo(found.text())
    if found.stopped:
        typer.echo(f"Ended early after {found.ran} of {found.planned} rollouts: {found.stopped}")
    typer.echo(f"Figures: {Place.of(run).folder / ABLATION}")
