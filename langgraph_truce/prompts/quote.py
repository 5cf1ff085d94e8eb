"""Text from agents and tools is data (contract 10): how it is quoted inside a prompt, in one place.

Every quoted text of one call stands between two lines that carry the call's marker. The marker is a hash of the run's
seed, the call and every text that is quoted: a text that wanted to hold its own marker would have to hold a hash of
itself. It is drawn again while it occurs in a text, also in other letters (fullwidth digits, spaces between): quoted text
cannot end its own quotation. What nobody can see (direction marks, tags, control characters) is written out.
"""

from __future__ import annotations

import hashlib
import random
import re
import unicodedata
from collections.abc import Iterable, Mapping

NOTHING = "(none)"
"""Stands for an empty text, so that no place in a prompt is silently blank."""
INVISIBLE = re.compile(
    "[\\x00-\\x08\\x0b\\x0c\\x0e-\\x1f\\x7f-\\x9f\\u200b\\u2028-\\u202e\\u2060-\\u2064\\u2066-\\u206f\\ufeff\\ufff9-\\ufffb"
    "\\U000e0000-\\U000e0fff\\ud800-\\udfff]"
)
"""Characters that show nothing, or turn the text around, and so can say to a model what no reviewer sees. Joiners and the
marks of right-to-left scripts are not among them: words of living languages need those."""
_NOT_PLAIN = re.compile(r"[^0-9a-z]")


def draw_marker(texts: Iterable[str], rng: random.Random) -> str:
    """Sixteen hex digits that occur in none of `texts`, spelt in whatever way; the same generator and texts give the same."""
    joined = "\n".join(texts)
    plain = _plain(joined)
    content = hashlib.sha256(joined.encode("utf-8", "surrogatepass")).hexdigest()
    while True:
        marker = hashlib.sha256(f"{rng.getrandbits(64):016x}{content}".encode()).hexdigest()[:16]
        if marker not in plain:
            return marker


def quote(text: str, marker: str) -> str:
    """`text` between the lines `[data MARKER]` and `[end MARKER]`, as `visible` shows it."""
    return f"[data {marker}]\n{visible(text) or NOTHING}\n[end {marker}]"


def quoted(texts: Mapping[str, str], rng: random.Random) -> dict[str, str]:
    """Prompt fields: every text quoted with one marker, and the marker itself under `marker`.

    `rng` is `lab.rng(...)` keyed by what the call is about, so that the same call gives the same prompt on resume.
    """
    marker = draw_marker(texts.values(), rng)
    return {"marker": marker, **{name: quote(text, marker) for name, text in texts.items()}}


def visible(text: str) -> str:
    """`text` with every invisible character as its number, `<U+202E>`; everything else unchanged."""
    return INVISIBLE.sub(lambda m: f"<U+{ord(m[0]):04X}>", text)


def _plain(text: str) -> str:
    """Letters and digits alone, lower case, compatibility forms folded."""
    return _NOT_PLAIN.sub("", unicodedata.normalize("NFKC", text).casefold())
