"""A debate written by hand: roles side by side, an aggregator behind them, a decision at the end."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import pytest

from langgraph_truce.rules.rule import content_hash
from langgraph_truce.seams import Rollout
from langgraph_truce.task import Outcome
from langgraph_truce.testing.batches import make_rollout
from langgraph_truce.trajectory.step import Step

Debate = Callable[..., Rollout]


@pytest.fixture
def debate() -> Debate:
    """`debate(task, score, roles=..., rounds=...)`: every step called a model once; `says` maps step ids to other words."""

    def make(
        task: str = "t1",
        score: float = 0.0,
        *,
        roles: Sequence[str] = ("ann", "bob", "cyd"),
        rounds: int = 3,
        says: Mapping[str, str] | None = None,
        result: Any = None,
    ) -> Rollout:
        order = [(r, n) for n in range(1, rounds + 1) for r in (*roles, "agg")] + [("end", rounds + 1)]
        said = [(r, n, (says or {}).get(f"{r}#{n if r != 'end' else 1}.0", f"{r} speaks")) for r, n in order]
        made = make_rollout(task, said, score=score)
        blobs: dict[str, Any] = dict(made.trajectory.blobs)
        steps: list[Step] = []
        notes: list[Any] = []
        before: list[Any] = []
        for n, step in enumerate(made.trajectory.steps):
            at = n // (len(roles) + 1) * 2 + 1 + (step.role == "agg")
            if step.role in (roles[0], "agg", "end"):  # siblings see what was there before all of them
                before = list(notes)
            state = {"question": "q", "messages": before}
            ref = content_hash(json.dumps(state))
            blobs[ref] = state
            steps.append(replace(step, superstep=at, input=ref))
            notes.append(made.trajectory.value(step.writes["messages"]))
        trajectory = replace(made.trajectory, steps=tuple(steps), blobs=blobs)
        outcome = Outcome(result if result is not None else said[-1][2], score)
        return replace(made, trajectory=trajectory, outcome=outcome)

    return make
