"""Reward shaping (blog, "sparse reward collapse"): evaluators that also score the states between rounds."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from langgraph_truce.errors import EvaluatorError
from langgraph_truce.task import Task
from langgraph_truce.trajectory.states import RoundState, round_states
from langgraph_truce.trajectory.step import Trajectory

PARAMETERS = ("inputs", "state", "round", "reference_outputs")
"""What a progress function may ask for, by parameter name."""


@dataclass(frozen=True, slots=True)
class Progress:
    """A function that scores the state after a round; made by `as_progress`."""

    fn: Any
    name: str
    wants: tuple[str, ...]
    """Names of `PARAMETERS` that are handed to it."""

    async def __call__(self, task: Task, trajectory: Trajectory) -> dict[int, Any]:
        """Round -> what the function returned, by round; empty where nothing ran.

        Raises:
            EvaluatorError: it raised; the message names task and round.
        """
        found: dict[int, Any] = {}
        for state in round_states(trajectory):
            try:
                found[state.round] = await self._call(task, state)
            except Exception as e:
                raise EvaluatorError(
                    f"{self.at(task, state.round)} raised {type(e).__name__}: {e}; mend the evaluator"
                ) from e
        return found

    def at(self, task: Task, round_: int) -> str:
        """Where it was asked, for messages."""
        return f"progress {self.name!r} on task {task.id!r} after round {round_}"

    async def _call(self, task: Task, state: RoundState) -> Any:
        made: dict[str, Any] = {
            "inputs": dict(task.inputs),
            "state": dict(state.after),
            "round": state.round,
            "reference_outputs": dict(task.reference_outputs),
        }
        arguments = {name: made[name] for name in self.wants}
        if inspect.iscoroutinefunction(self.fn):
            return await self.fn(**arguments)
        # a thread: a slow judge must not hold up the other rollouts
        returned = await asyncio.to_thread(self.fn, **arguments)
        return await returned if inspect.isawaitable(returned) else returned


def as_progress(fn: Any) -> Progress:
    """Give a function of some of `inputs, state, round, reference_outputs` one face.

    Raises:
        EvaluatorError: it is not callable, or asks for something else.
    """
    name = str(getattr(fn, "__name__", None) or type(fn).__name__)
    if not callable(fn):
        raise EvaluatorError(f"progress= is a function of some of {', '.join(PARAMETERS)}, got {fn!r:.80}")
    return Progress(fn, name, parameters(fn, f"progress {name!r}", PARAMETERS))


def parameters(fn: Any, what: str, allowed: Sequence[str]) -> tuple[str, ...]:
    """Those of the `allowed` names that `fn` asks for.

    Raises:
        EvaluatorError: it needs something else; the message begins with `what`.
    """
    wants: list[str] = []
    for p in inspect.signature(fn).parameters.values():
        by_name = p.kind in {p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY}
        if by_name and p.name in allowed:
            wants.append(p.name)
        elif p.kind is p.POSITIONAL_ONLY or (by_name and p.default is p.empty):
            raise EvaluatorError(
                f"{what} has the parameter {p.name!r}; it may ask, by name, for: {', '.join(allowed)}"
            )
    return tuple(wants)


def shaped(score: float, progress: Mapping[str, float], weight: float) -> float:
    """R' = (1 - w) R + w mean_t progress_t, in [0, 1]; R where no state was scored."""
    if not progress or weight == 0.0:
        return score
    return (1 - weight) * score + weight * sum(progress.values()) / len(progress)
