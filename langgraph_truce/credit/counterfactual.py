"""Counterfactual credit (blog, Phase 1: "if swapping out agent A's output changes the outcome"): replace, replay, compare.

The blog compares |recorded outcome - replayed outcome|. Here the sign stays (it tells harm from help), and the replay is
compared with an unedited replay of the same fork point with the same replicate numbers: of a failed run the recorded
outcome is partly bad luck, and against it every fresh sample downstream would look like a repair. Both are ours.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from langgraph_truce.betting import mean_interval
from langgraph_truce.credit.arms import Arm, Replacement, check_replace, cost, edited_books, planned
from langgraph_truce.credit.contributions import require_roles, worst
from langgraph_truce.credit.replays import Measured, keep_refused, measure
from langgraph_truce.errors import UserMistake
from langgraph_truce.seams import Batch, Credit, Lab, Memory

_SOLVED = 1 - 1e-9
_NOTHING = 1e-9
_SAME_HARM = 0.5
"""Commission: silence repairs at least this share of what the replacement repairs. Ours."""


@dataclass(frozen=True)
class CounterfactualCredit:
    """An `Attributor` whose cost is known before it starts; made by `counterfactual_credit`."""

    replace: tuple[Replacement, ...]
    replicates: int
    deterministic: bool
    level: float
    at_most: int | None
    failed_only: bool
    roles: frozenset[str] | None
    budget_calls: int | None

    def cost(self, batch: Batch, seed: int = 0) -> int:
        """Model calls that the credit of `batch` will make, from the recorded calls downstream of each fork point.

        Replies that the journal has are free. A replay whose change sends the run another way may make more or fewer.
        `seed` is the run's: it draws among equal scores where `at_most` leaves some out.
        """
        arms, _ = self._plan(batch, seed)
        return cost(arms, self.replicates, deterministic=self.deterministic)

    async def __call__(self, batch: Batch, memory: Memory, lab: Lab) -> tuple[tuple[Credit, ...], Memory]:
        """Credit of every contribution with every replacement, by rollout, replacement and time."""
        arms, impossible = self._plan(batch, lab.seed)
        calls = cost(arms, self.replicates, deterministic=self.deterministic)
        if self.budget_calls is not None and calls > self.budget_calls:
            raise UserMistake(
                f"counterfactual credit of iteration {batch.iteration} would make {calls} model calls and "
                f"budget_calls is {self.budget_calls}; nothing was run: raise it, or take fewer roles=, replicates= or at_most="
            )
        found, refused = await measure(
            arms, lab, replicates=self.replicates, deterministic=self.deterministic
        )
        memory = keep_refused(memory, "refused", [*impossible, *refused])
        made = [_credit(m, self.level) for m in found]
        return _with_kinds(made), {**memory, "calls": int(memory.get("calls", 0)) + calls}

    def _plan(self, batch: Batch, seed: int) -> tuple[tuple[Arm, ...], tuple[dict[str, Any], ...]]:
        require_roles(self.roles, batch.rollouts)
        chosen = [r for r in batch.rollouts if not self.failed_only or r.outcome.score < _SOLVED]
        books, impossible = edited_books(batch.book, self.replace)
        arms = (
            arm
            for rollout in worst(chosen, self.at_most, seed)
            for arm in planned(rollout, batch.book, self.replace, books, self.roles)
        )
        return tuple(arms), impossible


def counterfactual_credit(
    *,
    replace: Sequence[Replacement] = ("neutral",),
    replicates: int = 1,
    deterministic: bool = False,
    level: float = 0.95,
    at_most: int | None = None,
    failed_only: bool = True,
    roles: Collection[str] | None = None,
    budget_calls: int | None = None,
) -> CounterfactualCredit:
    """What each contribution of a rollout was worth: value = mean_r(score unedited_r - score replaced_r), in [-1, 1].

    Positive: it helped; negative: it hurt. Each credit rests on the replaced steps, and its `details` are `{"replacement",
    "kind", "control", "replaced", "low", "high", "level", "replicates", "calls", "control_calls", "deterministic",
    "source"}`: mean scores of both arms, the interval of the value, and the model calls of its own replays. `kind` is
    `help`, `none`, or for harm:

    - `commission`: silence repairs it (the neutral replacement raises the score by at least half as much as this one);
    - `omission`: silence does not, other words do (a peer's, an earlier round's, a fresh sample, other rules);
    - `harm`: the neutral replacement was not tried, so that nobody can say.

    Args:
        replace: what stands in a contribution's place, one credit each: `neutral` (the blog's no-op,
            `prompts/neutral.md`), `previous` (what the role wrote in the round before), `peer` (what a sibling at the
            same fork point wrote; one credit for each sibling), `fresh` (the role runs again), `rules` (each rule left
            out in turn, from its agent's first visit on: credit of single rules), or a `RuleBook` (for each agent whose
            rules differ there, its new rules from its first visit on).
        replicates: replays of every arm and control; more narrow the interval.
        deterministic: replays of equal prompts give equal replies: the recorded outcome is the control, for no calls,
            and the interval has no width.
        level: coverage of the interval (`betting.py`); on a single task it is wide, `by_role_round` adds tasks up.
        at_most: credit so many rollouts, the worst scores first (ties drawn by the run's seed); None credits all.
        failed_only: leave out rollouts with a score of 1.
        roles: role paths whose contributions are replaced; None takes all that act with rules or call a model.
        budget_calls: refuse before anything is run when `cost` is above; None has no limit.

    Returns:
        An `Attributor` with `cost(batch)`. Its memory holds `refused` (contributions without a value, and why; the others
        go on; `refused_why` counts the reasons) and `calls` (planned so far).

    Raises:
        UserMistake: a setting is out of range.
    """
    check_replace(replace)
    for name, number in (("replicates", replicates), ("at_most", at_most)):
        if number is not None and number < 1:
            raise UserMistake(f"{name} is at least 1, got {number!r}")
    if deterministic and replicates > 1:
        raise UserMistake(
            f"deterministic replays are all equal, got replicates={replicates}; take one, or deterministic=False"
        )
    mean_interval((), level)  # refuses a level out of range now, not after the replays
    return CounterfactualCredit(
        replace=tuple(replace),
        replicates=replicates,
        deterministic=deterministic,
        level=level,
        at_most=at_most,
        failed_only=failed_only,
        roles=None if roles is None else frozenset(roles),
        budget_calls=budget_calls,
    )


def numbers(measured: Measured, level: float) -> dict[str, Any]:
    """A measured arm as JSON: the `details` of its credit, without its kind."""
    value = measured.value
    low, high = (value, value) if measured.deterministic else mean_interval(measured.differences, level)
    n = len(measured.replaced)
    return {
        "replacement": measured.arm.replacement,
        "control": sum(measured.control) / n,
        "replaced": sum(measured.replaced) / n,
        "low": low,
        "high": high,
        "level": level,
        "replicates": n,
        "calls": measured.arm.calls * n,
        "control_calls": 0 if measured.deterministic else measured.arm.control_calls * n,
        "deterministic": measured.deterministic,
        "source": measured.arm.source,
    }


def told(measured: Measured, details: Mapping[str, Any]) -> str:
    """The numbers in words."""
    what = _WORDS[measured.arm.replacement].format(
        role=measured.arm.role, source=measured.arm.source, rules=", ".join(measured.arm.rules) or "new rules"
    )
    n = details["replicates"]
    if measured.deterministic:
        sure = "replay is deterministic: this is exact"
    else:
        sure = (
            f"{details['level']:.0%} interval of the difference [{-details['high']:+.2f}, {-details['low']:+.2f}]; "
            f"{n} replicate{'s' if n > 1 else ''}"
        )
    return f"{what} the score is {details['replaced']:.2f} instead of {details['control']:.2f} ({sure})"


_WORDS = {
    "neutral": "With nothing said in place of what {role} contributed,",
    "previous": "With what {role} wrote at {source}, a round before, in place of this,",
    "peer": "With what {source} wrote in place of what {role} contributed,",
    "fresh": "When {role} runs again,",
    "rules": "Without rule {rules} of {role}",
    "edited rules": "With {role} under other rules ({rules} changed),",
}


def _credit(measured: Measured, level: float) -> Credit:
    arm = measured.arm
    details = numbers(measured, level)
    return Credit(
        rollout=arm.rollout.id,
        task=arm.rollout.task,
        steps=arm.steps,
        value=max(-1.0, min(1.0, measured.value)),
        role=arm.role,
        round=arm.round,
        words=told(measured, details),
        details=details,
        rules=arm.rules,
    )


def _with_kinds(credits_: Sequence[Credit]) -> tuple[Credit, ...]:
    """`details["kind"]`, with the neutral replacement of the same steps at hand."""
    silence = {
        (c.rollout, step): c.value
        for c in credits_
        if c.details["replacement"] == "neutral" and c.value is not None
        for step in c.steps
    }
    made: list[Credit] = []
    for c in credits_:
        quiet = [silence[c.rollout, step] for step in c.steps if (c.rollout, step) in silence]
        kind = _kind(c, min(quiet, default=None))
        made.append(replace(c, details={**c.details, "kind": kind}))
    return tuple(made)


def _kind(credit: Credit, silence: float | None) -> str:
    value = credit.value or 0.0
    if value >= -_NOTHING:
        return "help" if value > _NOTHING else "none"
    if credit.details["replacement"] == "neutral":
        return "commission"
    if silence is None:
        return "harm"
    return "commission" if silence <= _SAME_HARM * value else "omission"
