"""What the critics of a run say of its rounds, roles and failures, as data for the report (TSCA appendix D, section 5)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class RoundRow:
    """One round over all judged runs (TSCA table 4)."""

    round: int
    """t, from 1; 0 for runs that broke off before a round was over."""
    runs: int
    """Diagnosed runs whose last round it was."""
    share: float
    """Of all diagnosed runs, in [0, 1]."""
    score: float | None
    """Mean score of their diagnoses, 0 to 5; None where there is none."""
    aggregates: int = 0
    """Aggregates of this round that the critic judged."""
    credit: float | None = None
    """C_time: their mean q, in [0, 1]; None where there is none."""
    failures: int = 0
    """Informative failures among them: the aggregate's answer was wrong, and some agent's was right; where answers cannot be
    scored, the critic's scores say so (`select.temporal.signals`)."""


@dataclass(frozen=True, slots=True)
class PatternRow:
    """One pattern of failure over all diagnosed runs (TSCA tables 5 and 6)."""

    pattern: str
    """`NONE` for solved runs."""
    runs: int
    share: float
    """Of all diagnosed runs, in [0, 1]."""
    score: float
    """Mean score, 0 to 5."""
    meaning: str
    """In words; empty for `NONE`."""
    by_round: Mapping[int, int]
    """Last round -> runs."""


@dataclass(frozen=True, slots=True)
class AgreementRow:
    """Critics' credit against the answers of one role (`credit.agreement`)."""

    role: str
    """Empty: all roles together."""
    right: int
    wrong: int
    mean_right: float | None
    """Mean credit where its own answer was right, in [0, 1]."""
    mean_wrong: float | None
    auc: float | None
    """Chance that a right answer has the higher credit of a pair; 0.5 is chance."""


@dataclass(frozen=True, slots=True)
class AblationRow:
    """The accepted changes of some agents alone, against the rules as they came; after the fact, without error control."""

    name: str
    round: int | None
    """Round of an aggregator that has one of its own."""
    n: int
    estimate: float
    low: float
    high: float
    fixed: int
    broken: int


@dataclass(frozen=True, slots=True)
class RoundStory:
    """What critics and diagnoses said; each run counts once, however many iterations read it."""

    runs: int
    """Diagnosed runs."""
    rounds: tuple[RoundRow, ...] = ()
    patterns: tuple[PatternRow, ...] = ()
    """`NONE` first, then by frequency; patterns that did not occur are left out."""
    agreement: tuple[AgreementRow, ...] = ()
    ablation: tuple[AblationRow, ...] = ()
    """Empty where `langgraph-truce ablate` was not run."""
