"""What runs again when a step is changed: known from the recorded steps alone, so that a replay's cost is known first."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence

from langgraph_truce.errors import UnknownNameError
from langgraph_truce.trajectory.step import Step, Trajectory

RETURNED = "__return__"
"""LangGraph's channel for what a `@task` function gives back."""


def owners(trajectory: Trajectory) -> Mapping[str, str]:
    """Step id -> id of the step inside which it ran: the node of its subgraph, or the function that called it; "" outermost.

    Steps are ordered parent before interior, so the owner is the last step before it of the role one level up.
    """
    last: dict[str, str] = {}
    found: dict[str, str] = {}
    for step in trajectory.steps:
        found[step.id] = last.get(step.role.rpartition("/")[0], "")
        last[step.role] = step.id
    return found


def downstream(trajectory: Trajectory, steps: Iterable[str], *, rerun: bool = False) -> tuple[Step, ...]:
    """The recorded steps that run again when `steps` are changed, by time.

    These are the later supersteps of the same (sub)graph instance, the steps that own it (their subgraph is entered
    again, so what they themselves call is called again), and all that came after those; steps of parallel siblings are
    not among them. Functions of the functional API count one after the other, in the order of their calls: which of
    them ran side by side is not recorded. Two subgraphs of one superstep each that one node calls in turn look parallel.

    Args:
        trajectory: What was recorded.
        steps: Ids of steps, all of one superstep of one (sub)graph instance.
        rerun: True counts `steps` and what ran inside them too: they run again.

    Raises:
        UnknownNameError: a step is not there.
    """
    changed = set(steps)
    if lost := sorted(changed - trajectory.step_ids):
        raise UnknownNameError(f"trajectory {trajectory.rollout!r} has no step {', '.join(lost)}")
    above = owners(trajectory)
    inside: dict[str, list[Step]] = {}
    for step in trajectory.steps:
        inside.setdefault(above[step.id], []).append(step)
    whole = set(changed) if rerun else set[str]()
    entered: set[str] = set()
    level = changed
    while level:
        owner = above[next(iter(level))]
        whole |= _later(inside[owner], level)
        level = {owner} - {""}
        entered |= level
    again: set[str] = set()
    for step in trajectory.steps:  # parents come first: what runs again takes its interior along
        over = above[step.id]
        if step.id in whole or step.id in entered or (over in again and over not in entered):
            again.add(step.id)
    return tuple(step for step in trajectory.steps if step.id in again)


def calls(trajectory: Trajectory, steps: Iterable[str], *, rerun: bool = False) -> int:
    """Model calls of a replay: those recorded in the steps that run again. 0 where calls were not recorded (old threads).

    Raises:
        UnknownNameError: a step is not there.
    """
    return sum(len(step.calls) for step in downstream(trajectory, steps, rerun=rerun))


def is_function(step: Step) -> bool:
    """True for a function of the functional API (`@task`): it returns to its caller, and ran in its caller's superstep."""
    return RETURNED in step.writes


def first_touched(trajectory: Trajectory, touches: Callable[[Step], bool]) -> tuple[str, ...]:
    """The steps from which on a run must be done again when a rule changes: of one superstep, () where none is touched.

    Inside a subgraph where its node is the only one that is touched then and touches nothing itself; else the whole nodes.
    """
    above = owners(trajectory)
    number = {step.id: n for n, step in enumerate(trajectory.steps)}
    lines = [line(step.id, above) for step in trajectory.steps if touches(step)]
    depth, within = 0, ""
    while True:
        level = [line for line in lines if len(line) > depth and (not depth or line[depth - 1] == within)]
        if not level:
            return ()
        heads = sorted({line[depth] for line in level}, key=number.__getitem__)
        first = _together(trajectory, heads)
        itself = any(len(line) == depth + 1 and line[depth] in first for line in level)
        if len(first) > 1 or itself:
            return first
        within, depth = first[0], depth + 1


def beside(trajectory: Trajectory, steps: Sequence[str]) -> tuple[str, ...]:
    """`steps`, their owners, and what ran in the same superstep as each of these in its (sub)graph instance."""
    above = owners(trajectory)
    found: set[str] = set()
    for one in line(steps[0], above):
        siblings = [step for step in trajectory.steps if above[step.id] == above[one]]
        moments = _moments(siblings)
        found |= {step for step, moment in moments.items() if moment == moments[one]}
    return tuple(step.id for step in trajectory.steps if step.id in found)


def line(step: str, above: Mapping[str, str]) -> tuple[str, ...]:
    """A step with its owners (see `owners`), outermost first."""
    line = [step]
    while above[line[-1]]:
        line.append(above[line[-1]])
    return tuple(reversed(line))


def _together(trajectory: Trajectory, heads: Sequence[str]) -> tuple[str, ...]:
    """Of steps of one (sub)graph instance those that ran beside the first."""
    later = {step.id for step in downstream(trajectory, heads[:1])}
    return tuple(step for step in heads if step not in later)


def _later(siblings: Sequence[Step], changed: Collection[str]) -> set[str]:
    """Steps of one (sub)graph instance, or called by one step, that run again after the changed ones."""
    functions = [step for step in siblings if is_function(step)]
    nodes = [step for step in siblings if not is_function(step)]
    if any(step.id in changed for step in functions):
        # what else the caller does is not ordered against its functions, and is done again
        first = min(n for n, step in enumerate(functions) if step.id in changed)
        later = [*functions[first:], *nodes]
    else:
        moments = _moments(nodes)
        first = min(moments[step] for step in changed)
        later = [*functions, *(step for step in nodes if moments[step.id] > first)]
    return {step.id for step in later} - set(changed)


def _moments(siblings: Sequence[Step]) -> Mapping[str, int]:
    """Step id -> number of its superstep among those of its siblings, subgraph calls after each other counted on."""
    moments: dict[str, int] = {}
    number, superstep = 0, -1
    visits: dict[str, int] = {}
    for step in siblings:
        if step.superstep != superstep or visits.get(step.role, step.visit) != step.visit:
            number, superstep, visits = number + 1, step.superstep, {}
        visits[step.role] = step.visit
        moments[step.id] = number
    return moments
