"""Step, Trajectory and Segment as data (TRUCE 4.2: H_T = (h_1, ..., h_T) and its sub-trajectories).

Texts and values are stored once, under the hash of their content, in `Trajectory.blobs`; steps hold references.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any

Ref = str
"""Hash of a content; `Trajectory.value(ref)` gives the content back."""


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens of one model call; None where the provider did not say."""

    input_tokens: int | None = None
    output_tokens: int | None = None


@dataclass(frozen=True, slots=True)
class ModelCall:
    """One call of a chat model inside a step."""

    prompt: Ref
    """The messages sent: a list of `{"role", "content", ...}`."""
    output: Ref | None
    """The message that came back, `{"role", "content", "tool_calls"?...}`; None where the call failed."""
    model: str = ""
    """The model's name as its provider gives it."""
    usage: Usage = Usage()
    latency: float | None = None
    """Seconds from start to end of the call."""
    error: str = ""
    """`Type: message` of the exception; empty where there was none."""


@dataclass(frozen=True, slots=True)
class Step:
    """One node execution."""

    id: str
    """`role#visit.index`, unique in its trajectory: `worker#2.0` is the first of the fan-out in the second visit."""
    role: str
    """Role path: the node's name path through subgraphs (`team/solver`)."""
    superstep: int
    """LangGraph's step number in the node's own (sub)graph, from 1."""
    visit: int
    """The n-th superstep in which this role path ran, from 1."""
    index: int
    """Place in a `Send` fan-out of one superstep, from 0."""
    round: int
    """Iteration of the interaction, from 1; closed by the aggregator where there is one."""
    input: Ref | None
    """State (or `Send` argument) the node saw: `{channel: value}`; None where unknown."""
    writes: Mapping[str, Ref] = field(default_factory=dict)
    """What the node wrote: channel -> content."""
    calls: tuple[ModelCall, ...] = ()
    """Model calls made inside this step, in order of start; empty also where prompts are unknown (old threads)."""
    tools: tuple[Mapping[str, Any], ...] = ()
    """Tool calls made inside this step: `{"name", "input": ref, "output": ref | None, "error"}`."""
    goto: tuple[str, ...] = ()
    """Where a `Command` sent the run, in order; empty for plain edges."""
    latency: float | None = None
    """Seconds the node took; None where unknown (old threads)."""
    error: str = ""
    """`Type: message` of the exception that ended the node; empty where there was none."""

    @property
    def agent(self) -> bool:
        """True where this step called a model."""
        return bool(self.calls)


@dataclass(frozen=True, slots=True)
class Trajectory:
    """All steps of one rollout, ordered by time (H in TRUCE)."""

    rollout: str
    """Id of the rollout, or of the thread it was read from."""
    steps: tuple[Step, ...]
    blobs: Mapping[Ref, Any]
    """Content by hash. Lists that extend an earlier list are stored as `{"$list": [prefix ref | None, *items]}`, so
    that bytes grow linearly in steps when writes per step are constant. Read through `value`."""
    prompts_known: bool = True
    """False where it was read from checkpoints alone: prompts, usage and latency are unknown."""

    def step(self, step_id: str) -> Step | None:
        """The step called `step_id`, or None."""
        return next((s for s in self.steps if s.id == step_id), None)

    @property
    def step_ids(self) -> frozenset[str]:
        """Ids of all steps; citations outside this set are rejected (contract 4)."""
        return frozenset(s.id for s in self.steps)

    def value(self, ref: Ref) -> Any:
        """The content stored under `ref`, with list prefixes put together.

        Raises:
            KeyError: no such content.
        """
        blob = self.blobs[ref]
        if isinstance(blob, dict) and set(blob) == {"$list"}:
            runs: list[list[Any]] = []
            while True:
                prefix, *items = blob["$list"]
                runs.append(items)
                if prefix is None:
                    break
                blob = self.blobs[prefix]
            return [self._item(i) for run in reversed(runs) for i in run]
        if isinstance(blob, dict) and set(blob) == {"$dict"}:
            return {k: self._item(v) for k, v in blob["$dict"].items()}
        return blob

    def to_json(self) -> dict[str, Any]:
        """As JSON; contents are JSON already and are not walked through."""
        steps = [
            _row(step, calls=[_call_row(c) for c in step.calls], goto=list(step.goto)) for step in self.steps
        ]
        known = self.prompts_known
        return {"rollout": self.rollout, "prompts_known": known, "steps": steps, "blobs": dict(self.blobs)}

    def _item(self, item: Any) -> Any:
        """A list item or dict value: stored inline, or as `{"$ref": hash}`."""
        if isinstance(item, dict) and set(item) == {"$ref"}:
            return self.value(item["$ref"])
        return item


def _row(value: Any, **other: Any) -> dict[str, Any]:
    """A dataclass by field, one level deep: `asdict` copies every leaf, and runs for every step of every rollout."""
    return {name: other[name] if name in other else getattr(value, name) for name in _NAMES[type(value)]}


def _call_row(call: ModelCall) -> dict[str, Any]:
    return _row(call, usage=_row(call.usage))


_NAMES = {kind: tuple(f.name for f in fields(kind)) for kind in (Usage, ModelCall, Step)}


@dataclass(frozen=True, slots=True)
class Segment:
    """A sub-trajectory h^(k): a coherent run of steps (TRUCE 4.2). Segments partition the trajectory."""

    id: str
    """`round-2`, `agent-3:solver`, `superstep-4`, `whole`: unique in its trajectory."""
    label: str
    """For people and prompts: "round 2", "solver, visit 1"."""
    steps: tuple[str, ...]
    """Step ids, in order; every step of the trajectory is in exactly one segment."""
    rounds: tuple[int, ...] = ()
    """Rounds the steps belong to, ascending."""
