"""The report of a discovery: what was found, what was not, and why."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from langgraph_truce.bind.found import Message, Prompts, Slot

SHOWN = 70
"""Characters of a prompt that the report quotes."""


@dataclass(frozen=True, slots=True)
class Found:
    """One prompt that is a slot now."""

    agent: str
    """Its name in the rule book."""
    role: str
    message: Message
    fields: tuple[str, ...]
    times: int
    """Calls that sent it; 0 for a slot named by hand that no example sent."""
    once: bool
    """True: heard in one example only, so which parts vary is not known."""
    shared: tuple[str, ...] = ()
    """Other agents that send the same text."""
    by_hand: bool = False


@dataclass(frozen=True, slots=True)
class NotReached:
    """A node that no example ran."""

    role: str
    slots: tuple[Slot, ...] = ()
    """Texts in its code that look like prompts, ready to be named with `slots=`."""


@dataclass(frozen=True, slots=True)
class NotFound:
    """A node whose prompt is no slot, and why."""

    role: str
    why: str


@dataclass(frozen=True)
class Discovery:
    """What running the examples told of a graph's prompts; made by `System.discover`."""

    prompts: Prompts
    examples: int
    """Examples that were run."""
    found: tuple[Found, ...]
    not_reached: tuple[NotReached, ...] = ()
    not_reachable: tuple[NotFound, ...] = ()
    """Calls that no interception reaches: raw SDK clients, `model.generate`."""
    not_stable: tuple[NotFound, ...] = ()
    """Prompts of which nothing, or almost nothing, stays the same."""
    no_prompt: tuple[NotFound, ...] = ()
    """Roles that called a model, of whose calls none has a prompt that was found or is named above."""
    candidates: tuple[Slot, ...] = ()
    """Human messages beside a system message, with their fixed text: name them with `slots=` to have them edited too."""
    silent: tuple[str, ...] = ()
    """Roles that ran and called no model."""
    errors: tuple[str, ...] = ()
    """One sentence for every example that raised."""
    calls: float | None = None
    """Model calls of one example, on average; None where an example raised."""

    def to_json(self) -> dict[str, Any]:
        """As JSON."""
        return {
            "examples": self.examples,
            "calls": self.calls,
            "prompts": self.prompts.to_json(),
            "found": [asdict(one) for one in self.found],
            "not_reached": [asdict(one) for one in self.not_reached],
            "not_reachable": [asdict(one) for one in self.not_reachable],
            "not_stable": [asdict(one) for one in self.not_stable],
            "no_prompt": [asdict(one) for one in self.no_prompt],
            "candidates": [asdict(one) for one in self.candidates],
            "silent": list(self.silent),
            "errors": list(self.errors),
        }

    def text(self, *, short: bool = False) -> str:
        """For a terminal; `short` leaves out the slots that could be named by hand, and the nodes without model."""
        parts = [f"{_count(len(self.found), 'prompt')} found in {_count(self.examples, 'example')}."]
        parts += [_found(one, self._text(one.agent)) for one in self.found]
        if self.prompts.raw_threads:
            parts.append(
                "Some calls come from threads without run context: their prompts are matched by text, and the "
                "candidates of this system run one at a time."
            )
        parts += _listed("Not reached by the examples", {one.role: "" for one in self.not_reached})
        parts += _listed("Not reachable", {one.role: one.why for one in self.not_reachable})
        parts += _listed("Not stable", {one.role: one.why for one in self.not_stable})
        parts += _listed(
            "Called a model, but no prompt was found", {one.role: one.why for one in self.no_prompt}
        )
        if self.errors:
            parts += ["Examples that raised:", *(f"  {error}" for error in self.errors)]
        if not short:
            offered = [slot for one in self.not_reached for slot in one.slots]
            parts += _slots(
                "Texts in the code that no example sent; name them with slots= where they are prompts:",
                offered,
            )
            parts += _slots(
                "Fixed text in human messages; name it with slots= to have it edited too:", self.candidates
            )
            parts += _listed("Ran without calling a model", dict.fromkeys(self.silent, ""))
        return "\n".join(parts) + "\n"

    def _text(self, agent: str) -> str:
        return next(slot.text for slot in self.prompts.slots if slot.agent == agent)


def _found(one: Found, text: str) -> str:
    notes = [_count(one.times, "call") if one.times else "sent by no example"]
    notes += [f"from {one.role}"] if one.role != one.agent else []
    notes += [f"fields {', '.join(one.fields)}"] if one.fields else []
    notes += ["human message"] if one.message == "human" else []
    notes += ["heard in one example only: which parts vary is not known"] if one.once and one.times else []
    notes += [f"shared with {', '.join(one.shared)}"] if one.shared else []
    notes += ["named by hand"] if one.by_hand else []
    said = " ".join(text.split())
    return f"  {one.agent}: {'; '.join(notes)}\n    {said[:SHOWN]}{'...' if len(said) > SHOWN else ''}"


def _listed(title: str, rows: Mapping[str, str]) -> list[str]:
    if not rows:
        return []
    if not any(rows.values()):
        return [f"{title}: {', '.join(rows)}"]
    return [f"{title}:", *(f"  {role}: {why}" for role, why in rows.items())]


def _slots(title: str, slots: tuple[Slot, ...] | list[Slot]) -> list[str]:
    return [title, *(f"  {ready(slot)}" for slot in slots)] if slots else []


def ready(slot: Slot) -> str:
    """The slot as code to copy."""
    extra = f", fields={slot.fields!r}" if slot.fields else ""
    extra += f", message={slot.message!r}" if slot.message != "system" else ""
    return f"Slot({slot.role!r}, {slot.text!r}{extra})"


def _count(n: int, what: str) -> str:
    return f"{n} {what}" if n == 1 else f"{n} {what}s"
