"""The temporal credit of a run that was made, replayed with other thresholds; nothing is run and no model is asked."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from langgraph_truce.codec import from_json
from langgraph_truce.errors import UserMistake
from langgraph_truce.optimizer.place import Place, read_manifest, read_place
from langgraph_truce.optimizer.records import Records
from langgraph_truce.rules import RuleBook
from langgraph_truce.seams import Batch, Credit, Rollout
from langgraph_truce.select.blocks import Block, Thresholds
from langgraph_truce.select.sweep import MS, TAUS, Replayed, sweep


@dataclass(frozen=True, slots=True)
class Swept:
    """What every pair of thresholds would have selected in one run."""

    run: str
    iterations: int
    """Iterations whose credits are kept."""
    beta: float
    """Weight of the newest outcome in the moving average, as the run had it."""
    own: tuple[float, int] | None
    """tau and m of the run; None where its method does not say."""
    rows: tuple[Replayed, ...]


def read_sweep(run: Place | Path | str, *, taus: Sequence[float] = TAUS, ms: Sequence[int] = MS) -> Swept:
    """`select.sweep.sweep` over a run, finished or not.

    Args:
        run: its place.
        taus: thresholds of the temporal credit, each in [0, 1].
        ms: informative failures, each >= 1.

    Raises:
        RunError: there is no run, or it is damaged.
        UserMistake: its method gives no temporal credit, no credit is kept yet, or a threshold is out of its range.
    """
    return asyncio.run(_read(run, taus, ms))


async def _read(run: Place | Path | str, taus: Sequence[float], ms: Sequence[int]) -> Swept:
    place = Place.of(run)
    manifest = read_manifest(place)
    settings: Mapping[str, Any] = manifest.get("settings") or {}
    limits: Mapping[str, Any] = settings.get("thresholds") or {}
    blocks: Sequence[Block] = settings.get("blocks") or ("aggregators",)
    beta = float(limits.get("beta", Thresholds().beta))
    async with read_place(place) as records:
        batches = await _batches(records)
    if not batches:
        raise UserMistake(f"{place}: no iteration has credit yet; sweep again when the first one has")
    closing = [c.role for b in batches for c in b.credits if c.details.get("kind") == "aggregator"]
    if not closing and "thresholds" in settings:
        raise UserMistake(
            f"{place}: no aggregate of its {len(batches)} iterations has a score of the critic, so there is nothing to replay; "
            "its replies could not be read or used (`langgraph-truce report` counts them), or no round was closed"
        )
    if not closing:
        raise UserMistake(
            f"{place}: the method {manifest.get('method')!r} has no temporal credit to replay; it comes from a run with "
            "--method temporal_structural, on a system whose rounds an aggregator closes"
        )
    rows = sweep(batches, closing[0], taus=taus, ms=ms, beta=beta, blocks=blocks)
    own = (float(limits["tau"]), int(limits["m"])) if {"tau", "m"} <= limits.keys() else None
    return Swept(str(place), len(batches), beta, own, rows)


async def _batches(records: Records) -> tuple[Batch, ...]:
    found: list[Batch] = []
    while (rows := await records.read_box(len(found) + 1, "credit")) is not None:
        credits_ = tuple(from_json(Credit, row) for row in rows)
        rollouts = await _rollouts(records, credits_)
        book = await records.read_book(rollouts[0].version) if rollouts else RuleBook({})
        found.append(Batch(len(found) + 1, len(found) + 1, book, {}, rollouts=rollouts, credits=credits_))
    return tuple(found)


async def _rollouts(records: Records, credits_: Sequence[Credit]) -> tuple[Rollout, ...]:
    names = dict.fromkeys(c.rollout for c in credits_)
    read = [await records.read_rollout(name) for name in names]
    return tuple(r for r in read if r is not None)
