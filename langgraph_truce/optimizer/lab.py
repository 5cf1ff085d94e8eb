"""The lab: what the decisions of a method may do to the world, journalled, metered and seeded."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Mapping, Sequence
from typing import TypeVar

from langchain_core.language_models import BaseChatModel
from langchain_core.runnables import RunnableConfig
from pydantic import BaseModel

from langgraph_truce import prompts
from langgraph_truce.batch import agents_of
from langgraph_truce.errors import ModelReplyError, TruceError
from langgraph_truce.model import Journal, JournalCallback, ask
from langgraph_truce.model.failure import failure, sentence, turned_down
from langgraph_truce.rollout.replayer import Replayer
from langgraph_truce.rollout.run import Runner
from langgraph_truce.rules import RuleBook
from langgraph_truce.seams import Change, Rollout
from langgraph_truce.seed import seeded
from langgraph_truce.task import Task
from langgraph_truce.trajectory.step import Step

M = TypeVar("M", bound=BaseModel)
Models = Mapping[str, BaseChatModel]
"""Chat model by purpose (`credit`, `diagnose`, `suggest`, `merge`, `write`); the key "" serves the purposes not named."""


class RunLab:
    """The `Lab` of a real run (see `seams.Lab`)."""

    def __init__(self, runner: Runner, models: Models, journal: Journal, seed: int) -> None:
        self._runner = runner
        self._models = models
        self._journal = journal
        self._seed = seed
        self._replayer = Replayer(runner)
        self._gate = asyncio.Semaphore(runner.system.in_flight)

    @property
    def seed(self) -> int:
        """Seed of the run."""
        return self._seed

    @property
    def has_model(self) -> bool:
        """True where a critic/optimizer model was given."""
        return bool(self._models)

    @property
    def aggregator(self) -> str:
        """Role path of the node that closes a round."""
        return self._runner.system.aggregator

    def rng(self, *key: object) -> random.Random:
        """A generator seeded by (seed, *key)."""
        return seeded(self._seed, *key)

    def about(self, role: str) -> str:
        """A role's place in the graph, in one line."""
        return self._runner.system.about(role)

    async def rollouts(
        self,
        tasks: Sequence[Task],
        book: RuleBook,
        *,
        replicate: int = 0,
        purpose: str = "gate",
        parent: RuleBook | None = None,
    ) -> tuple[Rollout, ...]:
        """Run and evaluate `tasks` with `book`, in order; those that exist already are read."""
        return await self._runner.run_all(tasks, book, replicate=replicate, purpose=purpose, parent=parent)

    @property
    def missed(self) -> Mapping[str, int]:
        """Role path -> model calls of rollouts that no known prompt has the text of; they went out unchanged."""
        return self._runner.missed

    async def replay(
        self, rollout: Rollout, change: Change, *, replicate: int = 0, purpose: str = "credit"
    ) -> Rollout:
        """Fork a train rollout of this iteration and run what is downstream of the change."""
        before = self._runner.books[rollout.version]
        after = change.book or before
        same = {a for a in before.agents.keys() & after.agents if after.render(a) == before.render(a)}

        def touches(step: Step) -> bool:
            ran = {*agents_of(before, step.role, step.round), *agents_of(after, step.role, step.round)}
            return not ran <= same

        return await self._replayer.replay(rollout, change, touches, replicate=replicate, purpose=purpose)

    def learn(self, tasks: Sequence[Task], book: RuleBook) -> None:
        """Tell what a resumed run no longer runs: the train tasks, and the current rules."""
        self._runner.tasks.update({task.id: task for task in tasks})
        self._runner.books[book.version] = book

    async def ask(self, prompt: str, fields: Mapping[str, str], schema: type[M], *, purpose: str) -> M:
        """Ask the model of `purpose`; equal questions of one run get the journalled answer.

        One question whose endpoint fails all its tries, or that the endpoint turns down (too long), is a bad reply like
        another: it is recorded and the run goes on. An endpoint that fails them all is paused by the door (`model.traffic`).

        Raises:
            ModelReplyError: no readable reply, or none at all.
            RunStopped: the run is to end.
        """
        model = self._models.get(purpose) or self._models.get("")
        if model is None:
            raise ModelReplyError(f"no model was given for {purpose!r}; pass model= to optimize()")
        text = prompts.load(prompt).fill(fields)
        callback = JournalCallback(self._journal, ("ask", purpose), purpose)
        async with self._gate:
            try:
                return await ask(model, text, schema, config=RunnableConfig(callbacks=[callback]))
            except TruceError:
                raise
            except Exception as error:
                if not (failure(error, of_call=True) or turned_down(error)):
                    raise
                raise ModelReplyError(f"no reply to a question of {purpose!r}: {sentence(error)}") from error
