"""`PlantedWorld`: a simulated multi-agent system with known faults, to measure optimizers on."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from langgraph_truce.errors import UserMistake
from langgraph_truce.rules import RuleBook
from langgraph_truce.system import System
from langgraph_truce.task import Splits, Task
from langgraph_truce.testing.planted.draws import draw
from langgraph_truce.testing.planted.faults import AGGREGATOR, ROLES, Fault, plant, starting_rules
from langgraph_truce.testing.planted.graph import Graph, Voice, build
from langgraph_truce.testing.planted.model import planted_model
from langgraph_truce.testing.planted.play import Odds, Play, score, value
from langgraph_truce.testing.planted.reader import Reader
from langgraph_truce.testing.planted.topics import TOPICS
from langgraph_truce.testing.scripted import ScriptedModel


@dataclass(frozen=True)
class PlantedWorld:
    """A seeded **simulation** of a multi-agent system whose faults are known.

    The graph is a real LangGraph graph: in every round all agents write a note, the aggregator carries the value on the
    table into the next round, a decision ends it. Every task exercises exactly one planted fault, and hangs on the agent
    that has it: with the fault in its rules a task is solved with chance `with_fault`, without it with `without_fault`.
    Half of the faults are harmful rules (commission), half missing rules (omission); a rule is judged by its words, so
    reworded repairs count. Agents show symptoms of active faults in their notes, and decoy symptoms that mean nothing.

    `model` plays critic, suggester, merger and writer. It sees the prompt's text and nothing else, and misses more in
    longer text. Every chance is a hash of (seed, task, replicate, role, visit, occurrence), so that order of execution,
    resuming and forking change nothing; the rule book is not in the key unless `fresh_luck` is set, so two books that
    treat a task alike give equal results (common random numbers).

    What is measured here says how an optimizer copes with this simulation; it says nothing about real models.

    Raises:
        UserMistake: a setting is out of range.
    """

    seed: int
    agents: int = 3
    """1 to 6."""
    rounds: int = 2
    """Rounds of the interaction, >= 1."""
    faults: int = 3
    """0 to 10; with 0 nothing is wrong at the start."""
    with_fault: float = 0.2
    """Chance of success where the task's fault is active."""
    without_fault: float = 0.9
    """Chance of success where it is not."""
    garbage: float = 0.0
    """Share of the model's replies that are prose, cut off, empty, or nonsense in the right form."""
    rate_limits: float = 0.0
    """Share of rollouts that meet 429 at every attempt (they get excluded), and of model calls that meet it once."""
    timeouts: float = 0.0
    """Share of rollouts that end in a time-out (they score 0), and of model calls that time out once."""
    decoys: float = 0.3
    """Share of notes with a symptom that does not matter."""
    fresh_luck: bool = False
    """True: an agent's luck changes with its instructions, as with a model that samples."""
    calls: bool = False
    """True: agents speak through a chat model, so that prompts are recorded; slower."""
    planted: tuple[Fault, ...] = field(init=False)
    """The faults; with `faults=0` what the tasks hang on."""
    rules: RuleBook = field(init=False)
    """The rule book at the start."""
    graph: Graph = field(init=False, repr=False, compare=False)
    """The compiled graph, without saver."""
    model: ScriptedModel = field(init=False, repr=False, compare=False)
    """Critic and optimizer model."""

    def __post_init__(self) -> None:
        self._check()
        roles = ROLES[: self.agents]
        planted = plant(self.seed, roles, self.faults)
        model = planted_model(
            Reader(self.seed), garbage=self.garbage, rate_limits=self.rate_limits, timeouts=self.timeouts
        )
        voice = Voice() if self.calls else None
        for name, made in (
            ("planted", planted),
            ("rules", starting_rules(self.seed, roles, planted)),
            ("graph", build(roles, self.rounds, self.play, voice)),
            ("model", model),
        ):
            object.__setattr__(self, name, made)

    @property
    def system(self) -> System:
        """What `optimize` takes."""
        return System(
            self.graph,
            self.rules,
            outputs=lambda state: {"value": state.get("value", "")},
            aggregator=AGGREGATOR,
            name=f"planted world {self.seed}",
            calls=float(self.agents * self.rounds + self.rounds + 1) if self.calls else 0.0,
        )

    @property
    def score(self) -> Callable[[Mapping[str, Any], Mapping[str, Any]], Awaitable[dict[str, Any]]]:
        """The evaluator: 1 where the final value is the right one."""
        return _score

    def splits(self, train: int = 60, validation: int = 120, test: int = 60) -> Splits:
        """Tasks, the same number (give or take one) for every fault in every split."""
        sizes = {"train": train, "validation": validation, "test": test}
        made = {name: tuple(self._task(name, n) for n in range(size)) for name, size in sizes.items()}
        return Splits(made["train"], made["validation"], made["test"])

    def outcome(self, task: Task, replicate: int, book: RuleBook) -> float | None:
        """The score that running `task` through the graph with `book` gives, without running it.

        A simulation of the simulation, for studies of the gate alone. None where the rollout would be excluded.
        """
        play = self.play(str(task.inputs["request"]), str(task.inputs["topic"]), replicate)
        if play.overloaded():
            return None
        return float(not play.timed_out() and play.correct(book.render(play.fault.agent)))

    def active(self, book: RuleBook) -> tuple[Fault, ...]:
        """The faults that `book` still has (or, with `faults=0`, has got)."""
        return tuple(f for f in self.planted if f.active(book.render(f.agent)))

    def play(self, request: str, topic: str, replicate: int) -> Play:
        """How one rollout goes.

        Raises:
            UserMistake: the task is of another world.
        """
        fault = next((f for f in self.planted if f.topic.name == topic), None)
        if fault is None:
            there = ", ".join(f.topic.name for f in self.planted)
            raise UserMistake(
                f"no topic {topic!r} in this planted world; tasks of its own splits have: {there}"
            )
        odds = Odds(
            self.with_fault,
            self.without_fault,
            self.decoys,
            self.timeouts,
            self.rate_limits,
            fresh=self.fresh_luck,
        )
        return Play(self.seed, fault, odds, self.rounds, request, replicate)

    def _task(self, split: str, number: int) -> Task:
        topic = self.planted[number % len(self.planted)].topic
        a, b = (11 + int(draw(self.seed, split, number, side) * 18) for side in "ab")
        request = f"Request {split[:2].upper()}{number:04d}: {topic.request.format(a=a, b=b)}"
        inputs = {"request": request, "topic": topic.name}
        return Task(f"{split}-{number:04d}", inputs, {"value": value(self.seed, request)})

    def _check(self) -> None:
        ranges = {"agents": (1, len(ROLES)), "rounds": (1, 50), "faults": (0, len(TOPICS))}
        shares = ("with_fault", "without_fault", "garbage", "rate_limits", "timeouts", "decoys")
        for name, (low, high) in {**ranges, **dict.fromkeys(shares, (0, 1))}.items():
            given = getattr(self, name)
            if not low <= given <= high:
                raise UserMistake(f"PlantedWorld: {name} lies between {low} and {high}, got {given!r}")


async def _score(outputs: Mapping[str, Any], reference_outputs: Mapping[str, Any]) -> dict[str, Any]:
    return score(outputs, reference_outputs)
