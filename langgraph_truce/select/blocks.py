"""Blocks of prompts that may be edited in turn: low-credit roles, then low-credit rounds' aggregators (TSCA 4.3, Algorithm 1)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from langgraph_truce.batch import agents_of
from langgraph_truce.errors import UserMistake
from langgraph_truce.rules.rule import RuleBook
from langgraph_truce.seams import Batch, Lab, Memory, Selector
from langgraph_truce.select.risk import Standing, lowest_roles, standings
from langgraph_truce.select.temporal import Temporal, digest, signals

Block = Literal["roles", "aggregators"]
BLOCKS: tuple[Block, ...] = ("roles", "aggregators")
"""Phases A and B of the paper."""
TURNS = 50
"""Phases that the memory keeps for the report, the newest ones."""
_SOLVED = 1 - 1e-9
_DIGITS = 4


@dataclass(frozen=True, slots=True)
class Thresholds:
    """When a prompt counts as low. TSCA names K = 2 and none of the other values: those are ours.

    Raises:
        UserMistake: a value out of its range.
    """

    roles: int = 2
    """K: at most so many roles are edited in a phase A, >= 1 (TSCA 5.1: the two worst)."""
    role: float = 0.5
    """Credit C_role in [0, 1] below which a role is low, with 95 % confidence; 1.0: the K worst, whatever their credit. Critics
    that praise everybody want a higher one."""
    tau: float = 0.5
    """Temporal credit alpha_t in [0, 1] below which a round is low."""
    m: int = 5
    """Informative failures (rollouts) of a round since its last edit attempt, >= 1, without which it is left alone."""
    beta: float = 0.2
    """Weight of the newest outcome in alpha_t, in (0, 1]: 0.2 remembers about the last 1 / beta = 5 informative ones."""

    def __post_init__(self) -> None:
        count, share, weight = "of at least 1", "in [0, 1]", "above 0 and at most 1"
        for name, value, fits, where in (
            ("roles", self.roles, self.roles >= 1, count),
            ("role", self.role, 0 <= self.role <= 1, share),
            ("tau", self.tau, 0 <= self.tau <= 1, share),
            ("m", self.m, self.m >= 1, count),
            ("beta", self.beta, 0 < self.beta <= 1, weight),
        ):
            if not fits:
                raise UserMistake(f"Thresholds({name}={value}): a number {where} is expected")


def low_credit_blocks(thresholds: Thresholds | None = None, blocks: Sequence[Block] = BLOCKS) -> Selector:
    """The low prompts of the block whose phase it is; a phase with nothing low gives nobody, and so is skipped.

    The phase of iteration i is `blocks[(i - 1) % len(blocks)]`.

    - `roles` (phase A): the K agents of the highest risk (`risk.standings`) among those with a credit below the threshold.
    - `aggregators` (phase B): the agent of each round t with alpha_t < tau and at least m informative failures since its
      last attempt: `aggregator@t`, else the shared `aggregator`, once. After the attempt only new failures bring back any
      round that this agent serves; after its rules changed, alpha_t begins at 1 again.

    Agents without rules, and what runs outside the rounds (the decision), are never chosen. Every (rollout, round) is
    counted once, also where a later phase of a turn reads the same rollouts.

    Args:
        thresholds: default `Thresholds()`.
        blocks: one name for each phase of a turn; one block alone is an ablation of the paper (role-only, aggregator-only).

    Returns:
        A decision whose memory holds `alpha`, `failures`, `seen`, `prompts` (`Temporal.to_json`), `roles` (`{agent: {"credit",
        "risk", "n"}}` of this iteration) and `turns`: the newest 50 phases, `{"iteration", "block", "alpha", "credit", "targets"}`.

    Raises:
        UserMistake: no block, or one of another name; when it runs, a system whose rounds are not marked.
    """
    limits = thresholds or Thresholds()
    if unknown := [b for b in blocks if b not in BLOCKS]:
        raise UserMistake(f"no block {unknown[0]!r}; there are: {', '.join(BLOCKS)}")
    if not blocks:
        raise UserMistake(f"low_credit_blocks needs a block to edit; there are: {', '.join(BLOCKS)}")

    async def select(batch: Batch, memory: Memory, lab: Lab) -> tuple[tuple[str, ...], Memory]:
        if "aggregators" in blocks:
            check_marked(lab.aggregator)
        phase = (batch.iteration - 1) % len(blocks)
        state = observed(Temporal.of(memory), batch, lab.aggregator, limits, first=phase == 0)
        standing = standings(batch.credits, batch.book)
        if blocks[phase] == "roles":
            targets = lowest_roles(standing, threshold=limits.role, most=limits.roles)
        else:
            targets, rounds = low_aggregators(state, batch.book, lab.aggregator, tau=limits.tau, m=limits.m)
            state = state.attempted({*rounds})
        turn = {
            "iteration": batch.iteration,
            "block": blocks[phase],
            **_shown(state, standing),
            "targets": list(targets),
        }
        return targets, {
            **memory,
            **state.to_json(),
            "roles": {name: _rounded(s) for name, s in standing.items()},
            "turns": [*memory.get("turns", ()), turn][-TURNS:],
        }

    return select


def check_marked(aggregator: str) -> None:
    """Refuse to edit aggregators where no node is known to close a round.

    Raises:
        UserMistake: `aggregator` is empty.
    """
    if not aggregator:
        raise UserMistake(
            "this system does not say which node closes a round, so no round has an aggregator to edit: pass "
            "System(..., aggregator=NODE), or --aggregator NODE (bottleneck.with_aggregator builds such a graph), or take blocks=('roles',)"
        )


def observed(state: Temporal, batch: Batch, aggregator: str, limits: Thresholds, *, first: bool) -> Temporal:
    """The moving averages after the rollouts of an iteration.

    Args:
        state: before it.
        batch: its book, rollouts and credits are read.
        aggregator: role path of the node that closes a round.
        limits: beta and m.
        first: it begins a turn.
    """
    failed = {r.id for r in batch.rollouts if r.outcome.score < _SOLVED}
    found = signals(batch.credits, failed)
    if first:
        state = state.begun(s.rollout for s in found)
    rounds = {*state.alpha, *state.failures, *(s.round for s in found)}
    return state.renewed(prompts_of(batch.book, aggregator, rounds)).updated(
        found, beta=limits.beta, m=limits.m
    )


def prompts_of(book: RuleBook, aggregator: str, rounds: Iterable[int]) -> dict[int, str]:
    """Round -> digest of the rules that its aggregator uses; empty rules for a round without."""
    texts = {t: [book.render(a) for a in agents_of(book, aggregator, t)] for t in rounds}
    return {t: digest("\n".join(said)) for t, said in texts.items()}


def low_aggregators(
    state: Temporal, book: RuleBook, aggregator: str, *, tau: float, m: int
) -> tuple[tuple[str, ...], tuple[int, ...]]:
    """Agents of the low rounds, the lowest alpha first, each once; and all rounds that these agents serve."""
    agents = {t: agents_of(book, aggregator, t) for t in {*state.alpha, *state.failures}}
    targets = tuple(dict.fromkeys(a for t in state.low(tau=tau, m=m) for a in agents[t]))
    return targets, tuple(sorted(t for t, own in agents.items() if {*own} & {*targets}))


def _shown(state: Temporal, standing: Mapping[str, Standing]) -> dict[str, Any]:
    return {
        "alpha": {str(t): round(a, _DIGITS) for t, a in sorted(state.alpha.items())},
        "credit": {name: round(s.credit, _DIGITS) for name, s in standing.items()},
    }


def _rounded(s: Standing) -> dict[str, Any]:
    return {"credit": round(s.credit, _DIGITS), "risk": round(s.risk, _DIGITS), "n": s.n}
