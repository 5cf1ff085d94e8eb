"""Turns and phases: which rollouts an iteration of a method that edits blocks of prompts in turn proposes from.

A turn is `Method.phases` iterations. Its first phase runs the train tasks that were drawn for the turn. A later phase
reads these rollouts while the rules stand. Where an earlier phase changed the rules it reads the *gate logs*: what the gate
that accepted them left of the *log tasks*, a share of the validation tasks that the seed draws for the whole run; its gate
and all later ones leave all log tasks out (`gate/spend.py` holds the argument). Where that gate left none, the turn's train tasks are run
with the new rules: under the same replicate number, so that the journal has the replies of every call that the edits did
not reach.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Any

from langgraph_truce.errors import UserMistake
from langgraph_truce.optimizer.state import State
from langgraph_truce.rollout.run import rollout_id
from langgraph_truce.seams import Method
from langgraph_truce.task import Splits, Task

TRAIN, LOGS = "train", "gate logs"
"""Where the rollouts of an iteration come from."""


def logs_of(validation: int, share: float) -> int:
    """Log tasks among so many validation tasks: the share, rounded down, but one where it is not 0; never all.

    Raises:
        UserMistake: the share is out of range, or there is no validation task that could be left.
    """
    if not 0 <= share < 1:
        raise UserMistake(f"Method.logs is a share of the validation tasks, in [0, 1), got {share!r}")
    if share and validation < 2:  # noqa: PLR2004 - one to read, one to test on
        raise UserMistake(
            f"Method.logs={share:g} keeps log tasks out of gates, and there is only {validation} validation task; "
            "give two at least, or logs=0"
        )
    return max(1, math.floor(share * validation + 1e-9)) if share else 0


def fewest_tested(method: Method, validation: int) -> int:
    """Validation tasks of the smallest gate that a run of `method` may need.

    Raises:
        UserMistake: `Method.phases` or `Method.logs` is out of range.
    """
    if method.phases < 1:
        raise UserMistake(f"Method.phases is at least 1, got {method.phases!r}")
    logs = logs_of(validation, method.logs)
    return validation - logs if method.phases > 1 else validation


@dataclass
class Phases:
    """What the iterations of one run read."""

    method: Method
    splits: Splits
    rng: Callable[..., Random]
    """Seeded by its key and the run's seed (`Lab.rng`)."""
    _logs: frozenset[str] = field(init=False)

    def __post_init__(self) -> None:
        tasks = [t.id for t in self.splits.validation]
        share = self.method.logs if self.method.phases > 1 else 0.0
        size = logs_of(len(tasks), share)
        # a key of its own, and nothing that happened in it: drawn before anything is known of the tasks
        self._logs = frozenset(self.rng("logs").sample(tasks, size)) if size else frozenset()

    @property
    def logs(self) -> frozenset[str]:
        """The log tasks; none where the method reads no gate logs."""
        return self._logs

    def turn(self, iteration: int) -> int:
        """The turn of an iteration, from 1."""
        return (iteration - 1) // self.method.phases + 1

    def later(self, iteration: int) -> bool:
        """True for an iteration that does not open its turn."""
        return (iteration - 1) % self.method.phases > 0

    def replicate(self, iteration: int) -> int:
        """Replicate number of the train rollouts of an iteration."""
        return 0 if self.method.reuse else self.turn(iteration) - 1

    def sample(self, iteration: int) -> list[str]:
        """Ids of the train tasks of an iteration's turn, in the order of the split."""
        train = [t.id for t in self.splits.train]
        size = min(self.method.sample or len(train), len(train))
        drawn = set(self.rng("sample", self.turn(iteration)).sample(train, size))
        return [t for t in train if t in drawn]

    def begin(self, iteration: int, state: Mapping[str, Any]) -> dict[str, Any]:
        """What an iteration reads, as a change of the state: its sample, whence, and whether it has still to be run."""
        sample, version = self.sample(iteration), state.get("version", "")
        if self.method.phases == 1:
            return {"sample": sample}
        if not self.later(iteration):
            return {"sample": sample, "source": TRAIN, "fresh": True, "trained": version, "logs": {}}
        if version == state.get("trained"):
            return {"sample": sample, "source": TRAIN, "fresh": False}
        if logs := state.get("logs"):
            return {"sample": list(logs), "source": LOGS, "fresh": False, "told": True}
        return {"sample": sample, "source": TRAIN, "fresh": True, "trained": version}

    def rollouts(self, state: State) -> dict[str, str]:
        """Sampled task -> id of the rollout that this iteration reads."""
        logs = state.get("logs", {}) if reads_logs(state) else {}
        replicate = self.replicate(state["iteration"])
        return {t: rollout_id(state["version"], t, logs.get(t, replicate)) for t in state["sample"]}

    def trained_on(self, state: State) -> dict[str, Task]:
        """The turn's train tasks, by id: what an edit may quote whatever it was proposed from."""
        sample = set(self.sample(state["iteration"]))
        return {t.id: t for t in self.splits.train if t.id in sample}

    def tested(self, state: State) -> tuple[Task, ...]:
        """Validation tasks that the gate of this iteration may use: no log task once log rollouts were read.

        Not only in the phase that reads them: what a method remembers of them, an edit that a person puts off, or a rule that
        is worded after an earlier one would carry them into later turns.
        """
        if not state.get("told"):
            return tuple(self.splits.validation)
        return tuple(t for t in self.splits.validation if t.id not in self._logs)


def reads_logs(state: Mapping[str, Any]) -> bool:
    """True for an iteration that proposes from gate logs."""
    return bool(state.get("source") == LOGS)


def first_kept(names: Iterable[str], version: str, tasks: Sequence[str]) -> dict[str, int]:
    """Of `tasks`, in order, those with a rollout under the rules `version` among `names`, with its lowest replicate number."""
    wanted, found = set(tasks), dict[str, int]()
    for name in names:
        head, _, replicate = name.rpartition("/")
        if not (head.startswith(f"{version}/") and replicate.isdecimal()):
            continue
        task = head[len(version) + 1 :]
        if task in wanted:
            found[task] = min(found.get(task, int(replicate)), int(replicate))
    return {task: found[task] for task in tasks if task in found}
