"""Counterfactual credit as a method: fork, replace one contribution, replay, and edit who did most harm (DESIGN, section 4)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace as changed

from langgraph_truce.batch import credits_by_agent, mean_value
from langgraph_truce.credit import counterfactual_credit
from langgraph_truce.credit.arms import Replacement
from langgraph_truce.methods.truce import ROUNDS, truce
from langgraph_truce.seams import Batch, Gate, Lab, Memory, Method, Selector


def counterfactual(
    *,
    replace: Sequence[Replacement] = ("neutral", "peer"),
    replicates: int = 1,
    deterministic: bool = False,
    budget_calls: int | None = None,
    iterations: int = 5,
    top_k: int = 5,
    sample: int | None = None,
    gate: Gate | None = None,
) -> Method:
    """TRUCE with counterfactual credit: what each contribution was worth is measured, not judged.

    The system runs again for credit, the critic is asked for suggestions only. Agents that did harm may be edited, the
    largest mean harm first; where no replacement shows any, every agent may.

    Args:
        replace: what stands in a contribution's place: `neutral` finds who said something wrong, `peer` (with `fresh`,
            `rules` or a `RuleBook`) also who left something out; see `counterfactual_credit`.
        replicates: replays of every arm and control.
        deterministic: the recorded outcome is the control: for systems whose replies depend on their prompts alone.
        budget_calls: model calls of the replays per iteration, at most; more are refused before they begin.
        iterations: K.
        top_k: suggestions of the joint candidate.
        sample: train tasks drawn per iteration; None takes all.
        gate: what decides on the joint candidate; default `sequential_gate()`.

    Raises:
        UserMistake: a setting is out of range.
    """
    base = truce(iterations=iterations, top_k=top_k, sample=sample, gate=gate)
    credit = counterfactual_credit(
        replace=replace, replicates=replicates, deterministic=deterministic, budget_calls=budget_calls
    )
    named = [r if isinstance(r, str) else f"rules {r.version}" for r in replace]
    arms = {"replace": named, "replicates": replicates, "deterministic": deterministic}
    return changed(
        base,
        name="counterfactual",
        credit=credit,
        select=most_harmful(),
        forks=True,
        asks=_asks(base.asks, (replicates, len(named), budget_calls)),
        settings={**base.settings, **arms, "budget_calls": budget_calls},
    )


def most_harmful() -> Selector:
    """Agents with a mean credit under 0, the lowest first; every agent, without harm, where none has one."""

    async def select(batch: Batch, memory: Memory, lab: Lab) -> tuple[tuple[str, ...], Memory]:  # noqa: ARG001
        values = {name: mean_value(found) for name, found in credits_by_agent(batch).items()}
        harm = sorted((v, name) for name, v in values.items() if v is not None and v < 0)
        return tuple(name for _, name in harm) or tuple(values), memory

    return select


Asks = Callable[[int, int], Mapping[str, tuple[int, int]]]


def _asks(asks: Asks | None, arms: tuple[int, int, int | None]) -> Asks:
    """As TRUCE's, with the calls of the replays in place of the critic's, counted for rounds in which every agent speaks once.

    The exact number is known when the rollouts are: `counterfactual_credit(...).cost(batch)`.
    """
    replicates, replacements, budget = arms

    def planned(tasks: int, agents: int) -> Mapping[str, tuple[int, int]]:
        spoken = agents * ROUNDS
        # downstream of the n-th of them lie spoken - n calls; each replacement, and the control
        most = tasks * replicates * (replacements + 1) * spoken * (spoken + 1) // 2
        given = asks(tasks, agents) if asks else {}
        return {**given, "credit": (0, most if budget is None else min(most, budget))}

    return planned
