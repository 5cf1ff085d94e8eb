"""The error model, written down once.

1. **A user's mistake** (a broken rule file, an unknown role, a split that overlaps) raises a
   `UserMistake`: one sentence that names the value, the place and the way out. Exit code 2.
2. **A bad rollout is data.** Wrong answers, exceptions and time-outs of the user's own graph are scored
   (`Outcome.error`, score 0) and the run goes on. Failures of the infrastructure (connection lost, 429,
   the harness itself) exclude the rollout (`Outcome.excluded`) and are counted; they are never zeros.
3. **A bad reply of a critic or optimizer model** is one repair round, then a `ModelReplyError` that the
   caller records; it never stops a run and never becomes an edit.
4. **An edit that cannot be applied** raises `EditError` inside, and is a record in the ledger outside.
5. `assert` is for our own bugs only.

Tree::

    TruceError
    ├── UserMistake
    │   ├── RuleFileError     a rule file cannot be read
    │   ├── UnknownNameError  no such role, rule, field, graph or evaluator
    │   ├── TaskError         tasks or splits are not usable
    │   ├── EvaluatorError    the evaluator raised, or returned what is no score
    │   ├── BindError         instructions() was called where no rules can be found
    │   ├── SystemMismatch    graph, rules and tasks do not fit together
    │   ├── ReplayRefused     a fork that would call a tool nobody declared, or cannot be made
    │   ├── GateRefused       too little data for the error control that was asked for
    │   ├── BudgetRefused     a budget that could not be kept: no output limit, no price
    │   └── MissingExtra      an optional package is not installed
    ├── EditError             an edit does not fit the rules it was written for
    ├── RunStopped            a run that stopped in good order: nothing is lost, the same command goes on
    │   ├── BudgetSpent       the next call would not fit the budget
    │   ├── EndpointDown      an endpoint did not answer for longer than the run waits
    │   ├── Drained           somebody asked the process to end (SIGTERM)
    │   ├── Unkept            what was paid for cannot be kept: the disk is full, the database gone (a RunError too)
    │   └── ReviewPending     edits passed the gate and wait for a person
    ├── ModelReplyError       a model's reply could not be read, twice
    └── RunError              a run folder is in use, from another system, or damaged
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

NOT_JSON = (ValueError, RecursionError)
"""What `json.loads` raises for a text that is no JSON, or is nested so deep that it is nobody's data."""


class TruceError(Exception):
    """Base of every error this library raises on purpose."""

    exit_code: int = 1
    """Exit status of the command line when this error ends it."""


class UserMistake(TruceError):
    """Something the user can put right; the message says how."""

    exit_code = 2


class RuleFileError(UserMistake):
    """A rule file cannot be read: `FILE:LINE: what is wrong; what is allowed`."""


class UnknownNameError(UserMistake):
    """A name (role, rule, field, graph, evaluator, column) that does not exist; the message lists those that do."""


class TaskError(UserMistake):
    """A task file, a task or a split that cannot be used."""


class EvaluatorError(UserMistake):
    """The evaluator raised, or returned something that is no score in its range."""


class BindError(UserMistake):
    """`instructions()` found no rules, or was called without run context during an optimization."""


class SystemMismatch(UserMistake):
    """The graph, its rules and the tasks do not fit together."""


class ReplayRefused(UserMistake):
    """A replay that would call a tool that is not declared safe or recorded, or whose fork point is not there (contract 11)."""


class GateRefused(UserMistake):
    """The gate cannot keep its promise with so little data; the message names the alternatives."""


class BudgetRefused(UserMistake):
    """A budget that could not be kept: a model without output limit or price (contract 7); refused before a call is made."""


class MissingExtra(UserMistake):
    """An optional package is not installed; the message carries the pip line."""

    def __init__(self, what: str, pip: str) -> None:
        super().__init__(f"{what} needs a package that is not installed; install it with: pip install {pip}")


class EditError(TruceError):
    """An edit does not fit the rules it was written for (contract 3: a recorded error, never a no-op)."""


class ModelReplyError(TruceError):
    """A model's reply could not be read as the object asked for, also not after one repair round."""

    def __init__(self, message: str, reply: str = "") -> None:
        super().__init__(message)
        self.reply = reply
        """The last reply, as it came."""


class RunError(TruceError):
    """A run folder that is in use, belongs to another system, or is damaged."""


class RunStopped(TruceError):
    """A run that stopped in good order: what was paid for is kept, and the same command goes on from here."""


class BudgetSpent(RunStopped):
    """The next call would not fit what is left of the budget; it was not made (contract 7)."""


class EndpointDown(RunStopped):
    """A model's endpoint did not answer for longer than the run waits, or refuses the account (contract 5)."""

    exit_code = 75  # EX_TEMPFAIL: the same command may do later


class Drained(RunStopped):
    """Somebody asked the process to end: calls in flight were finished and kept, no new ones were begun."""

    exit_code = 143  # 128 + SIGTERM, as shells count it


class ReviewPending(RunStopped):
    """Edits passed the gate and wait for a person's answer; the message says where to give it."""

    exit_code = 3

    def __init__(self, message: str, proposal: Mapping[str, Any] | None = None) -> None:
        super().__init__(message)
        self.proposal = proposal or {}
        """What waits, as JSON (`optimizer/proposal.py`)."""


class Unkept(RunStopped, RunError):
    """What a run was to keep could not be written or read: the disk is full, or the database is gone.

    The run stops, because what comes of a call without its reply is no evidence of anything.
    """
