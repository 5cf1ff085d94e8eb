"""Lines of a prompt as the parser sees them: indent, body, and the XML tags around the body."""

from __future__ import annotations

import re
from dataclasses import dataclass

_TAG = re.compile(r"<(/?)([A-Za-z][\w:.-]*)(?:\s[^<>]*)?>")
_CLOSE = re.compile(r"</([A-Za-z][\w:.-]*)\s*>$")
_INLINE = frozenset(
    ("a", "b", "i", "u", "s", "em", "strong", "code", "kbd", "br", "span", "sub", "sup", "mark", "small")
)
_TAB = 4


@dataclass(frozen=True, slots=True)
class Line:
    """One line; offsets count characters of the whole prompt."""

    begin: int
    """First character of the body: after indent and opening tags."""
    end: int
    """End of the body: before closing tags, trailing white space and the line break."""
    indent: int
    """Columns of white space before the line's first character; a tab goes to the next multiple of four."""
    body: str
    opens: tuple[str, ...] = ()
    """Names of structural tags opened around the body, lower case."""
    closes: tuple[str, ...] = ()
    """Names of those closed, before or behind the body."""

    @property
    def blank(self) -> bool:
        """Nothing on it, not even a tag."""
        return not self.body and not self.tagged

    @property
    def tagged(self) -> bool:
        """A structural tag stands on it."""
        return bool(self.opens or self.closes)


def split(text: str) -> tuple[Line, ...]:
    r"""All lines of `text`; they end at `\n` only, a `\r` before it is white space."""
    closed = frozenset(m[2].lower() for m in _TAG.finditer(text) if m[1])
    lines = []
    at = 0
    for raw in text.split("\n"):
        lines.append(_line(raw, at, closed))
        at += len(raw) + 1
    return tuple(lines)


def _line(raw: str, at: int, closed: frozenset[str]) -> Line:
    body = raw.strip()
    lead = raw[: len(raw) - len(raw.lstrip())]
    begin, end = at + len(lead), at + len(lead) + len(body)
    opens: list[str] = []
    closes: list[str] = []
    while (tag := _TAG.match(body)) and _structural(tag, body, closed):
        (closes if tag[1] else opens).append(tag[2].lower())
        rest = body[tag.end() :].lstrip()
        begin += len(body) - len(rest)
        body = rest
    while (tag := _CLOSE.search(body)) and not re.search(rf"<{re.escape(tag[1])}\b", body):
        closes.append(tag[1].lower())
        body = body[: tag.start()].rstrip()
        end = begin + len(body)
    return Line(begin, max(begin, end), _columns(lead), body, tuple(opens), tuple(closes))


def _structural(tag: re.Match[str], body: str, closed: frozenset[str]) -> bool:
    name = tag[2].lower()
    if name in _INLINE:
        return False
    if tag[1]:
        return True
    close = re.search(rf"</{re.escape(tag[2])}\s*>", body)
    # `<answer>x</answer> is required` speaks about a tag; it does not open a section
    return name in closed and (close is None or close.end() == len(body))


def _columns(lead: str) -> int:
    width = 0
    for char in lead:
        width = (width // _TAB + 1) * _TAB if char == "\t" else width + 1
    return width
