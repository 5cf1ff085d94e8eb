"""Structural credit: one critic's score and the peer view of an utterance, fused (TSCA section 4.3)."""

from __future__ import annotations

from typing import Any

from langgraph_truce.errors import UserMistake


def checked_lam(lam: float) -> float:
    """λ, the weight of the critic's score q against the peer view p, as it is.

    Raises:
        UserMistake: it is not in [0, 1].
    """
    if not 0 <= lam <= 1:
        raise UserMistake(
            f"critics(lam=...) weighs the critic's score against the peer view: a number in [0, 1], got {lam!r}"
        )
    return lam


def in_range(value: Any, most: float = 1.0) -> float | None:
    """A critic's score as a number in [0, most]; None where it is none: a text, a truth value, NaN, or out of range."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return float(value) if 0 <= value <= most else None


def fused(q: float, p: float | None, lam: float) -> float:
    """Credit c = λ q + (1 - λ) p in [0, 1]; q where there is no peer view (that is ours)."""
    if p is None:
        return q
    c = lam * q + (1 - lam) * p
    return min(max(c, min(q, p)), max(q, p))  # rounding must not carry it past its parts
