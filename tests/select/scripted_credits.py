"""Credits as the critics give them, written by hand."""

from __future__ import annotations

from typing import Any

from langgraph_truce.rules.rule import RuleBook
from langgraph_truce.seams import Batch, Credit
from langgraph_truce.testing.batches import make_batch, make_book, make_rollout, make_rules

ROLES = ("a", "b", "c")
AGGREGATOR = "agg"


def said(
    rollout: str, role: str, round_: int | None, c: float, *, right: bool | None = None, step: str = ""
) -> Credit:
    """The credit of one utterance."""
    details: dict[str, Any] = {"kind": "role", "q": c, "p": c, "c": c, "right": right}
    cited = step or f"{role}#{round_ or 1}.0"
    return Credit(
        rollout, rollout.partition(".")[0], (cited,), 2 * c - 1, role=role, round=round_, details=details
    )


def closed(
    rollout: str,
    round_: int,
    q: float,
    *,
    right: bool | None = None,
    agents: tuple[int, int] = (0, 0),
    role: str = AGGREGATOR,
) -> Credit:
    """The credit of one aggregate; `agents` are those that were right, and those that can be scored."""
    details = {"kind": "aggregator", "q": q, "right": right, "agents_right": agents[0], "agents": agents[1]}
    step = (f"{role}#{round_}.0",)
    return Credit(
        rollout, rollout.partition(".")[0], step, 2 * q - 1, role=role, round=round_, details=details
    )


def lost(rollout: str, round_: int = 1) -> Credit:
    """An informative failure: the aggregator wrong, one of three right."""
    return closed(rollout, round_, 0.1, right=False, agents=(1, 3))


def won(rollout: str, round_: int = 1) -> Credit:
    """The aggregator right while the agents disagreed."""
    return closed(rollout, round_, 0.9, right=True, agents=(1, 3))


def book(*agents: str, rule: str = "Be brief.") -> RuleBook:
    """Agents with one rule each."""
    return make_book(*(make_rules(name, rule) for name in agents))


def batch(
    *credits_: Credit, iteration: int = 1, rules: RuleBook | None = None, failed: bool = True, **parts: Any
) -> Batch:
    """An iteration over the rollouts that the credits are about, all failed or all solved."""
    names = dict.fromkeys(c.rollout for c in credits_)
    rollouts = [
        make_rollout(n.partition(".")[0], [("a", 1, "x")], score=0.0 if failed else 1.0) for n in names
    ]
    rules = rules or book(*ROLES, AGGREGATOR)
    return make_batch(rules, rollouts, credits=tuple(credits_), iteration=iteration, **parts)
