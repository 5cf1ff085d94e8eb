"""List markers: bullets, numbers, letters and signs, and how to count on."""

from __future__ import annotations

import re
from dataclasses import dataclass

_MARKER = re.compile(
    r"""(?:
      (?P<bullet>[-*+•‣◦\u2013\u2014·▪●○■►▶☐☑✓✔➤→])
    | (?P<many>\d{1,3}(?:\.\d{1,3})+[.)]?)
    | (?P<open>\()?(?P<number>\d{1,3})(?(open)\)|[.)])
    | (?P<word>(?:Rule|Regel|Step|Schritt|Regla|R[èe]gle)\ )(?P<step>\d{1,3})[.:)]
    | (?P<key>\d)\ufe0f?\u20e3
    | (?P<paren>\()?(?P<roman>[ivx]{2,5})(?(paren)\)|[.)])
    | (?P<round>\()?(?P<letter>[A-Za-z])(?(round)\)|[.)])
    | (?P<sign>[\u2190-\u21ff\u2300-\u27bf\u2b00-\u2bff\U0001f000-\U0001faff]\ufe0f?)
    )(?P<gap>[ \t]+)""",
    re.VERBOSE,
)
_COUNTED = ("number", "step", "key", "letter", "many")
_UNSURE = frozenset(("many", "roman", "letter", "sign"))


@dataclass(frozen=True, slots=True)
class Marker:
    """A list marker with the white space behind it."""

    text: str
    style: str
    """Equal for the markers of one list: `-`, `1.`, `(a)`, `sign`."""
    unsure: bool
    """It could also be the start of a sentence (`A. Smith`): it counts only with a second one like it."""
    count: tuple[int, int] | None = None
    """Where the number or letter stands in `text`; None for bullets."""

    @property
    def value(self) -> int | None:
        """Its number, letters counting from 1; None for bullets."""
        if self.count is None:
            return None
        digits = self.text[slice(*self.count)]
        return int(digits) if digits.isdigit() else ord(digits.lower()) - ord("a") + 1

    def numbered(self, value: int) -> str:
        """The marker's text with another number; letters stop at z, there the text stays."""
        if self.count is None:
            return self.text
        start, end = self.count
        old = self.text[start:end]
        if old.isdigit():
            new = str(value)
        elif 1 <= value <= 26:  # noqa: PLR2004 - letters of the alphabet
            new = chr(ord("A" if old.isupper() else "a") + value - 1)
        else:
            return self.text
        return self.text[:start] + new + self.text[end:]


def marker(body: str) -> Marker | None:
    """The list marker at the start of `body` with text behind it; None where there is none."""
    match = _MARKER.match(body)
    if match is None or (match.end() == len(body) and body.strip() != body):
        return None
    return _read(match)


def marker_alone(head: str) -> Marker | None:
    """`head` (without its indent) as a marker and nothing else; None where it is something else."""
    match = _MARKER.fullmatch(head)
    return _read(match) if match else None


def _read(match: re.Match[str]) -> Marker:
    kind = next(
        name
        for name, text in match.groupdict().items()
        if text and name not in ("open", "paren", "round", "word")
    )
    count: tuple[int, int] | None = None
    style = "sign" if kind == "sign" else match[kind]
    if kind in _COUNTED:
        count = (match.start(kind) - match.start(), match.end(kind) - match.start())
        if kind == "many":
            last = list(re.finditer(r"\d+", match[kind]))[-1]
            count = (last.start(), last.end())
        shown = match[0].rstrip()
        style = f"{shown[: count[0]]}{'1' if kind != 'letter' else 'A' if match[kind].isupper() else 'a'}{shown[count[1] :]}"
    elif kind == "roman":
        style = re.sub(r"[ivx]+", "i", match[0].rstrip())
    return Marker(match[0], style, kind in _UNSURE, count)
