"""Is the round blamed in which an error entered, or the one in which it showed? State-change credit on a simulated debate.

`PlantedDebate(kinds=("delayed",))` is a simulation: in round 1 a role notes a wrong value in advance; it lies on the board
through round 2, under other talk, and shows in round 3, whose state changes most. Progress (`world.progress`) sees facts
when they are due, so it stalls in round 3 alone. Rollouts are recorded as in `optimize`. A rollout counts for the round
with the lowest value; equal values are ordered by a draw of the seed.

Fails when multi-step lookahead blames round 1 in less than 90 % of 200 tasks. Beside it, for information: the blog's
score (no lookahead, distance of states alone), the two halves of the cure by themselves, and the same tasks where the
answer is told in prose with innocent words of round 3, and as a sum, so that the wrong value itself never shows and
there is nothing to trace; and counterfactual credit, which does not read the answer. State-change credit makes no model
calls, counterfactual credit 54 a task.

Usage: python tests/benchmarks/delayed_error.py [--quick] [--tasks N]
"""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from scipy.stats import binomtest

from langgraph_truce.credit import counterfactual_credit, state_change_credit
from langgraph_truce.seams import Attributor, Batch, Credit, Rollout
from langgraph_truce.seed import seeded
from langgraph_truce.task import Task
from langgraph_truce.testing import PlantedDebate, real_lab

os.environ["LANGSMITH_TRACING"] = "false"

ROLES = ("researcher", "calculator", "reviewer")
WANTED = 0.9
WORLD = 20
"""Tasks of one world."""
WITH, WITHOUT, BLOG = "lookahead", "no lookahead", "the blog's score"
REPLAYS = "counterfactual (54 calls)"


def sources(world: PlantedDebate, told: str) -> dict[str, Attributor]:
    """State-change credit in several settings and counterfactual credit, by name."""

    def progress(state: Mapping[str, Any], task: Task) -> float:
        return world.progress(state, task.reference_outputs)

    replays = counterfactual_credit(roles=ROLES, deterministic=True)
    return {
        WITH: state_change_credit(progress=progress),
        "lookahead of 1 round": state_change_credit(progress=progress, lookahead=1),
        WITHOUT: state_change_credit(progress=progress, lookahead=0),
        "lookahead, distance only": state_change_credit(progress=progress, trace=False),
        BLOG: state_change_credit(progress=progress, lookahead=0, trace=False),
        **({REPLAYS: replays} if told == PLAIN else {}),  # they do not read how the answer is told
    }


async def one_world(number: int, tasks: int, *, told: str) -> dict[str, list[int]]:
    """The round that each source blames, task by task."""
    world = PlantedDebate(number, kinds=("delayed",))
    async with real_lab(world.system, world.score, seed=number) as (lab, _):
        asked = world.tasks(tasks)
        rollouts = await lab.rollouts(asked, world.rules, purpose="task")
        assert all(r.outcome.score == 0.0 for r in rollouts)
        rollouts = tuple(TOLD[told](r) for r in rollouts)
        batch = Batch(1, 1, world.rules, {t.id: t for t in asked}, rollouts=rollouts)
        found: dict[str, list[int]] = {}
        for name, credit in sources(world, told).items():
            said, _ = await credit(batch, {}, lab)
            found[name] = [blamed(r, said) for r in rollouts]
        return found


def as_it_is(rollout: Rollout) -> Rollout:
    """The outcome as the system gives it: the values alone."""
    return rollout


def wordy(rollout: Rollout) -> Rollout:
    """The outcome with talk of the last round in it, as answers in prose have: words of its own that are no error."""
    last = str(rollout.trajectory.value(rollout.trajectory.steps[-2].writes["summary"]))
    sentences = last.split(". ")
    drawn = seeded(0, "wordy", rollout.id).sample(sentences, 3)
    told = {**rollout.outcome.result, "text": ". ".join(drawn)}
    return replace(rollout, outcome=replace(rollout.outcome, result=told))


def as_sum(rollout: Rollout) -> Rollout:
    """The outcome as one number that does not hold the wrong value, only what came of it."""
    values = str(rollout.outcome.result["value"]).split()
    total = sum(int(v.removeprefix("K-")) for v in values)
    return replace(rollout, outcome=replace(rollout.outcome, result={"value": f"S-{total}"}))


PLAIN, WORDY, SUM = "values alone", "values in prose with talk of round 3", "a sum, without the wrong value"
TOLD = {PLAIN: as_it_is, WORDY: wordy, SUM: as_sum}
"""How the answer is told."""


def blamed(rollout: Rollout, credits_: tuple[Credit, ...]) -> int:
    """The round with the lowest value."""
    own: dict[int, float] = {}
    for c in credits_:
        if c.rollout == rollout.id and c.round is not None:
            own[c.round] = min(own.get(c.round, 1.0), c.value or 0.0)
    return min(own, key=lambda n: (own[n], seeded(0, "tie", rollout.id, n).random()))


async def study(tasks: int, told: str) -> dict[str, list[int]]:
    """All worlds together."""
    found: dict[str, list[int]] = {}
    for number, first in enumerate(range(0, tasks, WORLD)):
        part = await one_world(number, min(WORLD, tasks - first), told=told)
        for name, rounds in part.items():
            found.setdefault(name, []).extend(rounds)
    return found


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="40 tasks")
    parser.add_argument("--tasks", type=int, default=200)
    args = parser.parse_args()
    tasks = 40 if args.quick else args.tasks
    print(
        f"simulation, 3 roles x 3 rounds, {tasks} tasks: a wrong value enters in round 1 and shows in round 3"
    )
    shares: dict[tuple[str, str], float] = {}
    for told in TOLD:
        print(f"the answer: {told}")
        print(f"{'blamed first:':>26} {'round 1':>8} {'2':>5} {'3':>5} {'end':>5}  share of round 1, 95 %")
        for name, rounds in asyncio.run(study(tasks, told)).items():
            counted = Counter(rounds)
            share = shares[name, told] = counted[1] / len(rounds)
            interval = binomtest(counted[1], len(rounds)).proportion_ci(0.95, "wilson")
            print(
                f"{name:>26} {counted[1]:>8} {counted[2]:>5} {counted[3]:>5} {counted[4]:>5}"
                f"  {share:.3f} ({interval.low:.3f}-{interval.high:.3f})"
            )
    good = shares[WITH, PLAIN] >= WANTED
    if not good:
        print(f"FAILED: lookahead blames round 1 in {shares[WITH, PLAIN]:.3f} of the tasks, {WANTED} wanted")
    print(
        f"round 1 blamed: {shares[WITH, PLAIN]:.3f} with lookahead, {shares[WITHOUT, PLAIN]:.3f} without, "
        f"{shares[BLOG, PLAIN]:.3f} by the blog's score; with lookahead {shares[WITH, WORDY]:.3f} where the answer is "
        f"prose, {shares[WITH, SUM]:.3f} where the value only shows in a sum"
    )
    return int(not good)


if __name__ == "__main__":
    sys.exit(main())
