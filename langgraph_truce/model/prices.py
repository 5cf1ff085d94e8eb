"""Prices of models in dollars: from a file, else from the data inside the package `genai-prices`; nothing is fetched.

Rates are dollars per million tokens. What a provider's discount for cached input saves is not subtracted, and what it
adds for writing into its prompt cache is in `Price.most` only: usage here is tokens in and tokens out.
"""

from __future__ import annotations

import json
import math
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from langgraph_truce.errors import UserMistake
from langgraph_truce.model.meter import Tally
from langgraph_truce.model.resolve import MODEL_NAME

MILLION = 1_000_000
KEYS = ("input", "output", "request")
"""What an entry of a price file may say: dollars per million tokens in and out, dollars per call."""
_FORM = '"MODEL": {"input": 2.5, "output": 10}, in dollars per million tokens'


@dataclass(frozen=True, slots=True)
class Price:
    """What a model costs."""

    input: float
    """Dollars per million tokens in."""
    output: float
    """Dollars per million tokens out."""
    request: float = 0.0
    """Dollars per call."""
    tiers: tuple[tuple[int, float, float], ...] = ()
    """`(tokens, input, output)`, rising: these rates where more than so many tokens go in."""
    dearest: tuple[float, float] = (0.0, 0.0)
    """Highest rates in and out that a text call of plain length can meet: at peak hours, with its prompt cache written."""

    def of(self, input_tokens: int, output_tokens: int) -> float:
        """Dollars of one call."""
        into, out = self._rates(input_tokens)
        return self.request + (into * input_tokens + out * output_tokens) / MILLION

    def most(self, input_tokens: int, output_tokens: int) -> float:
        """Dollars that one call of at most so many tokens can cost."""
        into, out = self._rates(input_tokens)
        into *= max(1.0, self.dearest[0] / self.input) if self.input else 1.0
        out *= max(1.0, self.dearest[1] / self.output) if self.output else 1.0
        return self.request + (into * input_tokens + out * output_tokens) / MILLION

    def together(self, calls: int, input_tokens: int, output_tokens: int) -> float:
        """Dollars of several calls at the plain rates."""
        return self.request * calls + (self.input * input_tokens + self.output * output_tokens) / MILLION

    def _rates(self, input_tokens: int) -> tuple[float, float]:
        passed = [(into, out) for start, into, out in self.tiers if input_tokens > start]
        return passed[-1] if passed else (self.input, self.output)


class Prices:
    """Prices by model name, `PROVIDER:MODEL` or `MODEL`: those of a file first, then the library's."""

    def __init__(self, own: Mapping[str, Price] | None = None) -> None:
        self._own = {MODEL_NAME: Price(0.0, 0.0), "embedded": Price(0.0, 0.0), **(own or {})}
        self._found: dict[str, Price | None] = {}

    @classmethod
    def of(cls, given: Prices | Path | str | Mapping[str, Any] | None) -> Prices:
        """Prices from a JSON or TOML file, or from a mapping of the same form; None: the library's alone.

        Raises:
            UserMistake: no such file, or an entry of another form; the message names file and line, or the entry.
        """
        if isinstance(given, Prices):
            return given
        if given is None:
            return cls()
        if isinstance(given, Mapping):
            return cls({str(name): _entry(row, f"prices[{name!r}]") for name, row in given.items()})
        return cls(_file(Path(given)))

    def find(self, model: str) -> Price | None:
        """The price of `model`; None where neither file nor library knows it."""
        if model not in self._found:
            self._found[model] = self._look(model)
        return self._found[model]

    def dollars(self, tallies: Mapping[str, Tally]) -> float | None:
        """What the paid calls of `tallies` (by model) cost; None where the price of one is unknown."""
        total = 0.0
        for model, tally in tallies.items():
            price = self.find(model) if tally.calls else Price(0.0, 0.0)
            if price is None:
                return None
            total += price.together(tally.calls, tally.input_tokens, tally.output_tokens)
        return total

    def _look(self, model: str) -> Price | None:
        provider, _, name = model.partition(":")
        name = name.removeprefix("models/")
        for asked in (model, name):
            if asked in self._own:
                return self._own[asked]
        # half a second to import: only where the file does not say it
        from langgraph_truce.model.listed import listed

        return listed(name, provider) or listed(model, "")


def usd(tallies: Mapping[str, Mapping[str, Tally]], prices: Prices) -> dict[str, float | None]:
    """Dollars by purpose, and in all as `total`; None where a model's price is unknown.

    Args:
        tallies: `Meter.by_model()`.
        prices: Of the models.
    """
    found = {purpose: prices.dollars(models) for purpose, models in tallies.items()}
    known = [d for d in found.values() if d is not None]
    return {**found, "total": math.fsum(known) if len(known) == len(found) else None}


def _file(path: Path) -> dict[str, Price]:
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as e:
        raise UserMistake(f"{path}: this price file cannot be read: {e}") from e
    try:
        rows = tomllib.loads(text) if path.suffix == ".toml" else json.loads(text)
    except json.JSONDecodeError as e:
        raise UserMistake(f"{path}:{e.lineno}: not JSON: {e.msg}; {_FORM} is expected") from e
    except RecursionError as e:
        raise UserMistake(f"{path}: nested too deep for prices; {_FORM} is expected") from e
    except tomllib.TOMLDecodeError as e:
        raise UserMistake(
            f"{path}: not TOML: {e}; tables of models with input and output are expected"
        ) from e
    if not isinstance(rows, dict):
        raise UserMistake(f"{path}: an object by model is expected, such as {{{_FORM}}}")
    return {name: _entry(row, f"{path}:{_line(text, name)}: {name!r}") for name, row in rows.items()}


def _line(text: str, name: str) -> int:
    """Number of the first line that names the entry."""
    return next((n for n, line in enumerate(text.splitlines(), 1) if name in line), 1)


def _entry(row: Any, at: str) -> Price:
    if not isinstance(row, Mapping):
        raise UserMistake(f"{at} is {row!r}; {_FORM} is expected")
    unknown = sorted(set(row) - set(KEYS))
    missing = [key for key in ("input", "output") if key not in row]
    if unknown or missing:
        said = (
            f"has no {missing[0]!r}"
            if missing
            else f"says {unknown[0]!r}, which is none of {', '.join(KEYS)}"
        )
        raise UserMistake(f"{at} {said}; {_FORM} is expected")
    for key, value in row.items():
        number = isinstance(value, int | float) and not isinstance(value, bool)
        if not number or not math.isfinite(value) or value < 0:
            raise UserMistake(f"{at}: {key!r} is {value!r}; a number of dollars, 0 or more, is expected")
    return Price(float(row["input"]), float(row["output"]), float(row.get("request", 0.0)))
