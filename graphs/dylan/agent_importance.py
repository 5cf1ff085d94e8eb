"""How much each agent mattered to the result: DyLAN's importance scores, passed backward over the rounds."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from langgraph_truce.errors import UserMistake

BEST = 5.0
"""The highest rating."""


@dataclass(frozen=True, slots=True)
class Turn:
    """What counts of one agent's reply in one round."""

    role: str
    round: int
    """From 1."""
    answer: str
    """Letter of an option; "" where it gave none."""
    shown: tuple[str, ...] = ()
    """Roles whose answers of the round before it read, in order; empty in round 1."""
    ratings: tuple[float, ...] = ()
    """Its ratings of them, as they were read: of any number, in any range."""


def weights(ratings: Sequence[float], predecessors: int) -> list[float]:
    """What one agent's ratings give to each of its predecessors: not negative, sum 1.

    A rating counts rating / 5, clipped to [0, 1], and the row is normalised. Where there are more or fewer ratings than
    predecessors, or all are 0, everyone gets the same.
    """
    if predecessors < 1:
        return []
    clipped = [min(max(r / BEST, 0.0), 1.0) for r in ratings]
    total = sum(clipped)
    if len(clipped) != predecessors or total <= 0:
        return [1.0 / predecessors] * predecessors
    return [c / total for c in clipped]


def by_round(turns: Iterable[Turn], result: str) -> list[dict[str, float]]:
    """Importance of every agent that spoke, round by round; agents that did not speak in a round are not in it.

    In the last round in which anybody spoke the agents that gave `result` share 1 equally. Before it, an agent's importance is the sum over the
    agents of the next round of (their weight for it, `weights`) x (their importance). So each round sums to 1, and to 0
    where nobody in the last round gave the result.

    Args:
        turns: Who spoke, in order of time.
        result: Option letter of the debate's answer; "" where it has none.
    """
    rounds: dict[int, list[Turn]] = {}
    for turn in turns:
        rounds.setdefault(turn.round, []).append(turn)
    scores: list[dict[str, float]] = []
    later: Sequence[Turn] = ()
    for number in sorted(rounds, reverse=True):
        now = rounds[number]
        scores.append(_passed_back(now, later, scores[-1]) if scores else _shared(now, result))
        later = now
    return scores[::-1]


def importance(roles: Iterable[str], turns: Iterable[Turn], result: str) -> dict[str, float]:
    """Each role's importance, summed over the rounds (see `by_round`); 0 for one that never spoke.

    All of them together sum to the number of rounds that were held, or to 0 where nobody in the last one gave the result.
    """
    rounds = by_round(turns, result)
    return {role: sum(scores.get(role, 0.0) for scores in rounds) for role in roles}


def top_k(importances: Sequence[Mapping[str, float]], k: int) -> tuple[str, ...]:
    """The k roles with the highest importance summed over several debates: DyLAN's team optimisation.

    Args:
        importances: Role -> importance, one mapping for each debate.
        k: Size of the team, from 1.

    Raises:
        UserMistake: k is below 1, or larger than the number of roles.
    """
    total: dict[str, float] = {}
    for one in importances:
        for role, score in one.items():
            total[role] = total.get(role, 0.0) + score
    if not 1 <= k <= len(total):
        raise UserMistake(
            f"top_k: k must be from 1 to the number of roles, {len(total)}, got {k}; give the importance of a run or more"
        )
    return tuple(sorted(total, key=lambda role: -total[role])[:k])


def _shared(now: Sequence[Turn], result: str) -> dict[str, float]:
    right = [bool(result) and turn.answer == result for turn in now]
    return {turn.role: hit / max(sum(right), 1) for turn, hit in zip(now, right, strict=True)}


def _passed_back(now: Sequence[Turn], later: Sequence[Turn], scores: Mapping[str, float]) -> dict[str, float]:
    passed = {turn.role: 0.0 for turn in now}
    for turn in later:
        for role, weight in zip(turn.shown, weights(turn.ratings, len(turn.shown)), strict=True):
            passed[role] += weight * scores[turn.role]
    return passed
