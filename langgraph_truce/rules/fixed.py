"""Lines that stay fixed: code, JSON, tables, comments, quotes, and few-shot examples."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

from langgraph_truce.rules.lines import Line
from langgraph_truce.rules.markers import marker
from langgraph_truce.rules.sections import Heading, fixed_by_tag, heading
from langgraph_truce.rules.words import one_of

Mask = list[bool]

_FENCE = re.compile(r"(`{3,}|~{3,})(.*)")
_QUOTES = ('"""', "'''")
_RULER = re.compile(r"([-*_=~+#])(?:[ \t]*\1){2,}")
_CODE_INDENT = 4
_JSON_LINES = 200
_GAP = 12
_LEAD = r"(?:[-*•>]\s+)?(?:\*\*|__)?<?"
_TAIL = r"(?:\s*#?\d+)?(?:\*\*|__)?\s*[:\uff1a>](?:\*\*|__)?"
_ASKS = re.compile(_LEAD + one_of("asks") + _TAIL, re.IGNORECASE)
_LABELS = re.compile(_LEAD + one_of("asks", "replies") + _TAIL, re.IGNORECASE)
_REPLIES = re.compile(_LEAD + one_of("replies") + _TAIL, re.IGNORECASE)
_EXAMPLE = re.compile(
    r"(?:[-*•]\s+)?(?:\*\*|__)?(?:(?:few[- ]shot|worked|here (?:is|are)|for|some|zum|por|par)\s+)*(?:an?\s+|some\s+)?"
    r"(?:\w+\s+)?(?:examples?|samples?|demonstrations?|beispiele?|ejemplos?|exemples?)\b[^.!?:\n]{0,50}[:\uff1a]",
    re.IGNORECASE,
)


def fixed_lines(lines: Sequence[Line], paths: Sequence[tuple[str, ...]]) -> Mask:
    """For every line whether it stays fixed; `paths` are the tags around it."""
    fixed = [any(map(fixed_by_tag, path)) for path in paths]
    _fences(lines, fixed)
    _quoted(lines, fixed)
    _blocks(lines, fixed)
    _example_sections(lines, fixed)
    _dialogs(lines, fixed)
    _examples(lines, fixed)
    return fixed


def _fences(lines: Sequence[Line], fixed: Mask) -> None:
    fence = ""
    for i, line in enumerate(lines):
        match = _FENCE.match(line.body)
        if fence:
            fixed[i] = True
            if match and match[1].startswith(fence) and not match[2].strip():
                fence = ""
        elif match and "`" not in match[2]:
            fixed[i] = True
            fence = match[1]


def _quoted(lines: Sequence[Line], fixed: Mask) -> None:
    """Material between two lines of three quotation marks; not where they hold the whole prompt."""
    first = next((i for i, line in enumerate(lines) if line.body), 0)
    i = first + 1
    while i < len(lines):
        end = None
        if not fixed[i] and lines[i].body in _QUOTES:
            end = next((j for j in range(i + 1, len(lines)) if lines[j].body == lines[i].body), None)
        if end is not None:
            fixed[i : end + 1] = [True] * (end + 1 - i)
        i = i + 1 if end is None else end + 1


def _blocks(lines: Sequence[Line], fixed: Mask) -> None:
    margin = min((line.indent for line in lines[1:] if line.body), default=0)
    i, listed = 0, True  # nothing is code before the first text at the margin
    while i < len(lines):
        line, last = lines[i], i
        if not fixed[i] and line.body:
            if line.body.startswith("<!--"):
                last = _until(lines, i, lambda each: "-->" in each.body)
                fixed[i : last + 1] = [True] * (last + 1 - i)
            elif (end := _json_end(lines, i)) is not None:
                last = end
                fixed[i : last + 1] = [True] * (last + 1 - i)
            elif (
                line.body[0] in "|>"
                or _RULER.fullmatch(line.body)
                or (not listed and _is_code(lines, i, fixed, margin))
            ):
                fixed[i] = True
            # indented text belongs to the list above it until something stands at the prompt's margin
            listed = not fixed[i] and (bool(marker(line.body)) or (listed and line.indent > margin))
        i = last + 1


def _until(lines: Sequence[Line], i: int, ends: Callable[[Line], bool]) -> int:
    return next((j for j in range(i, len(lines)) if ends(lines[j])), i)


def _is_code(lines: Sequence[Line], i: int, fixed: Mask, margin: int) -> bool:
    """Indented by four columns or more than the prompt, after a blank line or other code."""
    line = lines[i]
    if line.indent - margin < _CODE_INDENT or i == 0 or (marker(line.body) and not fixed[i - 1]):
        return False
    return lines[i - 1].blank or fixed[i - 1]


def _json_end(lines: Sequence[Line], i: int) -> int | None:
    """Last line of the JSON block that line `i` opens; None where it opens none."""
    body = lines[i].body
    if not re.match(r"\{\{?\s*(?:$|[\"'}{<.])|\[\s*(?:$|[\"\[{])", body):
        return None
    depth = 0
    for j in range(i, min(len(lines), i + _JSON_LINES)):
        bare = re.sub(r'"(?:\\.|[^"\\])*"', '""', lines[j].body)
        depth += sum(bare.count(c) for c in "{[") - sum(bare.count(c) for c in "}]")
        if depth <= 0:
            return j if lines[j].body.rstrip(",;").endswith(("}", "]")) else None
    return None


def _example_sections(lines: Sequence[Line], fixed: Mask) -> None:
    """Everything under a `## Examples` or `**Examples**` heading, to the next heading that is not deeper."""
    inside: Heading | None = None
    for i, line in enumerate(lines):
        title = None if fixed[i] or line.tagged else heading(line.body)
        label = title is not None and title.level > 7  # noqa: PLR2004 - a plain label is no section end
        if line.tagged and not fixed[i]:
            inside = None
        elif title and not label and not (inside and (title.level > inside.level or title.examples)):
            inside = title if title.examples else None
        if inside:
            fixed[i] = True


def _dialogs(lines: Sequence[Line], fixed: Mask) -> None:
    """`Q:`/`A:`, `User:`/`Assistant:`, `Input:`/`Output:` exchanges: a question that is answered."""
    i = 0
    while i < len(lines):
        last = i
        if not fixed[i] and _ASKS.match(lines[i].body):
            answered, end = False, i
            while (follow := _next_label(lines, end, fixed)) is not None:
                answered = answered or bool(_REPLIES.match(lines[follow].body))
                end = follow
            last = end
            if answered:
                last = _paragraph_end(lines, end)
                fixed[i : last + 1] = [True] * (last + 1 - i)
        i = last + 1


def _next_label(lines: Sequence[Line], at: int, fixed: Mask) -> int | None:
    """The next labelled line that belongs to the same exchange as line `at`."""
    alone = bool(re.search(r"[:\uff1a>*_]$", lines[at].body))
    for j in range(at + 1, min(len(lines), at + _GAP)):
        line = lines[j]
        if _LABELS.match(line.body):
            return j
        new = bool(line.body) and lines[j - 1].blank and not fixed[j] and not (alone and j == at + 2)
        title = heading(line.body) if line.body else None
        if line.tagged or new or (title and not _EXAMPLE.match(line.body)):
            return None
    return None


def _paragraph_end(lines: Sequence[Line], i: int) -> int:
    j = i
    if (
        lines[i].body.endswith((":", "\uff1a"))
        and i + 2 < len(lines)
        and lines[i + 1].blank
        and lines[i + 2].body
    ):
        j = i + 2
    while (
        j + 1 < len(lines)
        and lines[j + 1].body
        and not lines[j + 1].tagged
        and not heading(lines[j + 1].body)
    ):
        j += 1
    return j


def _examples(lines: Sequence[Line], fixed: Mask) -> None:
    """`Example:` and `For example:` with what they introduce: the rest of their paragraph, and following exchanges."""
    for i, line in enumerate(lines):
        if fixed[i] or not _EXAMPLE.match(line.body):
            continue
        match = _EXAMPLE.match(line.body)
        alone = match is not None and not line.body[match.end() :].strip("*_ ")
        if not alone and marker(line.body):
            continue  # `- Example: ...` inside a list of rules is found as the item it is
        last = i
        while last + 1 < len(lines) and _goes_on(lines, last + 1, fixed, stop_at_items=not alone):
            last += 1
        if alone and last == i and i + 2 < len(lines) and lines[i + 1].blank:
            last = _paragraph_end(lines, i + 2) if lines[i + 2].body else i
        fixed[i : last + 1] = [True] * (last + 1 - i)


def _goes_on(lines: Sequence[Line], j: int, fixed: Mask, *, stop_at_items: bool) -> bool:
    line = lines[j]
    if fixed[j]:
        return not line.blank
    if not line.body or line.tagged or heading(line.body):
        return False
    return not (stop_at_items and marker(line.body))
