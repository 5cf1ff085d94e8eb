"""Copied text (contract 10): an edit must not carry what the gate or the sealed test will ask.

Texts are compared by their letters and digits alone, so that case, white space, punctuation, line breaks, invisible
characters and compatibility forms (fullwidth letters, ligatures) hide nothing; reversed and in base64 they are looked for
too. Other words for the same, or the same words in another order, are not found.
"""

from __future__ import annotations

import base64
import binascii
import re
import unicodedata
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from langgraph_truce.task import Task

RUN = 32
"""Letters and digits that two texts must share in one run to count as copied: five or six words."""
WHOLE = 12
"""Letters and digits from which a reference that stands whole in a text counts as copied."""
DIGITS = 5
"""Digits from which a number or an identifier that stands whole in a text counts as copied."""
_BETWEEN = "\x00"
_NOT_PLAIN = re.compile(r"[\W_]+")
_TOKEN = re.compile(r"\w+(?:[-./:]\w+)*")
_ENCODED = re.compile(r"[A-Za-z0-9+/_-]{24,}={0,2}")


class Copies:
    """Looks for copies of forbidden tasks; made once, asked for every edit.

    Args:
        forbidden: Tasks whose inputs and references must not be carried.
        allowed: Texts that may (train tasks, the current rules): tasks of one kind share their boilerplate.
        run: Letters and digits that count as copied in one run.
    """

    def __init__(self, forbidden: Iterable[Task], allowed: Iterable[str], run: int = RUN) -> None:
        tasks = list(forbidden)
        texts = [t for task in tasks for t in task_texts(task)]
        self._run = run
        self._taboo = _BETWEEN.join(map(_plain, texts))
        self._free = _BETWEEN.join(map(_plain, allowed))
        self._known = {n for t in texts for n in _identifiers(t)}
        wholes = (_words(v) for task in tasks for v in _strings(task.reference_outputs))
        self._wholes = sorted({w for w in wholes if len(w) - w.count(" ") >= WHOLE})

    def find(self, text: str) -> str:
        """What `text` has from a forbidden task: letters and digits of the first find; empty where it has nothing.

        That is a run of its inputs or its reference, a whole value of its reference of at least `WHOLE`, or a number or
        identifier with at least `DIGITS` digits.
        """
        finds = (self._in(form) for form in (text, text[::-1], *_decoded(text)))
        return next(filter(None, finds), "")

    def _in(self, text: str) -> str:
        plain, words = _plain(text), f" {_words(text)} "
        pieces = (plain[i : i + self._run] for i in range(len(plain) - self._run + 1))
        wholes = (w for w in self._wholes if f" {w} " in words)
        known = (n for n in _identifiers(text) if n in self._known)
        finds = (
            *(p for p in pieces if p in self._taboo),
            *(w.replace(" ", "") for w in wholes),
            *known,
        )
        return next((f for f in finds if f not in self._free), "")


def copied(text: str, forbidden: Iterable[Task], allowed: Iterable[str], run: int = RUN) -> str:
    """What `Copies(forbidden, allowed, run)` finds in one text."""
    return Copies(forbidden, allowed, run).find(text)


def task_texts(task: Task) -> tuple[str, ...]:
    """Every string and number in the task's inputs and reference, however deep."""
    return (*_strings(task.inputs), *_strings(task.reference_outputs))


def quoted_task(text: str, tasks: Sequence[Task]) -> str:
    """Id of the task whose inputs `text` quotes longest, whole strings only; empty where it quotes none."""
    plain = _level(text)
    best = (0, "")
    for task in tasks:
        quotes = [level for t in _strings(task.inputs) if (level := _level(t)) and level in plain]
        best = max(best, (max(map(len, quotes), default=0), task.id))
    return best[1] if best[0] else ""


def _plain(text: str) -> str:
    """Letters and digits alone, lower case, compatibility forms folded."""
    return _NOT_PLAIN.sub("", unicodedata.normalize("NFKC", text).casefold())


def _words(text: str) -> str:
    """Its words, levelled as `_plain`, with one space between."""
    return " ".join(filter(None, map(_plain, text.split())))


def _identifiers(text: str) -> list[str]:
    """Numbers and identifiers with enough digits to be one task's own."""
    tokens = _TOKEN.findall(unicodedata.normalize("NFKC", text))
    return [_plain(t) for t in tokens if sum(map(str.isdecimal, t)) >= DIGITS]


def _decoded(text: str) -> Iterator[str]:
    for token in _ENCODED.findall(text):
        body = token.rstrip("=").translate({ord("-"): "+", ord("_"): "/"})
        try:
            yield base64.b64decode(body + "=" * (-len(body) % 4)).decode("utf-8")
        except (binascii.Error, UnicodeDecodeError):
            continue  # a long word


def _level(text: str) -> str:
    return " ".join(text.casefold().split())


def _strings(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, int | float) and not isinstance(value, bool):
        yield str(value)
    elif isinstance(value, Mapping):
        for item in value.values():
            yield from _strings(item)
    elif isinstance(value, list | tuple):
        for item in value:
            yield from _strings(item)
