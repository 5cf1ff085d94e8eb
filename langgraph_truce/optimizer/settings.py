"""`Run`: where a run lives, who approves its edits, and how it behaves towards endpoints and people."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, get_args

from langgraph_truce.errors import UserMistake
from langgraph_truce.model import Patience
from langgraph_truce.optimizer.place import Place
from langgraph_truce.optimizer.review import Reviewer

Event = Mapping[str, Any]
"""Progress: `{"stage", "iteration", "done", "total", "meter"}`; a pause has `"words"`, why and for how long."""
Approve = Literal["auto", "ask", "file", "interrupt"]
"""Who decides on edits that passed the gate: nobody, a person at the terminal, a file, an answer to an interrupt."""


@dataclass(frozen=True, slots=True)
class Run:
    """The circumstances of a run. They may change when it is resumed; what the run is, may not.

    Raises:
        UserMistake: a setting out of range.
    """

    place: Place | Path | str = "runs/run"
    """The run folder; or `postgresql://USER@HOST/DATABASE#NAME`, where several runs share a database."""
    approve: Approve | Reviewer = "auto"
    """Who decides on edits that passed the gate (`optimizer/review.py`)."""
    answers: Mapping[str, Any] | None = None
    """Answers to the edits that wait for a person, for `approve="interrupt"`: see `optimizer/review.py`."""
    on_event: Callable[[Event], None] | None = None
    """Called with progress events."""
    call_timeout: float | None = None
    """Seconds one model call may take, > 0; beyond that it counts as a failure of the infrastructure. None: no limit."""
    patience: Patience = field(default_factory=Patience)
    """How long the run tries an endpoint that fails, and waits for one that is down."""
    redact: Callable[[str], str] | None = None
    """Text -> the text without secrets, for everything that is kept; keys are masked without it too (`redact.py`)."""

    def __post_init__(self) -> None:
        if not callable(self.approve) and self.approve not in get_args(Approve):
            known = ", ".join(get_args(Approve))
            raise UserMistake(f"approve is one of {known} or a function, got {self.approve!r}")
        if self.call_timeout is not None and not self.call_timeout > 0:
            raise UserMistake(f"call_timeout must be more than 0 seconds, got {self.call_timeout!r}")

    @classmethod
    def of(cls, run: Run | Place | Path | str) -> Run:
        """A place is a run with nothing else said."""
        return run if isinstance(run, Run) else cls(run)
