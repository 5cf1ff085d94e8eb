"""Evaluators as LangSmith's: a function of some of `inputs, outputs, reference_outputs, run, example`.

`as_evaluator` gives such a function one face, `await evaluate(task, outputs) -> Outcome`, and lets nothing through
that is not a score: what raises, or returns NaN, None or a wrong type, is an `EvaluatorError` in one sentence.
"""

from __future__ import annotations

import asyncio
import inspect
import math
import numbers
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from langchain_core.runnables.config import RunnableConfig, var_child_runnable_config
from langsmith.evaluation import EvaluationResult
from langsmith.schemas import Example, Run

from langgraph_truce.errors import EvaluatorError
from langgraph_truce.shaping import Progress, as_progress, parameters, shaped
from langgraph_truce.task import Outcome, Task
from langgraph_truce.trajectory.step import Trajectory

PARAMETERS = ("inputs", "outputs", "reference_outputs", "run", "example")
"""What an evaluator may ask for, by parameter name."""

_ALLOWED = (
    'a number, a bool, {"key": ..., "score": ..., "comment": ...}, an EvaluationResult, or a list of those'
)
_ROUNDING = 1e-9
"""How far outside its range a score may lie through floating-point sums."""


@dataclass(frozen=True, slots=True)
class Evaluate:
    """An evaluator with one face; made by `as_evaluator`."""

    fn: Any
    """The user's function, or an object with `evaluate_run` (LangSmith's `RunEvaluator`)."""
    name: str
    """What messages call it, and the key of a bare number."""
    wants: tuple[str, ...]
    """Names of `PARAMETERS` that are handed to it."""
    objective: str = ""
    """Key of the primary score; empty where there is one key only."""
    low: float = 0.0
    """Score that becomes 0."""
    high: float = 1.0
    """Score that becomes 1."""
    progress: Progress | None = None
    """Scores the states between rounds; None: only the answer is scored."""
    shaping: float = 0.0
    """w in [0, 1): weight of the mean progress in the objective."""

    async def __call__(
        self,
        task: Task,
        outputs: Any,
        run: Any = None,
        *,
        trajectory: Trajectory | None = None,
        config: RunnableConfig | None = None,
    ) -> Outcome:
        """Score `outputs`, the system's answer to `task`.

        With `shaping` the outcome's `score` is (1 - w) R + w mean_t progress_t; `scores` keeps R under its key.

        Args:
            task: gives `inputs`, `reference_outputs` and `example`.
            outputs: what the system answered, as it is; in `run.outputs` a non-mapping stands under "output".
            run: a LangSmith run; without one, evaluators that ask for it get a run made of `task` and `outputs`.
            trajectory: what the system did, for evaluators that score states; without one no state is scored.
            config: LangChain's config of whatever the evaluator calls: its callbacks hear of the chat models of judges.
                A judge that asks a provider's own client, passes callbacks of its own, or works in a raw thread is not heard.

        Raises:
            EvaluatorError: it raised, or returned no score in its range; the message names the task. Or it weighs progress
                and there is no trajectory.
        """
        try:
            with _inside(config):
                returned = await self._call(self._arguments(task, outputs, run))
        except Exception as e:
            raise EvaluatorError(
                f"{self._at(task)} raised {type(e).__name__}: {e}; mend the evaluator"
            ) from e
        scores, comments = self._read(returned, task)
        key = self._primary(scores, task)
        feedback = [comments.pop(key, ""), *(f"{k}: {c}" for k, c in comments.items())]
        progress = await self._progress(task, trajectory, config)
        score = shaped(scores[key], progress, self.shaping)
        return Outcome(outputs, score, "\n".join(f for f in feedback if f), scores, progress=progress)

    async def _progress(
        self, task: Task, trajectory: Trajectory | None, config: RunnableConfig | None
    ) -> dict[str, float]:
        """Round number as text -> score in [0, 1]."""
        if self.progress is None:
            return {}
        if trajectory is None:
            if self.shaping:
                raise EvaluatorError(
                    f"{self._at(task)} weighs progress by {self.shaping:g} and no trajectory was given; take shaping=0"
                )
            return {}
        with _inside(config):
            given = await self.progress(task, trajectory)
        return {
            str(number): self._scaled(value, "progress", self.progress.at(task, number))
            for number, value in given.items()
        }

    def _at(self, task: Task) -> str:
        return f"evaluator {self.name!r} on task {task.id!r}"

    def _arguments(self, task: Task, outputs: Any, run: Any) -> dict[str, Any]:
        made: dict[str, Any] = {
            "inputs": dict(task.inputs),
            "outputs": outputs,
            "reference_outputs": dict(task.reference_outputs),
        }
        if "example" in self.wants:
            made["example"] = _example(task)
        if "run" in self.wants:
            made["run"] = run if run is not None else _run(task, outputs)
        return {name: made[name] for name in self.wants}

    async def _call(self, arguments: Mapping[str, Any]) -> Any:
        if hasattr(self.fn, "aevaluate_run"):
            return await self.fn.aevaluate_run(arguments["run"], arguments["example"])
        if hasattr(self.fn, "evaluate_run"):
            return await asyncio.to_thread(self.fn.evaluate_run, arguments["run"], arguments["example"])
        if inspect.iscoroutinefunction(self.fn):
            return await self.fn(**arguments)
        # a thread: a slow judge must not hold up the other rollouts
        returned = await asyncio.to_thread(self.fn, **arguments)
        return await returned if inspect.isawaitable(returned) else returned

    def _read(self, returned: Any, task: Task) -> tuple[dict[str, float], dict[str, str]]:
        """Scores in [0, 1] and comments, by key."""
        scores: dict[str, float] = {}
        comments: dict[str, str] = {}
        for item in _items(returned):
            key, score, comment = self._one(item, task)
            if key in scores:
                raise EvaluatorError(
                    f"{self._at(task)} returned the key {key!r} twice; give each score its own key"
                )
            scores[key] = self._scaled(score, key, self._at(task))
            if comment:
                comments[key] = str(comment)
        if not scores:
            raise EvaluatorError(f"{self._at(task)} returned no score; return {_ALLOWED}")
        return scores, comments

    def _one(self, item: Any, task: Task) -> tuple[str, Any, Any]:
        if isinstance(item, EvaluationResult):
            return item.key, item.score, item.comment
        if isinstance(item, Mapping):
            if "score" not in item:
                raise EvaluatorError(
                    f"{self._at(task)} returned a mapping without 'score', with {sorted(map(str, item))}; "
                    f"return {_ALLOWED}"
                )
            return str(item.get("key") or self.name), item["score"], item.get("comment")
        return self.name, item, None

    def _scaled(self, score: Any, key: str, at: str) -> float:
        if type(score).__module__ == "numpy" and hasattr(score, "item"):
            score = score.item()
        if isinstance(score, bool):
            return float(score)
        if not isinstance(score, numbers.Real):
            raise EvaluatorError(
                f"{at} returned {_short(score)} ({type(score).__name__}) as {key!r}; return {_ALLOWED}"
            )
        share = (float(score) - self.low) / (self.high - self.low)
        if math.isnan(share) or not -_ROUNDING <= share <= 1 + _ROUNDING:
            raise EvaluatorError(
                f"{at} returned {float(score)} as {key!r}; scores lie in [{self.low:g}, {self.high:g}], "
                "another range is declared with low= and high="
            )
        return min(1.0, max(0.0, share))

    def _primary(self, scores: Mapping[str, float], task: Task) -> str:
        there = ", ".join(repr(k) for k in scores)
        if self.objective:
            if self.objective not in scores:
                raise EvaluatorError(
                    f"{self._at(task)} returned no key {self.objective!r}, the objective; it returned {there}"
                )
            return self.objective
        if len(scores) > 1:
            raise EvaluatorError(
                f"{self._at(task)} returned several keys ({there}); name the primary one: objective="
            )
        return next(iter(scores))


def as_evaluator(
    fn: Any,
    *,
    objective: str = "",
    low: float = 0.0,
    high: float = 1.0,
    progress: Any = None,
    shaping: float = 0.0,
) -> Evaluate:
    """`fn` with one face.

    Args:
        fn: a function, sync or async, of any of `PARAMETERS`, or a LangSmith `RunEvaluator`. It returns a number, a
            bool, a mapping with "score" (and "key", "comment"), an `EvaluationResult`, a list of those, or
            `{"results": [...]}`. Sync ones run in a thread. An `Evaluate` is given back with the settings named here.
        objective: key of the primary score, needed where several keys come; the others are guards. An evaluator may carry
            its own as the attribute `objective`.
        low: score that becomes 0.
        high: score that becomes 1; every number returned lies in [low, high], bools are 0 and 1 in any range.
        progress: a function, sync or async, of any of `inputs, state, round, reference_outputs` that scores the state
            after a round, in the same range. The scores stand in `Outcome.progress`, for state-change credit.
        shaping: w in [0, 1): the objective is (1 - w) R + w mean_t progress_t, which tells near misses apart where R is
            sparse. 0: progress is recorded, and the objective is R.

    Raises:
        EvaluatorError: `fn` or `progress` cannot be called with these parameters, or a setting is out of range.
    """
    if isinstance(fn, Evaluate):
        if not objective and (low, high) == (0.0, 1.0) and progress is None and not shaping:
            return fn
        progress, shaping = (progress or fn.progress), (shaping or fn.shaping)
        fn = fn.fn
    name = str(getattr(fn, "__name__", None) or getattr(fn, "_name", None) or type(fn).__name__)
    if not (math.isfinite(low) and math.isfinite(high) and low < high):
        raise EvaluatorError(
            f"evaluator {name!r}: the range low={low:g}, high={high:g} is empty; give low < high"
        )
    if not 0 <= shaping < 1 or (shaping and progress is None):
        raise EvaluatorError(
            f"evaluator {name!r}: shaping={shaping!r} is a weight in [0, 1) of progress=, a function that scores states"
        )
    scored = progress if progress is None or isinstance(progress, Progress) else as_progress(progress)
    own = getattr(fn, "objective", "")
    objective = objective or (own if isinstance(own, str) else "")
    return Evaluate(fn, name, _wants(fn, name), objective, float(low), float(high), scored, float(shaping))


@contextmanager
def _inside(config: RunnableConfig | None) -> Iterator[None]:
    """While in this context, runnables that are called without a config take this one, as they do inside a chain."""
    if config is None:
        yield
        return
    before = var_child_runnable_config.set(config)
    try:
        yield
    finally:
        var_child_runnable_config.reset(before)


def _wants(fn: Any, name: str) -> tuple[str, ...]:
    if hasattr(fn, "evaluate_run") or hasattr(fn, "aevaluate_run"):
        return ("run", "example")
    if not callable(fn):
        raise EvaluatorError(
            f"an evaluator is a function of some of {', '.join(PARAMETERS)}, got {_short(fn)}"
        )
    return parameters(fn, f"evaluator {name!r}", PARAMETERS)


def _items(returned: Any) -> Sequence[Any]:
    if isinstance(returned, Mapping) and "results" in returned:
        returned = returned["results"]
    return returned if isinstance(returned, list | tuple) else [returned]


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:77]}..."  # noqa: PLR2004 - one line of a terminal


def _uuid(kind: str, task: Task) -> uuid.UUID:
    return uuid.uuid5(uuid.NAMESPACE_OID, f"langgraph-truce/{kind}/{task.id}")


_EPOCH = datetime.fromtimestamp(0, UTC)
"""Stands for "no time": equal calls give equal objects."""


def _example(task: Task) -> Example:
    return Example(
        id=_uuid("example", task),
        dataset_id=uuid.UUID(int=0),
        inputs=dict(task.inputs),
        outputs=dict(task.reference_outputs),
        metadata=dict(task.metadata),
        created_at=_EPOCH,
    )


def _run(task: Task, outputs: Any) -> Run:
    run_id = _uuid("run", task)
    return Run(
        id=run_id,
        trace_id=run_id,
        name="langgraph-truce",
        run_type="chain",
        start_time=_EPOCH,
        end_time=_EPOCH,
        inputs=dict(task.inputs),
        outputs=dict(outputs) if isinstance(outputs, Mapping) else {"output": outputs},
        reference_example_id=_uuid("example", task),
    )
