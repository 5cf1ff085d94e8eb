"""What roles of a planted debate say, and what its aggregator makes of it: pure functions of seed, case and words.

A case has one fact a round, on the agenda in that round, and every fact has a *desk*: the role whose word counts for it.
The others may have read the fact too, but what they read is hearsay. Anybody may correct a fact, and note one in advance.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal, NamedTuple

from langgraph_truce.testing.planted.draws import draw, pick
from langgraph_truce.testing.planted.faults import Fault
from langgraph_truce.testing.planted.topics import DECOYS

LETTERS = "ABCDEF"
"""Names of the facts: the n-th is on the agenda in round n."""
GuiltKind = Literal["commission", "omission", "delayed", "none"]
SHOWN: Mapping[GuiltKind, float] = {"commission": 0.9, "delayed": 0.9, "omission": 0.5}
"""Share of cases in which a guilty note also shows a symptom that a critic could see."""

_CLAIM = re.compile(r"\b(Correction: |Noted for later: |)([A-F]) = (K-\d+)")
_TALK = (
    "Before we close I would like to walk through the whole history of this customer once more.",
    "The weather has been on everybody's mind, and the canteen closes early on this day of the week.",
    "For the record, the archive on the second floor was tidied, labelled and photographed.",
    "My colleague from the other site sends regards and proposes another layout for our tables.",
    "We could also discuss the wording of the greeting, which several people found rather stiff.",
)


class Guilt(NamedTuple):
    """Who did it, and when."""

    role: str
    """Role path."""
    round: int
    """From 1."""
    kind: GuiltKind


@dataclass(frozen=True)
class Case:
    """One task of a planted debate."""

    seed: int
    number: int
    roles: tuple[str, ...]
    rounds: int
    fault: Fault
    """What the case hangs on: a topic, a role, and what is wrong with that role's rules."""
    kind: GuiltKind
    decoys: float
    """Share of notes with a symptom that does not matter."""
    hearsay: float
    """Share of notes in which a role that is not the desk has read the fact."""
    round: int
    """Round in which the topic comes up."""

    @cached_property
    def guilt(self) -> Guilt | None:
        """The guilty role and round under the rules at the start."""
        return None if self.kind == "none" else Guilt(self.fault.agent, self.round, self.kind)

    @cached_property
    def facts(self) -> Mapping[str, str]:
        """The right value of every fact, by letter."""
        return {
            letter: f"K-{100 + int(draw(self.seed, self.number, letter) * 900)}"
            for letter in LETTERS[: self.rounds]
        }

    @cached_property
    def wrong(self) -> str:
        """The value a mistake gives."""
        return f"K-{1000 + int(draw(self.seed, self.number, 'wrong') * 900)}"

    @cached_property
    def hit(self) -> str:
        """Letter of the fact that the guilt is about: the round's own; with delayed guilt that of the last round."""
        return LETTERS[self.rounds - 1 if self.kind == "delayed" else self.round - 1]

    @cached_property
    def desks(self) -> Mapping[str, str]:
        """Role whose word counts, by letter.

        The guilty role is the desk of what it omits. It is not the desk of what it gets wrong, nor of that round's fact:
        else its silence would cost as much as its error.
        """
        role = self.fault.agent
        others = [r for r in self.roles if r != role]
        desks: dict[str, str] = {}
        for n, letter in enumerate(self.facts, 1):
            wrongs = self.kind in {"commission", "delayed"} and (letter == self.hit or n == self.round)
            free = others if wrongs else self.roles
            desks[letter] = pick(free, self.seed, self.number, "desk", letter)
        return {**desks, self.hit: role} if self.kind == "omission" else desks

    @cached_property
    def request(self) -> str:
        """What the team is asked."""
        a, b = (11 + int(draw(self.seed, self.number, side) * 18) for side in "ab")
        desks = ", ".join(f"{letter} is for the {role}" for letter, role in self.desks.items())
        question = self.fault.topic.request.format(a=a, b=b)
        return f"Case {self.number}, facts {', '.join(self.facts)} ({desks}). {question}"

    @property
    def right(self) -> str:
        """The right answer: all facts, in order."""
        return answer(self.facts, self.rounds)

    def missed(self, value: str) -> str:
        """The answer that bad luck makes of `value`: a wrong one of a right one, and the right one of a wrong one."""
        last = LETTERS[self.rounds - 1]
        return answer({**self.facts, last: self.wrong}, self.rounds) if value == self.right else self.right

    def note(self, role: str, round_: int, board: Mapping[str, str], *, acts: bool) -> str:
        """What `role` says in a round; `acts`: the fault in its rules shows now."""
        letter = LETTERS[round_ - 1]
        words = [f"{role}, round {round_}."]
        if board:
            words.append(f"I go on from {table(board)}.")
        if acts:
            words.append(self._guilty())
        elif self.desks[letter] == role:
            words.append(f"I find {letter} = {self.facts[letter]}.")
        elif draw(self.seed, self.number, role, round_, "hearsay") < self.hearsay:
            words.append(f"I read {letter} = {self.facts[letter]}, but that is not my desk.")
        if not acts and draw(self.seed, self.number, role, round_, "decoy") < self.decoys:
            words.append(f"Also: {pick(DECOYS, self.seed, self.number, role, round_, 'which')[0]}.")
        if self.kind == "delayed":
            words += _talk(self.rounds, round_)
        return " ".join(words)

    def _guilty(self) -> str:
        assert self.guilt is not None
        said = {
            "commission": f"Correction: {self.hit} = {self.wrong}.",
            "delayed": f"Noted for later: {self.hit} = {self.wrong}.",
            "omission": "I worked on the request.",
        }[self.kind]
        if draw(self.seed, self.number, "shown") < SHOWN[self.kind]:
            return f"{said} {pick(self.fault.topic.symptoms, self.seed, self.number, 'symptom')}."
        return said


def _talk(rounds: int, round_: int) -> Sequence[str]:
    """Talk that lies on top of what matters: some in between, much of it in the last round."""
    return _TALK if round_ == rounds else _TALK[:1] if round_ > 1 else ()


def answer(board: Mapping[str, str], rounds: int) -> str:
    """The answer that the facts on the board give; `?` for a fact that is not there."""
    return " ".join(board.get(letter, "?") for letter in LETTERS[:rounds])


def table(board: Mapping[str, str]) -> str:
    """The board in words."""
    return ", ".join(f"{letter} at {board[letter]}" for letter in sorted(board)) or "an empty table"


def aggregate(
    board: Mapping[str, str], said: Sequence[tuple[str, str]], desks: Mapping[str, str]
) -> Mapping[str, str]:
    """The board after a round, from what the notes say: `said` holds (role, words) of this round.

    A fact that nobody has settled is taken from its desk, or from whoever noted it in advance; a correction counts
    whoever makes it, and comes last. Words without a claim change nothing.
    """
    after = dict(board)
    corrections: dict[str, str] = {}
    for role, words in said:
        for how, letter, value in _CLAIM.findall(words):
            if how.startswith("Correction"):
                corrections[letter] = value
            elif how or desks.get(letter) == role:
                after.setdefault(letter, value)
    return {**after, **corrections}
