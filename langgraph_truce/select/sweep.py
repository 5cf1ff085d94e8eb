"""What other thresholds would have selected: a run's temporal credit replayed (TSCA 5.5, sensitivity). Pure, asks no model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from langgraph_truce.errors import UserMistake
from langgraph_truce.seams import Batch
from langgraph_truce.select.blocks import Block, Thresholds, low_aggregators, observed
from langgraph_truce.select.temporal import Temporal

TAUS = (0.3, 0.4, 0.5, 0.6, 0.7)
"""tau: temporal credit, in [0, 1]."""
MS = (1, 3, 5, 10)
"""m: informative failures."""


@dataclass(frozen=True, slots=True)
class Replayed:
    """What one pair of thresholds would have done."""

    tau: float
    m: int
    rounds: Mapping[int, tuple[int, ...]] = field(default_factory=dict)
    """Iteration -> rounds that were low in it, the lowest credit first; iterations without are left out."""
    edits: int = 0
    """Aggregator prompts that an edit was tried of, over all iterations."""


def sweep(
    iterations: Sequence[Batch],
    aggregator: str,
    *,
    taus: Sequence[float] = TAUS,
    ms: Sequence[int] = MS,
    beta: float = 0.2,
    blocks: Sequence[Block] = ("aggregators",),
) -> tuple[Replayed, ...]:
    """One row for each tau and m, in order.

    The rules are those of the run: what another threshold would have changed, and rollouts would have shown then, is not known.

    Args:
        iterations: of a run, in order: iteration number, book, rollouts and credits are read.
        aggregator: role path of the node that closes a round.
        taus: thresholds of the temporal credit, each in [0, 1].
        ms: informative failures, each >= 1.
        beta: weight of the newest outcome, in (0, 1].
        blocks: the run's own, one for each phase of a turn.

    Raises:
        UserMistake: a value out of its range, or no block of aggregators.
    """
    if "aggregators" not in blocks:
        raise UserMistake(
            "this run edits no aggregators, so no tau and m select any: its blocks are " + ", ".join(blocks)
        )
    pairs = [Thresholds(tau=tau, m=m, beta=beta) for tau in taus for m in ms]
    return tuple(_replayed(iterations, aggregator, limits, blocks) for limits in pairs)


def _replayed(
    iterations: Sequence[Batch], aggregator: str, limits: Thresholds, blocks: Sequence[Block]
) -> Replayed:
    state = Temporal()
    rounds: dict[int, tuple[int, ...]] = {}
    edits = 0
    for batch in iterations:
        phase = (batch.iteration - 1) % len(blocks)
        state = observed(state, batch, aggregator, limits, first=phase == 0)
        if blocks[phase] != "aggregators":
            continue
        low = state.low(tau=limits.tau, m=limits.m)
        targets, served = low_aggregators(state, batch.book, aggregator, tau=limits.tau, m=limits.m)
        state = state.attempted({*served})
        edits += len(targets)
        if low:
            rounds[batch.iteration] = low
    return Replayed(limits.tau, limits.m, rounds, edits)
