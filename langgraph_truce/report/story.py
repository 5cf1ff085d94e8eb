"""What a run has to tell, as data: frozen, JSON (`codec.to_json`), read from the records by `optimizer/story.py`.

The page and the terminal report show nothing that is not in here. Scores lie in [0, 1]; None is "not known".
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from langgraph_truce.report.rounds import RoundStory

State = Literal["finished", "stopped early", "unfinished"]
"""Finished; ended before its iterations were done, with or without a sealed test; or still to be resumed."""


@dataclass(frozen=True, slots=True)
class Mean:
    """A mean score with its 95 % interval."""

    mean: float
    low: float
    high: float
    n: int
    """Tasks it rests on, > 0."""


@dataclass(frozen=True, slots=True)
class Contrast:
    """A candidate against the current rules on the same tasks (`seams.Comparison`), without the names of the tasks."""

    n: int
    """Paired tasks; 0 where nothing was compared, and then no other figure means anything."""
    estimate: float
    """Candidate minus baseline, in [-1, 1]."""
    low: float
    high: float
    level: float
    """Coverage of the interval."""
    p_value: float
    """One-sided in the gate, two-sided on the sealed test."""
    baseline: float
    candidate: float
    excluded: Mapping[str, int] = field(default_factory=dict)
    """Rollouts left out, by arm."""


@dataclass(frozen=True, slots=True)
class Moved:
    """A task whose score rose or fell."""

    task: str
    before: float | None = None
    """Mean over the replicates that the records hold."""
    after: float | None = None


@dataclass(frozen=True, slots=True)
class Shift:
    """What changed between two arms, task by task: rose + fell + stayed == tasks."""

    where: str
    """`iteration 2`, or `sealed test`."""
    tasks: int
    rose: int
    """Scores that rose by more than 1e-9: wrong to right, where scores are 0 or 1."""
    fell: int
    """Right to wrong."""
    stayed: int
    binary: bool | None = None
    """True where every score is known to be 0 or 1, False where one is known not to be."""
    right: int | None = None
    """Tasks that stayed right; None unless the scores are known to be 0 or 1."""
    risen: tuple[Moved, ...] = ()
    """The first of those that rose."""
    fallen: tuple[Moved, ...] = ()
    """The first of those that fell."""


@dataclass(frozen=True, slots=True)
class Turn:
    """One iteration."""

    iteration: int
    train: Mean | None
    """Scores of the sampled train tasks under the rules of that time."""
    excluded: int = 0
    """Train rollouts left out: the infrastructure failed."""
    errors: int = 0
    """Train rollouts in which the user's code raised or timed out; scored."""
    baseline: Mean | None = None
    """Validation, the current rules; None where nothing was measured."""
    candidate: Mean | None = None
    contrast: Contrast | None = None
    """What the verdict rests on; None where nothing was measured."""
    decision: str = ""
    """What holds now: accept, reject, inconclusive; declined or deferred by a person, reverted, waiting for an answer;
    empty where the gate has not spoken yet."""
    words: str = ""
    alpha: float | None = None
    """Significance spent on the decisive comparison; 1.0 is no error control."""
    objective: str = "score"
    """`score`; or `tokens`, then the contrast is about savings."""
    needed: int | None = None
    """Validation tasks that would decide at the observed effect (`figures.tasks_needed`), where it was left open."""
    guards: tuple[Mapping[str, Any], ...] = ()
    """As in `seams.Verdict`."""
    looks: tuple[Mapping[str, Any], ...] = ()
    """As in `seams.Verdict`."""
    trials: tuple[Mapping[str, Any], ...] = ()
    """As in `seams.Verdict`."""
    shift: Shift | None = None
    approver: str = ""
    """`gate`, or the person who decided; empty where nobody has yet."""
    source: str = ""
    """Where `train` is not fresh rollouts of train tasks: `read again` (an earlier phase's), or `gate logs` (validation tasks
    that its gate left out)."""
    block: str = ""
    """The prompts that may have been edited, where a method edits blocks in turn: `roles`, `aggregators`."""


@dataclass(frozen=True, slots=True)
class Cell:
    """Credit of one role in one round, over all tasks and iterations."""

    role: str
    """Empty for credit of a whole round."""
    round: int | None
    """None for credit that is about no one round."""
    mean: float
    """In [-1, 1], + good."""
    n: int
    """Credits it rests on."""


@dataclass(frozen=True, slots=True)
class Quote:
    """A cited step, and what was said in it."""

    step: str
    task: str
    """Id of the train task; empty where the step was not found."""
    role: str = ""
    round: int = 0
    said: str = ""
    """Cut in its middle where it is long; the cut says how much is gone."""
    found: bool = True
    """False where the records do not hold the step: nothing can be quoted."""


@dataclass(frozen=True, slots=True)
class Said:
    """One thing that was decided about an edit."""

    kind: str
    """edit, error, review or revert."""
    decision: str
    words: str = ""
    approver: str = ""
    """`gate`, or who said it."""
    at: str = ""
    """ISO time, UTC; empty where it was not written down."""


@dataclass(frozen=True, slots=True)
class EditStory:
    """One edit that was tried, and everything that happened to it."""

    iteration: int
    id: str
    """Empty where a suggestion became no edit."""
    op: str
    agent: str
    rule: str
    before: str
    after: str
    reason: str = ""
    support: float | None = None
    """Share of the sampled train tasks that asked for it."""
    tasks: tuple[str, ...] = ()
    """The train tasks that asked for it."""
    quotes: tuple[Quote, ...] = ()
    cited: int = 0
    """Steps it cites; >= len(quotes)."""
    history: tuple[Said, ...] = ()
    """From the gate's verdict on; the last one holds."""
    estimate: float | None = None
    low: float | None = None
    high: float | None = None
    p_value: float | None = None
    alpha: float | None = None
    fixed: int = 0
    """Validation tasks that rose with the joint set it was tested in."""
    broken: int = 0
    undo: str = ""
    """The command that takes it back; empty where it is not applied."""

    @property
    def decision(self) -> str:
        """What holds now: accept, pruned, reject, inconclusive, error, declined, deferred, reverted, waiting."""
        return self.history[-1].decision if self.history else ""


@dataclass(frozen=True, slots=True)
class RuleStory:
    """A rule that differs between the first and the current rules (`rules.Change`), and the edits that made it so."""

    op: str
    agent: str
    rule: str
    old: str
    new: str
    note: str
    edits: tuple[int, ...]
    """Places in `Story.edits`, in order."""


@dataclass(frozen=True, slots=True)
class TaskStory:
    """A train task that is quoted: what came of it when it was."""

    task: str
    rollout: str
    score: float
    feedback: str
    answer: str
    error: str = ""


@dataclass(frozen=True, slots=True)
class Cost:
    """Model calls of one purpose. Sums over all starts of the run, but `hits` and `failed`, which are the last start's."""

    purpose: str
    """`total` is all of them."""
    calls: int
    hits: int
    input_tokens: int
    output_tokens: int
    seconds: float
    failed: int = 0
    unjournalled: int = 0
    usd: float | None = None
    planned: Mapping[str, Any] = field(default_factory=dict)
    """`{"calls": [low, high], "tokens": [low, high], "usd": [low, high] | None}`; empty where nothing was planned."""


@dataclass(frozen=True, slots=True)
class Noise:
    """How much the system differs from itself with equal rules."""

    source: str
    """Where the figures come from, in words; where `tasks` is 0: how to get them."""
    tasks: int = 0
    flips: float | None = None
    """Share of tasks whose score differs between two runs."""
    floor: float | None = None
    """95 % of the mean differences of two runs over so many tasks are smaller, in size; normal approximation."""
    needed: Mapping[str, int] = field(default_factory=dict)
    """Gain in points, as text -> tasks that are needed to see it, with one replicate."""


@dataclass(frozen=True, slots=True)
class Excluded:
    """Rollouts that do not count in one arm, because the infrastructure failed."""

    where: str
    arm: str
    rollouts: int


@dataclass(frozen=True, slots=True)
class Story:
    """Everything a report of a run shows."""

    run: str
    """The run's place."""
    state: State
    why: str = ""
    """Why it is not finished or ended early."""
    since: str = ""
    """What was taken back after the sealed test, in a sentence; empty where its last rules are the current ones."""
    baseline: Mean | None = None
    """Sealed test, rules as they came; None where it was not measured."""
    final: Mean | None = None
    difference: Contrast | None = None
    """Final against baseline, two-sided."""
    shift: Shift | None = None
    """Of the sealed test."""
    turns: tuple[Turn, ...] = ()
    credit: tuple[Cell, ...] = ()
    """Worst first."""
    rounds: RoundStory | None = None
    """What critics said of rounds, failures and answers; None where the method has none."""
    unsigned: int = 0
    """Credits that say how much something mattered and not whether it helped; they have no mean."""
    rules: tuple[RuleStory, ...] = ()
    edits: tuple[EditStory, ...] = ()
    tasks: tuple[TaskStory, ...] = ()
    """Those quoted, in the order of quotation."""
    costs: tuple[Cost, ...] = ()
    """By purpose, `total` last; empty where the run has not written them down yet."""
    noise: Noise = field(default_factory=lambda: Noise(""))
    excluded: tuple[Excluded, ...] = ()
    missed: Mapping[str, int] = field(default_factory=dict)
    """Role path -> calls that no found prompt has the text of."""
    refused: Mapping[str, int] = field(default_factory=dict)
    """Why contributions could not be replayed -> how many."""
    settings: Mapping[str, Any] = field(default_factory=dict)
    """The manifest: method, gate, seed, hashes."""
    versions: Mapping[str, str] = field(default_factory=dict)
    """Of the packages that read the run, and of the first and the current rules."""

    @property
    def last(self) -> str:
        """What the last rules of the sealed test are called."""
        return "rules as the run left them" if self.since else "rules as they are now"

    @property
    def total(self) -> Cost | None:
        """Costs of all purposes together."""
        return next((c for c in self.costs if c.purpose == "total"), None)
