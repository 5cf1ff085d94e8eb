"""The two forms of the debate, who can take part, and how many model calls it takes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from langgraph.graph.state import CompiledStateGraph

from langgraph_truce.bottleneck import check_rounds
from langgraph_truce.errors import UnknownNameError, UserMistake

from .aggregated import build_aggregated
from .plain import RANKED, Debate, Model, build_plain
from .protocol import CROWD, KEPT

POOL = (
    "economist",
    "doctor",
    "lawyer",
    "mathematician",
    "psychologist",
    "programmer",
    "historian",
    "assistant",
)
"""Who can take part; the last one has no field of its own."""
ROLES = POOL[:4]
"""Who takes part unless told otherwise."""
FEWEST = 2


def build(
    model: Model | None = None,
    *,
    roles: Sequence[str] = ROLES,
    rounds: int = 3,
    aggregated: bool = False,
    seed: int = 0,
) -> CompiledStateGraph[Any, Any, Any, Any]:
    """The compiled graph, without saver.

    Args:
        model: What every agent calls; None: the embedded model, started at the first call, with short
            replies that are held to the form asked for.
        roles: Who takes part: two or more of `POOL`, each once.
        rounds: Rounds at most, from 1.
        aggregated: The form with an aggregator per round, in which the agents of a round answer at once.
        seed: Orders of speaking and of showing, and the ranker's choice where it cannot be read, are a hash of (seed, task,
            round).

    Raises:
        UnknownNameError: `roles` names somebody who is not in the pool.
        UserMistake: fewer than two roles, one of them twice, or no round.
    """
    made = build_aggregated if aggregated else build_plain
    return made(Debate(_checked(roles, rounds), rounds, seed, model))


def calls(roles: Sequence[str] = ROLES, rounds: int = 3, *, aggregated: bool = False) -> int:
    """Model calls of one debate that nobody stops early.

    N in each of the first two rounds, then two and one of the ranker in all (N where no more than three take part). With
    aggregators N + 2 in each round (rater, aggregator) and one for the decision.
    """
    n = len(roles)
    if aggregated:
        return rounds * (n + 2) + 1
    if n <= CROWD or rounds <= RANKED:
        return n * rounds
    return n * RANKED + 1 + KEPT * (rounds - RANKED)


def _checked(roles: Sequence[str], rounds: int) -> tuple[str, ...]:
    there = ", ".join(POOL)
    if isinstance(roles, str):
        raise UserMistake(f"dylan: roles is a list of names, got the text {roles!r}")
    if unknown := sorted({*map(str, roles)} - {*POOL}):
        raise UnknownNameError(f"dylan: no role {', '.join(map(repr, unknown))}; the pool is: {there}")
    if twice := sorted({r for r in roles if list(roles).count(r) > 1}):
        raise UserMistake(
            f"dylan: {', '.join(twice)} is named twice; each role is one node, take others of: {there}"
        )
    if len(roles) < FEWEST:
        raise UserMistake(
            f"dylan: a debate needs at least {FEWEST} roles, got {len(roles)}; the pool is: {there}"
        )
    check_rounds("dylan", rounds)
    return tuple(roles)
