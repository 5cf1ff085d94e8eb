"""The command line: one module per command; this one joins them and turns errors into exit codes.

The exit codes stand in `CODES`, which `--help` shows.
Heavy libraries are imported inside the commands, so that `--help` and mistakes answer at once.
"""

from __future__ import annotations

import errno
import os
import re
import shlex
import sys
from typing import Any

import typer
from typer.core import TyperGroup

from langgraph_truce.cli import (
    ablate,
    credit,
    demo,
    doctor,
    evaluate,
    log,
    new,
    noise,
    optimize,
    plan,
    report,
    revert,
    rules,
    sweep,
    why,
)
from langgraph_truce.drain import drained_by_sigterm
from langgraph_truce.errors import Drained, TruceError

__all__ = ["app", "main"]

CODES = (
    "Exit codes: 0 done; 1 the run failed, or a budget was spent before there was a result; 2 something you can put right; "
    "3 edits wait for a person's answer; 75 an endpoint is down; 130 Ctrl-C; 143 SIGTERM. After 3, 75, 130 and 143 nothing "
    "is lost: the same command goes on."
)
"""How a command ends."""
INTERRUPTED = 130
"""Exit status after Ctrl-C, as shells count it."""
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_SECRET = re.compile(r"(://[^/@:]*:(?=[^/@]*@)|password=)[^/@&#]*")


class _Commands(TyperGroup):
    """Errors raised on purpose become one sentence on stderr and an exit code."""

    def invoke(self, ctx: Any) -> Any:
        """Run the command that was asked for."""
        try:
            with drained_by_sigterm():
                return super().invoke(ctx)
        except Drained as e:
            typer.echo(f"langgraph-truce: {e}. The same command goes on from here: {_again()}", err=True)
            raise typer.Exit(e.exit_code) from e
        except TruceError as e:
            typer.echo(f"langgraph-truce: {e}", err=True)
            raise typer.Exit(e.exit_code) from e
        except KeyboardInterrupt as e:
            typer.echo(
                "\nlanggraph-truce: interrupted; every finished model reply is kept. "
                f"The same command goes on from here: {_again()}",
                err=True,
            )
            raise typer.Exit(INTERRUPTED) from e
        except OSError as e:
            if e.errno not in _FULL:
                raise
            where = f" ({e.filename})" if e.filename else ""
            typer.echo(
                f"langgraph-truce: no room left to write{where}; make room and give the same command again",
                err=True,
            )
            raise typer.Exit(1) from e


def _again() -> str:
    """The command that was given; the password of a URL is not shown."""
    return shlex.join(["langgraph-truce", *(_SECRET.sub(_masked, word) for word in sys.argv[1:])])


def _masked(found: re.Match[str]) -> str:
    return f"{found[1]}***"


app = typer.Typer(
    name="langgraph-truce",
    cls=_Commands,
    help="Finds which agent, in which round, because of which rule of its prompt, lost the task, and fixes that rule.",
    epilog=CODES,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
app.command()(optimize.optimize)
app.command()(plan.plan)
app.command()(evaluate.evaluate)
app.command()(noise.noise)
app.command()(credit.credit)
app.add_typer(rules.app, name="rules")
app.command()(report.report)
app.command()(log.log)
app.command()(why.why)
app.command()(revert.revert)
app.command()(sweep.sweep)
app.command()(ablate.ablate)
app.command()(new.new)
app.command()(demo.demo)
app.command()(doctor.doctor)


def main() -> None:
    """Entry point of `langgraph-truce`."""
    # traces leave the machine; whoever wants them says so
    os.environ.setdefault("LANGSMITH_TRACING", "false")
    app()
