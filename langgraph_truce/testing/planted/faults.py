"""Which fault is planted where, and whether a rule book still has it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from langgraph_truce.rules import RuleBook, parse
from langgraph_truce.testing.planted.draws import draw, shuffled
from langgraph_truce.testing.planted.topics import IDLE_RULES, TOPICS, Topic, any_says

ROLES = ("researcher", "calculator", "reviewer", "planner", "editor", "auditor")
AGGREGATOR = "aggregator"
DECISION = "decision"

Kind = Literal["commission", "omission", "none"]
"""A harmful rule; a missing rule; no fault at first (the helping rule is there)."""


@dataclass(frozen=True, slots=True)
class Fault:
    """One topic, the agent it hangs on, and what is wrong with that agent's rules at the start."""

    topic: Topic
    agent: str
    """Role path."""
    kind: Kind

    def active(self, instructions: str) -> bool:
        """True where an agent with these instructions does the topic wrong.

        A harmful rule always acts. A missing rule acts too, but not where the fault was a harmful one: there the agent
        does right by itself once nothing tells it otherwise.
        """
        if any_says(instructions, self.topic.harm):
            return True
        return self.kind != "commission" and not any_says(instructions, self.topic.remedy)


def plant(seed: int, agents: Sequence[str], faults: int) -> tuple[Fault, ...]:
    """`faults` faults on different topics, spread over the agents, half of them harmful rules and half missing ones.

    The odd one's kind is the seed's choice. With 0 faults as many topics as agents are in play and nothing is wrong.
    """
    topics = shuffled(TOPICS, seed, "topics")[: faults or len(agents)]
    owners = shuffled(agents, seed, "owners")
    shift = int(2 * draw(seed, "kinds"))
    kinds: tuple[Kind, Kind] = ("commission", "omission")
    return tuple(
        Fault(topic, owners[i % len(owners)], kinds[(i + shift) % 2] if faults else "none")
        for i, topic in enumerate(topics)
    )


def starting_rules(seed: int, agents: Sequence[str], faults: Sequence[Fault]) -> RuleBook:
    """The rule book with the faults in it: idle rules, and the harmful and helping rules among them."""
    roles = (*agents, AGGREGATOR, DECISION)
    return RuleBook({role: parse(role, _prompt(seed, role, faults)) for role in roles})


def _prompt(seed: int, role: str, faults: Sequence[Fault]) -> str:
    rules = shuffled(IDLE_RULES, seed, "idle", role)[:3]
    for fault in faults:
        if fault.agent == role and fault.kind == "commission":
            rules.append(fault.topic.harm_rule)
        elif fault.agent == role and fault.kind == "none":
            rules.append(fault.topic.remedies[0])
    lines = "\n".join(f"- {rule}" for rule in shuffled(rules, seed, "order", role))
    return f"You are the {role} of a team that answers requests.\n\nRules:\n{lines}\n"
