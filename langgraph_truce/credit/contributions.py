"""Contributions: what can be replaced in a recorded rollout, and where a fork must be made for it."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

from langgraph_truce.batch import agent_of, role_of
from langgraph_truce.errors import UnknownNameError
from langgraph_truce.rules.rule import RuleBook
from langgraph_truce.seams import Rollout
from langgraph_truce.seed import seeded
from langgraph_truce.trajectory.downstream import owners
from langgraph_truce.trajectory.step import Step, Trajectory


@dataclass(frozen=True, slots=True)
class Contribution:
    """What one role did in one superstep of one (sub)graph instance: a step, or a fan-out's steps together."""

    role: str
    round: int
    visit: int
    """The n-th superstep of the role, from 1; a role visited twice in a round gives two contributions."""
    steps: tuple[str, ...]
    point: int
    """Number of its fork point in the trajectory, from 0: contributions of one superstep of one (sub)graph instance share it."""


def contributions(
    trajectory: Trajectory, book: RuleBook, roles: Collection[str] | None = None
) -> tuple[Contribution, ...]:
    """Every contribution of a rollout, by time.

    A role contributes when it acts with rules of `book` or calls a model. Where the rules stand at a node that is a
    graph itself (`researcher` of a `create_agent`), the node contributes and its interior (`researcher/model`) does not.

    Args:
        trajectory: the recorded rollout.
        book: the rules it ran with.
        roles: only these role paths; None takes all.
    """
    over = owners(trajectory)
    groups: dict[tuple[str, int, str], list[Step]] = {}
    for step in contributing(trajectory, book):
        if roles is None or step.role in roles:
            groups.setdefault((step.role, step.visit, over[step.id]), []).append(step)
    points = _points(trajectory, over)
    return tuple(
        Contribution(steps[0].role, steps[0].round, steps[0].visit, tuple(s.id for s in steps), points[key])
        for key, steps in groups.items()
    )


def contributing(trajectory: Trajectory, book: RuleBook) -> tuple[Step, ...]:
    """The steps of roles that contribute, by time; a visit in which a node did nothing at all (middleware) is none."""
    there = {step.role for step in trajectory.steps}
    entered = set(owners(trajectory).values())
    found: list[Step] = []
    for step in trajectory.steps:
        if not (step.writes or step.calls or step.goto or step.error or step.id in entered):
            continue
        level = role_of(agent_of(book, step.role, step.round))
        if level == step.role or (step.agent and level not in there):
            found.append(step)
    return tuple(found)


def require_roles(roles: Collection[str] | None, rollouts: Iterable[Rollout]) -> None:
    """Refuse role paths that no rollout has.

    Raises:
        UnknownNameError: such a role; the message lists those there are.
    """
    there = {step.role for rollout in rollouts for step in rollout.trajectory.steps}
    if there and (unknown := set(roles or ()) - there):
        raise UnknownNameError(
            f"no step of the role {', '.join(sorted(unknown))}; the rollouts have: {', '.join(sorted(there))}"
        )


def worst(rollouts: Sequence[Rollout], at_most: int | None, seed: int) -> Sequence[Rollout]:
    """At most so many rollouts, the worst scores first to be chosen, ties drawn by `seed`; in the order given."""
    if at_most is None or len(rollouts) <= at_most:
        return rollouts
    luck = {r.id: seeded(seed, "credit", r.id).random() for r in rollouts}
    ids = {r.id for r in sorted(rollouts, key=lambda r: (r.outcome.score, luck[r.id], r.id))[:at_most]}
    return [r for r in rollouts if r.id in ids]


def _points(trajectory: Trajectory, over: Mapping[str, str]) -> Mapping[tuple[str, int, str], int]:
    """Fork point by (role, visit, owner): one for each superstep of each (sub)graph instance.

    Where one node calls a graph twice, supersteps are counted anew: a role that comes again tells the calls apart.
    """
    places: dict[tuple[str, int, int], int] = {}
    seen: dict[tuple[str, int, str], list[int]] = {}
    points: dict[tuple[str, int, str], int] = {}
    for step in trajectory.steps:
        owner = over[step.id]
        came = seen.setdefault((owner, step.superstep, step.role), [])
        if step.visit not in came:
            came.append(step.visit)
        place = (owner, step.superstep, came.index(step.visit))
        points[step.role, step.visit, owner] = places.setdefault(place, len(places))
    return points
