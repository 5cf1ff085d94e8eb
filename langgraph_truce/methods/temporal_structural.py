"""Temporal and structural credit as a method (TSCA): critics score roles and rounds, blocks of prompts are edited in turn.

Algorithm 1 of TSCA, line by line:

- Initialize phi^(0), psi^(0), k <- 0: the system's `RuleBook`; k is the turn, `phases` iterations of the optimizer.
- while not converged: `iterations` turns at most, or two of them without an accepted edit (`patience`), or the budget.
- Step 1, fix psi: an iteration whose block is `roles`; no agent of an aggregator is among its targets.
- Compute C_role: `credit = critics(lam=...)`, averaged in `select.risk.role_credit`.
- Select low-credit roles: `select = low_credit_blocks(...)`, the K worst by risk below the threshold (5.1).
- foreach role, phi <- U(phi, Delta): `suggest = textual_gradient()` (eq. 7), `merge`, `write`, and only if the `gate` accepts.
- phi^(k+1) <- phi^(k) for the others: untouched rules stay byte for byte.
- Step 2, fix phi: an iteration whose block is `aggregators`, on rollouts of the new role rules: the same train rollouts where
  nothing was accepted, else the gate's own logs (`logs`), as the paper allows ("reuse logged trajectories").
- Compute C_time, select low-credit rounds: the moving average of `select.temporal`, below tau with m informative failures (5.1).
- foreach round, psi <- U(psi, Delta): the same three decisions.
- k <- k + 1; return: `optimizer/graph.py`, `optimizer/result.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict

from langgraph_truce.credit.critics import critics
from langgraph_truce.gate import sequential_gate
from langgraph_truce.merge import merge_suggestions
from langgraph_truce.methods.truce import ROUNDS, trials_of
from langgraph_truce.seams import Gate, Method
from langgraph_truce.segment import segment_each
from langgraph_truce.select import Thresholds, low_credit_blocks
from langgraph_truce.select.blocks import BLOCKS, Block
from langgraph_truce.suggest.textual_gradient import textual_gradient
from langgraph_truce.trajectory import by_round
from langgraph_truce.write import rewrite_whole, write_edits

LOGS = 0.25
"""Share of the validation tasks that phase B may propose from; ours."""
IDLE = 2
"""Turns without an accepted edit that end a run ("held-out performance saturates"); ours."""


def temporal_structural(
    *,
    iterations: int = 5,
    thresholds: Thresholds | None = None,
    blocks: Sequence[Block] = BLOCKS,
    lam: float = 0.5,
    top_k: int = 5,
    sample: int | None = None,
    gate: Gate | None = None,
    whole_prompt: bool = False,
) -> Method:
    """TSCA: verbalised block coordinate descent over role prompts and the aggregators' prompts.

    For systems whose rounds an aggregator closes (`System(aggregator=...)`, `bottleneck.with_aggregator`).

    Args:
        iterations: Outer iterations k: turns through all `blocks`; the method has `iterations * len(blocks)` in all.
        thresholds: What counts as low; default `Thresholds()`.
        blocks: The phases of a turn. `("roles",)` and `("aggregators",)` are the paper's ablations (RQ2).
        lam: lambda in [0, 1]: weight of the critic's score against the peer view; ours, the paper names none.
        top_k: Suggestions of the joint candidate, over all targets of a phase.
        sample: Train tasks drawn per turn; None takes all.
        gate: What decides on the joint candidate; default `sequential_gate()`. The paper's own is `on_validation()`.
        whole_prompt: All rules of a target are written anew, as the paper does; False edits single rules.

    Raises:
        UserMistake: a setting is out of range; at the start of a run, the system does not name its aggregator.
    """
    limits = thresholds or Thresholds()
    gate = gate or sequential_gate()
    phases = len(blocks)
    return Method(
        name="temporal_structural",
        segment=segment_each(by_round),
        credit=critics(lam=lam),
        select=low_credit_blocks(limits, blocks),
        suggest=textual_gradient(),
        merge=merge_suggestions(top_k=top_k),
        write=rewrite_whole() if whole_prompt else write_edits(),
        gate=gate,
        iterations=iterations * phases,
        sample=sample,
        phases=phases,
        marked="aggregators" in blocks,
        logs=LOGS if phases > 1 else 0.0,
        patience=IDLE * phases,
        trials=trials_of(gate),
        asks=_asks(limits, blocks, top_k, whole_prompt=whole_prompt),
        settings={
            "thresholds": asdict(limits),
            "blocks": list(blocks),
            "lam": lam,
            "top_k": top_k,
            "whole_prompt": whole_prompt,
        },
    )


def _asks(
    limits: Thresholds, blocks: Sequence[Block], top_k: int, *, whole_prompt: bool
) -> Callable[[int, int], Mapping[str, tuple[int, int]]]:
    """Calls of an iteration; the critics and the peer view judge each round, in a later phase only what was not judged yet."""

    def asks(tasks: int, agents: int) -> Mapping[str, tuple[int, int]]:
        low = {"roles": min(limits.roles, agents), "aggregators": min(ROUNDS, agents)}
        targets = max(low[block] for block in blocks)
        return {
            "credit": (2 * tasks, 2 * tasks * ROUNDS),
            "diagnose": (0, tasks),
            "suggest": (0, targets),
            "merge": (0, 3 * targets),
            "write": (0, targets if whole_prompt else top_k),
        }

    return asks
