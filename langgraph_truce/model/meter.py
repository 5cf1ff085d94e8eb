"""Meter: what the model calls of a run cost so far, by purpose."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Mapping
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
        self._tallies: dict[tuple[str, str], Tally] = {}

    def paid(
        self, purpose: str, usage: Usage, seconds: float, *, model: str = "", journalled: bool = True
    ) -> None:
        """One call of `model` (as its provider names it) came back after `seconds`."""
        self._add(
            (purpose, model),
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
        self._add((purpose, ""), Tally(hits=1))

    def failed(self, purpose: str) -> None:
        """One call ended with an error."""
        self._add((purpose, ""), Tally(failed=1))

    def tally(self, purpose: str) -> Tally:
        """Sums of one purpose."""
        return _sum(tally for (name, _), tally in self._all().items() if name == purpose)

    @property
    def total(self) -> Tally:
        """Sums over all purposes."""
        return _sum(self._all().values())

    def by_model(self) -> Mapping[str, Mapping[str, Tally]]:
        """Purpose -> model -> sums; "" is the model of hits, of failures, and of replies that do not name theirs."""
        found: dict[str, dict[str, Tally]] = {}
        for (purpose, model), tally in self._all().items():
            found.setdefault(purpose, {})[model] = tally
        return found

    def snapshot(self) -> Mapping[str, Mapping[str, int | float]]:
        """Everything as JSON: purpose -> sums, and `total`."""
        purposes = {purpose: _sum(models.values()) for purpose, models in sorted(self.by_model().items())}
        rows = {name: asdict(tally) for name, tally in purposes.items()}
        return {**rows, "total": asdict(_sum(purposes.values()))}

    def _all(self) -> dict[tuple[str, str], Tally]:
        with self._lock:
            return dict(self._tallies)

    def _add(self, place: tuple[str, str], tally: Tally) -> None:
        with self._lock:
            old = self._tallies.get(place)
            self._tallies[place] = old.plus(tally) if old else tally


def _sum(tallies: Iterable[Tally]) -> Tally:
    total = Tally()
    for tally in tallies:
        total = total.plus(tally)
    return total
