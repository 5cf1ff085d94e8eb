"""Budget: what a run may spend at most (contract 7)."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from langgraph_truce.errors import UserMistake
from langgraph_truce.model.prices import Prices

CAPS = ("calls", "tokens", "usd", "seconds")
"""What can be capped."""
_WHOLE = ("calls", "tokens")


@dataclass(frozen=True, slots=True)
class Budget:
    """Caps over all models of a run: system, critic, optimizer, judges. None: no cap.

    Every call is reserved before it is made, at the most it can cost, and settled after, so that calls in flight cannot
    overshoot. What a call can cost at most is told by the bytes of its messages and tools, its output limit and the
    model's dearest rate; so a cap on tokens or dollars needs models with an output limit, and one on dollars needs
    their prices. At a cap the run goes on to the sealed test, for which a share is held back, and ends with the rules
    that are proven by then (`Result.stopped` says why).

    What is beyond this promise: tries that a client makes by itself inside one call (`max_retries` of `ChatOpenAI`; set
    it to 0), tokens that a provider adds and bills beyond the limit (pictures given by address, its own tools,
    thinking it does not count as output), and calls that LangChain does not hear of. Usage above its reservation is
    counted in full, with a warning.

    Raises:
        UserMistake: a cap that is no number above 0, or a price file that cannot be read.
    """

    calls: int | None = None
    """Model calls; replies from the journal are free, as are requests that a server refused."""
    tokens: int | None = None
    """Tokens, in and out."""
    usd: float | None = None
    """Dollars."""
    seconds: float | None = None
    """Of the clock, over all starts of the run; no call starts later. Of a killed start, up to its last model call."""
    prices: Prices | Path | str | Mapping[str, Any] | None = None
    """JSON or TOML file, or a mapping: model -> `{"input", "output"}`, dollars per million tokens. What it does not name
    has the price that the package `genai-prices` knows. A local model is free where this says 0."""

    def __post_init__(self) -> None:
        for name in CAPS:
            value: Any = getattr(self, name)
            if value is None:
                continue
            number = isinstance(value, int if name in _WHOLE else (int, float)) and not isinstance(
                value, bool
            )
            if not number or not 0 < value < math.inf:
                kind = "a whole number" if name in _WHOLE else "a number"
                raise UserMistake(f"Budget({name}={value!r}): {kind} above 0 is expected, or None for no cap")
        object.__setattr__(self, "prices", Prices.of(self.prices))

    @property
    def capped(self) -> bool:
        """True where anything is capped."""
        return any(getattr(self, name) is not None for name in CAPS)

    @property
    def price_list(self) -> Prices:
        """The prices, read."""
        assert isinstance(self.prices, Prices)
        return self.prices
