r"""The HTML comments of a rule file: where rules start and end, and how other text is kept apart from them.

Grammar (a comment never goes over a line break)::

    <!--r1-->                    a rule starts behind it; one space behind the comment belongs to the comment
    <!--r2 protected-->          no edit may touch the rule
    <!--r7 example task=t12-->   an example that quotes train task t12 (percent-encoded where needed)
    <!--r3 indent=4-->           white space before continuation lines, where it is not what they share
    <!--/r3-->                   the rule ends here; only where it does not end by the layout (see `layout_end`)
    <!--next=9-->                last line: the number of the next new rule, where it is not the highest + 1
    <!--u0000-->                 one character that Markdown cannot hold (NUL, lone surrogates, a final \r)
    <!--\r1-->                   the text `<!--r1-->` itself; further backslashes count up
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal
from urllib.parse import quote, unquote

from langgraph_truce.errors import RuleFileError
from langgraph_truce.rules.layout import BLANK

_OURS = re.compile(r"<!--( *)(\\*)(?=/?r\d|u[0-9A-Fa-f]{4,6}-->|next=)")
_BODY = re.compile(
    r"(?P<end>/)?(?P<id>r[1-9]\d{0,8})(?P<attributes>(?: +\S+)*) *|u(?P<char>[0-9A-Fa-f]{4,6})|next=(?P<next>\d{1,9}) *"
)
_ODD = re.compile("[\x00\ud800-\udfff]|\r\\Z")
_MAX = 0x10FFFF
_DEEPEST = 1000  # spaces before a continuation line

Kind = Literal["start", "end", "next"]


@dataclass(frozen=True, slots=True)
class Mark:
    """A comment of ours and where it stands."""

    kind: Kind
    at: int
    """Position in the text without comments."""
    line: int
    """Line of the file, from 1."""
    rule: str = ""
    attributes: Mapping[str, str] = field(default_factory=dict)
    """`protected`, `example`, `task`, `indent`."""
    number: int = 0
    """Of a `next` mark."""


def escape(text: str, *, last: bool = False) -> str:
    """`text` so that no part of it reads as a comment of ours; `last`: it ends the file."""
    text = _OURS.sub(lambda m: f"<!--{m[1]}{m[2]}\\", text)
    # a \r at the very end would be taken for half of the file's final line break
    return _ODD.sub(lambda m: f"<!--u{ord(m[0]):04X}-->" if last or m[0] != "\r" else m[0], text)


def without_final_break(text: str) -> str:
    r"""`text` without the one line break (`\n` or `\r\n`) at its end."""
    return text.removesuffix("\n").removesuffix("\r") if text.endswith("\n") else text


def start_mark(rule: str, attributes: Mapping[str, str]) -> str:
    """The comment before a rule."""
    words = [name + (f"={_quote(value)}" if value else "") for name, value in attributes.items()]
    return f"<!--{' '.join([rule, *words])}--> "


def indent_value(indent: str) -> str:
    """White space as an attribute: a number of spaces, else as it is."""
    return str(len(indent)) if indent == " " * len(indent) else indent


def indent_of(value: str) -> str:
    """The inverse of `indent_value`."""
    return " " * int(value) if value.isascii() and value.isdigit() else value


def decode(source: str, name: str) -> tuple[str, tuple[Mark, ...]]:
    """The text of a rule file without our comments, and the comments.

    Raises:
        RuleFileError: a comment is not closed or not one of ours; the message has file and line.
    """
    pieces: list[str] = []
    marks: list[Mark] = []
    at = length = counted = 0
    line = 1
    while found := _OURS.search(source, at):
        kept = source[at : found.start()]
        line += source.count("\n", counted, found.start())
        counted = found.start()
        where = f"{name}:{line}"
        if found[2]:
            kept += f"<!--{found[1]}{found[2][1:]}"
            pieces.append(kept)
            length += len(kept)
            at = found.end()
            continue
        close = source.find("-->", found.end())
        body = source[found.end() : close if close >= 0 else len(source)]
        if close < 0 or "\n" in body:
            shown = body.split("\n", 1)[0].strip()[:40]
            raise RuleFileError(f"{where}: comment '<!--{shown}' is not closed; end it with --> on its line")
        match = _BODY.fullmatch(body)
        if match is None:
            raise RuleFileError(
                f"{where}: comment '<!--{body}-->' is no rule comment; write <!--r1-->, <!--/r1--> or <!--next=9-->, "
                f"and <!--\\{body}--> where the prompt itself is to say it"
            )
        if match["next"]:
            kept = without_final_break(kept)
        if match["char"]:
            kept += _char(match["char"], where)
        pieces.append(kept)
        length += len(kept)
        at = close + len("-->")
        if not match["char"]:
            marks.append(_mark(match, length, line, where))
            at += marks[-1].kind == "start" and source[at : at + 1] == " "
    pieces.append(source[at:])
    return "".join(pieces), tuple(marks)


def layout_end(text: str, start: int, stop: int) -> int:
    """Where a rule that starts at `start` ends by the layout, `stop` being where the next one starts (or the text ends).

    It ends with its line. Lines below that are indented deeper than that line, and blank lines between them,
    belong to it; a line with another rule on it does not. White space at its end is left out.
    """
    line_start = text.rfind("\n", 0, start) + 1
    margin = _margin(text[line_start:start] + "x")
    at = end = _line_end(text, start)
    if stop <= end:
        return start + len(text[start:stop].rstrip(BLANK))
    while at < len(text):
        below = _line_end(text, at + 1)
        if stop <= below and not (stop == below == len(text)):
            break
        line = text[at + 1 : below]
        if line.strip(BLANK):
            if _margin(line) <= margin:
                break
            end = below
        at = below
    return start + len(text[start:end].rstrip(BLANK))


def _margin(line: str) -> int:
    return len(line) - len(line.lstrip(" \t"))


def _line_end(text: str, at: int) -> int:
    found = text.find("\n", at)
    return len(text) if found < 0 else found


def _mark(match: re.Match[str], at: int, line: int, where: str) -> Mark:
    if match["next"]:
        return Mark("next", at, line, number=int(match["next"]))
    rule = match["id"]
    words = match["attributes"].split()
    if match["end"]:
        if words:
            raise RuleFileError(f"{where}: end comment of rule {rule!r} takes no attribute, got {words[0]!r}")
        return Mark("end", at, line, rule)
    attributes: dict[str, str] = {}
    for word in words:
        key, equals, value = word.partition("=")
        if key not in ("protected", "example", "task", "indent") or bool(equals) != (
            key in ("task", "indent")
        ):
            raise RuleFileError(
                f"{where}: unknown attribute {word!r} of rule {rule!r}; there are protected, example, task=ID and indent=N"
            )
        attributes[key] = _unquote(value)
    if "task" in attributes and "example" not in attributes:
        raise RuleFileError(
            f"{where}: rule {rule!r} has a task but is no example; write <!--{rule} example task=...-->"
        )
    if (indent := attributes.get("indent", "")) and (
        len(indent) > _DEEPEST
        or (indent.isdecimal() and int(indent) > _DEEPEST)
        or indent_of(indent).strip(" \t")
    ):
        raise RuleFileError(
            f"{where}: indent={attributes['indent']!r} of rule {rule!r} is no number of spaces"
        )
    return Mark("start", at, line, rule, attributes)


def _char(digits: str, where: str) -> str:
    code = int(digits, 16)
    if code > _MAX:
        raise RuleFileError(f"{where}: <!--u{digits}--> is no character; the highest is 10FFFF")
    return chr(code)


def _quote(value: str) -> str:
    return quote(value, safe="/:@+,._~#", errors="surrogatepass").replace("--", "-%2D")


def _unquote(value: str) -> str:
    return unquote(value, errors="surrogatepass")
