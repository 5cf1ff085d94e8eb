"""Prompts of a foreign graph, found in its calls or named by hand: what interception replaces."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any, Literal

from langgraph_truce.errors import UserMistake
from langgraph_truce.rules import RuleBook, parse
from langgraph_truce.rules.rule import content_hash

Message = Literal["system", "human"]
"""Which message carries the instructions: a system message, or a human one: the first, or the last message of the call."""


@dataclass(frozen=True, slots=True)
class Slot:
    """One hard-coded prompt: who sends it, and its original text.

    `text` holds `{name}` where `fields` says that the text varies; all other braces are text.
    """

    role: str
    """Role path of the node that sends it (`team/solver`)."""
    text: str
    """The prompt as the code has it, byte for byte outside of the fields."""
    fields: tuple[str, ...] = ()
    """Names of the varying parts, in order of their first place in `text`; each stands there as `{name}`."""
    message: Message = "system"
    agent: str = ""
    """Its name in the rule book; "" makes it the role path. A node's second prompt is `ROLE~2`."""

    def __post_init__(self) -> None:
        for field in self.fields:
            if f"{{{field}}}" not in self.text:
                raise UserMistake(
                    f"the slot of {self.role!r} names the field {field!r}, but its text has no {{{field}}}"
                )
        object.__setattr__(self, "agent", self.agent or self.role)


@dataclass(frozen=True)
class Prompts:
    """All slots of a system; made by `System.discover`.

    Raises:
        UserMistake: two slots have one agent name.
    """

    slots: tuple[Slot, ...]
    raw_threads: bool = False
    """True: the system calls models from threads without run context. Its candidates run one at a time."""

    def __post_init__(self) -> None:
        names = [slot.agent for slot in self.slots]
        if twice := sorted({n for n in names if names.count(n) > 1}):
            raise UserMistake(f"two slots are called {', '.join(twice)}; give each its own agent=")

    @cached_property
    def id(self) -> str:
        """Hash of the content: names these prompts in a run's `configurable`."""
        return content_hash(json.dumps(self.to_json(), sort_keys=True))

    @property
    def book(self) -> RuleBook:
        """The original prompts as rules: `book.render(slot.agent) == slot.text`."""
        return RuleBook({slot.agent: parse(slot.agent, slot.text) for slot in self.slots})

    def to_json(self) -> dict[str, Any]:
        """As JSON; `from_json` reads it back equal."""
        return {"raw_threads": self.raw_threads, "slots": [asdict(slot) for slot in self.slots]}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Prompts:
        """Read what `to_json` wrote."""
        slots = tuple(Slot(**{**slot, "fields": tuple(slot["fields"])}) for slot in data["slots"])
        return cls(slots, bool(data["raw_threads"]))
