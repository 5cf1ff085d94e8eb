"""Where rules stand in a prompt, and how one is put in or taken out without touching anything else.

All functions work on `(text, spans)` as `layout.unfold` gives them and look at fixed text only.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

from langgraph_truce.rules.layout import Span, unfold
from langgraph_truce.rules.markers import Marker, marker_alone
from langgraph_truce.rules.rule import AgentRules, Rule, RuleSlot

Spans = tuple[Span, ...]

_TAG_HEAD = re.compile(r"<([A-Za-z][\w:.-]*)(?:\s[^<>]*)?>[ \t]*")
_SPACE = " \t"


@dataclass(frozen=True, slots=True)
class Frame:
    """The layout around one rule."""

    before: str
    """Fixed text between the rule before (or the prompt's start) and this one."""
    after: str
    """Fixed text up to the next rule (or the prompt's end)."""
    head: str | None
    """What stands before the rule on its line; None where another rule stands on that line before it."""
    marker: Marker | None
    """The list marker in `head`."""
    tail: str
    """The closing tag behind a rule that has an element of its own, else empty."""

    final: bool
    """It is the prompt's last rule."""

    @property
    def indent(self) -> str:
        """White space before the marker or tag."""
        head = self.head or ""
        return head[: len(head) - len(head.lstrip(_SPACE))]

    @property
    def closed(self) -> bool:
        """Nothing but white space stands behind the rule on its line."""
        rest, newline, _ = self.after[len(self.tail) :].partition("\n")
        return not rest.strip() and bool(newline or self.final)

    @property
    def item(self) -> bool:
        """The rule has a marker or an element of its own, and the rest of its line is empty."""
        return (self.marker is not None or bool(self.tail)) and self.closed

    @property
    def style(self) -> tuple[str, str]:
        """Equal for the items of one list."""
        return self.indent, self.marker.style if self.marker else self.tail


def frame(text: str, spans: Spans, i: int) -> Frame:
    """The frame of rule `i`."""
    span = spans[i]
    before = text[spans[i - 1].end if i else 0 : span.start]
    after = text[span.end : spans[i + 1].start if i + 1 < len(spans) else len(text)]
    head = before.rpartition("\n")[2] if "\n" in before or i == 0 else None
    bare = (head or "").lstrip(_SPACE)
    tag = _TAG_HEAD.fullmatch(bare)
    close = re.match(rf"[ \t]*</{re.escape(tag[1])}\s*>", after) if tag else None
    own = marker_alone(bare) if bare else None
    return Frame(before, after, head, own, close[0] if close else "", i + 1 == len(spans))


def role_words(rules: AgentRules) -> tuple[str, ...]:
    """The words of the role text without layout (white space, list markers, the tags around a rule).

    No edit ever changes them.
    """
    text, spans = unfold(rules)
    frames = [frame(text, spans, i) for i in range(len(spans))]
    pieces = []
    tail = ""
    for own in frames:
        layout = own.head if own.head and (own.marker or own.tail) else ""
        pieces.append(own.before[len(tail) : len(own.before) - len(layout)])
        tail = own.tail
    pieces.append(frames[-1].after[len(tail) :] if frames else text)
    return tuple(w for w in "".join(pieces).split() if not marker_alone(f"{w} "))


def hanging(found: Frame) -> str:
    """The indent of continuation lines for a new text in this place."""
    head = found.head or ""
    return re.sub(r"[^\t]", " ", head) if found.marker else found.indent


def siblings(text: str, spans: Spans, i: int) -> bool:
    """Rules `i - 1` and `i` are neighbouring items of one list: only white space and marker between them."""
    if i <= 0 or i >= len(spans):
        return False
    above, own = frame(text, spans, i - 1), frame(text, spans, i)
    between = own.before[len(above.tail) : len(own.before) - len(own.head or "")]
    return above.item and own.item and above.style == own.style and "\n" in between and not between.strip()


def replace_rule(text: str, spans: Spans, i: int, rule: Rule) -> tuple[str, Spans]:
    """Rule `i` with another text, in place."""
    old = spans[i].slot
    indent = (old.indent or hanging(frame(text, spans, i))) if "\n" in rule.text else ""
    slot = RuleSlot(rule, indent)
    body, start, end = slot.render(), spans[i].start, spans[i].end
    here = Span(start, start + len(body), slot)
    behind = _moved(spans[i + 1 :], len(body) - (end - start))
    return text[:start] + body + text[end:], (*spans[:i], here, *behind)


def append_rule(text: str, spans: Spans, rule: Rule) -> tuple[str, Spans]:
    """`rule` behind the last rule in that one's style; as a new bullet list at the end where there is no rule."""
    if not spans:
        return _new_list(text, rule)
    i = len(spans) - 1
    last = frame(text, spans, i)
    eol = "\r\n" if "\r\n" in text else "\n"
    if not last.item:
        between = last.before if i and not last.before.strip() else " "
        slot = RuleSlot(rule, last.indent if "\n" in rule.text else "")
        return _insert(text, spans, spans[i].end, between or " ", slot)
    head = last.head or ""
    gap = (
        last.before[len(frame(text, spans, i - 1).tail) : len(last.before) - len(head)]
        if siblings(text, spans, i)
        else eol
    )
    if last.marker and last.marker.value is not None:
        constant = siblings(text, spans, i) and _value(text, spans, i - 1) == last.marker.value
        step = 0 if constant else 1
        head = last.indent + last.marker.numbered(last.marker.value + step)
    slot = RuleSlot(rule, hanging(replace(last, head=head)) if "\n" in rule.text else "")
    at = spans[i].end + len(last.tail) + _own_lines(last)
    return _insert(text, spans, at, gap + head, slot, last.tail)


def remove_rule(text: str, spans: Spans, i: int) -> tuple[str, Spans]:
    """The prompt without rule `i`, its marker and its line; later items of a numbered list move up."""
    own = frame(text, spans, i)
    followers = _followers(text, spans, i)
    value = own.marker.value if own.marker else None
    start, end = spans[i].start, spans[i].end + len(own.tail)
    if siblings(text, spans, i):
        cut = (spans[i - 1].end + len(frame(text, spans, i - 1).tail), end)
    elif siblings(text, spans, i + 1):
        below = frame(text, spans, i + 1)
        cut = (start - len(own.head or ""), spans[i + 1].start - len(below.head or ""))
    elif i and own.closed and not own.marker and not own.before.strip():
        cut = (spans[i - 1].end, end)
    elif own.item:
        cut = _line(own, start - len(own.head or ""), end)
    else:
        cut = _inline(own, start, end)
    text = text[: cut[0]] + text[cut[1] :]
    spans = spans[:i] + _moved(spans[i + 1 :], cut[0] - cut[1])
    return _renumber(text, spans, range(i, i + followers), value)


def _value(text: str, spans: Spans, i: int) -> int | None:
    found = frame(text, spans, i).marker
    return found.value if found else None


def _followers(text: str, spans: Spans, i: int) -> int:
    """How many items directly below rule `i` count on from it."""
    n, value = 0, _value(text, spans, i)
    while (
        value is not None
        and siblings(text, spans, i + n + 1)
        and _value(text, spans, i + n + 1) == value + n + 1
    ):
        n += 1
    return n


def _renumber(text: str, spans: Spans, which: range, value: int | None) -> tuple[str, Spans]:
    for k, i in enumerate(which):
        own = frame(text, spans, i)
        assert own.marker is not None
        assert value is not None
        head = own.marker.numbered(value + k)
        at, length = spans[i].start, len(own.marker.text)
        text = text[: at - length] + head + text[at:]
        spans = spans[:i] + _moved(spans[i:], len(head) - length)
    return text, spans


def _own_lines(last: Frame) -> int:
    """Length of the fixed lines below an item that are indented deeper and so belong to it (code, JSON)."""
    rest = last.after[len(last.tail) :]
    margin, used, at = len(last.indent), 0, 0
    for k, line in enumerate(rest.split("\n")):
        body = line.strip()
        if k and body:
            if len(line) - len(line.lstrip(_SPACE)) <= margin:
                break
            used = at + len(line.rstrip())
        at += len(line) + 1
    return used


def _line(own: Frame, start: int, end: int) -> tuple[int, int]:
    """A whole line with its line break, and one blank line where two would meet."""
    line, newline, below = own.after[len(own.tail) :].partition("\n")
    above = own.before[: len(own.before) - len(own.head or "")]
    blank_above = re.search(r"\n(?P<gap>[ \t]*\r?\n)$", above)
    first, more, _ = below.partition("\n")
    blank_below = not first.strip() and bool(more or own.final)
    end += len(line) + len(newline)
    if blank_above and blank_below:
        start -= len(blank_above["gap"])
    if not newline and above.endswith("\n"):
        start -= 2 if own.before.removesuffix(own.head or "").endswith("\r\n") else 1
    return start, end


def _inline(own: Frame, start: int, end: int) -> tuple[int, int]:
    """A sentence with the white space on one side of it; with its line where nothing else stands there."""
    left = len(own.before) - len(own.before.rstrip(_SPACE))
    right = len(own.after) - len(own.after.lstrip(_SPACE))
    leading = own.head is not None and not own.head.strip()
    if leading and own.closed:
        return _line(own, start - len(own.head or ""), end)
    return (start, end + right) if leading else (start - left, end)


def _new_list(text: str, rule: Rule) -> tuple[str, Spans]:
    eol = "\r\n" if "\r\n" in text else "\n"
    body = text.rstrip()
    slot = RuleSlot(rule, "  " if "\n" in rule.text else "")
    return _insert(text, (), len(body), f"{eol}{eol}- " if body else "- ", slot)


def _insert(text: str, spans: Spans, at: int, lead: str, slot: RuleSlot, tail: str = "") -> tuple[str, Spans]:
    body = slot.render()
    start = at + len(lead)
    return text[:at] + lead + body + tail + text[at:], (*spans, Span(start, start + len(body), slot))


def _moved(spans: Spans, by: int) -> Spans:
    return tuple(Span(span.start + by, span.end + by, span.slot) for span in spans)
