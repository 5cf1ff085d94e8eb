"""`langgraph-truce optimize`: the main job."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import typer

from langgraph_truce.cli import job, options
from langgraph_truce.errors import RunError, RunStopped

if TYPE_CHECKING:
    from langgraph_truce.bind.found import Prompts
    from langgraph_truce.optimizer import Result
    from langgraph_truce.report import Story

RULES = "rules"
"""Folder of the final rules, as Markdown, in the run folder."""
DIFF = "rules.diff"
"""The accepted changes, in the run folder."""


def optimize(  # noqa: PLR0913 - one parameter per option
    app: options.System,
    *,
    train: options.Train,
    validation: options.Validation,
    test: options.Test,
    evaluator: options.Evaluator,
    run: options.Run,
    model: options.Model = "",
    method: options.Method = "truce",
    rules: options.Rules = None,
    iterations: options.Iterations = None,
    seed: options.Seed = 0,
    objective: options.Objective = "",
    input_columns: options.InputColumns = "",
    output_columns: options.OutputColumns = "",
    aggregator: options.Aggregator = "",
    tool: options.Tools = None,
    outputs: options.Outputs = "",
    approve: options.Approve = "auto",
    budget_calls: options.BudgetCalls = None,
    budget_tokens: options.BudgetTokens = None,
    budget_usd: options.BudgetUsd = None,
    budget_seconds: options.BudgetSeconds = None,
    prices: options.PriceFile = None,
    call_timeout: options.CallTimeout = None,
    longest_pause: options.LongestPause = None,
) -> None:
    """Run the system on the tasks, credit its agents, edit rules, prove the edits on held-out tasks."""
    chosen = job.method(method, iterations)
    splits = job.Files(train, validation, test, input_columns, output_columns).splits()
    score = job.score(evaluator, objective)
    critic = job.model(model, method)
    budget = job.budget(budget_calls, budget_tokens, budget_usd, budget_seconds, prices)
    patience = job.patience(longest_pause)
    own = options.settings(tool, outputs)
    system = job.load_system(app, rules, aggregator, splits.train, run, settings=own)

    from langgraph_truce.optimizer import Run
    from langgraph_truce.optimizer import optimize as run_it
    from langgraph_truce.optimizer.read import read_story
    from langgraph_truce.optimizer.reasons import write_command
    from langgraph_truce.report import Progress

    options_ = {
        "app": app,
        "validation": validation,
        "evaluator": evaluator,
        "rules": rules,
        "objective": objective,
        "input-columns": input_columns,
        "output-columns": output_columns,
        "aggregator": aggregator,
        "outputs": outputs,
    }
    given = {name: str(value) for name, value in options_.items() if value}
    try:
        with Progress() as progress:
            settings = Run(
                run, approve=approve, on_event=progress, call_timeout=call_timeout, patience=patience
            )
            result = run_it(
                system, splits, score, model=critic, method=chosen, budget=budget, run=settings, seed=seed
            )
    except RunStopped:
        write_command(run, given)
        leave_so_far(run)
        raise
    write_command(run, given)
    leave(result, system.prompts, read_story(run))


def leave_so_far(run: Path | str) -> None:
    """Write the report of a run that stopped, with what is known so far, into its folder; say where it is."""
    from langgraph_truce.optimizer.place import Place
    from langgraph_truce.optimizer.read import read_story
    from langgraph_truce.report import page

    try:
        file = page.write(read_story(run), Place.of(run).folder / page.FILE)
        typer.echo(f"Page:  {file}")
    except RunError as e:  # the reason why it stopped matters more
        typer.echo(f"langgraph-truce: {e}", err=True)


def leave(result: Result, prompts: Prompts | None = None, story: Story | None = None) -> None:
    """Print the report; write it as a page, the rules, their prompts and the diff into the run folder.

    `story` replaces the result's own where it was read again, with the command that began the run.
    """
    from rich.console import Console

    from langgraph_truce.bind.discover import write_prompts
    from langgraph_truce.report import page, show
    from langgraph_truce.rules import write_rules

    folder = Path(result.folder)
    write_rules(result.rules, folder / RULES)
    if prompts is not None:
        write_prompts(prompts, folder / RULES)
    changes = result.diff()
    (folder / DIFF).write_text(changes, encoding="utf-8")
    story = story or result.story
    file = page.write(story, folder / page.FILE)
    show(story, Console())
    typer.echo(f"Rules: {folder / RULES}\nDiff:  {folder / DIFF}\nPage:  {file}\n")
    typer.echo(changes or "No edit was accepted; the rules are as they came.")
