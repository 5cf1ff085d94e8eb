"""Segmenters: a trajectory cut into coherent sub-trajectories h^(1), ..., h^(M) (TRUCE 4.2).

Each is a pure function; the segments partition the trajectory and keep its order.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Hashable, Sequence

from langgraph_truce.trajectory.step import Segment, Step, Trajectory


def whole(trajectory: Trajectory) -> tuple[Segment, ...]:
    """One segment with every step; none where nothing ran."""
    return (_segment("whole", "the whole interaction", trajectory.steps),) if trajectory.steps else ()


def by_round(trajectory: Trajectory) -> tuple[Segment, ...]:
    """One segment for each round."""
    groups = _groups(trajectory.steps, lambda step: step.round)
    return tuple(_segment(f"round-{steps[0].round}", f"round {steps[0].round}", steps) for steps in groups)


def by_superstep(trajectory: Trajectory) -> tuple[Segment, ...]:
    """One segment for each superstep of the outermost graph, with what ran inside its subgraphs."""
    moments = _outer_moments(trajectory.steps)
    groups = _groups(trajectory.steps, lambda step: moments[step.id])
    return tuple(
        _segment(f"superstep-{n}", f"superstep {steps[0].superstep}", steps)
        for n, steps in enumerate(groups, 1)
    )


def by_agent_block(trajectory: Trajectory) -> tuple[Segment, ...]:
    """One segment for each maximal run of steps of one role.

    Steps of one role in one superstep (a fan-out) stay together, whatever ran beside them or inside them.
    """
    blocks: list[list[Step]] = []
    for steps in _groups(trajectory.steps, lambda step: (step.role, step.visit)):
        if blocks and blocks[-1][0].role == steps[0].role:
            blocks[-1] += steps
        else:
            blocks.append(steps)
    place = {step.id: n for n, step in enumerate(trajectory.steps)}
    for block in blocks:
        block.sort(key=lambda step: place[step.id])  # parallel subgraphs interleave their visits
    return tuple(
        _segment(f"agent-{n}:{steps[0].role}", _visits(steps), steps) for n, steps in enumerate(blocks, 1)
    )


def _visits(steps: Sequence[Step]) -> str:
    first, last = steps[0].visit, steps[-1].visit
    return f"{steps[0].role}, " + (f"visit {first}" if first == last else f"visits {first} to {last}")


def _segment(segment_id: str, label: str, steps: Sequence[Step]) -> Segment:
    rounds = tuple(sorted({step.round for step in steps}))
    return Segment(segment_id, label, tuple(step.id for step in steps), rounds)


def _groups(steps: Sequence[Step], key: Callable[[Step], Hashable]) -> list[list[Step]]:
    """Steps with one key, in order of the first of each."""
    groups: dict[Hashable, list[Step]] = defaultdict(list)
    for step in steps:
        groups[key(step)].append(step)
    return list(groups.values())


def _outer_moments(steps: Sequence[Step]) -> dict[str, int]:
    """By step id: the number of the outermost graph's superstep that the step ran in.

    The interior of a subgraph stands behind its parent's step, so it shares the moment of the last outer step.
    """
    moments: dict[str, int] = {}
    number, superstep = 0, None
    for step in steps:
        if "/" not in step.role and step.superstep != superstep:
            number, superstep = number + 1, step.superstep
        moments[step.id] = number
    return moments
