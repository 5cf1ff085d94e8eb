"""Which option a free text chooses: named, versioned extraction rules, and the plurality of several readings.

The rule alone moves accuracy by two to three points, so every score says which one read it (`rule_id`). Before any rule
reads, full-width letters and brackets become plain ones, and what stands in reasoning tags is taken out.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from types import MappingProxyType
from typing import Any

from langgraph_truce.errors import TaskError, UnknownNameError, UserMistake

LETTERS = "ABCDEFGHIJ"
"""Every letter an option can have, in order; a question has the first 2 to 10 of them."""
FEWEST = 2

RULES: Mapping[str, str] = MappingProxyType(
    {
        "first_standalone/1": "the first upper-case letter that stands alone and is no English article or pronoun",
        "last_parenthesised/1": "the last letter in round brackets, in either case; blanks and marks inside are allowed",
        "dylan/1": "the last '(X)', in either case, with nothing else inside; where there is none, the last 'X)'",
    }
)
"""Every rule by name and version, with what it reads in a sentence; a version's readings never change."""

_PLAIN = {code: code - 0xFEE0 for code in range(0xFF01, 0xFF5F)} | dict.fromkeys((0xA0, 0x3000), " ")
_NAME = r"(?P<name>think(?:ing)?|thoughts?|reason(?:ing)?|reflect(?:ion)?|analysis|scratchpad)"
_TAGS = re.compile(
    rf"[<◁](?P<end>/?)(?:\w{{1,20}}:)?{_NAME}\b[^<>◁▷]{{0,200}}[>▷]|\[(?P<shut>/?)(?-i:THINK)\]",
    re.IGNORECASE,
)
_WORD = r"0-9A-Za-z\u00c0-\u024f\u0300-\u036f\u0370-\u03ff\u0400-\u04ff\u2070-\u209f"
_MARKS = r"[\s*_`'\"$\\]{0,4}"
_QUOTES = r"\"'\u201c\u2018*_`"
_TAIL = re.compile(
    rf"[^\S\n]+[{_QUOTES}$£€]{{0,3}}(?:(?P<word>[A-Za-z\u00c0-\u024f]+)"
    r"|\d[\d.,/]{0,20}[^\S\n]?[%°]?[^\S\n]+[A-Za-z])"
)
"""What makes a bare "A" an article: on the same line a word, or a number and then a word ("A 5 kg block")."""
_CUE = re.compile(
    r"\b(?:(?:option|choice|letter)s?(?:\s+(?:is|was))?|answer(?:\s+(?:is|was|be)|\s*[:=]))"
    rf"[\s:=(\[{{${_QUOTES}-]{{0,9}}$",
    re.IGNORECASE,
)
"""What makes it a letter all the same, directly before it: "option A says", "the answer is A"."""
_CUE_SPAN = 40
_NAMED = re.compile(
    r"is|isn|are|aren|and|or|nor|but|because|since|as|so|if|then|than|that|which|while|for|with|by|in|on|of|at|from"
    r"|not|also|instead|has|seems|appears|looks|says|states|gives|matches|fits|follows|does|doesn",
    re.IGNORECASE,
)
"""Words that follow a letter as a name, and neither an article nor "I"."""
_NO_NOUN = re.compile(rf"{_NAMED.pattern}|was|were|would|could|should|must|have|had|did|to|be", re.IGNORECASE)
"""Words that do not follow an article."""


def rule_id(rule: str) -> str:
    """The rule's name with its version, as it is stored with scores: `first_standalone` is `first_standalone/1`.

    Args:
        rule: a name of `RULES`; without a version the newest one is meant.

    Raises:
        UnknownNameError: there is no such rule; the message lists those there are.
    """
    versions = [name for name in RULES if rule in (name, name.partition("/")[0])]
    if not versions:
        raise UnknownNameError(f"no extraction rule {rule!r}; there are: {', '.join(RULES)}")
    return max(versions, key=lambda name: int(name.partition("/")[2]))


def letters_of(inputs: Mapping[str, Any]) -> str:
    """The letters of a task's options ("ABCD"); "" where the task is no multiple-choice question.

    Args:
        inputs: `Task.inputs`; a question has `options`, a mapping from the first 2 to 10 letters, in order, to texts.
    """
    options = inputs.get("options")
    letters = "".join(map(str, options)) if isinstance(options, Mapping) else ""
    return letters if _usable(letters) else ""


def asked(
    inputs: Mapping[str, Any], reference_outputs: Mapping[str, Any], *, letters: str = ""
) -> tuple[str, str]:
    """The letters that may be read, and the right one: what a question asks for.

    Args:
        inputs: `Task.inputs`.
        reference_outputs: `Task.reference_outputs`, with the right letter under `answer`.
        letters: those that may be read; "" takes the letters of the options. The right one need not be among them: then no
            answer is right (papers that read A to D only, on questions with five options).

    Raises:
        TaskError: this is no multiple-choice question.
    """
    among = letters or letters_of(inputs)
    right = reference_outputs.get("answer")
    if not among:
        raise TaskError(
            f"a multiple-choice question has its options under letters in inputs['options'], got {inputs.get('options')!r:.80}; "
            "where they stand in the question's text, say which letters there are (letters='ABCD')"
        )
    if not isinstance(right, str) or len(right) != 1 or right not in LETTERS:
        raise TaskError(
            f"a multiple-choice question has its right letter in reference_outputs['answer'], got {right!r}"
        )
    return among, right


def read_choice(text: str, letters: str = "ABCD", *, rule: str = "first_standalone") -> str:
    """The option that `text` chooses, as an upper-case letter; "" where none can be read.

    Args:
        text: a free text; any text will do.
        letters: what can be chosen: the first 2 to 10 of `LETTERS`.
        rule: a name of `RULES`.

    Raises:
        UnknownNameError: there is no such rule.
        UserMistake: `letters` is something else.
    """
    reader = _READERS[rule_id(rule)]
    if not _usable(letters):
        raise UserMistake(
            f"the letters of the options are the first 2 to {len(LETTERS)} of {LETTERS!r}, got {letters!r}"
        )
    return reader(answer_part(text), letters)


def answer_part(text: str) -> str:
    """`text` without what stands in reasoning tags, with full-width characters made plain.

    An unclosed tag takes all that follows with it, a closing tag without an opening one all that came before (the chat
    templates of some models put the opening tag into the question). Tags may be nested, and carry attributes.
    """
    text = text.translate(_PLAIN)
    kept: list[str] = []
    inside: list[str] = []
    at = 0
    for tag in _TAGS.finditer(text):
        if tag[0].endswith("/>"):
            continue
        if not inside:
            kept.append(text[at : tag.start()])
        at = tag.end()
        name = (tag["name"] or "think").casefold()
        if not (tag["end"] or tag["shut"]):
            inside.append(name)
        elif name in inside:
            while inside.pop() != name:
                continue
        elif not inside:
            kept.clear()
    return "\n".join(kept if inside else [*kept, text[at:]])


def plurality(letters: Sequence[str]) -> str:
    """The most frequent letter; among equals the one found first; "" entries (nothing read) do not vote.

    Returns:
        The letter, or "" where there is no vote.
    """
    votes = Counter(letter for letter in letters if letter)
    return max(votes, key=lambda letter: votes[letter], default="")


def _usable(letters: str) -> bool:
    return len(letters) >= FEWEST and LETTERS.startswith(letters)


def _first_standalone(text: str, letters: str) -> str:
    for found in _standalone(letters).finditer(text):
        if not _is_word(text, found):
            return found[0]
    return ""


@cache
def _standalone(letters: str) -> re.Pattern[str]:
    """A letter that is no part of a word, a number, a name (`A-level`, `x_B`, `°C`, `C++`, `Ph.D.`) or a list (`A/B`, `A-D`)."""
    before = rf"(?<![{_WORD}°&])(?<![{_WORD}][_/])(?<!\b[A-J][-\u2013])(?<!\b[A-Za-z]\.)(?<!\bPh\.)"
    after = rf"(?![{_WORD}&+#^])(?![_/'\u2019][{_WORD}{{])(?![-\u2013][A-Za-z])(?!\.[A-Za-z]\b)"
    return re.compile(rf"{before}[{letters}]{after}")


def _is_word(text: str, found: re.Match[str]) -> bool:
    """Is this the article "A" or the pronoun "I"?"""
    if found[0] not in "AI":
        return False
    tail = _TAIL.match(text, found.end())
    named = _NO_NOUN if found[0] == "A" else _NAMED
    if tail is None or named.fullmatch(tail["word"] or ""):
        return False
    return not _CUE.search(text[max(0, found.start() - _CUE_SPAN) : found.start()])


def _last_parenthesised(text: str, letters: str) -> str:
    return _last(rf"\({_MARKS}([{letters}]){_MARKS}\)", text)


def _dylan(text: str, letters: str) -> str:
    return _last(rf"\(([{letters}])\)", text) or _last(rf"(?<![{_WORD}])([{letters}])\)", text)


def _last(pattern: str, text: str) -> str:
    found = re.findall(pattern, text, re.IGNORECASE | re.ASCII)
    return str(found[-1]).upper() if found else ""


_READERS: Mapping[str, Callable[[str, str], str]] = {
    "first_standalone/1": _first_standalone,
    "last_parenthesised/1": _last_parenthesised,
    "dylan/1": _dylan,
}
