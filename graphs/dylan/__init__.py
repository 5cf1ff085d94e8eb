"""DyLAN: experts debate a multiple-choice question, until enough of them agree; and how much each of them mattered."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from langgraph_truce import RuleBook, Splits, System, evaluators, read_rules
from langgraph_truce.bottleneck import per_round

from .agent_importance import Turn, by_round, importance, top_k, weights
from .forms import POOL, ROLES, build, calls
from .graph import graph
from .plain import RULES, Model
from .stand_in import scripted_model

__all__ = [
    "POOL",
    "ROLES",
    "RULES",
    "Turn",
    "build",
    "by_round",
    "calls",
    "graph",
    "importance",
    "score",
    "scripted_model",
    "splits",
    "system",
    "top_k",
    "weights",
]

DATA = Path(__file__).parent / "data"
FILES = ("train", "validation", "test")
DEMO = 16
"""Questions of each file that a demo takes: up to 11 model calls each."""

score: Any = evaluators.load("multiple_choice")
"""1 where the right option is chosen."""


def system(
    model: Model | None = None,
    *,
    roles: Sequence[str] = ROLES,
    rounds: int = 3,
    aggregated: bool = False,
    seed: int = 0,
    own: Sequence[str] | None = None,
) -> System:
    """The graph with the rules of those who take part, ready to be optimized.

    Args:
        model: As `build`.
        roles: As `build`.
        rounds: As `build`.
        aggregated: As `build`.
        seed: As `build`.
        own: Agents with rules of their own in every round; None: the aggregator where there is one (TSCA eq. 11), no other
            (eq. 10). All that speak gives the unshared form (eq. 9).
    """
    made = build(model, roles=roles, rounds=rounds, aggregated=aggregated, seed=seed)
    files = read_rules(RULES).agents
    book = RuleBook({name: files[name] for name in files if name.partition("@")[0] in made.nodes})
    if own is None:
        own = ("aggregator",) if aggregated else ()
    return System(
        made,
        per_round(book, own, rounds),
        inputs=lambda task: {"task": dict(task)},
        outputs=lambda state: {"answer": state.get("answer", "")},
        aggregator="aggregator" if aggregated else "tally",
        name=str(made.get_name()),
        in_flight=8,
        calls=calls(roles, rounds, aggregated=aggregated),
    )


def splits(*, full: bool = False) -> Splits:
    """Its questions: the first of each file as `DEMO` says, or all of them."""
    whole = Splits.read(*(DATA / f"{name}.jsonl" for name in FILES))
    return whole if full else Splits(*(tuple(getattr(whole, name))[:DEMO] for name in FILES))
