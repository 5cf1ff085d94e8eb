"""`langgraph-truce optimize`: the main job."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import typer

from langgraph_truce.cli import job, options

if TYPE_CHECKING:
    from langgraph_truce.bind.found import Prompts
    from langgraph_truce.optimizer import Result

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
) -> None:
    """Run the system on the tasks, credit its agents, edit rules, prove the edits on held-out tasks."""
    chosen = job.method(method, iterations)
    splits = job.Files(train, validation, test, input_columns, output_columns).splits()
    score = job.score(evaluator, objective)
    critic = job.model(model, method)
    own = options.settings(tool, outputs)
    system = job.load_system(app, rules, aggregator, splits.train, run, settings=own)

    from langgraph_truce.optimizer import optimize as run_it
    from langgraph_truce.report import Progress

    with Progress() as progress:
        result = run_it(
            system, splits, score, model=critic, method=chosen, run=run, seed=seed, on_event=progress
        )
    leave(result, system.prompts)


def leave(result: Result, prompts: Prompts | None = None) -> None:
    """Print the report; write the rules, the prompts they stand for and the diff into the run folder."""
    from rich.console import Console

    from langgraph_truce.bind.discover import write_prompts
    from langgraph_truce.report import show
    from langgraph_truce.rules import write_rules

    folder = Path(result.folder)
    write_rules(result.rules, folder / RULES)
    if prompts is not None:
        write_prompts(prompts, folder / RULES)
    changes = result.diff()
    (folder / DIFF).write_text(changes, encoding="utf-8")
    show(result, Console())
    typer.echo(f"Rules: {folder / RULES}\nDiff:  {folder / DIFF}\n")
    typer.echo(changes or "No edit was accepted; the rules are as they came.")
