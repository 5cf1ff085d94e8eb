"""What a run gives: scores with intervals, the rules, and the evidence for every change."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from scipy import stats

from langgraph_truce.report import page, terminal
from langgraph_truce.report.story import Story
from langgraph_truce.rules import RuleBook, diff
from langgraph_truce.seams import Comparison


@dataclass(frozen=True, slots=True)
class Estimate:
    """A mean score with its 95 % interval."""

    mean: float
    """In [0, 1], higher is better."""
    low: float
    high: float
    n: int
    """Tasks it rests on."""

    @classmethod
    def of(cls, scores: Sequence[float], level: float = 0.95) -> Estimate:
        """Mean of `scores`: Wilson's interval where all are 0 or 1, else Student's t within [0, 1]."""
        n = len(scores)
        if n == 0:
            return cls(math.nan, 0.0, 1.0, 0)
        mean = math.fsum(scores) / n
        if all(s in {0.0, 1.0} for s in scores):
            ci = stats.binomtest(round(math.fsum(scores)), n).proportion_ci(level, method="wilson")
            return cls(mean, float(ci.low), float(ci.high), n)
        if n == 1:
            return cls(mean, 0.0, 1.0, 1)
        half = float(stats.t.ppf((1 + level) / 2, n - 1)) * float(stats.sem(scores))
        return cls(mean, max(0.0, mean - half), min(1.0, mean + half), n)


@dataclass(frozen=True)
class Result:
    """The outcome of an optimization. Final figures come from the test split, which was opened once, at the end."""

    baseline: Estimate
    """Test score of the rules it began with."""
    final: Estimate
    """Test score of the rules it ended with."""
    difference: Comparison
    """Final against baseline, paired by task; two-sided p-value."""
    initial: RuleBook
    """The rules it began with."""
    rules: RuleBook
    """The rules it ended with, without what was taken back since (`revert`)."""
    ledger: tuple[Mapping[str, Any], ...]
    """One line per edit that was tried: the edit, its evidence, the verdict (`optimizer.ledger.lines`); then what became of it."""
    iterations: tuple[Mapping[str, Any], ...]
    """One row per iteration: train score, how it stands, in words and by whom, and the figures of its last gate."""
    credits: Mapping[str, Mapping[str, float]]
    """Credit by role: `{"mean": in [-1, 1], "n": credits}`, over all iterations."""
    meter: Mapping[str, Mapping[str, float]]
    """Calls, journal hits, tokens and seconds by purpose; `"usd"`: dollars, None where a model's price is unknown."""
    folder: Path
    """The run folder."""
    stopped: str = ""
    """Why it ended before all was done: the budget was spent. Then the rules are the best that were proven by then, and where
    the test could not be paid either, `baseline.n`, `final.n` and `difference.n` are 0."""
    planned: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """What `plan` said at the start, by purpose: `{"calls": [low, high], "tokens": [low, high], "usd": [low, high] | None}`."""
    missed: Mapping[str, int] = field(default_factory=dict)
    """Role path -> model calls that went out unchanged, because `System.discover` had found no prompt of that text."""

    refused: Mapping[str, int] = field(default_factory=dict)
    """Why contributions could not be replaced and replayed -> how many; they have no counterfactual credit."""
    story: Story = field(default_factory=lambda: Story("", "unfinished"))
    """Everything the reports show, as data."""

    def diff(self) -> str:
        """The accepted changes, rule by rule."""
        return diff(self.initial, self.rules)

    def report(self) -> str:
        """The report as terminal text."""
        return terminal.render(self.story)

    def report_html(self) -> str:
        """The report as one self-contained HTML page."""
        return page.render(self.story)

    def write_report(self, path: Path | str | None = None) -> Path:
        """Write the HTML page, by default as `report.html` into the run folder, and give its path.

        Raises:
            RunError: the file cannot be written.
        """
        return page.write(self.story, Path(path) if path is not None else self.folder / page.FILE)
