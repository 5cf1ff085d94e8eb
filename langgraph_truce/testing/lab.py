"""FakeLab: a `Lab` whose model replies are scripted, for tests of single decisions."""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from langgraph_truce.errors import ModelReplyError
from langgraph_truce.prompts import load
from langgraph_truce.rules.rule import RuleBook
from langgraph_truce.seams import Change, Rollout
from langgraph_truce.seed import seeded
from langgraph_truce.task import Task

M = TypeVar("M", bound=BaseModel)
Reply = Mapping[str, Any] | str
"""A JSON object; a text stands for a reply that cannot be read."""
Script = Callable[[Mapping[str, str]], Reply] | Sequence[Reply]
"""A function of the prompt's fields, or the replies in order of the calls."""
Run = Callable[[Task, RuleBook, int], Rollout]
"""The system: a task, the rules and the replicate's number give an evaluated rollout."""
Replay = Callable[[Rollout, Change, int], Rollout]
"""A fork: a rollout, what is changed in it and the replicate's number give an evaluated rollout."""


@dataclass(frozen=True, slots=True)
class Asked:
    """One call of `FakeLab.ask`."""

    prompt: str
    """Name of the prompt."""
    fields: Mapping[str, str]
    text: str
    """The prompt with its fields filled in."""
    purpose: str


class FakeLab:
    """A `Lab` without a model or a graph.

    Args:
        replies: by prompt name, what the model answers; empty means that there is no model.
        run: the system, where rollouts are asked for.
        replay: the system from a fork on, where replays are asked for.
        about: what `about(role)` gives, by role.
        aggregator: role path of the node that closes a round.
        seed: seed of `rng`.
    """

    def __init__(
        self,
        replies: Mapping[str, Script] | None = None,
        *,
        run: Run | None = None,
        replay: Replay | None = None,
        about: Mapping[str, str] | None = None,
        aggregator: str = "",
        seed: int = 0,
    ) -> None:
        self._replies = {
            name: script if callable(script) else deque(script) for name, script in (replies or {}).items()
        }
        self._run = run
        self._replay = replay
        self._about = about or {}
        self._aggregator = aggregator
        self._seed = seed
        self.asked: list[Asked] = []
        """Every call of `ask`, in order."""
        self.ran: list[tuple[str, str, int]] = []
        """Every rollout: (task id, book version, replicate), in order."""
        self.replayed: list[tuple[str, Change, int]] = []
        """Every replay: (rollout id, change, replicate), in order."""

    @property
    def seed(self) -> int:
        """Seed of the run."""
        return self._seed

    @property
    def has_model(self) -> bool:
        """True where any reply is scripted."""
        return bool(self._replies)

    @property
    def aggregator(self) -> str:
        """What was given."""
        return self._aggregator

    def rng(self, *key: object) -> random.Random:
        """A generator seeded by (seed, *key)."""
        return seeded(self._seed, *key)

    def about(self, role: str) -> str:
        """What was given for the role; else empty."""
        return self._about.get(role, "")

    async def rollouts(
        self,
        tasks: Sequence[Task],
        book: RuleBook,
        *,
        replicate: int = 0,
        purpose: str = "gate",
        parent: RuleBook | None = None,  # noqa: ARG002 - nothing is shared here
    ) -> tuple[Rollout, ...]:
        """Run every task, in order; `purpose` is not used.

        Raises:
            LookupError: no `run` was given.
        """
        if self._run is None:
            raise LookupError(f"this FakeLab has no run=..., and {purpose} asked for rollouts")
        self.ran += [(task.id, book.version, replicate) for task in tasks]
        return tuple(self._run(task, book, replicate) for task in tasks)

    async def replay(
        self, rollout: Rollout, change: Change, *, replicate: int = 0, purpose: str = "credit"
    ) -> Rollout:
        """What `replay` gives.

        Raises:
            LookupError: no `replay` was given.
        """
        if self._replay is None:
            raise LookupError(f"this FakeLab has no replay=..., and {purpose} asked for one")
        self.replayed.append((rollout.id, change, replicate))
        return self._replay(rollout, change, replicate)

    async def ask(self, prompt: str, fields: Mapping[str, str], schema: type[M], *, purpose: str) -> M:
        """The scripted reply, as a `schema`.

        Raises:
            ModelReplyError: the reply is a text, or does not fit the schema.
            LookupError: nothing (more) is scripted for this prompt.
        """
        self.asked.append(Asked(prompt, dict(fields), load(prompt).fill(fields), purpose))
        if prompt not in self._replies:
            raise LookupError(f"no reply scripted for prompt {prompt!r}; there are: {sorted(self._replies)}")
        script = self._replies[prompt]
        if isinstance(script, deque):
            if not script:
                raise LookupError(f"the replies scripted for prompt {prompt!r} are used up")
            reply = script.popleft()
        else:
            reply = script(fields)
        if isinstance(reply, str):
            raise ModelReplyError(f"the reply to {prompt!r} is no JSON object", reply)
        try:
            return schema.model_validate(reply)
        except ValidationError as error:
            raise ModelReplyError(f"the reply to {prompt!r} does not fit: {error}", str(reply)) from error
