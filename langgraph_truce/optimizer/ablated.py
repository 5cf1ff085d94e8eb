"""What an ablation is, as data: its arms, what they will ask, and the row that each arm leaves."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, Literal

from langgraph_truce.batch import role_of
from langgraph_truce.codec import from_json, to_json
from langgraph_truce.errors import NOT_JSON, RunError
from langgraph_truce.optimizer.place import Place
from langgraph_truce.rules import RuleBook

ABLATION = "ablation.json"
"""The measured ablation, in the run folder."""
UNCONTROLLED = "no error control: after the fact"
Kind = Literal["agent", "roles", "aggregators", "all"]


@dataclass(frozen=True, slots=True)
class Arm:
    """Rules that are measured: those that the run began with, with what it made of `agents`."""

    name: str
    """The agent, or `roles`, `aggregators`, `all`."""
    kind: Kind
    agents: tuple[str, ...]
    book: RuleBook

    @property
    def purpose(self) -> str:
        """Under which the meter counts its calls."""
        return f"ablation: {self.name}"


@dataclass(frozen=True, slots=True)
class Row:
    """One arm against the rules that the run began with, on the same tasks and replicates."""

    name: str
    kind: Kind
    agents: tuple[str, ...]
    """Agents whose changes are in it."""
    round: int | None
    """Round of a single agent that has one (`aggregator@2`)."""
    n: int
    """Paired tasks."""
    replicates: int
    estimate: float
    """Mean paired difference in [-1, 1], arm minus the rules that the run began with."""
    low: float
    """Lower end of its interval, at 95 %, for this row alone."""
    high: float
    baseline: float
    """Mean score of the rules that the run began with."""
    candidate: float
    fixed: tuple[str, ...]
    """Tasks whose score rose."""
    broken: tuple[str, ...]
    calls: int
    """Model calls that this arm paid; replies that arms before it share with it are not asked for again."""


@dataclass(frozen=True, slots=True)
class AblationPlan:
    """What an ablation will ask, at most, before it asks."""

    arms: tuple[Arm, ...]
    tasks: int
    replicates: int
    low: int
    """Model calls of the rules that the run began with alone: all others may share everything."""
    high: int
    """Model calls if nothing can be shared."""

    @property
    def rollouts(self) -> int:
        """Rollouts in all, those of the rules that the run began with included; equal rules are run once."""
        versions = {arm.book.version for arm in self.arms}
        return (len(versions) + 1) * self.tasks * self.replicates if versions else 0

    def text(self) -> str:
        """The same in one sentence."""
        if not self.arms:
            return "The run changed no rule: there is nothing to take apart."
        return (
            f"Ablation of {', '.join(a.name for a in self.arms)}: {self.rollouts} rollouts on {self.tasks} validation tasks, "
            f"{self.low} to {self.high} model calls (what precedes the first changed prompt is shared)."
        )


@dataclass(frozen=True, slots=True)
class Ablation:
    """What each agent's accepted changes do alone."""

    rows: tuple[Row, ...]
    """Each changed agent, then all changed roles, all changed aggregators, and everything."""
    initial: str
    """Version of the rules that the run began with."""
    final: str
    """Version of the rules as they are now."""
    planned: int = 0
    """Rollouts that were asked for."""
    ran: int = 0
    """Rollouts that there are."""
    stopped: str = ""
    """Why it ended early; then arms that are not finished have no row."""
    words: str = UNCONTROLLED
    meter: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """Calls, journal hits, tokens and seconds by purpose, over all starts."""

    def to_json(self) -> dict[str, Any]:
        """As JSON: what `ablation.json` holds."""
        return {f.name: to_json(getattr(self, f.name)) for f in fields(self)}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Ablation:
        """Read what `to_json` wrote."""
        given = {f.name: data[f.name] for f in fields(cls)}
        return cls(**{**given, "rows": tuple(from_json(Row, row) for row in data["rows"])})

    def text(self) -> str:
        """A table for people."""
        if not self.rows:
            return self.stopped or "The run changed no rule: there is nothing to take apart."
        width = max(len(row.name) for row in self.rows)
        first = self.rows[0]
        out = [f"On {first.n} validation tasks, {first.replicates} replicate(s), {UNCONTROLLED}:"]
        for r in self.rows:
            out.append(
                f"{r.name:{width}}  {r.baseline:.3f} -> {r.candidate:.3f}  {r.estimate:+.3f} ({r.low:+.3f} to {r.high:+.3f})  "
                f"{len(r.fixed)} fixed, {len(r.broken)} broken, {r.calls} calls"
            )
        return "\n".join(out)


def arms_of(initial: RuleBook, final: RuleBook, aggregator: str) -> tuple[Arm, ...]:
    """The arms for the agents whose rules differ: each alone, all roles, all aggregators, all of them.

    Args:
        initial: The rules that the run began with.
        final: The rules as they are now.
        aggregator: Role path of the node that closes a round; "" where there is none.
    """
    changed = [a for a in initial.agents if a in final.agents and initial.render(a) != final.render(a)]
    closing = [a for a in changed if aggregator and role_of(a) == aggregator]
    roles = [a for a in changed if a not in closing]

    def arm(name: str, kind: Kind, agents: Sequence[str]) -> Arm:
        book = initial
        for agent in agents:
            book = book.with_agent(final.agents[agent])
        return Arm(name, kind, tuple(agents), book)

    single = [arm(a, "agent", [a]) for a in (*roles, *closing)]
    groups: tuple[tuple[Kind, list[str]], ...] = (
        ("roles", roles),
        ("aggregators", closing),
        ("all", [*roles, *closing]),
    )
    return (*single, *(arm(kind, kind, agents) for kind, agents in groups if agents))


def read_ablation(run: Place | Path | str) -> Ablation | None:
    """What `ablation.json` of a run says; None where there is none.

    Raises:
        RunError: it is damaged.
    """
    file = Place.of(run).folder / ABLATION
    if not file.is_file():
        return None
    try:
        return Ablation.from_json(json.loads(file.read_text(encoding="utf-8")))
    except (*NOT_JSON, LookupError, TypeError, AttributeError) as e:
        raise RunError(f"{file}: damaged ({type(e).__name__}: {e}); give the ablate command again") from e
