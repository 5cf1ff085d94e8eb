"""A debate over multiple-choice questions: the graph, its rules, its questions and how answers are scored."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from langgraph_truce.evaluators.multiple_choice import multiple_choice_with

from langgraph_truce import RuleBook, Splits, System, read_rules
from langgraph_truce.bottleneck import DECIDE, per_round

from .graph import AGGREGATOR, DEBATER, ORIGINAL, ROLES, RULES, Model, build, graph
from .stand_in import scripted_model

__all__ = ["ORIGINAL", "ROLES", "RULES", "build", "graph", "score", "scripted_model", "splits", "system"]

DATA = Path(__file__).parent / "data"
DEMO = {"train": 24, "validation": 24, "test": 30}
"""Questions of each file that `splits()` takes: nine model calls a rollout."""

score: Any = multiple_choice_with(rule="last_parenthesised")
"""1 for the right option, 0 for another; a reply without one is told apart. The rule is what the prompts ask for."""


def system(
    model: Model | None = None,
    *,
    roles: Sequence[str] | int = ROLES,
    rounds: int = 2,
    aggregator: bool = True,
    own: Sequence[str] = (AGGREGATOR,),
    rules: Path | None = None,
) -> System:
    """The graph with its rules, ready to be optimized.

    Args:
        model: As `build`.
        roles: As `build`.
        rounds: As `build`.
        aggregator: As `build`.
        own: Agents with rules of their own in every round: the aggregator alone (TSCA eq. 11), () for rules shared over
            all rounds, roles and aggregator for none shared (eq. 9). Without an aggregator its name is passed over.
        rules: As `build`.
    """
    built = build(model, roles=roles, rounds=rounds, aggregator=aggregator, rules=rules)
    names = (DEBATER,) if isinstance(roles, int) else tuple(roles)
    count = roles if isinstance(roles, int) else len(names)
    closing = (AGGREGATOR, DECIDE) if aggregator else ()
    book = read_rules(rules or (ORIGINAL if isinstance(roles, int) else RULES))
    book = RuleBook({agent: book.agent(agent) for agent in (*names, *closing)})
    return System(
        built,
        per_round(book, [a for a in own if aggregator or a != AGGREGATOR], rounds),
        inputs=lambda task: {"task": dict(task)},
        outputs=lambda state: {"answer": state.get("answer", "")},
        aggregator=AGGREGATOR if aggregator else "",
        name="debate",
        in_flight=6,
        calls=count * rounds + (rounds + 1 if aggregator else 0),
    )


def splits(*, full: bool = False) -> Splits:
    """Its questions: the first of each file as `DEMO` says, or all of them."""
    whole = Splits.read(*(DATA / f"{name}.jsonl" for name in DEMO))
    if full:
        return whole
    return Splits(*(tuple(getattr(whole, name))[:n] for name, n in DEMO.items()))
