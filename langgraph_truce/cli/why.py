"""`langgraph-truce why`: why a rule is what it is."""

from __future__ import annotations

import json
from typing import Annotated

import typer

from langgraph_truce.cli import options


def why(
    rule: Annotated[str, typer.Argument(help="AGENT/RULE, a rule id, an edit id, or words of the rule.")],
    run: options.OldRun,
    *,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object an edit.")] = False,
) -> None:
    """Print why a rule was added or changed, who asked, what it fixed and broke, its cost, and how to undo it."""
    from langgraph_truce.optimizer import why as stories

    for number, story in enumerate(stories(run, rule)):
        if as_json:
            typer.echo(json.dumps(story.to_json()))
        else:
            typer.echo(("\n" if number else "") + story.text(), nl=False)
