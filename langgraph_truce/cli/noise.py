"""`langgraph-truce noise`: the unedited system against itself: what luck alone does to the scores."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from langgraph_truce.cli import job, options


def noise(  # noqa: PLR0913 - one parameter per option
    app: options.System,
    tasks: Annotated[Path, typer.Option(help="Task file (.jsonl, .csv): the validation tasks, say.")],
    evaluator: options.Evaluator,
    *,
    run: options.Run,
    replicates: Annotated[
        int,
        typer.Option(
            min=1, help="Runs of each task in each of the two arms; the system runs twice that often."
        ),
    ] = 2,
    iterations: Annotated[
        int, typer.Option(min=1, help="K: a gate of the run that is planned may spend alpha / K.")
    ] = 5,
    alpha: Annotated[
        float, typer.Option(min=0, max=1, help="Chance of a false accept in that run, above 0 and below 1.")
    ] = 0.05,
    rules: options.Rules = None,
    seed: options.Seed = 0,
    objective: options.Objective = "",
    input_columns: options.InputColumns = "",
    output_columns: options.OutputColumns = "",
    outputs: options.Outputs = "",
    budget_calls: options.BudgetCalls = None,
    budget_tokens: options.BudgetTokens = None,
    budget_usd: options.BudgetUsd = None,
    budget_seconds: options.BudgetSeconds = None,
    prices: options.PriceFile = None,
    call_timeout: options.CallTimeout = None,
    longest_pause: options.LongestPause = None,
) -> None:
    """Run the system against itself: the noise floor, tasks that flip, and the tasks needed to see a gain.

    Nothing is edited. The run folder then holds noise.json; the same command goes on where it stopped.
    """
    from langgraph_truce.errors import UserMistake

    if not 0 < alpha < 1:
        raise UserMistake(f"--alpha {alpha}: a number above 0 and below 1 is expected")
    chosen = job.tasks(tasks, input_columns, output_columns)
    score = job.score(evaluator, objective)
    budget = job.budget(budget_calls, budget_tokens, budget_usd, budget_seconds, prices)
    patience = job.patience(longest_pause)
    system = job.load_system(app, rules, "", chosen, run, settings=options.settings(outputs=outputs))

    from langgraph_truce.gate.noise import noise_text
    from langgraph_truce.optimizer import Run
    from langgraph_truce.optimizer.noise import NOISE
    from langgraph_truce.optimizer.noise import noise as measure
    from langgraph_truce.optimizer.place import Place
    from langgraph_truce.report import Progress

    with Progress() as progress:
        found = measure(
            system,
            chosen,
            score,
            replicates=replicates,
            level=alpha / iterations,
            budget=budget,
            run=Run(run, on_event=progress, call_timeout=call_timeout, patience=patience),
            seed=seed,
        )
    typer.echo(noise_text(found.noise, iterations))
    if found.stopped:
        typer.echo(f"Ended early after {found.ran} of {found.planned} rollouts: {found.stopped}")
    typer.echo(f"Figures: {Place.of(run).folder / NOISE}")
