"""`langgraph-truce revert`: take one edit back, after measuring what that does."""

from __future__ import annotations

import getpass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from langgraph_truce.cli import books, job, options

if TYPE_CHECKING:
    from langgraph_truce.optimizer import Reverted


def revert(  # noqa: PLR0913 - one parameter per option
    edit: Annotated[str, typer.Argument(help="Id of the edit, as `log` and `why` name it.")],
    run: options.OldRun,
    app: options.System,
    *,
    validation: options.Validation,
    evaluator: options.Evaluator,
    write: Annotated[str, typer.Option(help="New folder for the rules without the edit.")] = "",
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    replicates: Annotated[int, typer.Option(min=1, help="Rollouts per task with and without the edit.")] = 1,
    margin: Annotated[float, typer.Option(help="A loss of mean score that counts as none.")] = 0.02,
    rules: options.Rules = None,
    objective: options.Objective = "",
    input_columns: options.InputColumns = "",
    output_columns: options.OutputColumns = "",
    aggregator: options.Aggregator = "",
    tool: options.Tools = None,
    outputs: options.Outputs = "",
    call_timeout: options.CallTimeout = None,
    longest_pause: options.LongestPause = None,
) -> None:
    """Measure the rules without an edit against the rules as they are, then take it back."""
    if write:
        books.refuse_filled(write)
    tasks = job.tasks(validation, input_columns, output_columns)
    score = job.score(evaluator, objective)
    patience = job.patience(longest_pause)
    own = options.settings(tool, outputs)
    system = job.load_system(app, rules, aggregator, tasks, Path(run), settings=own)

    from langgraph_truce.optimizer import Recheck, Run
    from langgraph_truce.optimizer import revert as take_back

    def agree(found: Reverted) -> bool:
        typer.echo(found.text())
        return yes or typer.confirm(f"Take {edit} back?", default=False)

    recheck = Recheck(replicates, margin)
    by = getpass.getuser()
    how = Run(run, call_timeout=call_timeout, patience=patience)
    done = take_back(edit, how, system, tasks, score, agree=agree, by=by, recheck=recheck)
    if not done.applied:
        typer.echo("Nothing was changed.")
        return
    version = done.rules.version
    typer.echo(f"{edit} is reverted; the rules are now version {version}.")
    if write:
        books.write(done.rules, write)
        typer.echo(f"{len(done.rules.agents)} prompts written to {write}")
    else:
        typer.echo(f"Take them out with: langgraph-truce rules export {run} FOLDER --version {version}")
