"""The command line: one module per command; this one joins them and turns errors into exit codes.

Exit codes: 0 done, 1 the run failed, 2 something the user can put right, 130 Ctrl-C (nothing is lost).
Heavy libraries are imported inside the commands, so that `--help` and mistakes answer at once.
"""

from __future__ import annotations

import os
import shlex
import sys
from typing import Any

import typer
from typer.core import TyperGroup

from langgraph_truce.cli import credit, demo, doctor, evaluate, new, optimize, plan, report, rules
from langgraph_truce.errors import TruceError

__all__ = ["app", "main"]

INTERRUPTED = 130
"""Exit status after Ctrl-C, as shells count it."""


class _Commands(TyperGroup):
    """Errors raised on purpose become one sentence on stderr and an exit code."""

    def invoke(self, ctx: Any) -> Any:
        """Run the command that was asked for."""
        try:
            return super().invoke(ctx)
        except TruceError as e:
            typer.echo(f"langgraph-truce: {e}", err=True)
            raise typer.Exit(e.exit_code) from e
        except KeyboardInterrupt as e:
            again = shlex.join(["langgraph-truce", *sys.argv[1:]])
            typer.echo(
                "\nlanggraph-truce: interrupted; every finished model reply is kept. "
                f"The same command goes on from here: {again}",
                err=True,
            )
            raise typer.Exit(INTERRUPTED) from e


app = typer.Typer(
    name="langgraph-truce",
    cls=_Commands,
    help="Finds which agent, in which round, because of which rule of its prompt, lost the task, and fixes that rule.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
app.command()(optimize.optimize)
app.command()(plan.plan)
app.command()(evaluate.evaluate)
app.command()(credit.credit)
app.add_typer(rules.app, name="rules")
app.command()(report.report)
app.command()(new.new)
app.command()(demo.demo)
app.command()(doctor.doctor)


def main() -> None:
    """Entry point of `langgraph-truce`."""
    # traces leave the machine; whoever wants them says so
    os.environ.setdefault("LANGSMITH_TRACING", "false")
    app()
