"""What a story quotes from rollouts: cited steps, scores of tasks that moved, and how much equal rules differ."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from statistics import fmean
from typing import Any

from langgraph_truce.errors import GateRefused
from langgraph_truce.gate.noise import noise_of
from langgraph_truce.optimizer.records import Records
from langgraph_truce.report.story import Moved, Noise, Quote, TaskStory
from langgraph_truce.rollout.run import rollout_id
from langgraph_truce.seams import Rollout
from langgraph_truce.trajectory.transcript import cut, said

QUOTES = 3
"""Steps quoted per edit; the rest is counted."""
QUOTED = 600
"""Characters quoted of a step, of an answer, of a feedback."""
MOVED = 20
"""Tasks that are named per iteration and direction; the rest is counted."""
REPLICATES = 64
"""Replicate numbers that are looked for."""
COMPARED = 100
"""Tasks that the noise is estimated from, at most."""


class Cited:
    """Reads the rollouts that edits cite, each once."""

    def __init__(self, records: Records) -> None:
        self._records = records
        self._known: dict[str, Rollout | None] = {}
        self.tasks: dict[str, TaskStory] = {}
        """What came of each quoted rollout, by its id, in the order of quotation."""

    async def quotes(self, evidence: Sequence[str]) -> tuple[Quote, ...]:
        """The first few cited steps, of different tasks as far as there are any: len(result) <= `QUOTES`."""
        return tuple([await self._quote(step) for step in _spread(evidence)])

    async def _quote(self, cited: str) -> Quote:
        for at in (i for i, char in enumerate(cited) if char == "/"):
            name, step_id = cited[:at], cited[at + 1 :]  # task ids and role paths may hold slashes too
            rollout = await self._rollout(name)
            step = rollout.trajectory.step(step_id) if rollout else None
            if rollout and step:
                self._remember(rollout)
                words = cut(said(rollout.trajectory, step) or step.error or "(nothing)", QUOTED)
                return Quote(step.id, rollout.task, step.role, step.round, words)
        return Quote(cited, "", found=False)

    async def _rollout(self, name: str) -> Rollout | None:
        if name not in self._known:
            self._known[name] = await self._records.read_rollout(name)
        return self._known[name]

    def _remember(self, rollout: Rollout) -> None:
        outcome = rollout.outcome
        answer = (
            outcome.result if isinstance(outcome.result, str) else json.dumps(outcome.result, default=str)
        )
        self.tasks.setdefault(
            rollout.id,
            TaskStory(
                rollout.task,
                rollout.id,
                outcome.score,
                cut(outcome.feedback, QUOTED),
                cut(answer, QUOTED),
                cut(outcome.error or outcome.excluded, QUOTED),
            ),
        )


def _spread(evidence: Sequence[str]) -> list[str]:
    """The first citation of each rollout, then the others, `QUOTES` in all."""
    first: dict[str, str] = {}
    for step in evidence:
        first.setdefault(step.rpartition("/")[0], step)
    order = [*first.values(), *(step for step in evidence if step not in first.values())]
    return list(dict.fromkeys(order))[:QUOTES]


async def moved(records: Records, tasks: Iterable[str], before: str, after: str) -> tuple[Moved, ...]:
    """The first `MOVED` of `tasks` with their mean scores under the rule versions `before` and `after`."""
    found = []
    for task in list(tasks)[:MOVED]:
        pairs = [
            (old, new)
            for replicate in range(REPLICATES)
            if (old := await _score(records, before, task, replicate)) is not None
            and (new := await _score(records, after, task, replicate)) is not None
        ]
        known = bool(pairs)
        found.append(
            Moved(task, fmean(p[0] for p in pairs), fmean(p[1] for p in pairs)) if known else Moved(task)
        )
    return tuple(found)


async def own_noise(records: Records, iterations: Sequence[int]) -> Noise:
    """The noise between train rollouts of iterations with equal rules; a sentence where there are none."""
    seen: dict[tuple[str, str], set[int]] = {}
    for iteration in iterations:
        for name in await records.read_box(iteration, "segment") or {}:
            version, _, rest = name.partition("/")
            task, _, replicate = rest.rpartition("/")
            if replicate.isdecimal():
                seen.setdefault((version, task), set()).add(int(replicate))
    again = [(key, replicates) for key, replicates in seen.items() if len(replicates) > 1][:COMPARED]
    # one rule book: what it scores under another is another system's score
    of_one = [(key, replicates) for key, replicates in again if key[0] == again[0][0][0]]
    scores = {
        task: [await _score(records, version, task, r) for r in sorted(replicates)]
        for (version, task), replicates in of_one
    }
    try:
        found = noise_of(scores)
    except GateRefused:
        return Noise(
            "Not known: no task was run twice with equal rules. `langgraph-truce noise` runs the unedited system "
            "against itself and says it, with the tasks needed to see a gain."
        )
    return noise_story(
        found.to_json(), "Estimated from train tasks that this run ran again with equal rules."
    )


def noise_story(found: Mapping[str, Any], source: str) -> Noise:
    """A noise floor as `gate.noise` writes it.

    Raises:
        KeyError, TypeError: it is none.
    """
    needed = {f"{100 * row['gain']:g}": int(row["tasks_one_replicate"]) for row in found["needed"]}
    return Noise(source, int(found["comparison"]["n"]), float(found["flips"]), float(found["floor"]), needed)


async def _score(records: Records, version: str, task: str, replicate: int) -> float | None:
    rollout = await records.read_rollout(rollout_id(version, task, replicate))
    return None if rollout is None or rollout.outcome.excluded else rollout.outcome.score
