"""Text from agents and tools is data (contract 10): how it is quoted inside a prompt, in one place.

Every quoted text of one call stands between two lines that carry the call's marker. The marker is drawn from the
run's seed, which no agent knows, and drawn again while it occurs in a text: quoted text cannot end its own quotation.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Mapping

NOTHING = "(none)"
"""Stands for an empty text, so that no place in a prompt is silently blank."""


def draw_marker(texts: Iterable[str], rng: random.Random) -> str:
    """Twelve hex digits that occur in none of `texts`; the same generator and texts give the same marker."""
    joined = "\n".join(texts)
    while True:
        marker = f"{rng.getrandbits(48):012x}"
        if marker not in joined:
            return marker


def quote(text: str, marker: str) -> str:
    """`text` between the lines `[data MARKER]` and `[end MARKER]`, unchanged."""
    return f"[data {marker}]\n{text or NOTHING}\n[end {marker}]"


def quoted(texts: Mapping[str, str], rng: random.Random) -> dict[str, str]:
    """Prompt fields: every text quoted with one marker, and the marker itself under `marker`.

    `rng` is `lab.rng(...)` keyed by what the call is about, so that the same call gives the same prompt on resume.
    """
    marker = draw_marker(texts.values(), rng)
    return {"marker": marker, **{name: quote(text, marker) for name, text in texts.items()}}
