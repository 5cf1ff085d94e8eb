"""State-change credit (blog, Phase 1): the round whose state changed much while progress stalled.

The blog's score state_delta / (progress_delta + 1e-6) explodes where progress is 0 and changes its sign where progress
falls. Ours is bounded: distance_t * (1 - gain_t), each in [0, 1].
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

from rapidfuzz.distance import Levenshtein

from langgraph_truce.credit.contributions import contributing
from langgraph_truce.credit.lookahead import Trace, brought_in, rarity, traced, words_of, wrong_words
from langgraph_truce.errors import UserMistake
from langgraph_truce.seams import Attributor, Batch, Credit, Lab, Memory, Rollout
from langgraph_truce.task import Task
from langgraph_truce.trajectory.states import RoundState, State, round_states

Vector = Callable[[State], Sequence[float]]
"""State -> its vector (the blog: problem complexity, completeness, errors); one length for all states."""
Progress = Callable[[State, Task], float]
"""State and task -> how far it is, in [0, 1]."""
Distance = Literal["euclidean", "kl"]
_SOLVED = 1 - 1e-9
_FLOOR = 1e-12
_SHOWN = 5


@dataclass(frozen=True, slots=True)
class _Round:
    """One round of one rollout, measured."""

    state: RoundState
    distance: float
    """Between the states around it, in [0, 1]."""
    gain: float
    """Progress that it led to within the lookahead, in [0, 1]."""
    entered: float | None
    """Share of the wrong outcome's content that entered in it; None where nothing was traced."""
    lost: float
    """1 - score of the run."""

    @property
    def bottleneck(self) -> float:
        """In [0, 1]: what entered, of what was lost, where it is known; else distance_t * (1 - gain_t)."""
        return self.distance * (1 - self.gain) if self.entered is None else self.entered * self.lost


def state_change_credit(
    *,
    vector: Vector | None = None,
    distance: Distance = "euclidean",
    progress: Progress | None = None,
    lookahead: int | None = None,
    trace: bool = True,
) -> Attributor:
    """Temporal credit of every round of every failed rollout: value_t = -bottleneck_t, in [-1, 0]. No calls.

    Where the wrong outcome's content can be traced, the bottleneck is (1 - score) times the share of it that entered the
    state in round t and stayed to the end: no progress made beside it excuses that. Where none can (the error shows as
    other words, a wrong sum of a wrong number), it is distance_t * (1 - gain_t): the
    distance of the states around the round, and the progress that it led to, gain_t = max(0, p_(t + lookahead) - p_(t-1)),
    with p_0 = 0 and the horizon at most the last round. So the round in which an error entered answers for it, not the
    one in which it surfaced, however good its own progress looked. In a round with traced content every role whose
    writes brought some in gets credit too: value_t times its share.

    Args:
        vector: state -> vector; None compares the words of the states (Levenshtein over words, as a share).
        distance: of vectors: `euclidean`, d / (1 + d); or `kl`, 1 - exp(-KL(after || before)) for distributions.
        progress: (state, task) -> progress; None takes `Outcome.progress` (an evaluator with `progress=`), and where
            there is none the final score, reached in the last round.
        lookahead: rounds after t in which its effects still count, >= 0; 0 blames where an error surfaces; None looks to the
            end.
        trace: False: distance alone, as in the blog.

    Returns:
        An `Attributor`; credit has `details` {"distance", "gain", "entered", "bottleneck", "progress", "words"}.

    Raises:
        UserMistake: a setting is out of range; at a batch, a vector or progress that is no number in its range.
    """
    if lookahead is not None and lookahead < 0:
        raise UserMistake(f"lookahead counts rounds, at least 0, got {lookahead!r}")
    if distance not in get_args(Distance):
        raise UserMistake(f"distance is one of {', '.join(get_args(Distance))}, got {distance!r}")

    async def credit(batch: Batch, memory: Memory, lab: Lab) -> tuple[tuple[Credit, ...], Memory]:  # noqa: ARG001
        known = {r.id: round_states(r.trajectory) for r in batch.rollouts}
        weights = rarity(batch.rollouts, known)
        found: list[Credit] = []
        for rollout in batch.rollouts:
            if rollout.outcome.score >= _SOLVED:
                continue
            task = batch.tasks[rollout.task]
            states = known[rollout.id]
            wrong = wrong_words(rollout, task) if trace else frozenset()
            trail = traced(states, wrong, weights, lookahead)
            levels = _progress(states, rollout, task, progress)
            for n, state in enumerate(states):
                horizon = len(states) - 1 if lookahead is None else min(n + lookahead, len(states) - 1)
                measured = _Round(
                    state,
                    _distance(state, vector, distance),
                    min(1.0, max(0.0, levels[horizon + 1] - levels[n])),
                    trail.shares.get(state.round, 0.0) if trail.shares else None,
                    1 - rollout.outcome.score,
                )
                found += _credits(rollout, batch, measured, levels[n + 1], trail, weights)
        return tuple(found), memory

    return credit


def _progress(
    states: Sequence[RoundState], rollout: Rollout, task: Task, own: Progress | None
) -> list[float]:
    """p_0 = 0, then p_t after every round."""
    known = rollout.outcome.progress
    levels = [0.0]
    for n, state in enumerate(states):
        if own is not None:
            value = own(state.after, task)
            if not isinstance(value, int | float) or not 0 <= value <= 1:
                raise UserMistake(
                    f"progress of task {task.id!r} after round {state.round} is {value!r}; it lies in [0, 1]"
                )
            levels.append(float(value))
        elif str(state.round) in known:
            levels.append(known[str(state.round)])
        else:
            levels.append(rollout.outcome.score if n == len(states) - 1 else levels[-1])
    return levels


def _distance(state: RoundState, vector: Vector | None, kind: Distance) -> float:
    if vector is None:
        return float(Levenshtein.normalized_distance(words_of(state.before), words_of(state.after)))
    a, b = (_vector(vector, s, state.round) for s in (state.before, state.after))
    if len(a) != len(b):
        raise UserMistake(
            f"the state vectors around round {state.round} have {len(a)} and {len(b)} numbers; they must have one length"
        )
    if kind == "euclidean":
        d = math.dist(a, b)
        return d / (1 + d)
    return 1 - math.exp(-_kl(_distribution(b, state.round), _distribution(a, state.round)))


def _vector(vector: Vector, state: State, round_: int) -> list[float]:
    found = [float(v) for v in vector(state)]
    if not found or not all(map(math.isfinite, found)):
        raise UserMistake(f"the state vector around round {round_} is {found!r}; it must hold finite numbers")
    return found


def _distribution(values: Sequence[float], round_: int) -> list[float]:
    if min(values) < 0 or sum(values) <= 0:
        raise UserMistake(
            f"distance='kl' needs distributions, got {list(values)!r} around round {round_}; take 'euclidean'"
        )
    total = sum(values) + _FLOOR * len(values)
    return [(v + _FLOOR) / total for v in values]


def _kl(p: Sequence[float], q: Sequence[float]) -> float:
    return max(0.0, sum(x * math.log(x / y) for x, y in zip(p, q, strict=True)))


def _credits(
    rollout: Rollout, batch: Batch, measured: _Round, level: float, trail: Trace, weights: Mapping[str, float]
) -> list[Credit]:
    """Credit of one round, and of the roles whose writes brought the traced content in."""
    state, score = measured.state, rollout.outcome.score
    words = trail.words.get(state.round, ())
    value = -measured.bottleneck
    details: dict[str, Any] = {
        "distance": measured.distance,
        "gain": measured.gain,
        "entered": measured.entered,
        "bottleneck": measured.bottleneck,
        "progress": level,
        "words": list(words[:_SHOWN]),
    }
    whole = Credit(
        rollout=rollout.id,
        task=rollout.task,
        steps=state.steps,
        value=value,
        round=state.round,
        words=_told(measured, words, score),
        details=details,
    )
    if not words:
        return [whole]
    inside = [s for s in rollout.trajectory.steps if s.id in set(state.steps)]
    acting = {s.id for s in contributing(rollout.trajectory, batch.book)}
    shares = brought_in(rollout.trajectory, [s for s in inside if s.id in acting], words, weights)
    return [
        whole,
        *(
            Credit(
                rollout=rollout.id,
                task=rollout.task,
                steps=brought.steps,
                value=value * brought.share,
                role=role,
                round=state.round,
                words=f"{role} brought in {_listed(brought.words)}, which the wrong outcome still holds.",
                details={**details, "share": brought.share, "words": list(brought.words[:_SHOWN])},
            )
            for role, brought in shares.items()
        ),
    ]


def _told(measured: _Round, words: Sequence[str], score: float) -> str:
    said = (
        f"Round {measured.state.round} changed {measured.distance:.0%} of the state and led to "
        f"{measured.gain:.2f} of progress; the run scored {score:.2f}."
    )
    return f"{said} {_listed(words)} of the wrong outcome entered here and stayed." if words else said


def _listed(words: Sequence[str]) -> str:
    more = f" and {len(words) - _SHOWN} more words" if len(words) > _SHOWN else ""
    return ", ".join(repr(w) for w in words[:_SHOWN]) + more
