"""Meter: what the model calls of a run cost so far, by purpose."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import asdict, dataclass

from langgraph_truce.trajectory.step import Usage


@dataclass(frozen=True, slots=True)
class Tally:
    """Sums of one purpose."""

    calls: int = 0
    """Calls that reached a model and came back: what was paid, over all starts of a resumed run."""
    hits: int = 0
    """Replies taken from the journal since this process started; free."""
    input_tokens: int = 0
    """Tokens of the paid calls, as far as the provider said."""
    output_tokens: int = 0
    seconds: float = 0.0
    """Time the paid calls took, added up; calls overlap, so this is more than the clock shows."""
    failed: int = 0
    """Calls that ended with an error since this process started; not journalled."""
    unjournalled: int = 0
    """Paid calls that could not be journalled (the model has `cache=False` or a cache of its own); lost on resume."""

    def plus(self, other: Tally) -> Tally:
        """The sum of both."""
        # spelled out: this runs once a model call, and `asdict` costs ten times as much
        return Tally(
            self.calls + other.calls,
            self.hits + other.hits,
            self.input_tokens + other.input_tokens,
            self.output_tokens + other.output_tokens,
            self.seconds + other.seconds,
            self.failed + other.failed,
            self.unjournalled + other.unjournalled,
        )


class Meter:
    """Counts calls, journal hits, tokens and seconds by purpose (`task`, `credit`, `suggest`, `merge`, `write`).

    Thread-safe. A journal fills it from its entries when it is opened, so totals survive a restart.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._tallies: dict[str, Tally] = {}

    def paid(self, purpose: str, usage: Usage, seconds: float, *, journalled: bool = True) -> None:
        """One call came back after `seconds`."""
        self._add(
            purpose,
            Tally(
                calls=1,
                input_tokens=usage.input_tokens or 0,
                output_tokens=usage.output_tokens or 0,
                seconds=seconds,
                unjournalled=0 if journalled else 1,
            ),
        )

    def hit(self, purpose: str) -> None:
        """One reply came from the journal."""
        self._add(purpose, Tally(hits=1))

    def failed(self, purpose: str) -> None:
        """One call ended with an error."""
        self._add(purpose, Tally(failed=1))

    def tally(self, purpose: str) -> Tally:
        """Sums of one purpose."""
        with self._lock:
            return self._tallies.get(purpose, Tally())

    @property
    def total(self) -> Tally:
        """Sums over all purposes."""
        with self._lock:
            tallies = tuple(self._tallies.values())
        total = Tally()
        for tally in tallies:
            total = total.plus(tally)
        return total

    def snapshot(self) -> Mapping[str, Mapping[str, int | float]]:
        """Everything as JSON: purpose -> sums, and `total`."""
        with self._lock:
            tallies = dict(self._tallies)
        return {**{name: asdict(tallies[name]) for name in sorted(tallies)}, "total": asdict(self.total)}

    def _add(self, purpose: str, tally: Tally) -> None:
        with self._lock:
            old = self._tallies.get(purpose)
            self._tallies[purpose] = old.plus(tally) if old else tally
