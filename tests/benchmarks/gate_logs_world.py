"""Tasks whose scores are drawn, edits that have luck on some of them, and a lab that draws: for `gate_logs`."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from random import Random
from typing import Any

from langgraph_truce.rollout.run import rollout_id
from langgraph_truce.rules import RuleBook
from langgraph_truce.seams import Rollout
from langgraph_truce.seed import seeded
from langgraph_truce.task import Outcome, Task
from langgraph_truce.trajectory import Trajectory

NULLS, MOVED = 1000, 0.5
"""Edits that the adversary chooses from, and the share of tasks on which each draws anew."""
Own = tuple[float, float]
"""Two draws, uniform in [0, 1)."""


@dataclass(frozen=True)
class World:
    """Tasks with abilities, and rules that lift them or draw them anew."""

    seed: int
    noise: str

    def ability(self, task: str, rules: str) -> float:
        """Mean score of a task in [0, 1]; "Gain 20." lifts, "Null 7." draws the ability of its tasks anew."""
        gain = sum(int(points) for points in re.findall(r"Gain (\d+)", rules)) / 100
        own, drawn = drawn_for(self.seed, task)
        for k in re.findall(r"Null (\d+)", rules):
            own = drawn.get(int(k), own)
        return self._ability(own, gain)

    def _ability(self, own: Own, gain: float) -> float:
        level, lift = own
        if self.noise == "sure":
            return float(level < 0.3 or lift < gain / 0.7)
        if self.noise == "hard":
            base = (0.05, 0.05, 0.05, 0.5, 0.95)[int(5 * level)]
            return 0.95 if base < 0.1 and lift < gain / (0.6 * 0.9) else base
        return min(1.0, max(0.0, 0.3 + 0.3 * (level + lift - 1) + gain))

    def score(self, task: str, rules: str, rollout: str) -> float:
        """Of one rollout."""
        mean, luck = self.ability(task, rules), seeded(self.seed, "score", rollout)
        if self.noise == "graded":
            return min(1.0, max(0.0, mean + luck.gauss(0, 0.1)))
        return float(luck.random() < mean)

    def luckiest(self, read: Sequence[str], rules: str, tried: Container[str] = ()) -> str:
        """The rule that changes nothing on average and does best on the tasks that are read, of those not tried before."""
        gain = sum(int(points) for points in re.findall(r"Gain (\d+)", rules)) / 100
        helped = defaultdict[int, float](float)
        for task in read:
            now = self.ability(task, rules)
            for k, own in drawn_for(self.seed, task)[1].items():
                helped[k] += self._ability(own, gain) - now
        order = sorted(helped, key=lambda k: (helped[k], k), reverse=True)
        return next(rule for k in order if (rule := f"Null {k}.") not in tried)


@lru_cache(512)
def drawn_for(seed: int, task: str) -> tuple[Own, Mapping[int, Own]]:
    """What decides on the ability of a task: its own two draws, and those of each edit that changes it."""
    luck = seeded(seed, "task", task)
    own = luck.random(), luck.random()
    return own, {k: (luck.random(), luck.random()) for k in range(NULLS) if luck.random() < MOVED}


@dataclass
class Drawing:
    """A lab that draws scores; `known` has what was bought, by name."""

    world: World
    known: dict[str, Rollout] = field(default_factory=dict)
    has_model: bool = False
    aggregator: str = ""

    @property
    def seed(self) -> int:
        return self.world.seed

    def rng(self, *key: object) -> Random:
        return seeded(self.seed, *key)

    def about(self, role: str) -> str:
        return role

    async def rollouts(
        self,
        tasks: Sequence[Task],
        book: RuleBook,
        *,
        replicate: int = 0,
        purpose: str = "gate",
        parent: RuleBook | None = None,
    ) -> tuple[Rollout, ...]:
        version, rules = book.version, book.render("solver")
        return tuple(self._one(t.id, rules, version, replicate) for t in tasks)

    def _one(self, task: str, rules: str, version: str, replicate: int) -> Rollout:
        name = rollout_id(version, task, replicate)
        if name not in self.known:
            outcome = Outcome(None, self.world.score(task, rules, name))
            self.known[name] = Rollout(name, task, replicate, version, outcome, Trajectory("", (), {}))
        return self.known[name]

    async def replay(self, *args: Any, **kwargs: Any) -> Any:
        raise AssertionError("the gate forks nothing")

    async def ask(self, *args: Any, **kwargs: Any) -> Any:
        raise AssertionError("the gate asks no model")
