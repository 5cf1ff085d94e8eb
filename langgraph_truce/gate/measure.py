"""What a gate asks of the lab: what rule books did on validation tasks, and the scores of two arms made of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, get_args

from langgraph_truce.errors import GateRefused
from langgraph_truce.gate.paired import Scores
from langgraph_truce.rules import Edit, RuleBook
from langgraph_truce.seams import Comparison, Lab, Rollout
from langgraph_truce.task import Task

Objective = Literal["score", "tokens"]
"""What an edit has to win on: the evaluator's objective, or the tokens of the whole rollout (fewer is better)."""
OBJECTIVES: tuple[str, ...] = get_args(Objective)
SCORE = "score"
"""The key of the evaluator's objective, whatever the evaluator calls it."""
Record = dict[str, Any]
"""One tried candidate set, JSON: `{"edits": [ids], "decision", "estimate", "p_value", "alpha", "why"}`."""


@dataclass(frozen=True, slots=True)
class Reading:
    """What the gate keeps of one rollout."""

    scores: Mapping[str, float]
    """Evaluator key -> score in [0, 1]; `score` is the objective."""
    tokens: int | None
    """Input and output tokens of all its model calls; None where a model does not say."""


@dataclass(slots=True)
class Arm:
    """One rule book on the validation tasks: what was bought so far."""

    lab: Lab
    book: RuleBook
    first: int
    """The first replicate number. Both arms use the same ones, so that they share whatever the system's randomness
    lets them share (common random numbers)."""
    parent: RuleBook | None = None
    """Rules that `book` was edited from; None for the baseline."""
    readings: dict[str, list[Reading | None]] = field(default_factory=dict)
    """Task id -> its replicates; None where the rollout was excluded."""

    async def buy(self, tasks: Sequence[Task], replicates: int) -> None:
        """Run what is missing of `replicates` rollouts of each of `tasks`; those that the lab has cost nothing."""
        for place in range(replicates):
            missing = [t for t in tasks if len(self.readings.get(t.id, ())) == place]
            if not missing:
                continue
            for rollout in await self.lab.rollouts(
                missing, self.book, replicate=self.first + place, purpose="gate", parent=self.parent
            ):
                self.readings.setdefault(rollout.task, []).append(_reading(rollout))

    def keys(self) -> set[str]:
        """Evaluator keys that were seen."""
        return {key for row in self.readings.values() for r in row if r is not None for key in r.scores}

    def of(self, tasks: Sequence[Task], key: str) -> Scores:
        """Scores under `key`, per task and replicate.

        Raises:
            GateRefused: the evaluator did not return that key for a rollout.
        """
        return {t.id: [_score(r, key, t.id) for r in self.readings[t.id]] for t in tasks}


def arms(objective: str, baseline: Arm, candidate: Arm, tasks: Sequence[Task]) -> tuple[Scores, Scores]:
    """Both arms' scores on `tasks` under `objective`: an evaluator key, or `tokens`.

    Tokens become scores in [0, 1], 1 - tokens / (the larger of the two arms' tokens): their difference is the relative
    saving of that task and replicate, in [-1, 1], and turns its sign when the arms are swapped.

    Raises:
        GateRefused: the evaluator did not return that key, or a model does not say its tokens.
    """
    if objective != "tokens":
        return baseline.of(tasks, objective), candidate.of(tasks, objective)
    b: dict[str, list[float | None]] = {}
    c: dict[str, list[float | None]] = {}
    for task in tasks:
        rows = zip(baseline.readings[task.id], candidate.readings[task.id], strict=True)
        pairs = [_saved(_tokens(x, task.id), _tokens(y, task.id)) for x, y in rows]
        b[task.id], c[task.id] = [x for x, _ in pairs], [y for _, y in pairs]
    return b, c


def untested(level: float) -> Comparison:
    """The comparison of a verdict that rests on none: nothing was measured, so nothing is bounded."""
    return Comparison(
        n=0, estimate=0.0, low=-1.0, high=1.0, level=level, p_value=1.0, baseline=0.0, candidate=0.0
    )


def record(
    edits: Sequence[Edit], decision: str, comparison: Comparison | None, alpha: float, why: str
) -> Record:
    """A tried candidate set as JSON, for `Verdict.trials`."""
    return {
        "edits": [e.id for e in edits],
        "decision": decision,
        "estimate": comparison.estimate if comparison else None,
        "p_value": comparison.p_value if comparison else None,
        "alpha": alpha,
        "why": why,
    }


def told(comparison: Comparison, objective: str = SCORE) -> str:
    """The measured difference in words."""
    c = comparison
    unit = "% of tokens saved" if objective == "tokens" else " points"
    better, worse = ("cheaper", "dearer") if objective == "tokens" else ("fixed", "broken")
    words = (
        f"{100 * c.estimate:+.1f}{unit} ({100 * c.low:+.1f} to {100 * c.high:+.1f}) on {c.n} tasks, "
        f"{len(c.fixed)} {better}, {len(c.broken)} {worse}"
    )
    if any(c.excluded.values()):
        words += (
            f", excluded {c.excluded['baseline']} baseline and {c.excluded['candidate']} candidate rollouts"
        )
    return words


def _reading(rollout: Rollout) -> Reading | None:
    outcome = rollout.outcome
    if outcome.excluded:
        return None
    calls = [call for step in rollout.trajectory.steps for call in step.calls]
    said = [(c.usage.input_tokens, c.usage.output_tokens) for c in calls if c.output is not None]
    known = rollout.trajectory.prompts_known and all(i is not None and o is not None for i, o in said)
    tokens = sum((i or 0) + (o or 0) for i, o in said) if known else None
    return Reading({**outcome.scores, SCORE: outcome.score}, tokens)


def _score(reading: Reading | None, key: str, task: str) -> float | None:
    if reading is None:
        return None
    if key in reading.scores:
        return reading.scores[key]
    if len(reading.scores) == 1 and reading.scores[SCORE] == 0.0:
        return 0.0  # the system raised or timed out: it is scored 0, and no evaluator was asked
    there = sorted(reading.scores.keys() - {SCORE})
    raise GateRefused(
        f"the evaluator returned no {key!r} for task {task!r} (its keys there: {there}); "
        "return it for every task, or leave it out of guards="
    )


def _tokens(reading: Reading | None, task: str) -> int | None:
    if reading is not None and reading.tokens is None:
        raise GateRefused(
            f"objective='tokens' needs the tokens of every model call, and a model did not say them on task {task!r}; "
            "give it stream_usage=True where it has that, or take objective='score'"
        )
    return None if reading is None else reading.tokens


def _saved(baseline: int | None, candidate: int | None) -> tuple[float | None, float | None]:
    """Scores of one pair; where one arm has none, its partner counts against the candidate."""
    if baseline is None or candidate is None:
        return (None if baseline is None else 1.0), (None if candidate is None else 0.0)
    most = max(baseline, candidate, 1)
    return 1 - baseline / most, 1 - candidate / most
