"""What agents of a planted world do: pure functions of the world's seed, the task, the replicate and the instructions.

A task hangs on one agent, its *owner*, and there on one round, its *origin*. Until then the right value is on the table;
in the origin round the owner gets it right or wrong; what it wrote the aggregator carries on, and nobody repairs it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from langgraph_truce.rules.rule import content_hash
from langgraph_truce.testing.planted.draws import draw, pick
from langgraph_truce.testing.planted.faults import DECISION, Fault
from langgraph_truce.testing.planted.topics import DECOYS

_SHOWN = 0.9
"""Share of rollouts in which an active fault shows in its owner's text."""


class Overloaded(ConnectionError):
    """What a provider's 429 looks like to the caller."""

    status_code = 429
    infrastructure = True
    """Where a node raises it itself, it is still no answer of the system."""

    def __init__(self) -> None:
        super().__init__("429: too many requests (planted)")


@dataclass(frozen=True, slots=True)
class Odds:
    """The chances of a world, each in [0, 1]."""

    with_fault: float
    """Success where the fault is active."""
    without_fault: float
    """Success where it is not."""
    decoys: float
    """Share of notes with a symptom that does not matter."""
    timeouts: float
    """Share of rollouts that end in a time-out of the system: scored 0."""
    rate_limits: float
    """Share of rollouts whose provider is overloaded at every attempt: excluded."""
    fresh: bool
    """True: an agent's luck changes with its instructions, as a sampling model's does."""


@dataclass(frozen=True, slots=True)
class Play:
    """One rollout of one task: what each agent decides and writes."""

    seed: int
    fault: Fault
    """What the task hangs on."""
    odds: Odds
    rounds: int
    request: str
    replicate: int

    @property
    def right(self) -> str:
        """The right value."""
        return value(self.seed, self.request)

    @property
    def wrong(self) -> str:
        """The value a mistake gives."""
        return f"K-{100 + int(draw(self.seed, 'wrong', self.request) * 900)}x"

    @property
    def origin(self) -> int:
        """Round in which the owner decides, from 1."""
        return 1 + int(draw(self.seed, self.request, self.replicate, "origin") * self.rounds)

    def correct(self, instructions: str) -> bool:
        """True where the owner, with these instructions, gets it right in the origin round."""
        odds = self.odds.with_fault if self.fault.active(instructions) else self.odds.without_fault
        return self._luck(self.fault.agent, self.origin, "right", instructions) < odds

    def timed_out(self) -> bool:
        """True where this rollout ends in a time-out."""
        return draw(self.seed, self.request, self.replicate, DECISION, 1, "timeout") < self.odds.timeouts

    def overloaded(self) -> bool:
        """True where this rollout meets 429 at every attempt."""
        return draw(self.seed, self.request, self.replicate, DECISION, 1, "429") < self.odds.rate_limits

    def note(self, role: str, round_: int, instructions: str, carried: str) -> tuple[str, str]:
        """What agent `role` writes in a round, and the value it stands for: empty where the task is not its own."""
        words = [f"{role}, round {round_}."]
        stands = ""
        if role == self.fault.agent:
            stands = carried or self.right
            if round_ == self.origin:
                stands = self.right if self.correct(instructions) else self.wrong
                words.append(self._work(instructions, round_))
            words.append(f"I stand for {stands}.")
        else:
            words.append("I read the request and leave the value to others.")
        if self._luck(role, round_, "decoy", instructions) < self.odds.decoys:
            decoy = pick(DECOYS, self.seed, self.request, self.replicate, role, round_, "which")
            words.append(f"Also: {decoy[0]}.")
        return " ".join(words), stands

    def _work(self, instructions: str, round_: int) -> str:
        topic = self.fault.topic
        shown = self._luck(self.fault.agent, round_, "shown", instructions) < _SHOWN
        if self.fault.active(instructions) and shown:
            return pick(topic.symptoms, self.seed, self.request, self.replicate, "symptom") + "."
        if self.correct(instructions) and not self.fault.active(instructions):
            return topic.sound
        return "I worked on the request."

    def _luck(self, role: str, visit: int, occurrence: str, instructions: str) -> float:
        key = (self.request, self.replicate, role, visit, occurrence)
        return draw(self.seed, *key, *((content_hash(instructions),) if self.odds.fresh else ()))


def value(seed: int, request: str) -> str:
    """The right value of a request: the world's own truth."""
    return f"K-{100 + int(draw(seed, 'value', request) * 900)}"


def score(outputs: Mapping[str, Any], reference_outputs: Mapping[str, Any]) -> dict[str, Any]:
    """The evaluator: 1 where the value is right; the comment says what was expected, not why it failed."""
    expected, given = reference_outputs["value"], outputs.get("value")
    right = expected == given
    comment = (
        "The value is right." if right else f"The value is wrong: {expected} was expected, {given} given."
    )
    return {"key": "right", "score": float(right), "comment": comment}
