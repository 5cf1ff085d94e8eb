"""`langgraph-truce rules`: look at rules, compare them, take them out and in."""

from __future__ import annotations

import json
import sys
from contextlib import redirect_stdout
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from langgraph_truce.cli import books, options

if TYPE_CHECKING:
    from langgraph_truce.rules import AgentRules, RuleBook

app = typer.Typer(help="Show, compare, export and import rules.", no_args_is_help=True)

Place = Annotated[
    str,
    typer.Argument(
        help="Folder of rule files, run folder, .json file, or store (FILE.sqlite, postgresql://...)."
    ),
]


Version = Annotated[
    str, typer.Option(help="This version of a run or store, by its hash; of a run the beginning is enough.")
]


@app.command()
def show(
    place: Place,
    *,
    agent: Annotated[str, typer.Option(help="Only this agent.")] = "",
    rule: Annotated[str, typer.Option(help="Only this rule of the agent (r1, r2, ...).")] = "",
    text: Annotated[bool, typer.Option("--text", help="The instructions as they are sent.")] = False,
    version: Version = "",
) -> None:
    """Print agents with their rules and rule ids."""
    from langgraph_truce.errors import UserMistake

    if rule and not agent:
        raise UserMistake(f"--rule {rule} needs --agent: rule ids count for each agent alone")
    book = books.read(place, version)
    for name in [agent] if agent else sorted(book.agents):
        rules = book.agent(name)
        said = rules.rule(rule).text if rule else rules.render() if text else _listed(rules)
        typer.echo(said, nl=not said.endswith("\n"))
    if not agent:
        typer.echo(f"version {book.version}")


@app.command()
def diff(old: Place, new: Place) -> None:
    """Print what NEW changes in OLD, rule by rule."""
    from langgraph_truce.rules import diff as changes

    said = changes(books.read(old), books.read(new)) or "No difference."
    typer.echo(said, nl=not said.endswith("\n"))


@app.command()
def export(
    place: Place,
    to: Annotated[str, typer.Argument(help="New folder (Markdown files) or new .json file.")],
    *,
    version: Version = "",
) -> None:
    """Write rules as Markdown files or one JSON file: those of a run, or the active ones of a store, or a version."""
    from langgraph_truce.bind.discover import read_prompts, write_prompts

    book = books.read(place, version)
    prompts = read_prompts(place)
    books.write(book, to)
    if prompts is not None and Path(to).is_dir():
        write_prompts(prompts, to)
    typer.echo(f"{len(book.agents)} prompts written to {to}, version {book.version}")


@app.command()
def history(
    run: options.OldRun,
    what: Annotated[str, typer.Argument(help="Only this agent, or one rule as AGENT/RULE.")] = "",
) -> None:
    """Print every version of a run's rules and the edits that made it; of a rule, also what was tried in vain."""
    from langgraph_truce.optimizer import read_ledger
    from langgraph_truce.optimizer.history_words import history_words

    for line in history_words(read_ledger(run), what):
        typer.echo(line)


@app.command(name="import")
def import_(
    source: Annotated[
        str, typer.Argument(help="A prompt as a text file (with --agent), or any place of rules.")
    ],
    to: Annotated[
        str, typer.Argument(help="Folder, .json file or store; a store makes them its active version.")
    ],
    *,
    agent: Annotated[str, typer.Option(help="Role path of the node that sends this prompt.")] = "",
) -> None:
    """Split a prompt text into fixed text and rules, or bring edited rules into a store."""
    if agent:
        rules = _parsed(source, agent)
        _add(rules, Path(to))
        typer.echo(f"{agent}: {len(rules.rules)} rules found, written to {to}")
        return
    book = books.read(source)
    books.write(book, to)
    typer.echo(f"{len(book.agents)} prompts written to {to}, version {book.version}")


@app.command()
def discover(
    app: options.System,
    *,
    examples: Annotated[Path, typer.Option(help="Task file (.jsonl, .csv) whose inputs are run once.")],
    out: Annotated[str, typer.Option(help="New folder for the rule files.")],
    first: Annotated[int, typer.Option(min=1, help="Run so many of the tasks.")] = 5,
    as_json: Annotated[bool, typer.Option("--json", help="Print the report as JSON.")] = False,
    input_columns: options.InputColumns = "",
    output_columns: options.OutputColumns = "",
) -> None:
    """Find the prompts in a graph's code by running examples, and write them as rule files."""
    from langgraph_truce.bind.discover import write_prompts
    from langgraph_truce.cli import job, target

    books.refuse_filled(out)
    tasks = job.tasks(examples, input_columns, output_columns)
    with redirect_stdout(sys.stderr):  # what the application prints is no part of the report
        found = target.discovered(app, [task.inputs for task in tasks[:first]])
    assert found.discovery is not None
    assert found.prompts is not None
    books.write(found.book, out)
    write_prompts(found.prompts, out)
    if as_json:
        typer.echo(json.dumps(found.discovery.to_json(), indent=2, ensure_ascii=False))
        return
    typer.echo(found.discovery.text())
    typer.echo(f"{len(found.book.agents)} prompts written to {out}; use them with --rules {out}")


def _listed(rules: AgentRules) -> str:
    lines = [f"{rules.agent}: {len(rules.rules)} rules"]
    for rule in rules.rules:
        marks = "".join([" protected" * rule.protected, " example" * (rule.kind == "example")])
        lines.append(f"  {rule.id:>4}{marks}  " + rule.text.replace("\n", "\n" + " " * 8))
    return "\n".join(lines)


def _parsed(source: str, agent: str) -> AgentRules:
    from langgraph_truce.errors import UserMistake
    from langgraph_truce.rules import parse

    file = Path(source)
    if not file.is_file():
        raise UserMistake(f"{file}: no such file; with --agent, give the prompt as a text file")
    return parse(agent, file.read_text(encoding="utf-8"))


def _add(rules: AgentRules, folder: Path) -> None:
    """Write `rules` beside the other agents' files in `folder`."""
    from langgraph_truce.errors import UserMistake
    from langgraph_truce.rules import RuleBook, write_rules

    there: RuleBook = books.read(str(folder)) if folder.is_dir() and any(folder.iterdir()) else RuleBook({})
    if rules.agent in there.agents:
        raise UserMistake(f"{folder} has rules for {rules.agent!r} already; nothing is overwritten")
    write_rules(there.with_agent(rules), folder)
