"""Agents ranked by their mean credit: every one, those below a threshold, the lowest k."""

from __future__ import annotations

from langgraph_truce.batch import credits_by_agent, mean_value
from langgraph_truce.seams import Batch, Lab, Memory, Selector


def every_agent() -> Selector:
    """Every agent of the book, lowest mean credit first, those without credit last (TRUCE edits all)."""

    async def select(batch: Batch, memory: Memory, lab: Lab) -> tuple[tuple[str, ...], Memory]:  # noqa: ARG001
        return tuple(name for name, _ in _ranked(batch)), memory

    return select


def below(threshold: float) -> Selector:
    """Agents whose mean credit lies under `threshold` in [-1, 1], lowest first; those without credit are left out."""

    async def select(batch: Batch, memory: Memory, lab: Lab) -> tuple[tuple[str, ...], Memory]:  # noqa: ARG001
        low = (name for name, value in _ranked(batch) if value is not None and value < threshold)
        return tuple(low), memory

    return select


def lowest(k: int) -> Selector:
    """The `k` agents with the lowest mean credit, lowest first; those without credit are left out."""

    async def select(batch: Batch, memory: Memory, lab: Lab) -> tuple[tuple[str, ...], Memory]:  # noqa: ARG001
        return tuple(name for name, value in _ranked(batch) if value is not None)[:k], memory

    return select


def _ranked(batch: Batch) -> list[tuple[str, float | None]]:
    """Agents with their mean credit, lowest first, without credit last, ties by name."""
    values = {name: mean_value(found) for name, found in credits_by_agent(batch).items()}
    return sorted(values.items(), key=lambda item: (item[1] is None, item[1] or 0.0, item[0]))
