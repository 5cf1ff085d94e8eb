"""Who answers for edits that passed the gate, by `Run.approve`."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from langgraph_truce.errors import ReviewPending, UserMistake
from langgraph_truce.optimizer.proposal import waiting
from langgraph_truce.optimizer.review import Answers, Proposal, Reviewer
from langgraph_truce.optimizer.review_ask import Asking, require_terminal
from langgraph_truce.optimizer.review_file import Filed
from langgraph_truce.optimizer.settings import Run


class Handed:
    """Answers that somebody else collected (`Run.answers`): for the question that waits, and no later one."""

    def __init__(self, answers: Mapping[str, Any] | None) -> None:
        self._answers = answers

    async def __call__(self, proposal: Proposal) -> Answers | None:
        """The answers, once.

        Raises:
            ReviewPending: there are none; it carries the proposal.
            UserMistake: they do not fit.
        """
        if proposal["problem"]:
            raise UserMistake(proposal["problem"])
        answers, self._answers = self._answers, None
        if answers is None:
            raise ReviewPending(
                f"{waiting(proposal)}: it is `proposal` of this error; resume with Run(..., answers=...)",
                proposal,
            )
        return answers


def reviewed(run: Run) -> bool:
    """True where a person approves: part of what a run is, because its gates then share the error rate differently."""
    return run.approve != "auto"


def reviewer(run: Run, folder: Path) -> Reviewer | None:
    """Who answers; None where nobody is asked.

    Raises:
        UserMistake: a terminal is needed, and there is none.
    """
    if not isinstance(run.approve, str):
        return run.approve
    if run.approve == "ask":
        require_terminal()
        return Asking()
    if run.approve == "file":
        return Filed(folder)
    return Handed(run.answers) if run.approve == "interrupt" else None
