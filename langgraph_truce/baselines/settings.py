"""The settings of MIPROv2 that a caller may choose, checked before anything is spent."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, TypedDict, get_args

from langgraph_truce.errors import UserMistake

Auto = Literal["light", "medium", "heavy"]
"""MIPROv2's own sizes: 6, 12 or 18 instructions an agent, scored on at most 100, 300 or 1000 validation tasks."""
_WHOLE = 50
"""Validation tasks up to which every trial runs them all: MIPROv2's own rule for its automatic sizes."""
_LIBRARY = {"num_candidates", "num_threads", "init_temperature", "metric_threshold"}
"""What `dspy.MIPROv2` takes; the rest goes to its `compile`."""


class Settings(TypedDict, total=False):
    """Settings of MIPROv2, named as dspy names them; what is left out is `auto="light"` and dspy's own default."""

    auto: Auto
    """A size; or else both `num_candidates` and `num_trials`."""
    num_candidates: int
    """Instructions of each agent that compete, its own included; >= 2."""
    num_trials: int
    """Combinations of instructions that are scored, >= 1."""
    minibatch: bool
    """Score a trial on a part of the validation tasks first; by default where there are more than 50."""
    minibatch_size: int
    """Validation tasks of such a part, from 1 to all; 35."""
    minibatch_full_eval_steps: int
    """Trials after which the best combination is scored on all, >= 1; 5."""
    init_temperature: float
    """Sent with every question to the prompt model, in [0, 2]; left out, the model keeps its own."""
    metric_threshold: float
    """Score in (0, 1] from which a run on a train task may be shown as an example; left out, every score above 0."""
    view_data_batch_size: int
    """Train tasks shown at a time to the prompt model, >= 1; 10."""
    num_threads: int
    """Rollouts at a time, >= 1; by default as many as the system allows."""
    program_aware_proposer: bool
    data_aware_proposer: bool
    tip_aware_proposer: bool
    fewshot_aware_proposer: bool


def checked(settings: Settings, validation: int) -> dict[str, Any]:
    """All settings that count, JSON.

    Args:
        settings: what the caller chose.
        validation: number of validation tasks.

    Raises:
        UserMistake: an unknown name, a value out of range, or two ways to say how large the search is.
    """
    known = Settings.__annotations__
    if unknown := sorted(settings.keys() - known.keys()):
        raise UserMistake(f"mipro: no setting {', '.join(unknown)}; there are: {', '.join(sorted(known))}")
    chosen: dict[str, Any] = {k: v for k, v in settings.items() if v is not None}
    sized = {"num_candidates", "num_trials"} & chosen.keys()
    if sized and ("auto" in chosen or len(sized) == 1):
        raise UserMistake("mipro: give num_candidates and num_trials, or auto alone")
    if not sized:
        chosen.setdefault("auto", "light")
        if chosen["auto"] not in get_args(Auto):
            raise UserMistake(f"mipro: auto is one of {', '.join(get_args(Auto))}, got {chosen['auto']!r}")
    else:
        chosen.setdefault("minibatch", validation > _WHOLE)
    if chosen.get("minibatch"):
        chosen.setdefault("minibatch_size", min(35, validation))
    _ranges(chosen, validation)
    return chosen


def split(chosen: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Checked settings as (arguments of `dspy.MIPROv2`, arguments of its `compile`)."""
    made = {"auto": None, **{k: v for k, v in chosen.items() if k in _LIBRARY | {"auto"}}}
    return made, {k: v for k, v in chosen.items() if k not in made}


def _ranges(chosen: Mapping[str, Any], validation: int) -> None:
    whole = {
        "num_candidates": (2, None),
        "num_trials": (1, None),
        "minibatch_size": (1, validation),
        "minibatch_full_eval_steps": (1, None),
        "view_data_batch_size": (1, None),
        "num_threads": (1, None),
    }
    for name, (low, high) in whole.items():
        value = chosen.get(name, low)
        right = isinstance(value, int) and not isinstance(value, bool)
        if not right or value < low or (high is not None and value > high):
            most = "" if high is None else f" and at most {high}, the validation tasks"
            raise UserMistake(f"mipro: {name} is a whole number of at least {low}{most}, got {value!r}")
    if not 0 < chosen.get("metric_threshold", 1) <= 1:
        raise UserMistake(f"mipro: metric_threshold lies in (0, 1], got {chosen['metric_threshold']!r}")
    if not 0 <= chosen.get("init_temperature", 0) <= 2:  # noqa: PLR2004 - the widest range of any provider
        raise UserMistake(f"mipro: init_temperature lies in [0, 2], got {chosen['init_temperature']!r}")
