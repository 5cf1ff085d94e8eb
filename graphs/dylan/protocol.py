"""What DyLAN decides without a model: who speaks when, what is shown, when it stops, and what a reply says.

Source of the protocol: Liu et al., "A Dynamic LLM-Powered Agent Network" (arXiv 2310.02170), multiple-choice setting.
Nothing here is random: orders and draws are a hash of (seed, task, round).
"""

from __future__ import annotations

import json
import math
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from langgraph_truce.bottleneck import Utterance
from langgraph_truce.choices import letters_of, read_choice
from langgraph_truce.seed import seeded

from .agent_importance import Turn

_RATINGS = re.compile(r"\[\[([^\[\]]*)\]\]")
_PICK = re.compile(r"\[\s*(\d{1,3})\s*,\s*(\d{1,3})\s*\]")
KEPT = 2
"""Agents that the ranker leaves in the debate."""
CROWD = 3
"""With more agents than these, the ranker is asked."""


def quorum(agents: int) -> int:
    """floor(2N/3): an answer that *more* than so many of `agents` agents hold ends the debate."""
    return 2 * agents // 3


def agreed(answers: Sequence[str], agents: int) -> str:
    """The answer that more than floor(2N/3) of `agents` agents hold; "" while there is none.

    Args:
        answers: Option letters of those who have spoken in this round; "" (no answer) never counts.
        agents: N, how many speak in this round in all.
    """
    counts = Counter(a for a in answers if a)
    return next((a for a, n in counts.items() if n > quorum(agents)), "")


def speaking_order(roles: Sequence[str], seed: int, task: Mapping[str, Any], round: int) -> tuple[str, ...]:  # noqa: A002 - the field's word
    """`roles` in the order in which they speak in `round` (from 1)."""
    return _shuffled(roles, seed, "order", task, round)


def shown_order(roles: Sequence[str], seed: int, task: Mapping[str, Any], round: int) -> tuple[str, ...]:  # noqa: A002
    """`roles` in the order in which their answers of `round` are shown afterwards; equal for all who read them."""
    return _shuffled(roles, seed, "shown", task, round)


def drawn(roles: Sequence[str], seed: int, task: Mapping[str, Any], round: int) -> tuple[str, ...]:  # noqa: A002
    """Two of `roles`, where the ranker's choice among the answers of `round` cannot be read."""
    return _shuffled(roles, seed, "drawn", task, round)[:KEPT]


def turns(said: Iterable[Utterance], seed: int, task: Mapping[str, Any]) -> list[Turn]:
    """What counts of everything said: nothing but words is kept in the state, so that words put in their place count alike.

    Args:
        said: All utterances, in order of time.
        seed: Of the debate.
        task: The question; an answer is read by DyLAN's rule (`dylan/1`).
    """
    rounds: dict[int, list[Utterance]] = {}
    for one in said:
        rounds.setdefault(one["round"], []).append(one)
    found: list[Turn] = []
    for number, now in rounds.items():
        before = [one["role"] for one in rounds.get(number - 1, [])]
        shown = shown_order(before, seed, task, number - 1)
        for one in now:
            letter = read_choice(one["text"], letters_of(task), rule="dylan")
            ratings = read_ratings(one["text"]) if shown else []
            found.append(Turn(one["role"], number, letter, shown, tuple(ratings)))
    return found


def read_ratings(text: str) -> list[float]:
    """The last `[[4, 2, 5]]` of a reply as numbers; empty where there is none, or where one of them is no number."""
    found = _RATINGS.findall(text)
    if not found:
        return []
    try:
        numbers = [float(part) for part in found[-1].split(",")]
    except ValueError:
        return []
    return numbers if all(math.isfinite(n) for n in numbers) else []


def without_ratings(text: str) -> str:
    """A reply as the next round reads it: its ratings are about a list that the next round does not see."""
    *_, last = [None, *_RATINGS.finditer(text)]
    return text.strip() if last is None else (text[: last.start()] + text[last.end() :]).strip()


def read_picks(text: str, shown: Sequence[str]) -> tuple[str, ...]:
    """The two roles behind the last `[i, j]` of the ranker's reply; empty where it names no two of those shown.

    Args:
        text: The reply.
        shown: Roles in the order in which their answers were shown: i and j count in this list, from 1.
    """
    found = _PICK.findall(text)
    if not found:
        return ()
    i, j = map(int, found[-1])
    if i == j or not (1 <= i <= len(shown) and 1 <= j <= len(shown)):
        return ()
    return shown[i - 1], shown[j - 1]


def _shuffled(
    roles: Sequence[str],
    seed: int,
    what: str,
    task: Mapping[str, Any],
    round: int,  # noqa: A002
) -> tuple[str, ...]:
    mixed = sorted(roles)  # in whatever order they come
    seeded(seed, what, json.dumps(task, sort_keys=True), round).shuffle(mixed)
    return tuple(mixed)
