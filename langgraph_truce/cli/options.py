"""The options that several commands share, each described once."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

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
Method = Annotated[str, typer.Option(help="truce, offline, counterfactual, outcome_only or whole_prompt.")]
Rules = Annotated[
    Path | None,
    typer.Option(
        help="Folder of rule files (ROLE.md). Without it, the prompts of a bare graph are found by running the first tasks."
    ),
]
Run = Annotated[Path, typer.Option(help="Run folder; the same folder again goes on where it stopped.")]
Iterations = Annotated[
    int | None, typer.Option(min=1, help="At most so many iterations; default: the method's own.")
]
Seed = Annotated[int, typer.Option(help="Seed of every draw.")]
InputColumns = Annotated[
    str, typer.Option(help="Columns that go in, comma-separated, for rows without 'inputs'.")
]
OutputColumns = Annotated[str, typer.Option(help="Columns of the reference, comma-separated.")]
Aggregator = Annotated[str, typer.Option(help="Node that closes a round of the interaction.")]
