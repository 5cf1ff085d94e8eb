"""Figures that are worked out from others, and figures in words."""

from __future__ import annotations

import math
from typing import NamedTuple

from scipy import stats

from langgraph_truce.report.story import Contrast, Mean, Shift, Story

POWER = 0.8
"""The chance of a proof that `tasks_needed` asks for."""
LEVEL = 0.95
_SMALLEST_P = 0.001


class Part(NamedTuple):
    """A piece of a sentence; `figure` names the figure it says, `value` is that figure."""

    text: str
    figure: str = ""
    value: float | None = None


def mean_of(mean: float, n: int, level: float = LEVEL) -> Mean:
    """A mean of `n` > 0 scores in [0, 1] with Wilson's interval.

    Scores between 0 and 1 vary less than scores of 0 and 1 with the same mean, so for them the interval is, if
    anything, too wide.
    """
    z = float(stats.norm.isf((1 - level) / 2))
    share = min(1.0, max(0.0, mean))
    middle = (share + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * math.sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    return Mean(mean, max(0.0, middle - half), min(1.0, middle + half), n)


def tasks_needed(contrast: Contrast, moved: int, alpha: float) -> int | None:
    """Tasks with which a gain as large as the observed one is proven at `alpha` with a chance of 0.8.

    Normal approximation of the one-sided paired test; `moved` tasks rose or fell. Where scores are 0 or 1 the
    differences' mean square is moved / n; for others that is an upper bound, and so is the result.

    Returns:
        None where the observed effect is no gain, or there is no error control.
    """
    if contrast.n == 0 or contrast.estimate <= 0 or not 0 < alpha < 1:
        return None
    variance = max(moved / contrast.n - contrast.estimate**2, 0.0)
    z = float(stats.norm.isf(alpha)) + float(stats.norm.ppf(POWER))
    fewest = math.ceil(math.log2(1 / alpha))  # below that not even unanimous tasks pass the exact test
    return max(fewest, math.ceil(variance * (z / contrast.estimate) ** 2))


def p_value(p: float) -> str:
    """A p-value as people write it."""
    return "p < 0.001" if p < _SMALLEST_P else f"p = {p:.3f}"


def points(value: float) -> str:
    """A difference of scores with its sign."""
    return f"{value:+.3f}"


def verdict(story: Story) -> tuple[Part, ...]:
    """The run in one sentence, with its figures."""
    # those taken back after the sealed test were in the rules that it ended with
    counted = {"accept", "reverted"} if story.since else {"accept"}
    accepted = sum(e.decision in counted for e in story.edits)
    edits = Part(f"{accepted} edit{'' if accepted == 1 else 's'}", "edits.accepted", accepted)
    if story.state == "unfinished":
        begun = Part(f"This run is not finished ({story.why}): ")
        return begun, edits, Part(" accepted so far, and the sealed test has not been opened.")
    d, before, after = story.difference, story.baseline, story.final
    if d is None or before is None or after is None:
        why = story.why.rstrip(".") or "no task has a score with both rules"
        more = " The same command with a larger budget goes on with its test." if "budget" in why else ""
        return Part(f"The sealed test was not measured ({why}); "), edits, Part(f" accepted.{more}")
    way = "rose" if d.estimate > 0 else "fell" if d.estimate < 0 else "stayed"
    proven = "a difference is shown" if d.p_value <= 1 - d.level else "a difference is not shown"
    since = f" {story.since}" if story.since else ""
    early = ""
    if story.state == "stopped early":
        early = f" The run ended early: {story.why.rstrip('.')}. It is over: its test is opened once. A larger budget needs a new run, "
        early += "which can begin with the rules of this one."
    return (
        Part("With "),
        edits,
        Part(" accepted, the score on "),
        Part(str(d.n), "test.difference.n", d.n),
        Part(f" sealed test tasks {way} from "),
        Part(f"{before.mean:.3f}", "test.baseline.mean", before.mean),
        Part(" to "),
        Part(f"{after.mean:.3f}", "test.final.mean", after.mean),
        Part(": "),
        Part(points(d.estimate), "test.difference.estimate", d.estimate),
        Part(f", {d.level:.0%} interval "),
        Part(points(d.low), "test.difference.low", d.low),
        Part(" to "),
        Part(points(d.high), "test.difference.high", d.high),
        Part(", "),
        Part(p_value(d.p_value), "test.difference.p_value", d.p_value),
        Part(f" (paired, two-sided); {proven}.{early}{since}"),
    )


def shift_words(shift: Shift) -> tuple[str, str]:
    """What rising and falling is called: by right and wrong only where scores are known to be 0 or 1."""
    return ("wrong to right", "right to wrong") if shift.binary else ("rose", "fell")
