"""The search for the set of edits to keep: attempts at candidate sets, halves, pruning; every attempt is logged."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field

from langgraph_truce.errors import BudgetSpent
from langgraph_truce.gate import spend
from langgraph_truce.gate.judge import Attempt, Judge, no_worse
from langgraph_truce.gate.measure import Record, record
from langgraph_truce.rules import Edit


@dataclass(slots=True)
class Search:
    """Attempts of one iteration against one baseline; `log` holds them in order, as JSON."""

    judge: Judge
    trials: int
    """Candidate sets that may be measured."""
    log: list[Record] = field(default_factory=list)
    cut: bool = False
    """True where the budget ended the search after a set had passed: that one stays proven."""

    @property
    def least(self) -> float:
        """The smallest share of a level that one number of replicates gets."""
        return min(plan.share for plan in self.judge.plans)

    @property
    def left(self) -> int:
        """Candidate sets that may still be measured."""
        return self.trials - len(self.log)

    async def attempt(self, edits: Sequence[Edit], alpha: float, part: str) -> Attempt:
        """Measure the rules with `edits` applied, and decide at level `alpha`."""
        attempt = await self.judge(edits, alpha, part)
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
                try:
                    attempt = await self.attempt(part, alpha, f"a part of {len(part)} of {len(edits)} edits")
                except BudgetSpent:
                    if not won:
                        raise
                    self.cut = True
                    break
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
            if len(current.edits) == 1 or self.left <= 0 or self.cut:
                break
            if not spend.reachable(level * self.least, len(self.judge.tasks)):
                break
            rest = [e for e in current.edits if e.id != edit.id]
            try:
                attempt = await self.attempt(rest, level, f"without {edit.id}")
            except BudgetSpent:
                self.cut = True
                break
            if attempt.accepted and no_worse(attempt, current):
                current, gone = attempt, place + 1
        return current


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
