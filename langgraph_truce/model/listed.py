"""What the package `genai-prices` says of a model; its data are part of it, nothing is fetched."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

from genai_prices.data_snapshot import find_provider_by_id, get_snapshot
from genai_prices.types import ModelInfo, ModelPrice, TieredPrices

from langgraph_truce.model.prices import Price


def listed(name: str, provider: str) -> Price | None:
    """The price of `name` at `provider` (at any, where that is empty or not known); None where it is not listed."""
    if not name:
        return None
    snapshot = get_snapshot()
    known = find_provider_by_id(snapshot.providers, provider) if provider else None
    if provider and known is None:
        return listed(name, "")
    try:
        _, info = snapshot.find_provider_model(name, known, None, None)
    except LookupError:
        return None
    return _price(info)


def _price(info: ModelInfo) -> Price | None:
    now = info.get_prices(datetime.now(tz=UTC))
    base_in, base_out = _base(now.input_mtok), _base(now.output_mtok)
    if base_in is None or base_out is None:
        return None  # no price for text in and text out: not a chat model, or billed by something else
    every = [info.prices] if isinstance(info.prices, ModelPrice) else [c.prices for c in info.prices]
    into = ("input_mtok", "cache_write_mtok", "cache_write_1h_mtok")
    dearest_in = max(_base(getattr(p, key)) or 0.0 for p in every for key in into)
    dearest_out = max(_base(p.output_mtok) or 0.0 for p in every)
    return Price(
        base_in,
        base_out,
        (_base(now.requests_kcount) or 0.0) / 1000,
        tuple(_tiers(now, base_in, base_out)),
        (dearest_in, dearest_out),
    )


def _base(value: Any) -> float | None:
    if value is None:
        return None
    return float(value.base if isinstance(value, TieredPrices) else value)


def _tiers(price: ModelPrice, base_in: float, base_out: float) -> Iterable[tuple[int, float, float]]:
    rows = [p.tiers if isinstance(p, TieredPrices) else [] for p in (price.input_mtok, price.output_mtok)]
    into, out = base_in, base_out
    for start in sorted({tier.start for row in rows for tier in row}):
        into = next((float(t.price) for t in rows[0] if t.start == start), into)
        out = next((float(t.price) for t in rows[1] if t.start == start), out)
        yield start, into, out
