"""Arms measured: every change and every control replayed side by side, paired by replicate."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from langgraph_truce.asking import KEPT, keep, side_by_side
from langgraph_truce.credit.arms import Arm
from langgraph_truce.errors import ReplayRefused, UserMistake
from langgraph_truce.seams import Change, Lab, Memory, Rollout


@dataclass(frozen=True, slots=True)
class Measured:
    """The scores of one arm and its control; `control[i]` and `replaced[i]` have the same replicate number."""

    arm: Arm
    control: tuple[float, ...]
    replaced: tuple[float, ...]
    deterministic: bool
    """True: the recorded outcome is the control, and one replay says all."""

    @property
    def differences(self) -> tuple[float, ...]:
        """Score of the control minus that of the replaced arm, by replicate, in [-1, 1]: + where the contribution helped."""
        return tuple(c - r for c, r in zip(self.control, self.replaced, strict=True))

    @property
    def value(self) -> float:
        """Mean difference in [-1, 1]."""
        return sum(self.differences) / len(self.differences)


Record = dict[str, Any]
"""Why an arm has no value: `{"rollout", "role", "round", "replacement", "why"}`."""
_LONGEST = 300
"""Characters of a reason."""
_Key = tuple[str, tuple[str, ...], str | None, str | None, bool, int]
_Scores = list[float | None] | str


async def measure(
    arms: Sequence[Arm], lab: Lab, *, replicates: int, deterministic: bool = False
) -> tuple[tuple[Measured, ...], tuple[Record, ...]]:
    """Replay every arm and, unless replays are `deterministic`, every control once, with replicates 0, 1, ...

    A replay that is refused, or whose infrastructure failed in every replicate, costs its own arm and is recorded; the
    others go on. Equal arms are measured once.

    Raises:
        UserMistake: `deterministic`, and the recorded score weighs progress: a replay's covers the rounds from its fork on
            alone, and only an unedited replay is like it.
    """
    if deterministic and any(_shaped(arm.rollout) for arm in arms):
        raise UserMistake(
            "deterministic=True compares replays with recorded scores, and these weigh the progress of all rounds "
            "(shaping=); take deterministic=False, or an evaluator without shaping"
        )
    jobs: dict[_Key, tuple[Rollout, Change]] = {}
    for arm in arms:
        changes = (arm.change,) if deterministic else (arm.change, arm.control)
        jobs |= {_key(arm.rollout, change): (arm.rollout, change) for change in changes}
    numbers = range(replicates)
    scored = await side_by_side(
        _score(rollout, change, lab, n) for rollout, change in jobs.values() for n in numbers
    )
    by_job = [scored[i : i + replicates] for i in range(0, len(scored), replicates)]
    scores = {key: _together(found) for key, found in zip(jobs, by_job, strict=True)}
    found: dict[_Key, Measured] = {}
    records: dict[_Key, Record] = {}
    for arm in arms:
        key = _key(arm.rollout, arm.change)
        if deterministic:
            control: _Scores = [arm.rollout.outcome.score] * replicates
        else:
            control = scores[_key(arm.rollout, arm.control)]
        one = _paired(arm, control, scores[key], deterministic=deterministic)
        if isinstance(one, Measured):
            found[key] = one
        else:
            records[key] = record(arm, one)
    return tuple(found.values()), tuple(records.values())


def _shaped(rollout: Rollout) -> bool:
    """Is the recorded score none that the evaluator gave, but mixed with progress?"""
    outcome = rollout.outcome
    return bool(outcome.progress) and outcome.score not in outcome.scores.values()


def _key(rollout: Rollout, change: Change) -> _Key:
    """What makes two replays one; a rule book by its identity, because hashing it for every arm takes long."""
    book = id(change.book) if change.book else 0
    return rollout.id, change.steps, change.neutral, change.instead, change.rerun, book


def record(arm: Arm, why: str) -> Record:
    """Why `arm` has no value, for a memory."""
    return {
        "rollout": arm.rollout.id,
        "role": arm.role,
        "round": arm.round,
        "replacement": arm.replacement,
        "why": why,
    }


def keep_refused(memory: Memory, name: str, records: Sequence[Mapping[str, Any]]) -> Memory:
    """As `keep`, and in `NAME_why` why -> how many, over all iterations; the most frequent KEPT (20) reasons stay.

    One reason holds for many rollouts, visits and arguments of a tool: none of them is named in it.
    """
    why: Counter[str] = Counter(memory.get(f"{name}_why", {}))
    why.update(f"{r['role']}: {_reason(r)}" for r in records)
    return {**keep(memory, name, records), f"{name}_why": dict(why.most_common(KEPT))}


def _reason(record: Mapping[str, Any]) -> str:
    said = str(record["why"])
    if rollout := record.get("rollout"):
        said = said.replace(f"thread {rollout!r}", "its thread").replace(repr(rollout), "the rollout")
    said = re.sub(r" with \{.*\}, which", " with arguments with which", said, flags=re.DOTALL)
    return re.sub(r"#\d+\.\d+", "", said)[:_LONGEST]


async def _score(rollout: Rollout, change: Change, lab: Lab, replicate: int) -> float | str | None:
    """The score, None where the replay was excluded; the sentence where it is refused."""
    try:
        outcome = (await lab.replay(rollout, change, replicate=replicate)).outcome
    except ReplayRefused as refused:
        return str(refused)
    return None if outcome.excluded else outcome.score


def _together(found: Sequence[float | str | None]) -> _Scores:
    """One score for each replicate; the sentence where one was refused."""
    refused = [one for one in found if isinstance(one, str)]
    return refused[0] if refused else [one for one in found if not isinstance(one, str)]


def _paired(arm: Arm, control: _Scores, replaced: _Scores, *, deterministic: bool) -> Measured | str:
    if isinstance(replaced, str):
        return replaced
    if isinstance(control, str):
        return f"the unedited replay was refused: {control}"
    pairs = [(c, r) for c, r in zip(control, replaced, strict=True) if c is not None and r is not None]
    if not pairs:
        return "the infrastructure failed in every replicate of the replay or of its control"
    return Measured(arm, tuple(c for c, _ in pairs), tuple(r for _, r in pairs), deterministic)
