"""What roles, aggregators and the decision of a planted bottleneck say: pure functions of case, chance and words.

All that goes from round to round is the text S_t: which option stands, and which are still open.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

from langgraph_truce.choices import read_choice
from langgraph_truce.testing.planted.draws import draw, pick, shuffled
from langgraph_truce.testing.planted.topics import DECOYS, Topic

LETTERS = "ABCD"
"""Options of every question."""
ACTS = 0.85
"""Share of its utterances in which a weak role errs."""
SHOWN = 0.85
"""Share of errors that also show a symptom which a critic could see."""
ACTS_DIVIDED = 0.8
"""Share of rounds with different answers in which a weak aggregator errs."""
ACTS_AGREED = 0.4
"""Share of rounds in which it errs although all agents gave the same answer."""
DECOY = 0.2
"""Share of utterances with a symptom that does not matter."""

_OPEN = re.compile(r"Still open: ([A-D](?:, [A-D])*)\.")
_CASE = re.compile(r"Case (\d+)\b")


@dataclass(frozen=True, slots=True)
class Odds:
    """Chances of a world, each in [0, 1]."""

    noise: float
    """A healthy role's answer is wrong."""
    sways: float
    """A weak role's wrong option, still open, convinces the others in the next round: all of them."""
    recovers: float
    """What the last round dropped comes back, because the roles work the question out anew in a round: all of them."""


@dataclass(frozen=True)
class Case:
    """One question."""

    seed: int
    number: int
    topic: Topic

    @cached_property
    def right(self) -> str:
        """Letter of the right option."""
        return pick(LETTERS, self.seed, self.number, "right")

    @cached_property
    def trap(self) -> str:
        """Letter of the option that a weak role falls for."""
        return pick(LETTERS.replace(self.right, ""), self.seed, self.number, "trap")

    @cached_property
    def question(self) -> str:
        """The question, without its options."""
        a, b = (11 + int(draw(self.seed, self.number, side) * 18) for side in "ab")
        return f"Case {self.number}. {self.topic.request.format(a=a, b=b)}"

    @cached_property
    def options(self) -> Mapping[str, str]:
        """The options: a value each, all different."""
        values = shuffled(range(100, 1000), self.seed, self.number, "values")
        return {letter: f"K-{value}" for letter, value in zip(LETTERS, values, strict=False)}


def case_number(question: str) -> int:
    """The number of the case that a question is."""
    found = _CASE.search(question)
    assert found is not None, "a question of another world"
    return int(found[1])


@dataclass(frozen=True, slots=True)
class Play:
    """One rollout of one case."""

    case: Case
    replicate: int
    odds: Odds

    def utterance(self, role: str, number: int, shared: str, *, topic: Topic, faulty: bool) -> str:
        """u_(i,t): what `role` says in round `number`, having read S_(t-1).

        Args:
            role: Who speaks.
            number: t, from 1.
            shared: S_(t-1), "" in round 1.
            topic: What the role can do wrong.
            faulty: Its rules make it do that.
        """
        if faulty and self._luck(role, number, "acts") < ACTS:
            words = self._shown(role, number, topic, "I worked the question out.")
            return f"({self.case.trap}) is my answer. {words}"
        letter, words = self._healthy(role, number, shared)
        if self._luck(role, number, "decoy") < DECOY:
            words += f" Also: {pick(DECOYS, *self._key(role, number), 'which')[0]}."
        return f"({letter}) is my answer. {words}"

    def _healthy(self, role: str, number: int, shared: str) -> tuple[str, str]:
        right, still = self.case.right, still_open(shared)
        anew = not shared or self._luck("", number, "recovers") < self.odds.recovers
        if not anew and right not in still:
            return read_choice(shared, LETTERS), "I take over what stands, the summary leaves nothing else."
        swayed = self.case.trap in still and self._luck("", number, "sways") < self.odds.sways
        if swayed and not anew:
            return self.case.trap, "The reasons for it in the summary convinced me."
        if self._luck(role, number, "slips") < self.odds.noise:
            others = "".join(sorted({*LETTERS} - {right, self.case.trap}))
            return pick(others, *self._key(role, number), "slip"), "I worked the question out."
        known = self._luck(role, number, "sound") < SHOWN
        return right, self.case.topic.sound if known else "I worked the question out."

    def aggregate(self, number: int, utterances: Mapping[str, str], *, topic: Topic, faulty: bool) -> str:
        """S_t: the option that stands and those that are still open, from U_t alone.

        A sound aggregator carries on the option that most agents gave (the first of them in a tie) and keeps all that were
        given open. One whose rules are faulty carries on what fewest gave, or where all agree another one, and drops the rest.
        """
        given = [read_choice(text, LETTERS) for text in utterances.values()]
        counts = Counter(letter for letter in given if letter)
        stands = max(counts, key=lambda letter: counts[letter], default=LETTERS[0])
        odds = ACTS_AGREED if len(counts) < 2 else ACTS_DIVIDED  # noqa: PLR2004 - one answer is agreement
        if faulty and self._luck("aggregator", number, "acts") < odds:
            stands = self._lost(number, counts)
            still, words = stands, self._shown("aggregator", number, topic, "That closes the round.")
        else:
            still, words = ", ".join(sorted(counts)) or stands, topic.sound
        return f"({stands}) stands after round {number}. Still open: {still}. {words}"

    def _lost(self, number: int, counts: Mapping[str, int]) -> str:
        """What a faulty aggregator carries on."""
        key = self._key("aggregator", number)
        if len(counts) < 2:  # noqa: PLR2004 - as above
            return pick("".join(x for x in LETTERS if x not in counts), *key, "invented")
        fewest = min(counts.values())
        return pick(sorted(x for x in counts if counts[x] == fewest), *key, "fewest")

    def _shown(self, role: str, number: int, topic: Topic, hidden: str) -> str:
        """The words of an error: a symptom, or nothing to be seen."""
        if self._luck(role, number, "shown") < SHOWN:
            return f"{pick(topic.symptoms, *self._key(role, number), 'symptom')}."
        return hidden

    def _key(self, role: str, number: int) -> tuple[int, int, int, str, int]:
        return self.case.seed, self.case.number, self.replicate, role, number

    def _luck(self, role: str, number: int, what: str) -> float:
        """A chance in [0, 1) of (seed, case, replicate, role, round); one for all roles where `role` is empty."""
        return draw(*self._key(role, number), what)


def still_open(shared: str) -> frozenset[str]:
    """The options that S_t keeps open; none in S_0."""
    found = _OPEN.search(shared)
    return frozenset(found[1].split(", ")) if found else frozenset()


def decision(shared: str) -> str:
    """The answer: the option that stands in S_R."""
    return f"({read_choice(shared, LETTERS)}) is the answer."
