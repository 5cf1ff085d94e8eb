"""The shared state between rounds (TSCA: S_0, ..., S_R), put together from what steps saw and wrote."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any, Literal

from langgraph_truce.trajectory.plain import OVERWRITE
from langgraph_truce.trajectory.step import Step, Trajectory

State = Mapping[str, Any]
"""Channel -> value, JSON."""
_Reducer = Literal["append", "add", "replace"]
_ABSENT = object()


@dataclass(frozen=True, slots=True)
class RoundState:
    """The state around one round."""

    round: int
    before: State
    """S_(t-1): what the round's first step saw."""
    after: State
    """S_t: with everything written in the round."""
    steps: tuple[str, ...]
    """Ids of the round's steps, interior of subgraphs included."""


def round_states(trajectory: Trajectory) -> tuple[RoundState, ...]:
    """State before and after each round, by round; `after` of one is `before` of the next.

    A state is what the next superstep saw. Trajectories hold no reducers, so where nobody saw it (after the last
    superstep, or where only a `Send` argument is known) writes are applied as that channel was seen to behave before:
    appended, added, or replaced; lists never seen to change are appended to. The graph is the outermost one whose
    own steps make up all rounds.
    """
    steps = _level(trajectory.steps)
    known = dict(_moments(trajectory, steps))
    by_round: dict[int, list[str]] = {}
    for step in trajectory.steps:
        by_round.setdefault(step.round, []).append(step.id)
    last: dict[str, Any] = {}
    found: list[RoundState] = []
    for number in sorted(by_round):
        before, after = known.get(number, (last, last))
        found.append(RoundState(number, found[-1].after if found else before, after, tuple(by_round[number])))
        last = after
    return tuple(found)


def _level(steps: Sequence[Step]) -> list[Step]:
    """The steps of the outermost graph that has one in every round; of the outermost where none has."""
    rounds = {s.round for s in steps}
    parents = sorted({s.role.rpartition("/")[0] for s in steps}, key=lambda p: (p.count("/") + bool(p), p))
    for parent in parents:
        own = [s for s in steps if s.role.rpartition("/")[0] == parent]
        if {s.round for s in own} == rounds:
            return own
    return [s for s in steps if "/" not in s.role]


def _moments(
    trajectory: Trajectory, steps: Sequence[Step]
) -> Iterator[tuple[int, tuple[dict[str, Any], dict[str, Any]]]]:
    """(round, (state before it, state after it))."""
    together = [list(group) for _, group in groupby(steps, key=lambda s: (s.superstep, s.round))]
    seen = [_seen(trajectory, group) for group in together]
    writes = [_writes(trajectory, group) for group in together]
    reducers = _reducers(seen, writes)
    state: dict[str, Any] = {}
    first: dict[int, dict[str, Any]] = {}
    after: dict[int, dict[str, Any]] = {}
    for n, group in enumerate(together):
        state = {**state, **seen[n]}
        first.setdefault(group[0].round, state)
        state = _applied(state, writes[n], reducers)
        if n + 1 < len(together):
            state = {**state, **{k: v for k, v in seen[n + 1].items() if k in state}}
        after[group[0].round] = state
    yield from ((number, (first[number], after[number])) for number in first)


def _seen(trajectory: Trajectory, group: Sequence[Step]) -> dict[str, Any]:
    """What one superstep saw of the state: inputs of nodes that ran once; those of a fan-out are `Send` arguments."""
    often = Counter(s.role for s in group)
    found: dict[str, Any] = {}
    for step in group:
        if step.input is not None and often[step.role] == 1:
            value = trajectory.value(step.input)
            if isinstance(value, Mapping):
                found |= value
    return found


def _writes(trajectory: Trajectory, group: Sequence[Step]) -> list[tuple[str, Any]]:
    found: list[tuple[str, Any]] = []
    for step in group:
        for channel, ref in step.writes.items():
            value = trajectory.value(ref)
            several = value["$writes"] if isinstance(value, dict) and set(value) == {"$writes"} else [value]
            found += [(channel, v) for v in several]
    return found


def _reducers(seen: Sequence[State], writes: Sequence[Sequence[tuple[str, Any]]]) -> dict[str, _Reducer]:
    """How each channel was seen to take writes, by majority."""
    votes: dict[str, Counter[_Reducer]] = {}
    for n in range(len(seen) - 1):
        for channel in dict(writes[n]):
            given = [v for c, v in writes[n] if c == channel]
            before, now = seen[n].get(channel, _ABSENT), seen[n + 1].get(channel, _ABSENT)
            if before is _ABSENT or now is _ABSENT:
                continue
            votes.setdefault(channel, Counter())[_observed(before, now, given)] += 1
    return {channel: counted.most_common(1)[0][0] for channel, counted in votes.items()}


def _observed(before: Any, now: Any, given: Sequence[Any]) -> _Reducer:
    if now == given[-1]:
        return "replace"
    if isinstance(now, list) and isinstance(before, list) and now[: len(before)] == before:
        return "append"
    if _is_sum(before) and all(_is_sum(v) and type(v) is type(before) for v in given):
        total = before
        for v in given:
            total = total + v
        if total == now:
            return "add"
    return "replace"


def _is_sum(value: Any) -> bool:
    return isinstance(value, (int, float, str)) and not isinstance(value, bool)


def _applied(
    state: Mapping[str, Any], writes: Sequence[tuple[str, Any]], reducers: Mapping[str, _Reducer]
) -> dict[str, Any]:
    result = dict(state)
    for channel, value in writes:
        old = result.get(channel)
        if isinstance(value, dict) and set(value) == {OVERWRITE}:
            result[channel] = value[OVERWRITE]
            continue
        how = reducers.get(channel) or ("append" if isinstance(old, list) else "replace")
        if how == "append" and isinstance(old, list):
            items = value if isinstance(value, list) else [value]
            result[channel] = items if old and items[: len(old)] == old else [*old, *items]
        elif how == "add" and old is not None:
            result[channel] = old + value
        else:
            result[channel] = value
    return result
