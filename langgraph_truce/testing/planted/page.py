"""Reading a prompt as a model would have to: headings, quoted material, steps, rules. Nothing else is known to it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

Kind = Literal[
    "credit", "critic", "peers", "diagnosis", "suggest", "textual_gradient", "merge", "write", "rewrite", ""
]

_OPENINGS: Mapping[str, Kind] = {
    "You judge one segment": "credit",
    "You judge one round": "critic",
    "You stand for all roles": "peers",
    "You diagnose why": "diagnosis",
    "You say which way": "textual_gradient",
    "You improve the instructions": "suggest",
    "Below are suggestions": "merge",
    "You write out one change": "write",
    "You rewrite all the rules": "rewrite",
}
_STEP = re.compile(
    r"^\[([^\[\]\s]+#\d+\.\d+)\] role (\S+), round \d+\n(.*?)(?=\n\n\[|\Z)", re.MULTILINE | re.DOTALL
)
_LINE = re.compile(r"^(\w+)(?: \(protected\))?: (.*(?:\n {4}.*)*)", re.MULTILINE)


@dataclass(slots=True)
class Section:
    """What stands under one heading."""

    heading: str
    free: str = ""
    """Text outside of quotations."""
    quoted: list[str] = field(default_factory=list)
    """Quotations, in order."""


@dataclass(frozen=True, slots=True)
class Page:
    """One prompt, read."""

    kind: Kind
    """Which of the optimizer's prompts it is; empty where none."""
    text: str
    sections: tuple[Section, ...]

    def section(self, heading: str) -> Section:
        """The section whose heading begins so; an empty one where there is none."""
        return next((s for s in self.sections if s.heading.startswith(heading)), Section(heading))

    def quoted(self, heading: str, place: int = 0) -> str:
        """A quotation under a heading; empty where there is none."""
        found = self.section(heading).quoted
        return found[place] if place < len(found) else ""


def read(text: str) -> Page:
    """A prompt's sections; quoted material cannot open a section, whatever stands in it."""
    kind: Kind = next((k for opening, k in _OPENINGS.items() if text.startswith(opening)), "")
    sections = [Section("")]
    marker, inside = "", False
    for line in text.split("\n"):
        opened = re.fullmatch(r"\[data ([0-9a-f]+)\]", line)
        if inside and line == f"[end {marker}]":
            inside = False
            sections[-1].quoted[-1] = sections[-1].quoted[-1].removesuffix("\n")
        elif inside:
            sections[-1].quoted[-1] += line + "\n"
        elif opened:
            marker, inside = opened[1], True
            sections[-1].quoted.append("")
        elif line.startswith("## "):
            sections.append(Section(line[3:]))
        else:
            sections[-1].free += line + "\n"
    return Page(kind, text, tuple(sections))


def steps(transcript: str) -> tuple[tuple[str, str, str], ...]:
    """(step id, role, what it wrote) of every step in a transcript."""
    return tuple((m[1], m[2], m[3]) for m in _STEP.finditer(transcript))


def rules(listing: str) -> dict[str, str]:
    """Rules by id, as prompts list them: `id: text`."""
    return {m[1]: re.sub(r"\s+", " ", m[2]).strip() for m in _LINE.finditer(listing)}


def items(listing: str) -> list[str]:
    """Numbered items, one a line: `0: text`."""
    return [m[1] for m in re.finditer(r"^\d+: (.*)$", listing, re.MULTILINE)]
