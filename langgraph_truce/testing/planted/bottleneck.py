"""`PlantedBottleneck`: a simulated debate over a state bottleneck, with one weak role and one weak aggregator round."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

from langgraph_truce.bottleneck import DECIDE
from langgraph_truce.choices import read_choice
from langgraph_truce.errors import UserMistake
from langgraph_truce.rules import AgentRules, RuleBook, parse
from langgraph_truce.system import System
from langgraph_truce.task import Splits, Task
from langgraph_truce.testing.planted.bottleneck_graph import build_bottleneck
from langgraph_truce.testing.planted.bottleneck_model import bottleneck_model
from langgraph_truce.testing.planted.bottleneck_play import LETTERS, Case, Odds, Play, case_number
from langgraph_truce.testing.planted.bottleneck_topics import (
    AGGREGATING,
    IDLE_AGGREGATOR_RULES,
    IDLE_ROLE_RULES,
)
from langgraph_truce.testing.planted.draws import pick, shuffled
from langgraph_truce.testing.planted.faults import AGGREGATOR, Fault, Kind
from langgraph_truce.testing.planted.faults import ROLES as SIX_ROLES
from langgraph_truce.testing.planted.graph import Graph, Voice
from langgraph_truce.testing.planted.topics import TOPICS, any_says
from langgraph_truce.testing.scripted import ScriptedModel

ROLES = (*SIX_ROLES, "translator")
_SPLITS = {"train": 0, "validation": 1_000_000, "test": 2_000_000}
"""Number of a split's first case."""


@dataclass(frozen=True)
class PlantedBottleneck:
    """A seeded **simulation** of a debate over a state bottleneck whose weak prompts are known.

    The graph is a real LangGraph graph made with `bottleneck.with_aggregator`: `roles` roles answer a multiple-choice
    question in each of `rounds` rounds, the round's aggregator writes S_t from what they said, a decision reads S_R:
    `roles * rounds + rounds + 1` model calls a run. Roles see the question and S_(t-1), nothing else.

    - The **weak role** has a harmful rule, or lacks the helping one (the seed says which): it names the same wrong option in
      85 % of its utterances. Its peers would outvote it; but while that option is open, it convinces all of them in
      `sways` of the later rounds.
    - The **aggregator of the weak round** has a harmful rule, or lacks the helping one: in 80 % of the rounds with
      different answers (and 40 % of those where all agree) it carries on what fewest gave, or something nobody gave,
      and drops the rest. Mostly somebody was right: an informative failure. In the next round the roles are bound to
      what is left, except in `recovers` of the rounds, in which they work the question out anew.

    Whether a rule helps or harms is judged by its words, so reworded repairs count, and a harmful rule makes any role and
    any round weak. 85 % of errors show a symptom in the text; 20 % of utterances show one that does not matter.

    `model` plays critic, diagnosis and optimizer from the text of the prompt alone (`bottleneck_reader`). Every chance of a
    run is a hash of (seed, case, replicate, role, round): two books under which a role acts alike give equal words.

    What is measured here says how a method copes with this simulation; it says nothing about real models.

    Raises:
        UserMistake: a setting is out of range.
    """

    seed: int
    roles: int = 3
    """N, 2 to 7."""
    rounds: int = 3
    """R, 2 to 8."""
    weak_role: bool = True
    """One role is weak at the start."""
    weak_round: bool = True
    """The aggregator of one round is weak at the start."""
    noise: float = 0.1
    """Share of a healthy role's utterances that are wrong by bad luck."""
    sways: float = 0.3
    """Share of rounds in which the weak role's option, still open, convinces the others."""
    recovers: float = 0.2
    """Share of rounds in which the roles find again what the round before dropped."""
    garbage: float = 0.1
    """Share of the model's replies that are prose, cut off, empty, or nonsense in the right form."""
    critic_noise: float = 0.15
    """Half-width of the even noise on the critic's scores, in [0, 0.5]."""
    planted: tuple[Fault, ...] = field(init=False)
    """What is wrong at the start: the weak role's fault, then that of `aggregator@t`; empty in a world without weak parts."""
    rules: RuleBook = field(init=False)
    """The rule book at the start: agents `ROLE` (shared over rounds), `aggregator@1` ... `aggregator@R`, `decide`."""
    graph: Graph = field(init=False, repr=False, compare=False)
    """The compiled graph, without saver."""
    model: ScriptedModel = field(init=False, repr=False, compare=False)
    """Critic and optimizer model."""
    _faults: Mapping[str, Fault] = field(init=False, repr=False, compare=False)
    """What each agent can do wrong, by agent."""

    def __post_init__(self) -> None:
        self._check()
        names = ROLES[: self.roles]
        closing = tuple(f"{AGGREGATOR}@{t}" for t in range(1, self.rounds + 1))
        weak = (
            *([pick(names, self.seed, "weak role")] if self.weak_role else ()),
            *([pick(closing, self.seed, "weak round")] if self.weak_round else ()),
        )
        topic = pick(TOPICS, self.seed, "topic")
        merging = pick(AGGREGATING, self.seed, "merging")
        faults = {
            agent: Fault(topic if agent in names else merging, agent, self._kind(agent, weak))
            for agent in (*names, *closing)
        }
        set_ = object.__setattr__
        set_(self, "_faults", faults)
        set_(self, "planted", tuple(faults[agent] for agent in weak))
        set_(self, "rules", RuleBook({a: self._agent(a, weak) for a in (*names, *closing, DECIDE)}))
        case = lru_cache(4096)(lambda number: Case(self.seed, number, topic))
        odds = Odds(self.noise, self.sways, self.recovers)

        def cast(question: str, replicate: int) -> Play:
            return Play(case(case_number(question)), replicate, odds)

        set_(self, "graph", build_bottleneck(names, self.rounds, cast, faults, Voice()))
        set_(self, "model", bottleneck_model(self.seed, self.garbage, self.critic_noise))

    @property
    def system(self) -> System:
        """What `optimize` takes."""
        return System(
            self.graph,
            self.rules,
            inputs=lambda task: {"task": dict(task)},
            outputs=lambda state: {"answer": state.get("answer", "")},
            aggregator=AGGREGATOR,
            name=f"planted bottleneck {self.seed}",
            calls=float(self.roles * self.rounds + self.rounds + 1),
        )

    @property
    def score(self) -> Callable[[Mapping[str, Any], Mapping[str, Any]], Awaitable[dict[str, Any]]]:
        """The evaluator: 1 where the answer is right; its comment does not name the right one."""
        return _score

    def splits(self, train: int = 60, validation: int = 120, test: int = 60) -> Splits:
        """Tasks for `optimize`: multiple-choice questions with options A to D."""
        sizes = {"train": train, "validation": validation, "test": test}
        return Splits(*(tuple(self._task(s, n) for n in range(size)) for s, size in sizes.items()))

    def active(self, book: RuleBook) -> tuple[Fault, ...]:
        """The faults that `book` still has, or has got."""
        return tuple(
            fault for agent, fault in self._faults.items() if fault.active(book.render(*_place(agent)))
        )

    def repaired(self, *agents: str) -> RuleBook:
        """The rules with these agents put right (none given: all): no harmful rule, and the helping one there.

        Raises:
            UserMistake: an agent is neither a role nor an aggregator of this world.
        """
        there = dict(self.rules.agents)
        for agent in agents or tuple(f.agent for f in self.planted):
            if agent not in self._faults:
                raise UserMistake(
                    f"the planted bottleneck has no agent {agent!r}; there are: {', '.join(self._faults)}"
                )
            topic = self._faults[agent].topic
            lines = [x for x in there[agent].render().splitlines() if not any_says(x, topic.harm)]
            there[agent] = parse(agent, "\n".join([*lines, f"- {topic.remedies[0]}"]) + "\n")
        return RuleBook(there)

    def _kind(self, agent: str, weak: tuple[str, ...]) -> Kind:
        """A sound agent errs only by a harmful rule; a weak one has that, or lacks the helping one."""
        return pick(("commission", "omission"), self.seed, "kind", agent) if agent in weak else "commission"

    def _agent(self, agent: str, weak: tuple[str, ...]) -> AgentRules:
        role, number = _place(agent)
        about = f"You are the {role} of a team that answers multiple-choice questions."
        if number is not None:
            about = f"You sum up round {number} of a team that answers multiple-choice questions."
        elif role == DECIDE:
            about = "You give the answer of a team, from its last summary."
        idle = IDLE_AGGREGATOR_RULES if number is not None else IDLE_ROLE_RULES
        rules = shuffled(idle, self.seed, "idle", agent)[:3]
        if agent in weak and self._faults[agent].kind == "commission":
            rules.append(self._faults[agent].topic.harm_rule)
        lines = "\n".join(f"- {rule}" for rule in shuffled(rules, self.seed, "order", agent))
        return parse(agent, f"{about}\n\nRules:\n{lines}\n")

    def _task(self, split: str, number: int) -> Task:
        topic = self._faults[ROLES[0]].topic
        case = Case(self.seed, _SPLITS[split] + number, topic)
        inputs = {"question": case.question, "options": dict(case.options)}
        return Task(f"{split}-{number:04d}", inputs, {"answer": case.right})

    def _check(self) -> None:
        ranges = {"roles": (2, len(ROLES)), "rounds": (2, 8), "critic_noise": (0, 0.5)}
        shares = ("noise", "sways", "recovers", "garbage")
        for name, (low, high) in {**ranges, **dict.fromkeys(shares, (0, 1))}.items():
            given = getattr(self, name)
            if not low <= given <= high:
                raise UserMistake(f"PlantedBottleneck: {name} lies between {low} and {high}, got {given!r}")


def _place(agent: str) -> tuple[str, int | None]:
    """Role and round of an agent's name."""
    role, _, number = agent.partition("@")
    return role, int(number) if number else None


async def _score(outputs: Mapping[str, Any], reference_outputs: Mapping[str, Any]) -> dict[str, Any]:
    given = read_choice(str(outputs.get("answer", "")), LETTERS)
    right = given == reference_outputs["answer"]
    comment = "The answer is right." if right else f"The answer {given or '(none)'} is wrong."
    return {"key": "right", "score": float(right), "comment": comment}
