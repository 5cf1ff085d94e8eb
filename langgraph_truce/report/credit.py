"""Credit over many threads, put together by round, by role and by rule; each figure with the steps it rests on."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from langgraph_truce.batch import agent_of, mean_value
from langgraph_truce.codec import to_json
from langgraph_truce.rules.rule import RuleBook
from langgraph_truce.seams import Credit
from langgraph_truce.trajectory.step import Trajectory
from langgraph_truce.trajectory.transcript import cut, said

CITED, WORDS = 5, 3
"""Steps that a row cites and judgements that it quotes, at most; the JSON holds every credit."""
QUOTE, JUDGEMENT = 160, 400
"""Characters of a step's quote, and of a judgement."""


@dataclass(frozen=True, slots=True)
class Cited:
    """One step that a credit rests on."""

    thread: str
    step: str
    quote: str
    """What the step wrote, shortened to `QUOTE` characters."""
    value: float | None
    """Value of the credit that cites it."""


@dataclass(frozen=True, slots=True)
class CreditRow:
    """All credits about one round, role or rule."""

    name: str
    """`round 2`, a role path, `AGENT RULE`."""
    value: float | None
    """Mean value in [-1, 1], + good; None where no credit has one."""
    influence: float | None
    """Mean influence >= 0; None where no credit has one."""
    credits: int
    tasks: int
    """Threads they are about."""
    steps: tuple[Cited, ...] = ()
    """Most telling first: by size of the value, blame before praise."""
    words: tuple[str, ...] = ()
    """What was said of it, of the most telling credits, shortened."""
    text: str = ""
    """The rule's text; empty for rounds and roles."""


@dataclass(frozen=True, slots=True)
class CreditReport:
    """Who was to blame, over many threads; `render` and `to_json` write it out."""

    source: str
    """What assigned the credit."""
    threads: int
    """Threads that were judged."""
    left_out: int
    """Threads that could not be."""
    score: float | None
    """Mean score of the judged threads in [0, 1]."""
    rounds: tuple[CreditRow, ...]
    """In order of the rounds."""
    roles: tuple[CreditRow, ...]
    """Worst first."""
    rules: tuple[CreditRow, ...]
    """Worst first."""
    unknown: tuple[str, ...] = ()
    """What could not be known, a sentence each."""
    problems: tuple[str, ...] = ()
    """Threads that could not be read or judged, or not all of it, a sentence each."""
    credits: tuple[Credit, ...] = ()
    """Every credit."""

    def to_json(self) -> dict[str, Any]:
        """As JSON, by field; `{"name", "value", "credits", "tasks", "steps": [...], "words": [...]}` a row."""
        return {name: to_json(getattr(self, name)) for name in self.__dataclass_fields__}


def by_round(credits_: Sequence[Credit], trajectories: Mapping[str, Trajectory]) -> tuple[CreditRow, ...]:
    """A row for each round; credits of a whole round count where there are any, those of its roles elsewhere."""
    groups: dict[int, list[Credit]] = defaultdict(list)
    for credit in credits_:
        if credit.round is not None:
            groups[credit.round].append(credit)
    return tuple(
        _row(f"round {number}", [c for c in group if not c.role] or group, trajectories)
        for number, group in sorted(groups.items())
    )


def by_role(credits_: Sequence[Credit], trajectories: Mapping[str, Trajectory]) -> tuple[CreditRow, ...]:
    """A row for each role that a credit names, worst first."""
    return _rows(((c.role, c) for c in credits_ if c.role), trajectories)


def by_rule(
    credits_: Sequence[Credit], trajectories: Mapping[str, Trajectory], book: RuleBook
) -> tuple[CreditRow, ...]:
    """A row for each rule that a credit names, worst first."""
    named = ((f"{_agent(c, book, trajectories)} {rule}", c) for c in credits_ for rule in c.rules)
    texts = {f"{agent} {r.id}": r.text for agent, rules in book.agents.items() for r in rules.rules}
    return _rows(named, trajectories, lambda name: texts.get(name, ""))


def _agent(credit: Credit, book: RuleBook, trajectories: Mapping[str, Trajectory]) -> str:
    number = credit.round
    if number is None and credit.rollout in trajectories:
        steps = trajectories[credit.rollout].steps
        number = next((s.round for s in steps if s.id in credit.steps and s.role == credit.role), None)
    return agent_of(book, credit.role, number) or credit.role


def _rows(
    named: Iterable[tuple[str, Credit]],
    trajectories: Mapping[str, Trajectory],
    text: Callable[[str], str] = lambda _: "",
) -> tuple[CreditRow, ...]:
    groups: dict[str, list[Credit]] = defaultdict(list)
    for name, credit in named:
        groups[name].append(credit)
    rows = [_row(name, group, trajectories, text(name)) for name, group in groups.items()]
    return tuple(sorted(rows, key=_worst))


def _worst(row: CreditRow) -> tuple[bool, float, float, str]:
    """Lowest value first; rows without a value behind them, largest influence first."""
    return row.value is None, row.value or 0.0, -(row.influence or 0.0), row.name


def _row(
    name: str, group: Sequence[Credit], trajectories: Mapping[str, Trajectory], text: str = ""
) -> CreditRow:
    telling = sorted(group, key=_telling)
    influences = [c.influence for c in group if c.influence is not None]
    return CreditRow(
        name=name,
        value=mean_value(group),
        influence=sum(influences) / len(influences) if influences else None,
        credits=len(group),
        tasks=len({c.task for c in group}),
        steps=_cited(telling, trajectories),
        words=tuple(dict.fromkeys(cut(c.words.strip(), JUDGEMENT) for c in telling if c.words.strip()))[
            :WORDS
        ],
        text=text,
    )


def _telling(credit: Credit) -> tuple[float, float]:
    value = credit.value or 0.0
    return -max(abs(value), credit.influence or 0.0), value


def _cited(telling: Sequence[Credit], trajectories: Mapping[str, Trajectory]) -> tuple[Cited, ...]:
    """The steps of the most telling credits, one of each credit in turn, each step once."""
    found: dict[tuple[str, str], Cited] = {}
    longest = max((len(c.steps) for c in telling), default=0)
    for place in range(longest):
        for credit in telling:
            if len(found) == CITED:
                return tuple(found.values())
            if place >= len(credit.steps):
                continue
            key = (credit.rollout, credit.steps[place])
            trajectory = trajectories.get(credit.rollout)
            step = trajectory.step(key[1]) if trajectory else None
            if key not in found and trajectory and step:
                quote = " ".join(said(trajectory, step).split()) or step.error
                found[key] = Cited(credit.task, key[1], cut(quote, QUOTE), credit.value)
    return tuple(found.values())
