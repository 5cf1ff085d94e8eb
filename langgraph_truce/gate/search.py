"""The search for the set of edits to keep: attempts at candidate sets, halves, pruning; every attempt is logged."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

from langgraph_truce.errors import EditError
from langgraph_truce.gate import spend
from langgraph_truce.gate.measure import Record, record, scores, told
from langgraph_truce.gate.paired import RESAMPLES, Scores, compare, pair
from langgraph_truce.rules import Edit, apply
from langgraph_truce.seams import Batch, Comparison, Lab

_EPS = 1e-9
_MOST_RESAMPLES = 199_999


@dataclass(frozen=True, slots=True)
class Attempt:
    """One candidate set, measured."""

    edits: tuple[Edit, ...]
    level: float
    """Significance it may spend."""
    decision: Literal["accept", "reject", "inconclusive", "error"]
    """`error`: the edits do not fit the rules, or no task could be compared."""
    why: str
    comparison: Comparison | None = None
    """None for an error."""

    @property
    def accepted(self) -> bool:
        """True where the set passed."""
        return self.decision == "accept"


@dataclass(slots=True)
class Search:
    """Attempts of one iteration against one baseline; `log` holds them in order, as JSON."""

    lab: Lab
    batch: Batch
    baseline: Scores
    replicates: range
    delta_min: float
    level: float
    """Coverage of the intervals."""
    trials: int
    """Candidate sets that may be measured."""
    log: list[Record] = field(default_factory=list)

    @property
    def left(self) -> int:
        """Candidate sets that may still be measured."""
        return self.trials - len(self.log)

    async def attempt(self, edits: Sequence[Edit], alpha: float, part: str) -> Attempt:
        """Measure the rules with `edits` applied, and decide at level `alpha`."""
        attempt = await self._measure(tuple(edits), alpha, part)
        self.log.append(
            record(attempt.edits, attempt.decision, attempt.comparison, attempt.level, attempt.why)
        )
        return attempt

    async def halves(self, edits: Sequence[Edit], alpha: float, most: int) -> Attempt | None:
        """Halves of `edits`, then halves of these, each at level `alpha`, `most` in all.

        Returns:
            The better one of the first pair in which one passes; None where none does.
        """
        waiting = deque([tuple(edits)])
        while waiting and most > 0 and self.left > 0:
            whole = waiting.popleft()
            parts = _split(whole)
            won: list[Attempt] = []
            for part in parts[: min(most, self.left)]:
                attempt = await self.attempt(part, alpha, f"a part of {len(part)} of {len(edits)} edits")
                most -= 1
                if attempt.accepted:
                    won.append(attempt)
            if won:
                return max(won, key=_estimate)
            waiting.extend(parts)
        return None

    async def pruned(self, winner: Attempt) -> Attempt:
        """`winner` without the edits that can go without loss, the least supported tried first."""
        order = _weakest_first(winner.edits)
        current, gone = winner, 0
        for place, edit in enumerate(order):
            # siblings: the sets that leave out one edit after the last one that went, see `spend`
            level = spend.child(current.level, len(order) - gone)
            if len(current.edits) == 1 or self.left <= 0:
                break
            if not spend.reachable(level, len(self.batch.validation)):
                break
            rest = [e for e in current.edits if e.id != edit.id]
            attempt = await self.attempt(rest, level, f"without {edit.id}")
            if attempt.accepted and _estimate(attempt) >= _estimate(current) - _EPS:
                current, gone = attempt, place + 1
        return current

    async def _measure(self, edits: tuple[Edit, ...], alpha: float, part: str) -> Attempt:
        try:
            book = apply(self.batch.book, edits)
        except EditError as e:
            return Attempt(edits, alpha, "error", f"{part} does not fit the rules: {e}")
        found = await scores(self.lab, self.batch.validation, book, self.replicates)
        if not pair(self.baseline, found).tasks:
            return Attempt(
                edits, alpha, "error", f"{part} has no task with a score in both arms: all were excluded"
            )
        comparison = compare(
            self.baseline,
            found,
            level=self.level,
            alternative="greater",
            seed=self.lab.rng("gate", self.batch.iteration, *(e.id for e in edits)).getrandbits(32),
            resamples=_resamples(alpha),
        )
        return self._decide(edits, alpha, part, comparison)

    def _decide(self, edits: tuple[Edit, ...], alpha: float, part: str, c: Comparison) -> Attempt:
        seen = f"{part} moved the score by {told(c)}, p = {c.p_value:.2g} against {alpha:.2g}"
        if c.p_value <= alpha and c.estimate >= self.delta_min:
            return Attempt(edits, alpha, "accept", seen, c)
        if c.high < self.delta_min:
            why = f"{seen}: even the upper end is below {100 * self.delta_min:g} points"
            return Attempt(edits, alpha, "reject", why, c)
        lack = "the gain is smaller than asked for" if c.p_value <= alpha else "a gain is not shown"
        why = f"{seen}: {lack}"
        return Attempt(edits, alpha, "inconclusive", why, c)


def _estimate(attempt: Attempt) -> float:
    return attempt.comparison.estimate if attempt.comparison else -1.0


def _split(edits: tuple[Edit, ...]) -> list[tuple[Edit, ...]]:
    middle = (len(edits) + 1) // 2
    return [edits[:middle], edits[middle:]] if len(edits) > 1 else []


def _weakest_first(edits: Sequence[Edit]) -> list[Edit]:
    """By support, ascending; of equals the later one first, as `edits` come strongest first."""
    places = sorted(range(len(edits)), key=lambda i: (_support(edits[i]), -i))
    return [edits[i] for i in places]


def _support(edit: Edit) -> float:
    return edit.suggestion.support if edit.suggestion else 0.0


def _resamples(alpha: float) -> int:
    """Sign patterns to draw, so that a p-value at the level still rests on ten of them."""
    return max(RESAMPLES, min(_MOST_RESAMPLES, math.ceil(10 / alpha)))
