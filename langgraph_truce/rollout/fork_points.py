"""Which checkpoints a fork copies, and which tasks run again, for steps that are to be changed."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from langgraph_truce.errors import ReplayRefused
from langgraph_truce.rollout.fork import ForkPoint
from langgraph_truce.rollout.locate import Located, Spot
from langgraph_truce.rollout.task_runs import place_of


def fork_point(found: Located, steps: Sequence[str]) -> ForkPoint:
    """The point before the superstep in which `steps` ran.

    Raises:
        ReplayRefused: a step is not stored, or they ran in several supersteps or subgraph instances.
    """
    spots = [found.spot(step) for step in steps]
    first = spots[0]
    together = {(spot.namespace, spot.checkpoint, spot.owners) for spot in spots}
    if len(together) > 1:
        raise ReplayRefused(
            f"steps {', '.join(steps)} did not run in one superstep of one graph; replay them one after the other"
        )
    chain = [*first.owners, first]
    checkpoints = {spot.namespace: spot.checkpoint for spot in chain}
    checkpoints |= _finished(found, chain)
    return ForkPoint(
        found.thread,
        checkpoints,
        tasks=tuple(spot.task for spot in spots),
        owners=tuple(spot.task for spot in first.owners),
        paths={s.task: s.path for s in found.spots.values() if checkpoints.get(s.namespace) == s.checkpoint},
    )


def _finished(found: Located, chain: Sequence[Spot]) -> dict[str, str]:
    """Subgraph calls that the owners made before, and subgraphs that keep their state: their newest checkpoints then."""
    outer = chain[0].checkpoint
    entered = {spot.role for spot in chain[:1]} if len(chain) > 1 else set()
    newest: dict[str, str] = {}
    for kept in found.stored:  # oldest first
        place, call = place_of(kept.namespace)
        if not place or kept.namespace in {spot.namespace for spot in chain}:
            continue
        before = kept.outermost < outer or (kept.outermost == outer and place[0][0] not in entered)
        stateful = not all(task for _, task in place) and before
        if stateful or any(_earlier_call(place, call, spot.namespace) for spot in chain):
            newest[kept.namespace] = kept.id
    return newest


def _earlier_call(place: Sequence[tuple[str, str]], call: int, namespace: str) -> bool:
    """True where `place` is a call that the owner of `namespace` made before that one."""
    mine, number = place_of(namespace)
    return bool(mine) and tuple(place) == mine and call < number


def rerun_with(found: Located, steps: Sequence[str], *, rerun: bool) -> frozenset[str]:
    """Ids of the tasks whose writes go besides the owners': `steps` where they rerun, and `@task` calls after them."""
    spots = [found.spot(step) for step in steps]
    again = {spot.task for spot in spots} if rerun else set[str]()
    order = {step: n for n, step in enumerate(found.spots)}
    chain = [*spots[0].owners, min(spots, key=lambda spot: order[spot.step])]
    changed = {spot.task for spot in spots}
    for owner, inner in pairwise(chain):
        for other in found.spots.values():
            if other.function and other.owners and other.owners[-1].task == owner.task:
                later = order[other.step] > order[inner.step] or not inner.function
                if later and other.task not in changed and other.task != inner.task:
                    again.add(other.task)
    inside = (s for s in found.spots.values() if s.function and any(o.task in again for o in s.owners))
    return frozenset(again | {spot.task for spot in inside})
