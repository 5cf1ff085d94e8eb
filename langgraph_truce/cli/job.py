"""What the options of `optimize` and `plan` amount to: system, splits, evaluator, model and method."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from langgraph_truce.errors import UnknownNameError, UserMistake

if TYPE_CHECKING:
    from langgraph_truce.cli.target import Settings
    from langgraph_truce.evaluate import Evaluate
    from langgraph_truce.model import Budget, Patience
    from langgraph_truce.seams import Method
    from langgraph_truce.system import System
    from langgraph_truce.task import Splits, Task

METHODS = ("truce", "temporal_structural", "offline", "counterfactual", "outcome_only", "whole_prompt")
"""Methods by name: the one table of them; each is a function in `langgraph_truce.methods`."""

WITHOUT_MODEL = frozenset({"offline"})
"""Methods that ask no critic or optimizer model."""


@dataclass(frozen=True, slots=True)
class Files:
    """Where tasks come from."""

    train: Path
    validation: Path
    test: Path
    inputs: str = ""
    """Columns that go in, comma-separated; empty for rows with `inputs`."""
    outputs: str = ""
    """Columns of the reference, comma-separated."""

    def splits(self) -> Splits:
        """Read and checked.

        Raises:
            TaskError: a file is missing, broken or empty, or the splits share a task.
        """
        from langgraph_truce.task import Splits

        return Splits(
            *(tasks(f, self.inputs, self.outputs) for f in (self.train, self.validation, self.test))
        )


def tasks(file: Path, inputs: str = "", outputs: str = "") -> tuple[Task, ...]:
    """The tasks of one file; `inputs` and `outputs` are comma-separated columns."""
    from langgraph_truce.task import read_tasks

    return read_tasks(file, inputs=_columns(inputs), outputs=_columns(outputs))


def score(evaluator: str, objective: str) -> Evaluate:
    """The evaluator of that name, file or catalog, with its primary key."""
    from langgraph_truce.cli import target
    from langgraph_truce.evaluate import as_evaluator

    return as_evaluator(target.evaluator(evaluator), objective=objective)


def method(name: str, iterations: int | None = None) -> Method:
    """The method of that name.

    Raises:
        UnknownNameError: there is none; the message lists those there are.
    """
    from langgraph_truce import methods

    if name not in METHODS:
        raise UnknownNameError(f"no method {name!r}; there are: {', '.join(METHODS)}")
    settings: Mapping[str, Any] = {} if iterations is None else {"iterations": iterations}
    made: Method = getattr(methods, name)(**settings)
    return made


def model(name: str, method_name: str) -> Any:
    """The critic and optimizer model.

    Raises:
        UserMistake: the method needs one and none is named.
    """
    from langgraph_truce.cli import target

    if not name and method_name not in WITHOUT_MODEL:
        raise UserMistake(
            f"the method {method_name!r} asks a model for credit and suggestions: name it with --model "
            "(openai:gpt-4o, embedded, FILE.py:NAME), or take --method offline, which needs none"
        )
    return target.model(name)


def budget(
    calls: int | None, tokens: int | None, usd: float | None, seconds: float | None, prices: Path | None
) -> Budget:
    """The budget that `--budget-...` and `--prices` stand for; without any of them, no cap.

    Raises:
        UserMistake: a cap that is not above 0, or a price file that cannot be read.
    """
    from langgraph_truce.model import Budget

    return Budget(calls, tokens, usd, seconds, prices)


def patience(longest_pause: float | None) -> Patience:
    """How endpoints are waited for, with what `--longest-pause` says.

    Raises:
        UserMistake: it is not above 0.
    """
    from langgraph_truce.model import Patience

    if longest_pause is None:
        return Patience()
    return Patience(longest_pause=None if longest_pause == math.inf else longest_pause)


EXAMPLES = 5
"""Tasks that a bare graph without rules is run on, to find its prompts."""


def load_system(
    app: str,
    rules: Path | None,
    aggregator: str,
    examples: Sequence[Task] = (),
    kept: Path | None = None,
    *,
    settings: Settings | None = None,
) -> System:
    """The system that the command line names; the prompts of a bare graph are found with the first of `examples`."""
    from langgraph_truce.cli import target
    from langgraph_truce.optimizer.place import Place

    kept = None if kept is None else Place.of(kept).folder
    first = [task.inputs for task in examples[:EXAMPLES]]
    return target.system(
        app, rules=rules, aggregator=aggregator, examples=first, kept=kept, settings=settings
    )


def _columns(text: str) -> tuple[str, ...]:
    return tuple(name.strip() for name in text.split(",") if name.strip())
