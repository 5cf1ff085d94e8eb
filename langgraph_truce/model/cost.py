"""What calls cost: three sums that add up exactly, and what a failed call may have been billed."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from langgraph_truce.model.failure import chain, failure

NANO = 1_000_000_000
_TIMED_OUT = frozenset({408, 504, 524})  # HTTP: somebody on the way gave up; the model may have worked
_NOT_REACHED = ("ConnectError", "ConnectTimeout", "PoolTimeout", "ConnectionRefusedError", "gaierror")


@dataclass(frozen=True, slots=True)
class Cost:
    """Calls, tokens and dollars; whole numbers, so that what is reserved and given back leaves nothing behind."""

    calls: int = 0
    tokens: int = 0
    nano: int = 0
    """Billionths of a dollar, rounded up."""

    @classmethod
    def of(cls, calls: int, tokens: int, dollars: float) -> Cost:
        """A cost in dollars."""
        return cls(calls, tokens, math.ceil(dollars * NANO))

    @property
    def usd(self) -> float:
        """Dollars."""
        return self.nano / NANO

    def plus(self, other: Cost) -> Cost:
        """The sum of both."""
        return Cost(self.calls + other.calls, self.tokens + other.tokens, self.nano + other.nano)

    def minus(self, other: Cost) -> Cost:
        """What is left; nothing goes below 0."""
        return Cost(
            max(0, self.calls - other.calls),
            max(0, self.tokens - other.tokens),
            max(0, self.nano - other.nano),
        )

    def times(self, factor: float) -> Cost:
        """So many times, rounded up."""
        return Cost(
            math.ceil(self.calls * factor), math.ceil(self.tokens * factor), math.ceil(self.nano * factor)
        )

    def most(self, other: Cost) -> Cost:
        """The larger of both, each for itself."""
        return Cost(max(self.calls, other.calls), max(self.tokens, other.tokens), max(self.nano, other.nano))

    def least(self, other: Cost) -> Cost:
        """The smaller of both, each for itself."""
        return Cost(min(self.calls, other.calls), min(self.tokens, other.tokens), min(self.nano, other.nano))

    def within(self, other: Cost) -> bool:
        """True where nothing is more than in `other`."""
        return self.calls <= other.calls and self.tokens <= other.tokens and self.nano <= other.nano

    def to_json(self) -> dict[str, int]:
        """As JSON; `from_json` reads it back."""
        return {"calls": self.calls, "tokens": self.tokens, "nano_usd": self.nano}

    @classmethod
    def from_json(cls, data: Mapping[str, int]) -> Cost:
        """Read what `to_json` wrote."""
        return cls(data["calls"], data["tokens"], data["nano_usd"])


def unpaid(error: BaseException) -> bool:
    """True where a failed call cost nothing: a server refused it, or was not reached.

    A time-out or a connection lost may have been billed; so may whatever else a client or a node raises.
    """
    for one in chain(error):
        name = type(one).__name__
        status = _status(one)
        if status is not None:
            return status not in _TIMED_OUT
        if name in _NOT_REACHED:
            return True
        if isinstance(one, TimeoutError) or name.endswith("Timeout"):
            return False
    return failure(error) in {"limited", "account"}  # said without a number: AWS, gRPC


def _status(error: BaseException) -> int | None:
    for holder in (error, getattr(error, "response", None)):
        status = getattr(holder, "status_code", None)
        if isinstance(status, int) and 400 <= status < 600:  # noqa: PLR2004 - HTTP: refused, broken
            return status
    return None
