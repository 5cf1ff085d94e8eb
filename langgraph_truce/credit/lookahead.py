"""Multi-step lookahead (blog, "credit misattribution"): where a wrong outcome's content first came in, and through whom."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from langgraph_truce.seams import Rollout
from langgraph_truce.task import Task
from langgraph_truce.trajectory.states import RoundState
from langgraph_truce.trajectory.step import Step, Trajectory

_WORD = re.compile(r"\w+(?:[-.:/@]\w+)*")


@dataclass(frozen=True, slots=True)
class Trace:
    """Where the words of a wrong outcome came in."""

    shares: Mapping[int, float]
    """Round -> share of the traced content that entered in it, in [0, 1]; they sum to 1. Empty where nothing was traced."""
    words: Mapping[int, tuple[str, ...]]
    """Round -> the words, the rarest first."""


@dataclass(frozen=True, slots=True)
class Brought:
    """What one role brought in."""

    share: float
    """Of the round's traced words, by weight, in [0, 1]."""
    steps: tuple[str, ...]
    """Ids of the steps that wrote them."""
    words: tuple[str, ...]


def words_of(value: Any) -> list[str]:
    """The words of all texts and numbers in a JSON value, in order and lower case; keys are none, `K-12` and `3.5` are one each.

    Of a message only what it says counts, and what it calls tools with: not its role, name or ids.
    """
    found: list[str] = []
    stack = [value]
    while stack:
        item = stack.pop()
        if isinstance(item, Mapping) and {"role", "content"} <= item.keys():
            stack += [[c.get("args") for c in item.get("tool_calls") or ()], item["content"]]
        elif isinstance(item, Mapping):
            stack += reversed(list(item.values()))
        elif isinstance(item, list | tuple):
            stack += reversed(item)
        elif item is not None and not isinstance(item, bool):
            found += _WORD.findall(str(item).casefold())
    return found


def rarity(rollouts: Sequence[Rollout], states: Mapping[str, Sequence[RoundState]]) -> Mapping[str, float]:
    """Weight of a word: log((n + 1) / n_w) > 0, where n_w of n rollouts hold it in their outcome or last state.

    What every run says weighs next to nothing, so that talk around a wrong value does not hide it. `states` is by rollout id.
    """
    counted: Counter[str] = Counter()
    for r in rollouts:
        last = states[r.id][-1].after if states[r.id] else {}
        counted.update(frozenset(words_of(r.outcome.result)) | frozenset(words_of(last)))
    return {word: math.log((len(rollouts) + 1) / n) for word, n in counted.items()}


def wrong_words(rollout: Rollout, task: Task) -> frozenset[str]:
    """Words of the outcome that stand neither in the task nor in its reference: what an error must have brought in."""
    given = words_of(task.inputs) + words_of(task.reference_outputs)
    return frozenset(words_of(rollout.outcome.result)) - frozenset(given)


def traced(
    states: Sequence[RoundState], wrong: frozenset[str], weights: Mapping[str, float], lookahead: int | None
) -> Trace:
    """Every wrong word, credited to the round in which it entered: in the state after it and from then on to the end.

    A word that left the state and came back entered when it came back. A round answers for what shows in the last round,
    at most `lookahead` rounds later (None: however late); words that entered earlier count where they show, in the last
    round. Words that no state holds are not traced.
    """
    if not states:
        return Trace({}, {})
    present = [frozenset(words_of(s.after)) for s in states]
    last = len(states) - 1
    first = 0 if lookahead is None else last - lookahead
    entered: dict[int, list[str]] = {}
    begin = frozenset(words_of(states[0].before))
    for word in sorted(wrong - begin):
        n = len(states)
        while n > 0 and word in present[n - 1]:
            n -= 1
        if n < len(states):
            entered.setdefault(n if n >= first else last, []).append(word)
    mass = {n: sum(weights.get(w, 1.0) for w in words) for n, words in entered.items()}
    total = sum(mass.values())
    if total <= 0:
        return Trace({}, {})
    return Trace(
        {states[n].round: m / total for n, m in sorted(mass.items())},
        {
            states[n].round: tuple(sorted(entered[n], key=lambda w: (-weights.get(w, 1.0), w)))
            for n in sorted(entered)
        },
    )


def brought_in(
    trajectory: Trajectory, steps: Sequence[Step], words: Sequence[str], weights: Mapping[str, float]
) -> Mapping[str, Brought]:
    """Role path -> what of `words` its writes brought in; shares in [0, 1] sum to at most 1.

    A word is brought in by the first step of the round that wrote it; steps of one superstep share it, and of a node
    and its interior the interior did it.
    """
    holds = [
        (step, frozenset(w for ref in step.writes.values() for w in words_of(trajectory.value(ref))))
        for step in steps
    ]
    mass: dict[str, float] = {}
    cited: dict[str, list[str]] = {}
    said_by: dict[str, list[str]] = {}
    total = sum(weights.get(w, 1.0) for w in words)
    for word in words:
        having = [step for step, said in holds if word in said]
        if not having:
            continue
        first = having[0]
        inner = [s for s in having if s.role.startswith(f"{first.role}/")]
        together = [inner[0]] if inner else [s for s in having if _beside(s, first)]
        for step in together:
            mass[step.role] = mass.get(step.role, 0.0) + weights.get(word, 1.0) / len(together)
            if step.id not in cited.setdefault(step.role, []):
                cited[step.role].append(step.id)
            if word not in said_by.setdefault(step.role, []):
                said_by[step.role].append(word)
    if total <= 0:
        return {}
    return {role: Brought(m / total, tuple(cited[role]), tuple(said_by[role])) for role, m in mass.items()}


def _beside(one: Step, other: Step) -> bool:
    same_graph = one.role.rpartition("/")[0] == other.role.rpartition("/")[0]
    return same_graph and one.superstep == other.superstep
