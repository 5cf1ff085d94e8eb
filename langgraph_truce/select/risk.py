"""Structural credit and risk of the roles (TSCA 4.3, 5.1). Pure."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean, stdev

from scipy.special import stdtrit

from langgraph_truce.batch import agents_of
from langgraph_truce.rules.rule import RuleBook
from langgraph_truce.seams import Credit

SURE = 0.95
"""One-sided: how sure it must be that a role's credit is below the threshold."""
SPREAD = 0.1
"""Credits of few rollouts may be equal by luck: their standard deviation counts as this at least, in units of credit."""
Rounds = Mapping[int, Sequence[Credit]]
"""Round -> what was said in it by one agent, in one rollout."""


@dataclass(frozen=True, slots=True)
class Standing:
    """How one agent does."""

    credit: float
    """C_role in [0, 1]."""
    spread: float
    """Standard deviation of its rollouts' credits; 0.0 for one rollout."""
    risk: float
    """Share of its last answers that are wrong, in [0, 1]; 1 - C_role where none can be scored."""
    n: int
    """Rollouts in which it spoke."""

    @property
    def upper(self) -> float:
        """Upper end of the one-sided 95 % interval (Student's t) of the credit; 1.0 for a single rollout."""
        if self.n == 1:
            return 1.0
        half = float(stdtrit(self.n - 1, SURE)) * max(self.spread, SPREAD) / math.sqrt(self.n)
        return min(self.credit + half, 1.0)

    def low(self, threshold: float) -> bool:
        """Is its credit below the threshold, beyond what few rollouts and a noisy critic do by luck?

        Args:
            threshold: in [0, 1]; 1.0 is none: everybody counts as low, and the worst K are left, as in TSCA 5.1.
        """
        return threshold >= 1 or self.upper < threshold


def role_credit(credits: Sequence[Credit], book: RuleBook | None = None) -> dict[str, float]:  # noqa: A002 - our word
    """C_role_i, the structural credit in [0, 1] (TSCA 4.3): per rollout the mean over rounds of c_it, then the mean over rollouts.

    Rounds in which the role did not speak are left out; several utterances of it in one round are averaged first.

    Args:
        credits: as `credit.critics` gives them; others are not looked at.
        book: whose agents the credits go to: role prompts that are not shared over rounds (`solver@2`) are agents of their own,
            and roles without rules are left out. None: by role.
    """
    return {agent: fmean(_own(rollouts)) for agent, rollouts in _spoken(credits, book).items()}


def standings(credits: Sequence[Credit], book: RuleBook | None = None) -> dict[str, Standing]:  # noqa: A002 - our word
    """Credit and risk of every agent that spoke, by name.

    The risk statistic is ours, TSCA names none: the share of an agent's scorable final-round answers that are wrong, where the
    final round is the last one in which it spoke (a role may have been stopped earlier, a prompt `solver@1` has one round only).
    Several answers in that round count together as one.

    Args:
        credits: as for `role_credit`.
        book: as for `role_credit`.
    """
    found: dict[str, Standing] = {}
    for agent, rollouts in sorted(_spoken(credits, book).items()):
        own = _own(rollouts)
        last = [rounds[max(rounds)] for rounds in rollouts.values()]
        rights = [[r for c in said if (r := c.details.get("right")) is not None] for said in last]
        wrong = [fmean(not r for r in answers) for answers in rights if answers]
        credit = fmean(own)
        spread = stdev(own) if len(own) > 1 else 0.0
        found[agent] = Standing(credit, spread, fmean(wrong) if wrong else 1 - credit, len(own))
    return found


def lowest_roles(found: Mapping[str, Standing], *, threshold: float, most: int) -> tuple[str, ...]:
    """The `most` agents of the highest risk among those whose credit is low; ties: lower credit, then name."""
    low = [(-s.risk, s.credit, name) for name, s in found.items() if s.low(threshold)]
    return tuple(name for *_, name in sorted(low)[:most])


def _own(rollouts: Mapping[str, Rounds]) -> list[float]:
    """C of one agent in each rollout: the mean over its rounds."""
    return [fmean(_c(said) for said in rounds.values()) for rounds in rollouts.values()]


def _spoken(
    credits_: Sequence[Credit], book: RuleBook | None
) -> dict[str, dict[str, dict[int, list[Credit]]]]:
    """Agent -> rollout -> round -> credits of what it said there."""
    out: dict[str, dict[str, dict[int, list[Credit]]]] = {}
    for credit in credits_:
        if credit.round is None or credit.details.get("kind") != "role":
            continue
        agents = (credit.role,) if book is None else agents_of(book, credit.role, credit.round)
        for agent in agents:
            out.setdefault(agent, {}).setdefault(credit.rollout, {}).setdefault(credit.round, []).append(
                credit
            )
    return out


def _c(said: Sequence[Credit]) -> float:
    return fmean(float(credit.details["c"]) for credit in said)
