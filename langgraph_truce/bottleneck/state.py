"""What the nodes of the bottleneck hold, and what each of them is given of it."""

from __future__ import annotations

import operator
from collections.abc import Mapping
from typing import Annotated, Any, NotRequired, TypedDict

DECIDE = "decide"
"""Name of the decision node, and of the agent that holds its rules."""


class Utterance(TypedDict):
    """u_(i,t): what one role said in one round."""

    role: str
    round: int
    """t, from 1."""
    text: str
    """Never blank: a silent role leaves no utterance."""


class View(TypedDict):
    """All that a role, the aggregator or the decision node is given."""

    task: Mapping[str, Any]
    """x: the task's inputs."""
    round: int
    """t, from 1; for the decision node the last round."""
    shared: str
    """S_(t-1), "" in round 1; for the decision node S_R."""
    utterances: NotRequired[dict[str, str]]
    """U_t by role, in the order in which the roles were given, silent ones left out. The aggregator alone has it."""


class State(TypedDict, total=False):
    """State of the graph; JSON only."""

    task: dict[str, Any]
    """The task's inputs: what the graph is invoked with."""
    round: int
    """Rounds that the aggregator closed."""
    utterances: Annotated[list[Utterance], operator.add]
    """Everything said so far, by round."""
    shared: str
    """S_t of the last closed round."""
    answer: str
    """What the decision node said."""


class Input(TypedDict):
    """What the graph is invoked with."""

    task: dict[str, Any]


class Channels(State, total=False):
    """The state with what is nobody's business outside."""

    over: bool
    """The decision was made: another run on the same thread begins with round 1 and without shared state."""
    heard: int
    """How many of `utterances` are in closed rounds."""


class Seen(TypedDict, total=False):
    """What of the state reaches a role or the decision node: no channel with a role's words is among it."""

    task: dict[str, Any]
    round: int
    shared: str
    over: bool


class Closing(Seen, total=False):
    """What of the state reaches the aggregator."""

    utterances: list[Utterance]
    heard: int
