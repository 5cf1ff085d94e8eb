"""TRUCE and its two ablations (TRUCE section 4, Algorithm 1, section 6.4)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

from langgraph_truce.credit import blame_test, verbal_credit
from langgraph_truce.credit import outcome_only as by_outcome
from langgraph_truce.gate import sequential_gate
from langgraph_truce.merge import merge_suggestions
from langgraph_truce.seams import Gate, Method
from langgraph_truce.segment import segment_each
from langgraph_truce.select import every_agent
from langgraph_truce.suggest import suggest_rules
from langgraph_truce.trajectory import Segment, Trajectory, by_round
from langgraph_truce.write import rewrite_whole, write_edits

Split = Callable[[Trajectory], tuple[Segment, ...]]
ROUNDS = 5
"""Segments of one rollout that `plan` counts with at most; the real number is the system's."""


def truce(
    *,
    iterations: int = 5,
    top_k: int = 5,
    sample: int | None = None,
    segment: Split = by_round,
    gate: Gate | None = None,
    reuse: bool = False,
    patience: int | None = None,
    blame_tests: bool = False,
) -> Method:
    """TRUCE: verbal credit of segments, suggestions per agent, support over tasks, edits of single rules.

    Args:
        iterations: K (the paper: at most five).
        top_k: k of eq. 5; ours is 5, the paper names none.
        sample: Train tasks drawn per iteration; None takes all.
        segment: How a trajectory is split: `by_round`, `by_agent_block`, `by_superstep`, `whole`, or your own.
        gate: What decides on the joint candidate; default `sequential_gate()`: paired, alpha 0.05 per run, stops early.
        reuse: Read the train rollouts of unchanged rules again instead of running them afresh.
        patience: Stop after so many iterations without an acceptance.
        blame_tests: Check every verbal blame by replays with neutral words and with each sibling's in place of the accused
            contribution (`credit.blame_test`, whose settings a `dataclasses.replace` of `credit` reaches). What changes
            nothing loses its support, also true blame for an omission that no sibling's words repair.
    """
    gate = gate or sequential_gate()
    return Method(
        name="truce",
        segment=segment_each(segment),
        credit=blame_test(verbal_credit(), replace=("neutral", "peer")) if blame_tests else verbal_credit(),
        select=every_agent(),
        suggest=suggest_rules(),
        merge=merge_suggestions(top_k=top_k),
        write=write_edits(),
        gate=gate,
        iterations=iterations,
        sample=sample,
        reuse=reuse,
        patience=patience,
        forks=blame_tests,
        trials=trials_of(gate),
        asks=_asks(top_k),
        settings={
            "top_k": top_k,
            "segment": getattr(segment, "__name__", "own"),
            "reuse": reuse,
            "patience": patience,
            **({"blame_tests": True} if blame_tests else {}),
        },
    )


def outcome_only(**settings: object) -> Method:
    """TRUCE without credit assignment (ablation "w/o Credit"): the outcome is the only credit; takes what `truce` takes."""
    base = truce(**settings)  # type: ignore[arg-type]  # the same keywords, checked there
    asks = _without("credit", base.asks)
    return replace(base, name="outcome_only", credit=by_outcome(), asks=asks, forks=False)


def whole_prompt(**settings: object) -> Method:
    """TRUCE without unit edits (ablation "w/o UnitRefine"): all rules of an agent are rewritten; takes what `truce` takes."""
    base = truce(**settings)  # type: ignore[arg-type]  # the same keywords, checked there
    return replace(base, name="whole_prompt", write=rewrite_whole())


def trials_of(gate: Gate) -> int:
    """Candidate sets the gate may try per iteration, for `plan`; 1 where it does not say."""
    return int(getattr(gate, "trials", 1))


Asks = Callable[[int, int], Mapping[str, tuple[int, int]]]


def _asks(top_k: int) -> Asks:
    def asks(tasks: int, agents: int) -> Mapping[str, tuple[int, int]]:
        return {
            "credit": (tasks, tasks * ROUNDS),
            "suggest": (0, tasks * agents),
            "merge": (0, 3 * agents),
            "write": (0, top_k),
        }

    return asks


def _without(purpose: str, asks: Asks | None) -> Asks:
    def fewer(tasks: int, agents: int) -> Mapping[str, tuple[int, int]]:
        return {p: n for p, n in (asks(tasks, agents) if asks else {}).items() if p != purpose}

    return fewer
