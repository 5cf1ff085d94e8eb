"""Suggestion and Edit as data (TRUCE 4.4): what is wished, and what is written out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal

from langgraph_truce.rules.rule import RuleKind

Op = Literal["ADD", "MODIFY", "DELETE"]


@dataclass(frozen=True, slots=True)
class Suggestion:
    """One policy-editing suggestion δ = (τ, s) with its target and evidence (TRUCE eq. 3)."""

    op: Op
    """τ: ADD a rule, MODIFY one, or DELETE one."""
    agent: str
    """Role path whose rules are to change."""
    instruction: str
    """s: what the rule should say (ADD, MODIFY), or why it should go (DELETE)."""
    rule: str = ""
    """Id of the rule to modify or delete; empty for ADD."""
    kind: RuleKind = "instruction"
    """What an ADD adds."""
    reason: str = ""
    """Why, in words, from the credits."""
    evidence: tuple[str, ...] = ()
    """Ids of the steps it rests on, as `ROLLOUT/STEP`; each exists in a trajectory of the batch (contract 4)."""
    tasks: tuple[str, ...] = ()
    """Ids of the train tasks that asked for it; an `example` quotes exactly one of them."""
    support: float = 0.0
    """Share of the sampled tasks that asked for it, in [0, 1] (TRUCE eq. 4); set by merging."""

    def to_json(self) -> dict[str, Any]:
        """As JSON, field by field."""
        return {**asdict(self), "evidence": list(self.evidence), "tasks": list(self.tasks)}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Suggestion:
        """Read what `to_json` wrote."""
        return cls(**{**data, "evidence": tuple(data["evidence"]), "tasks": tuple(data["tasks"])})


@dataclass(frozen=True, slots=True)
class Edit:
    """A suggestion written out: it changes one rule of one agent, and only if that rule is still what the writer saw."""

    id: str
    """`e{iteration}.{n}`: unique in a run."""
    op: Op
    agent: str
    rule: str = ""
    """Id of the rule to modify or delete; empty for ADD (the rule book gives the new id)."""
    old_hash: str = ""
    """`Rule.hash` of the text the writer saw; empty for ADD."""
    text: str = ""
    """The rule's new text; empty for DELETE."""
    kind: RuleKind = "instruction"
    task: str = ""
    """Train task quoted by an example."""
    suggestion: Suggestion | None = None
    """What it was written from: reason, evidence, support."""

    def to_json(self) -> dict[str, Any]:
        """As JSON, field by field."""
        own = {k: getattr(self, k) for k in ("id", "op", "agent", "rule", "old_hash", "text", "kind", "task")}
        return {**own, "suggestion": self.suggestion.to_json() if self.suggestion else None}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Edit:
        """Read what `to_json` wrote."""
        suggestion = data.get("suggestion")
        return cls(**{**data, "suggestion": Suggestion.from_json(suggestion) if suggestion else None})
