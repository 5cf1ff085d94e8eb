"""Plain sentences as spans: which sentences of running text tell the node what to do."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from langgraph_truce.rules.lines import Line
from langgraph_truce.rules.words import one_of

_END = re.compile(r"[.!?\u2026\u3002]+[\"'\u201d\u2019)\]*_`\u00bb]*(?=\s|$)")
_SHORT = re.compile(rf"\b(?:{one_of('abbreviations')}|[A-Za-z])\.$")
_WRAP = 60
_STRONG = re.compile(rf"{one_of('strong')}\b", re.IGNORECASE)
_VERBS = re.compile(rf"[*_]*{one_of('verbs')}(?=[\s*_,;:.!]|$)", re.IGNORECASE)
_MODAL = re.compile(rf"\b{one_of('modal')}\b", re.IGNORECASE)
_WHEN = re.compile(rf"{one_of('conditions')}\b[^.!?]*?,\s+(?:then\s+)?", re.IGNORECASE)
_LEAD = re.compile(rf"(?:\*\*[^*]+\*\*:?\s+|{one_of('leads')},?\s+)", re.IGNORECASE)
_TASK = re.compile(rf"\b{one_of('material')}\b|:\s*\{{\{{?\w+\}}?\}}$", re.IGNORECASE)
_TELLS = re.compile(rf"{one_of('tells')}\b", re.IGNORECASE)
_WORD = re.compile(r"[^\W\d_]+")
_WORDS = 2
_LONGEST = 20  # characters; no abbreviation is longer


def sentences(text: str, paragraph: Sequence[Line]) -> Iterator[tuple[int, int]]:
    """(start, end) of every sentence in the lines of one paragraph; a sentence may go over line breaks."""
    start = paragraph[0].begin
    for line, follow in zip(paragraph, [*paragraph[1:], None], strict=True):
        for match in _END.finditer(text, max(start, line.begin), line.end):
            rest = text[match.end() : line.end].lstrip()
            if _SHORT.search(text[max(start, match.start() - _LONGEST) : match.start() + 1]) or (
                rest and rest[0].islower()
            ):
                continue
            yield start, match.end()
            start = match.end() + len(text[match.end() : line.end]) - len(rest)
        if follow is None or (start < line.end and not _breaks(line, follow)):
            continue
        if start < line.end:
            yield start, line.end
        start = follow.begin
    if start < paragraph[-1].end:
        yield start, paragraph[-1].end


def _breaks(line: Line, follow: Line) -> bool:
    """The line break ends the sentence: the next line starts anew, and its first word would have fitted."""
    word = follow.body.split(maxsplit=1)[0]
    return not word[0].islower() and len(line.body) + 1 + len(word) <= _WRAP


def is_rule(sentence: str, *, section: bool, listless: bool) -> bool:
    """Whether `sentence` is a rule.

    Args:
        sentence: its text.
        section: it stands in a section of rules: everything that does not merely tell what is the case.
        listless: the prompt has no list: imperatives count anywhere, not only the strong ones (always, never, must).
    """
    if sentence.endswith((":", "\uff1a")) or len(_WORD.findall(sentence)) < _WORDS or _TELLS.match(sentence):
        return False
    bare = _LEAD.sub("", _LEAD.sub("", sentence, count=1), count=1)
    if _STRONG.match(bare):
        return True
    if section:
        return not re.search(r":\s*\{\{?\w+\}?\}$", sentence)
    return listless and not _TASK.search(sentence) and _imperative(bare)


def _imperative(bare: str) -> bool:
    when = _WHEN.match(bare)
    main = bare[when.end() :] if when else bare
    return bool(_VERBS.match(main) or _STRONG.match(main) or _MODAL.search(main))
