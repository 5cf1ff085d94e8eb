"""Segmentation as a decision of a method: one of the trajectory's segmenters, for every rollout of the batch."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from langgraph_truce.seams import Batch, Lab, Memory, Segmenter
from langgraph_truce.trajectory.step import Segment, Trajectory


def segment_each(split: Callable[[Trajectory], tuple[Segment, ...]]) -> Segmenter:
    """Partition every rollout's trajectory with `split` (`by_round`, `by_agent_block`, ...): Algorithm 1, line 8."""

    async def segment(
        batch: Batch,
        memory: Memory,
        lab: Lab,  # noqa: ARG001 - the seam's signature
    ) -> tuple[Mapping[str, tuple[Segment, ...]], Memory]:
        return {r.id: split(r.trajectory) for r in batch.rollouts}, memory

    return segment
