"""The protocols, one page: what the decisions of a method are given, and what they give back.

A **Method** is seven decisions. Each is an async callable `(batch, memory, lab) -> (result, memory)`: `batch` is what
this iteration knows so far, `memory` JSON kept in the optimizer's state (EMA, buffers, phase), `lab` the only way to
touch the world (run the system, ask a model), journalled, metered and seeded.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol, TypeVar

from pydantic import BaseModel

from langgraph_truce.errors import UserMistake
from langgraph_truce.rules.edit import Edit, Suggestion
from langgraph_truce.rules.rule import RuleBook
from langgraph_truce.task import Outcome, Task
from langgraph_truce.trajectory.step import Segment, Trajectory

Memory = Mapping[str, Any]
"""A decision's memory: JSON, small, kept in the optimizer's checkpoint."""
M = TypeVar("M", bound=BaseModel)


@dataclass(frozen=True, slots=True)
class Rollout:
    """One run of the system on a task, evaluated."""

    id: str
    """Deterministic: made of rule book version, task and replicate."""
    task: str
    """Task id."""
    replicate: int
    """The same task again: 0, 1, ..."""
    version: str
    """Version of the RuleBook it ran with."""
    outcome: Outcome
    trajectory: Trajectory


@dataclass(frozen=True, slots=True)
class Credit:
    """c^(k): what one segment, role or round did for the outcome (TRUCE eq. 2), with words and evidence."""

    rollout: str
    """Id of the rollout it is about."""
    task: str
    steps: tuple[str, ...]
    """Ids of the steps it rests on; each exists in the rollout's trajectory (contract 4)."""
    value: float | None = None
    """How much it helped, in [-1, 1], + good; None for an influence."""
    influence: float | None = None
    """How much it mattered, >= 0, no sign; None for a value."""
    role: str = ""
    """Role path it is about; empty where it is about a whole segment."""
    round: int | None = None
    """Round it is about; None where it is about several."""
    segment: str = ""
    """Id of the segment it is about."""
    words: str = ""
    """The verbal credit: what was done well or badly, and why it mattered."""
    details: Mapping[str, Any] = field(default_factory=dict)
    """Source-specific parts (criteria with score and analysis; expected and given answer), JSON."""
    rules: tuple[str, ...] = ()
    """Ids of the rules of its agent that it blames or praises; each exists in the book. Empty where the source cannot tell."""


@dataclass(frozen=True, slots=True)
class Change:
    """What a replay changes of a rollout, from its fork point on: at most one of the fields after `steps` is set.

    With none set the fork is replayed unedited: the control arm. What is downstream of `steps` runs again; they
    themselves and what ran beside them keep their recorded writes.
    """

    steps: tuple[str, ...] = ()
    """Ids of the changed steps, all of one superstep (a step, or a fan-out); empty only with `book`."""
    neutral: str | None = None
    """These words stand where the steps wrote theirs (the blog's no-op); structure, names and routing stay."""
    instead: str | None = None
    """Id of another step (the role's previous round, a peer): its words stand where the steps wrote theirs."""
    writes: Mapping[str, Any] | None = None
    """Channel -> value, in place of what the steps wrote there."""
    rerun: bool = False
    """True: the steps run again, for a fresh sample; what ran beside them keeps its recorded writes."""
    book: RuleBook | None = None
    """Rules to go on with, from the first step on that runs with a rule that they change."""

    def __post_init__(self) -> None:
        ways = (self.neutral, self.instead, self.writes, self.rerun or None, self.book)
        if sum(way is not None for way in ways) > 1:
            raise UserMistake("a Change names one of neutral, instead, writes, rerun and book, got several")
        if not self.steps and self.book is None:
            raise UserMistake("a Change needs the ids of the steps it is about, got none")


@dataclass(frozen=True, slots=True)
class Comparison:
    """A candidate against the current rules on the same tasks, replicates averaged per task."""

    n: int
    """Paired tasks."""
    estimate: float
    """Mean paired difference, candidate minus baseline, in [-1, 1]."""
    low: float
    """Lower end of the interval of the mean difference at `level`."""
    high: float
    """Upper end."""
    level: float
    """Coverage of the interval, e.g. 0.95."""
    p_value: float
    """One-sided in the gate, two-sided in reports; 1.0 where the test was not used."""
    baseline: float
    """Mean score of the current rules."""
    candidate: float
    """Mean score of the candidate."""
    fixed: tuple[str, ...] = ()
    """Tasks whose score rose by more than 1e-9."""
    broken: tuple[str, ...] = ()
    """Tasks whose score fell."""
    excluded: Mapping[str, int] = field(default_factory=dict)
    """Rollouts left out (infrastructure failures), per arm: `{"baseline": n, "candidate": n}`."""


Decision = Literal["accept", "reject", "inconclusive"]


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the gate decided on the joint candidate of one iteration."""

    decision: Decision
    edits: tuple[Edit, ...]
    """The edits that are kept; empty unless accepted."""
    comparison: Comparison
    """The comparison the decision rests on."""
    alpha: float
    """Significance spent on the decisive comparison, in [0, 1]; 1.0 where there is no error control."""
    words: str
    """The decision in one sentence."""
    trials: tuple[Mapping[str, Any], ...] = ()
    """Every candidate set that was tried: `{"edits": [ids], "decision", "estimate", "p_value", "alpha", "why"}`."""
    objective: str = "score"
    """What `comparison` compares: `score`, or `tokens` (then differences are savings)."""
    guards: tuple[Mapping[str, Any], ...] = ()
    """What must not get worse: `{"key", "margin", "estimate", "low", "high", "p_value", "passed"}` of the decisive set."""
    looks: tuple[Mapping[str, Any], ...] = ()
    """Every look at the decisive set: `{"tasks", "replicates", "estimate", "low", "high", "e_value", "why"}`."""


@dataclass(frozen=True, slots=True)
class Batch:
    """What one iteration knows; each box fills in its part."""

    iteration: int
    """t, from 1."""
    iterations: int
    """K."""
    book: RuleBook
    """Current rules P^(t-1)."""
    tasks: Mapping[str, Task]
    """The sampled train tasks, by id; in a later phase of a turn perhaps log tasks, which are validation tasks (`Method.logs`)."""
    validation: tuple[Task, ...] = ()
    """Seen by the gate alone."""
    rollouts: tuple[Rollout, ...] = ()
    """One evaluated rollout per sampled train task and replicate, of log tasks one each, from the gate; excluded ones are not
    here."""
    segments: Mapping[str, tuple[Segment, ...]] = field(default_factory=dict)
    """Segments by rollout id."""
    credits: tuple[Credit, ...] = ()
    targets: tuple[str, ...] = ()
    """Agents whose rules may be edited now, most urgent first."""
    suggestions: tuple[Suggestion, ...] = ()
    """S: all suggestions of all tasks, then (after merging) the top-k with their support."""
    edits: tuple[Edit, ...] = ()
    """The joint candidate."""
    history: tuple[Mapping[str, Any], ...] = ()
    """Earlier edits of this run: `{"iteration", "edit": Edit.to_json(), "decision"}`; what was rejected is not asked for
    again. Estimates stay out: the gate's error control rests on it (`gate/spend.py`)."""


class Lab(Protocol):
    """What a decision may do to the world."""

    @property
    def seed(self) -> int:
        """Seed of the run."""

    @property
    def has_model(self) -> bool:
        """True where a critic/optimizer model was given: without one, `ask` raises."""

    @property
    def aggregator(self) -> str:
        """Role path of the node that closes a round (`System.aggregator`); empty where there is none."""

    def rng(self, *key: object) -> random.Random:
        """A generator seeded by (seed, *key): the same key gives the same draws, in any order."""

    def about(self, role: str) -> str:
        """What is known of a role, for prompts: its place in the graph and its neighbours; may be empty."""

    async def rollouts(
        self,
        tasks: Sequence[Task],
        book: RuleBook,
        *,
        replicate: int = 0,
        purpose: str = "gate",
        parent: RuleBook | None = None,
    ) -> tuple[Rollout, ...]:
        """Run and evaluate `tasks` with `book`, in order: len(result) == len(tasks); excluded ones have `outcome.excluded`.

        Rollouts that exist already (same book version, task and replicate) are read, not run. With `parent`, the rules that
        `book` was edited from, what the edits cannot have changed is taken from the parent's rollout of the same task
        and replicate, where there is one (DESIGN section 9): the same distribution for fewer calls.
        """

    async def replay(
        self, rollout: Rollout, change: Change, *, replicate: int = 0, purpose: str = "credit"
    ) -> Rollout:
        """Fork a train rollout of this iteration before the changed steps, run what depends on them, and evaluate.

        The result's trajectory begins at the fork. Equal (rollout, change, replicate) are read, not run; where model, place
        and prompt of a call are equal, changes with one replicate number share its reply (common random numbers).
        `trajectory.downstream` tells its calls before.

        Raises:
            ReplayRefused: a tool behind the fork is not declared `safe` or `recorded` (`System.tools`), or the step is not there.
        """

    async def ask(self, prompt: str, fields: Mapping[str, str], schema: type[M], *, purpose: str) -> M:
        """Fill `prompts/PROMPT.md` with `fields`, ask the model for a `schema`, repair once.

        `purpose` (`credit`, `diagnose`, `suggest`, `merge`, `write`) picks the model and the meter.

        Raises:
            ModelReplyError: no readable reply; the caller records it.
        """


class Segmenter(Protocol):
    """Partition ℋ_j into sub-trajectories {h_j^(m)} (Algorithm 1, line 8)."""

    async def __call__(
        self, batch: Batch, memory: Memory, lab: Lab
    ) -> tuple[Mapping[str, tuple[Segment, ...]], Memory]: ...


class Attributor(Protocol):
    """Φ: credit from rollouts, segments and outcomes (TRUCE eq. 2; Algorithm 1, line 10)."""

    async def __call__(self, batch: Batch, memory: Memory, lab: Lab) -> tuple[tuple[Credit, ...], Memory]: ...


class Selector(Protocol):
    """Which agents may be edited now, most urgent first. None: nothing is suggested, merged or written."""

    async def __call__(self, batch: Batch, memory: Memory, lab: Lab) -> tuple[tuple[str, ...], Memory]: ...


class Suggester(Protocol):
    """Ψ: suggestions from credits and the current rules (TRUCE eq. 3; Algorithm 1, line 12)."""

    async def __call__(
        self, batch: Batch, memory: Memory, lab: Lab
    ) -> tuple[tuple[Suggestion, ...], Memory]: ...


class Merger(Protocol):
    """Near-duplicates joined, support counted, top-k kept (TRUCE eq. 4-5; Algorithm 1, line 15)."""

    async def __call__(
        self, batch: Batch, memory: Memory, lab: Lab
    ) -> tuple[tuple[Suggestion, ...], Memory]: ...


class Writer(Protocol):
    """Suggestions written out as edits (TRUCE 4.5; Algorithm 1, line 16). What cannot be written is in `memory["errors"]`."""

    async def __call__(self, batch: Batch, memory: Memory, lab: Lab) -> tuple[tuple[Edit, ...], Memory]: ...


class Gate(Protocol):
    """Accept, reject or leave open the joint candidate `batch.edits` (contract 9)."""

    async def __call__(self, batch: Batch, memory: Memory, lab: Lab) -> tuple[Verdict, Memory]: ...


@dataclass(frozen=True, slots=True)
class Method:
    """The decisions of one optimization method; every other method is `replace(method, credit=...)`."""

    name: str
    segment: Segmenter
    credit: Attributor
    select: Selector
    suggest: Suggester
    merge: Merger
    write: Writer
    gate: Gate
    iterations: int = 5
    """K: at most so many iterations (TRUCE B.3: five)."""
    sample: int | None = None
    """Train tasks drawn per iteration; None takes all."""
    reuse: bool = False
    """True: train rollouts of unchanged rules are read again in later iterations (right for deterministic models).
    False: every iteration runs its tasks afresh, as in TRUCE's Algorithm 1, line 6."""
    phases: int = 1
    """Iterations of one turn, >= 1: a method that edits blocks of prompts in turn has one for each block (TSCA's phases A and
    B). The iterations of a turn draw the same train tasks with the same replicate number: while the rules stand, the later
    phases read the rollouts of the first."""
    logs: float = 0.0
    """Share of the validation tasks, in [0, 1), whose gate rollouts a later phase may read when an earlier phase of its turn
    changed the rules: it then proposes from them, without a train rollout, and from then on no gate uses these tasks. They are
    drawn by the run's seed, before anything is known of them. 0.0: train tasks are run with the new rules."""
    marked: bool = False
    """True: a decision needs rounds that a node closes; a system that does not name it (`System.aggregator`) is refused before
    anything is spent."""
    patience: int | None = None
    """Stop after so many iterations without an acceptance; None uses all K."""
    forks: bool = False
    """True: the checkpoints of train rollouts are kept, because a decision calls `Lab.replay`."""
    trials: int = 1
    """Candidate sets the gate may try per iteration, at most; for `plan`."""
    asks: Callable[[int, int], Mapping[str, tuple[int, int]]] | None = None
    """(sampled tasks, agents) -> critic and optimizer calls per iteration by purpose, (fewest, most); None: no calls."""
    settings: Mapping[str, Any] = field(default_factory=dict)
    """What the method was made with, as JSON: part of the run's identity, so that a run resumes as what it began."""
