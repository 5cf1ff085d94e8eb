"""`PlantedDebate`: a simulated debate in which the guilty role and round of every task are known."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, get_args

from langgraph_truce.errors import UserMistake
from langgraph_truce.rules import AgentRules, RuleBook, parse
from langgraph_truce.system import System
from langgraph_truce.task import Splits, Task
from langgraph_truce.testing.planted import debate_graph
from langgraph_truce.testing.planted.debate_graph import Luck, Sharing, build_debate
from langgraph_truce.testing.planted.debate_play import LETTERS, Case, Guilt, GuiltKind
from langgraph_truce.testing.planted.draws import shuffled
from langgraph_truce.testing.planted.faults import AGGREGATOR, ROLES, Fault, starting_rules
from langgraph_truce.testing.planted.graph import Graph, Voice
from langgraph_truce.testing.planted.model import planted_model
from langgraph_truce.testing.planted.play import score
from langgraph_truce.testing.planted.reader import Reader
from langgraph_truce.testing.planted.topics import TOPICS, any_says
from langgraph_truce.testing.scripted import ScriptedModel

_SPLITS = {"train": 0, "validation": 1_000_000, "test": 2_000_000}
"""Number of a split's first case."""


@dataclass(frozen=True)
class PlantedDebate:
    """A seeded **simulation** of a debate, to measure blame on: every task has one guilty role and round, and it is known.

    The graph is a real LangGraph graph of `roles` roles and `rounds` rounds: in every round all roles write a note, an
    aggregator reads the notes and puts facts on the board, which is all that goes on, and a decision gives the answer:
    `roles * rounds + rounds + 1` model calls a run. What is on the board follows from what the notes say, so a fork in
    which a note was replaced really comes out otherwise. The guilt of a task comes from the rules of its guilty role:

    - `commission`: a harmful rule; in the guilty round the role "corrects" a fact to a wrong value. Without its words
      (neutral ones, a peer's) the answer is right.
    - `omission`: a missing rule; the role does not give a fact for which only its own word counts. Without its words
      nothing changes; with a peer's words, a fresh sample (`recovers`) or its rules repaired the answer is right.
    - `delayed`: a harmful rule; in round 1 the role notes a wrong value in advance for the fact of the last round. It
      lies on the board, other talk on top of it, until it shows there; `progress` does not see it before.
    - `none`: nobody is guilty; runs fail by `noise` alone.

    Tasks go through the kinds, roles and rounds in turn, so that equal numbers of tasks hang on each. Chance is a hash of
    (seed, case, replicate), and of whether the run is a replay: a replay's luck is not that of the run it was forked
    from, and which replays share theirs says `luck`.

    `model` plays the critic of `credit.md` (and the other prompts): it misses a symptom in a text of n characters with
    chance 1 - 0.9 exp(-n / 8000), takes 15 % of the decoys for faults, and 10 % of the guilty notes with a wrong value
    and half of those with an omission show no symptom at all.

    What is measured here says how credit copes with this simulation; it says nothing about real models.

    Raises:
        UserMistake: a setting is out of range.
    """

    seed: int
    roles: int = 3
    """2 to 6."""
    rounds: int = 3
    """1 to 6; at least 2 with `delayed`."""
    kinds: Sequence[GuiltKind] = ("commission", "omission")
    """Kinds of guilt, in turn; roles times kinds is at most 10."""
    noise: float = 0.0
    """Share of runs and replays in which the decision gives a wrong answer for a right one, and the other way round."""
    recovers: float = 0.0
    """Share of replays in which the guilty role, when it runs again, does right under the same rules."""
    decoys: float = 0.3
    """Share of notes with a symptom that does not matter."""
    hearsay: float = 1.0
    """Share of notes in which a role has read the round's fact that is another role's to give."""
    luck: Sharing = "replicate"
    """Which replays of one case and replicate number share their luck: all (`replicate`: common random numbers), those whose
    decision reads the same (`prompt`: what a journal leaves of a model that samples), or none (`replay`)."""
    planted: tuple[Fault, ...] = field(init=False)
    """What the tasks hang on, one for every role and kind."""
    rules: RuleBook = field(init=False)
    """The rule book at the start."""
    graph: Graph = field(init=False, repr=False, compare=False)
    """The compiled graph, without saver."""
    model: ScriptedModel = field(init=False, repr=False, compare=False)
    """The simulated critic."""

    def __post_init__(self) -> None:
        self._check()
        roles = ROLES[: self.roles]
        topics = shuffled(TOPICS, self.seed, "debate topics")
        planted = tuple(
            Fault(topics[n], role, "commission" if kind == "delayed" else kind)
            for n, (kind, role) in enumerate((k, r) for k in self.kinds for r in roles)
        )
        luck = Luck(self.seed, self.noise, self.recovers, self.luck)
        set_ = object.__setattr__
        set_(self, "kinds", tuple(self.kinds))
        set_(self, "planted", planted)
        set_(self, "rules", starting_rules(self.seed, roles, planted))
        set_(self, "graph", build_debate(roles, self.rounds, lru_cache(4096)(self.case), luck, Voice()))
        set_(self, "model", planted_model(Reader(self.seed), garbage=0.0, rate_limits=0.0, timeouts=0.0))

    @property
    def system(self) -> System:
        """What `optimize` and the labs take."""
        return System(
            self.graph,
            self.rules,
            outputs=lambda state: {"value": state.get("value", "")},
            aggregator=AGGREGATOR,
            name=f"planted debate {self.seed}",
            calls=float(self.roles * self.rounds + self.rounds + 1),
        )

    @property
    def score(self) -> Callable[[Mapping[str, Any], Mapping[str, Any]], Awaitable[dict[str, Any]]]:
        """The evaluator: 1 where the answer is right; its comment gives both values, not the reason."""
        return _score

    @property
    def progress(self) -> Callable[[Mapping[str, Any], Mapping[str, Any]], float]:
        """Scores an intermediate state (reward shaping): share of the facts that are due by now and right, in [0, 1]."""
        return _progress

    def tasks(self, n: int, *, split: str = "train", first: int = 0) -> tuple[Task, ...]:
        """`n` tasks of a split, from the one with number `first` on."""
        return tuple(self._task(split, number) for number in range(first, first + n))

    def splits(self, train: int = 60, validation: int = 120, test: int = 60) -> Splits:
        """Tasks for `optimize`; the same number (give or take one) for every kind, role and round in every split."""
        sizes = {"train": train, "validation": validation, "test": test}
        return Splits(*(self.tasks(size, split=name) for name, size in sizes.items()))

    def guilty(self, task: Task) -> Guilt | None:
        """(role, round, kind) under the rules at the start; None where nobody is guilty."""
        return self.case(int(task.inputs["case"])).guilt

    def active(self, task: Task, book: RuleBook) -> bool:
        """True where with `book` somebody is guilty on `task`."""
        case = self.case(int(task.inputs["case"]))
        return case.guilt is not None and case.fault.active(book.render(case.fault.agent, case.round))

    def repaired(self, task: Task, role: str = "", *, round: int | None = None) -> RuleBook:  # noqa: A002
        """The rules with those of one role put right in the matter of `task`: no harmful rule, and the helping one there.

        Args:
            task: A task of this world.
            role: Whose rules; "" takes the guilty role's, and so puts the task right.
            round: Only in this round (the book then has rules of their own for `role@round`); None: in every round.

        Raises:
            UserMistake: the world has no such role.
        """
        fault = self.case(int(task.inputs["case"])).fault
        role = role or fault.agent
        if role not in self.rules.agents:
            raise UserMistake(
                f"the planted debate has no role {role!r}; there are: {', '.join(self.rules.agents)}"
            )
        agent = role if round is None else f"{role}@{round}"
        return RuleBook({**self.rules.agents, agent: _right(agent, self.rules.render(role), fault)})

    @property
    def sound(self) -> RuleBook:
        """The rules with every planted fault put right."""
        agents = {**self.rules.agents}
        for fault in self.planted:
            agents[fault.agent] = _right(fault.agent, agents[fault.agent].render(), fault)
        return RuleBook(agents)

    def case(self, number: int) -> Case:
        """The case of that number: what `task.inputs["case"]` names."""
        place = number % _SPLITS["validation"]
        fault, kind = (
            self.planted[place % len(self.planted)],
            self.kinds[place % len(self.planted) // self.roles],
        )
        turn = place // len(self.planted) % self.rounds
        return Case(
            self.seed,
            number,
            ROLES[: self.roles],
            self.rounds,
            fault,
            kind,
            self.decoys,
            self.hearsay,
            1 if kind == "delayed" else 1 + turn,
        )

    def _task(self, split: str, number: int) -> Task:
        if split not in _SPLITS:
            raise UserMistake(f"the planted debate has the splits {', '.join(_SPLITS)}, got {split!r}")
        case = self.case(_SPLITS[split] + number)
        inputs = {"case": case.number, "request": case.request, "desks": dict(case.desks)}
        return Task(f"{split}-{number:04d}", inputs, {"value": case.right, "facts": dict(case.facts)})

    def _check(self) -> None:
        ranges = {"roles": (2, len(ROLES)), "rounds": (1, len(LETTERS))}
        shares = ("noise", "recovers", "decoys", "hearsay")
        for name, (low, high) in {**ranges, **dict.fromkeys(shares, (0, 1))}.items():
            given = getattr(self, name)
            if not low <= given <= high:
                raise UserMistake(f"PlantedDebate: {name} lies between {low} and {high}, got {given!r}")
        known = get_args(GuiltKind)
        if not self.kinds or any(kind not in known for kind in self.kinds):
            raise UserMistake(
                f"PlantedDebate: kinds are some of {', '.join(known)}, got {tuple(self.kinds)!r}"
            )
        if self.luck not in get_args(Sharing):
            raise UserMistake(
                f"PlantedDebate: luck is one of {', '.join(get_args(Sharing))}, got {self.luck!r}"
            )
        if len(self.kinds) * self.roles > len(TOPICS):
            raise UserMistake(
                f"PlantedDebate: roles times kinds is at most {len(TOPICS)}, got {self.roles} x {len(self.kinds)}"
            )
        if "delayed" in self.kinds and self.rounds == 1:
            raise UserMistake("PlantedDebate: an error can be delayed over two rounds or more, got rounds=1")


def _right(agent: str, text: str, fault: Fault) -> AgentRules:
    """The rules of `text` without the harmful one, with the helping one."""
    lines = [line for line in text.splitlines() if not any_says(line, fault.topic.harm)]
    return parse(agent, "\n".join([*lines, f"- {fault.topic.remedies[0]}"]) + "\n")


async def _score(outputs: Mapping[str, Any], reference_outputs: Mapping[str, Any]) -> dict[str, Any]:
    return score(outputs, reference_outputs)


def _progress(state: Mapping[str, Any], reference_outputs: Mapping[str, Any]) -> float:
    return debate_graph.progress(state, reference_outputs["facts"])
