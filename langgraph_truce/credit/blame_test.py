"""Blame tests (blog, "critique hallucination"): verbal blame is checked by a replay before it becomes an edit."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from langgraph_truce.asking import keep
from langgraph_truce.credit.arms import WAYS, Arm, arms_of
from langgraph_truce.credit.contributions import Contribution, contributions
from langgraph_truce.credit.counterfactual import numbers, told
from langgraph_truce.credit.replays import Measured, keep_refused, measure
from langgraph_truce.errors import UserMistake
from langgraph_truce.seams import Attributor, Batch, Credit, Lab, Memory, Rollout

LEVEL = 0.95
"""Coverage of the interval that stands beside a test's numbers."""


def blame_test(
    credit: Attributor,
    *,
    replace: str | Sequence[str] = "neutral",
    replicates: int = 1,
    deterministic: bool = False,
    least: float = 0.0,
    at_most: int | None = None,
) -> Attributor:
    """`credit`, with every blame tested: the accused contribution is replaced and what depends on it replayed.

    A blame is a credit with a role, steps and a value under 0. It accuses the contributions of its role among the cited
    steps (else those of its round); the largest gain of their replacements over the control decides. A gain above `least`
    leaves the credit as it is, with the numbers in `details["blame_test"]`. Without one the blame loses its support: value
    0, words that say what was measured, the critic's own in `details["withdrawn"]`. Praise, and credit of whole segments,
    are not touched. A blame that cannot be tested (a replay is refused) stands and is recorded.

    Silence does not repair what an agent failed to say: where critics blame omissions, add `peer` or `fresh`.

    Args:
        credit: the credit whose blame is tested, usually `verbal_credit()`.
        replace: what stands in the accused contribution's place: `neutral`, `previous`, `peer`, `fresh`, or several.
        replicates: replays of every arm and control.
        deterministic: the recorded outcome is the control.
        least: gain in score, in [0, 1), that a blame needs to be exceeded.
        at_most: test so many blames, the heaviest first; None tests all. The others stand untested.

    Returns:
        A decision whose memory is that of `credit`, with `unsupported` (blames that fell, with the numbers), `untested`
        (blames that could not be tested, and why; `untested_why` counts the reasons), their counts, and `tested_count`.

    Raises:
        UserMistake: a setting is out of range.
    """
    ways = (replace,) if isinstance(replace, str) else tuple(replace)
    if not ways or any(way not in WAYS or way == "rules" for way in ways):
        raise UserMistake(
            f"a blame test replaces by some of {', '.join(WAYS[:-1])}, got {', '.join(map(str, ways)) or 'none'}"
        )
    if replicates < 1 or not 0 <= least < 1:
        raise UserMistake(
            f"a blame test needs replicates >= 1 and least in [0, 1), got {replicates!r} and {least!r}"
        )

    async def tested(batch: Batch, memory: Memory, lab: Lab) -> tuple[tuple[Credit, ...], Memory]:
        given, memory = await credit(batch, memory, lab)
        accused, records = _accusations(batch, given, ways, at_most)
        arms = [arm for found in accused.values() for arm in found]
        measured, refused = await measure(arms, lab, replicates=replicates, deterministic=deterministic)
        by_steps = _best(measured)
        made, fallen = list(given), []
        for index, found in accused.items():
            results = [by_steps[key] for arm in found if (key := (arm.rollout.id, arm.steps)) in by_steps]
            if results:
                made[index], fell = _judged(given[index], min(results, key=lambda m: m.value), least)
                fallen += fell
        memory = keep(memory, "unsupported", fallen)
        memory = keep_refused(memory, "untested", [*records, *refused])
        return tuple(made), {**memory, "tested_count": memory.get("tested_count", 0) + len(accused)}

    return tested


def _accusations(
    batch: Batch, given: Sequence[Credit], ways: Sequence[str], at_most: int | None
) -> tuple[dict[int, tuple[Arm, ...]], list[dict[str, Any]]]:
    """The arms that test each blame, by the credit's place; and the blames that name nothing to replace."""
    rollouts = {r.id: r for r in batch.rollouts}
    blames = [n for n, c in enumerate(given) if c.role and c.steps and (c.value or 0.0) < 0]
    blames = sorted(blames, key=lambda n: (given[n].value or 0.0, n))[:at_most]
    accused: dict[int, tuple[Arm, ...]] = {}
    records: list[dict[str, Any]] = []
    for n in sorted(blames):
        blame = given[n]
        rollout = rollouts.get(blame.rollout)
        named = _named(blame, rollout, batch) if rollout else ()
        arms = tuple(
            arm for c in named if rollout for way in ways for arm in arms_of(rollout, c, way, batch.book)
        )
        if arms:
            accused[n] = arms
        else:
            why = "nothing can be put in its place" if named else "its role contributed nothing it could mean"
            where = {"rollout": blame.rollout, "role": blame.role, "round": blame.round}
            records.append({**where, "replacement": ", ".join(ways), "why": why})
    return accused, records


def _named(blame: Credit, rollout: Rollout, batch: Batch) -> tuple[Contribution, ...]:
    """The contributions that a blame means: of its role, with a cited step; else its role's in its round."""
    own = contributions(rollout.trajectory, batch.book, {blame.role})
    cited = tuple(c for c in own if set(c.steps) & set(blame.steps))
    return cited or tuple(c for c in own if blame.round is None or c.round == blame.round)


def _best(measured: Sequence[Measured]) -> dict[tuple[str, tuple[str, ...]], Measured]:
    """By contribution, the replacement that gained most."""
    best: dict[tuple[str, tuple[str, ...]], Measured] = {}
    for m in measured:
        key = (m.arm.rollout.id, m.arm.steps)
        if key not in best or m.value < best[key].value:
            best[key] = m
    return best


def _judged(blame: Credit, best: Measured, least: float) -> tuple[Credit, list[dict[str, Any]]]:
    """The credit after its test, and the record of a blame that fell."""
    found = numbers(best, LEVEL)
    test = {**found, "steps": list(best.arm.steps), "gain": -best.value}
    if -best.value > least:
        return replace(blame, details={**blame.details, "blame_test": test}), []
    words = f"The blame has no support: {told(best, found)}."
    details = {**blame.details, "blame_test": test, "withdrawn": blame.words}
    record = {"rollout": blame.rollout, "role": blame.role, "round": blame.round, "value": blame.value}
    fell = {**record, "words": words, "control": found["control"], "replaced": found["replaced"]}
    return replace(blame, value=0.0, words=words, details=details), [fell]
