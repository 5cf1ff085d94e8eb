"""The options that several commands share, each described once."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from langgraph_truce.errors import UserMistake

System = Annotated[
    str,
    typer.Argument(
        metavar="APP",
        help="FILE.py:NAME or package.module:NAME of a System, a compiled graph or a function that makes one.",
    ),
]
Train = Annotated[Path, typer.Option(help="Task file (.jsonl, .csv) that edits are drawn from.")]
Validation = Annotated[Path, typer.Option(help="Task file that edits are tested on.")]
Test = Annotated[Path, typer.Option(help="Task file that is opened once, at the end.")]
Evaluator = Annotated[
    str, typer.Option(help="FILE.py:NAME of an evaluator, or the name of a ready one (exact_match).")
]
Objective = Annotated[
    str, typer.Option(help="Key of the primary score, where the evaluator returns several.")
]
Model = Annotated[
    str,
    typer.Option(
        help="Critic and optimizer model: a LangChain name (openai:gpt-4o), 'embedded', or FILE.py:NAME. "
        "The method 'offline' needs none."
    ),
]
Method = Annotated[
    str,
    typer.Option(help="truce, temporal_structural, offline, counterfactual, outcome_only or whole_prompt."),
]
Rules = Annotated[
    Path | None,
    typer.Option(
        help="Folder of rule files (ROLE.md). Without it, the prompts of a bare graph are found by running the first tasks."
    ),
]
Run = Annotated[
    Path,
    typer.Option(
        help="Run folder, or postgresql://USER@HOST/DB#NAME; the same again goes on where it stopped."
    ),
]
OldRun = Annotated[str, typer.Argument(metavar="RUN", help="Run folder, or postgresql://USER@HOST/DB#NAME.")]
Approve = Annotated[
    Literal["auto", "ask", "file", "interrupt"],
    typer.Option(
        help="Who decides on edits that passed the gate: auto (nobody is asked), ask (at the terminal, rule by rule), "
        "file (a YAML file in the run folder; edit it and give the same command again) or interrupt."
    ),
]
Iterations = Annotated[
    int | None,
    typer.Option(
        min=1,
        help="At most so many iterations (of temporal_structural: turns of two phases each); default: the method's own.",
    ),
]
Seed = Annotated[int, typer.Option(help="Seed of every draw.")]
InputColumns = Annotated[
    str, typer.Option(help="Columns that go in, comma-separated, for rows without 'inputs'.")
]
OutputColumns = Annotated[str, typer.Option(help="Columns of the reference, comma-separated.")]
Aggregator = Annotated[str, typer.Option(help="Node that closes a round of the interaction.")]
Outputs = Annotated[
    str,
    typer.Option(
        help="What the evaluator sees: a field of the final state, or FILE.py:NAME of a function of the state; "
        "default: the whole state, or what the System says. Other settings (context, interrupts) stand in a System in FILE.py."
    ),
]
Tools = Annotated[
    list[str] | None,
    typer.Option(
        "--tool",
        help="NAME=safe: replays (counterfactual credit) call this tool again; NAME=recorded: they give what it gave; "
        "NAME=forbidden. Several times, beside those that a System names.",
    ),
]
BudgetCalls = Annotated[
    int | None, typer.Option(min=1, help="Model calls that the run may make at most, over all its models.")
]
BudgetTokens = Annotated[
    int | None,
    typer.Option(
        min=1, help="Tokens, in and out, at most. Every model then needs an output limit (max_tokens)."
    ),
]
BudgetUsd = Annotated[
    float | None,
    typer.Option(help="Dollars at most. Every model then needs an output limit and a known price."),
]
BudgetSeconds = Annotated[
    float | None, typer.Option(help="Seconds of the clock at most, over all starts of the run.")
]
PriceFile = Annotated[
    Path | None,
    typer.Option(
        "--prices",
        help='JSON or TOML file, model -> {"input": ..., "output": ...}, dollars per million tokens; it comes before '
        "the prices that are known without it.",
    ),
]
CallTimeout = Annotated[
    float | None,
    typer.Option(
        metavar="SECONDS",
        help="Seconds one model call may take; beyond that it counts as a failure of the infrastructure and is tried again.",
    ),
]
LongestPause = Annotated[
    float | None,
    typer.Option(
        metavar="SECONDS",
        help="How long to wait for an endpoint that is down before ending in good order (exit code 75); inf: for ever. "
        "Default: an hour.",
    ),
]
_WAYS = ("safe", "recorded", "forbidden")


def tools(given: Sequence[str] | None) -> dict[str, Any]:
    """Tool name -> what a replay may do with it, from `NAME=safe` and the like.

    Raises:
        UserMistake: a text of another form.
    """
    declared: dict[str, Any] = {}
    for text in given or ():
        name, _, way = text.rpartition("=")
        if not name or way not in _WAYS:
            raise UserMistake(f"--tool {text}: write NAME=safe, NAME=recorded or NAME=forbidden")
        declared[name] = way
    return declared


def settings(tool: Sequence[str] | None = None, outputs: str = "") -> Callable[[Any], dict[str, Any]]:
    """The fields of a System that `--tool` and `--outputs` stand for, made of the graph or System that was found.

    Raises:
        UserMistake: a tool of another form; when called, also `FILE.py:NAME` that names no function, or a field that the
            graph does not give back.
    """
    declared = tools(tool)

    def of(found: Any) -> dict[str, Any]:
        from langgraph_truce.system import System

        is_system = isinstance(found, System)
        made: dict[str, Any] = {}
        if declared:
            made["tools"] = {**(found.tools if is_system else {}), **declared}
        if outputs:
            made["outputs"] = answer(outputs, found.graph if is_system else found)
        return made

    return of


def answer(outputs: str, graph: Any) -> Callable[[Any], Any]:
    """What `--outputs` stands for: a function of the final state of `graph`.

    Raises:
        UserMistake: `FILE.py:NAME` names no function, or the graph gives back no such field.
    """
    from langgraph_truce.cli import target

    if ":" in outputs:
        found = target.load(outputs)
        if not callable(found):
            raise UserMistake(
                f"--outputs {outputs}: it must be a function of the final state, got {type(found).__name__}"
            )
        return found  # type: ignore[no-any-return] # the user's
    there = getattr(graph, "output_channels", None)
    if isinstance(there, Sequence) and not isinstance(there, str) and outputs not in there:
        raise UserMistake(
            f"--outputs {outputs}: the graph gives back no such field; it gives: {', '.join(sorted(there))}"
        )

    def field(state: Any) -> Any:
        if not isinstance(state, Mapping):
            raise UserMistake(
                f"--outputs {outputs}: the final state is a {type(state).__name__} and has no fields; "
                "leave it out, or name a function"
            )
        return state.get(outputs)

    return field
