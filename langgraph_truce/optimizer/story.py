"""A run's records as a `Story`: everything a report shows, of finished and of unfinished runs."""

from __future__ import annotations

import platform
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from importlib.metadata import version
from typing import Any

from langgraph_truce.errors import GateRefused, RunError
from langgraph_truce.gate import compare
from langgraph_truce.optimizer.ledger import REVERT, standing
from langgraph_truce.optimizer.noise import NOISE, read_noise
from langgraph_truce.optimizer.phases import LOGS
from langgraph_truce.optimizer.place import Place
from langgraph_truce.optimizer.proposal import waiting
from langgraph_truce.optimizer.reasons import read_command, undo_command
from langgraph_truce.optimizer.records import Records
from langgraph_truce.optimizer.result import Estimate
from langgraph_truce.optimizer.sealed import PLAN
from langgraph_truce.optimizer.story_edits import edit_stories, rule_stories
from langgraph_truce.optimizer.story_rollouts import MOVED, Cited, noise_story, own_noise
from langgraph_truce.optimizer.story_rounds import round_story
from langgraph_truce.optimizer.story_turns import AGAIN, Boxes, book_named, contrast_of, turns
from langgraph_truce.report.story import (
    Cell,
    Cost,
    Excluded,
    Mean,
    Moved,
    Noise,
    Shift,
    State,
    Story,
    Turn,
)
from langgraph_truce.rules import RuleBook
from langgraph_truce.seams import Comparison

ORDER = ("evaluate", "segment", "credit", "select", "suggest", "merge", "write", "gate")
"""The boxes of an iteration that leave a record."""
PACKAGES = ("langgraph-truce", "langgraph", "langchain-core")
TOTAL = "total"
"""The row of all purposes together."""


async def story_of(
    records: Records,
    place: Place,
    manifest: Mapping[str, Any],
    done: Sequence[Boxes],
    meter: Mapping[str, Mapping[str, Any]] | None = None,
) -> Story:
    """The story of a run.

    Args:
        records: The run's records; only read.
        place: Where it is kept.
        manifest: What `run.json` says.
        done: What its boxes left (`boxes`).
        meter: Costs so far of a run that has no test yet; None where they are not known.
    """
    test = await records.read_box(0, "test")
    ledger = await records.ledger()
    cited = Cited(records)
    command = read_command(place)
    asked = [name for box in done for name in box.waiting]
    edits = await edit_stories(ledger, cited, lambda name: undo_command(str(place), name, command), asked)
    initial, current = await _books(records, manifest, test, ledger)
    before, after, difference = _sealed(test)
    state, why = await _state(records, test, done, difference)
    return Story(
        run=str(place),
        state=state,
        why=why,
        since=_since(test, current, ledger),
        baseline=before,
        final=after,
        difference=contrast_of(difference) if difference else None,
        shift=_test_shift(test, difference) if test and difference else None,
        turns=_with_blocks(await turns(records, done, initial, ledger), manifest),
        credit=cells(done),
        rounds=round_story(place, done),
        unsigned=sum(c["value"] is None for b in _judged(done) for c in b.credits),
        rules=rule_stories(initial, current, edits) if initial and current else (),
        edits=edits,
        tasks=tuple(cited.tasks.values()),
        costs=_costs((test or {}).get("meter") or meter or {}, await records.read_box(0, PLAN) or {}),
        noise=_kept_noise(place) or await own_noise(records, [b.iteration for b in done]),
        excluded=_excluded(done, test),
        missed=(test or {}).get("missed") or {},
        refused=(test or {}).get("refused") or {},
        settings=manifest,
        versions={
            "rules as they came": initial.version if initial else "",
            "rules as they are now": current.version if current else "",
            "python": platform.python_version(),
            **{name: version(name) for name in PACKAGES},
        },
    )


def _with_blocks(found: Sequence[Turn], manifest: Mapping[str, Any]) -> tuple[Turn, ...]:
    """With the block of prompts that each iteration may have edited, where the method edits blocks in turn."""
    blocks = (manifest.get("settings") or {}).get("blocks") or ()
    if len(blocks) <= 1:
        return tuple(found)
    return tuple(replace(t, block=str(blocks[(t.iteration - 1) % len(blocks)])) for t in found)


def scores_of(outcomes: Mapping[str, Any]) -> dict[str, list[float | None]]:
    """Test scores by task; None where the rollout was excluded."""
    return {task: [None if o["excluded"] else o["score"]] for task, o in outcomes.items()}


def cells(done: Iterable[Boxes]) -> tuple[Cell, ...]:
    """Mean credit by role and round, worst first; credits without a value and diagnoses of whole runs are left out.

    Rollouts that a later phase of a turn read again count once.
    """
    values: dict[tuple[str, int | None], list[float]] = defaultdict(list)
    for box in _judged(done):
        for c in box.credits:
            if c["value"] is not None and (c.get("details") or {}).get("kind") != "diagnosis":
                values[c["role"], c["round"]].append(c["value"])
    found = [Cell(role, r, sum(v) / len(v), len(v)) for (role, r), v in values.items()]
    return tuple(sorted(found, key=lambda c: (c.mean, c.role, c.round or 0)))


def _judged(done: Iterable[Boxes]) -> list[Boxes]:
    """Iterations whose rollouts no earlier one has read."""
    return [box for box in done if box.source != AGAIN]


def difference_of(test: Mapping[str, Any]) -> Comparison | None:
    """Final against baseline on the sealed test; None where no task has a score in both arms."""
    if not (test.get("initial") and test.get("final")):
        return None
    try:
        return compare(scores_of(test["initial"]), scores_of(test["final"]), alternative="two-sided")
    except GateRefused:
        return None


def _sealed(test: Mapping[str, Any] | None) -> tuple[Mean | None, Mean | None, Comparison | None]:
    means: list[Mean | None] = []
    for arm in ("initial", "final"):
        scores = [s for row in scores_of((test or {}).get(arm) or {}).values() for s in row if s is not None]
        e = Estimate.of(scores)
        means.append(Mean(e.mean, e.low, e.high, e.n) if e.n else None)
    return means[0], means[1], difference_of(test) if test else None


async def _state(
    records: Records, test: Mapping[str, Any] | None, done: Sequence[Boxes], difference: Comparison | None
) -> tuple[State, str]:
    if test is not None:
        stopped = str(test.get("stopped") or "")
        return ("stopped early", stopped) if stopped or difference is None else ("finished", "")
    if not done:
        return "unfinished", "no iteration has been evaluated yet"
    t = done[-1].iteration
    if done[-1].proposal is not None and done[-1].waiting and not done[-1].answered:
        return "unfinished", waiting(done[-1].proposal)
    reached = ORDER[0]
    for name in ORDER:
        reached = name if await records.read_box(t, name) is not None else reached
    return "unfinished", f"it has come to iteration {t}, {reached}"


async def _books(
    records: Records,
    manifest: Mapping[str, Any],
    test: Mapping[str, Any] | None,
    ledger: Sequence[Mapping[str, Any]],
) -> tuple[RuleBook | None, RuleBook | None]:
    """The first and the current rules; None where the run has not written any."""
    first = str(test["versions"]["initial"] if test else manifest.get("rules", ""))
    changed = [line["version_after"] for line in ledger if line.get("version_after")]
    later = any(line.get("kind") == REVERT for line in ledger)
    ended = test["versions"]["final"] if test and not later else ""
    last = str(ended or (changed[-1] if changed else first))
    initial = await book_named(records, first)
    return initial, await book_named(records, last) or initial


def _since(
    test: Mapping[str, Any] | None, current: RuleBook | None, ledger: Sequence[Mapping[str, Any]]
) -> str:
    """What was taken back after the sealed test, whose score then is not that of the current rules; empty: nothing."""
    if test is None or current is None or current.version == test["versions"]["final"]:
        return ""
    back = [line for line in standing(ledger).values() if line.get("kind") == REVERT]
    said = " and ".join(f"{line['id']} by {line['approver']}" for line in back)
    return f"After the sealed test, taken back: {said}. The rules as they are now were not on it."


def _test_shift(test: Mapping[str, Any], c: Comparison) -> Shift:
    before, after = scores_of(test["initial"]), scores_of(test["final"])
    every = [s for arm in (before, after) for row in arm.values() for s in row if s is not None]
    binary = all(s in {0.0, 1.0} for s in every)
    both = [(b, a) for task in before if None not in (b := before[task][0], a := after[task][0])]

    def named(tasks: Sequence[str]) -> tuple[Moved, ...]:
        return tuple(Moved(t, before[t][0], after[t][0]) for t in tasks[:MOVED])

    rose, fell = len(c.fixed), len(c.broken)
    right = sum(b == 1 and a == 1 for b, a in both) if binary else None
    return Shift(
        "sealed test",
        c.n,
        rose,
        fell,
        c.n - rose - fell,
        binary,
        right,
        named(c.fixed),
        named(c.broken),
    )


def _costs(meter: Mapping[str, Mapping[str, Any]], planned: Mapping[str, Any]) -> tuple[Cost, ...]:
    names = [*sorted({*meter, *planned} - {TOTAL}), *([TOTAL] if meter else [])]
    planned = {TOTAL: _summed(list(planned.values())), **planned} if planned else {}
    counted = ("calls", "hits", "input_tokens", "output_tokens", "seconds", "failed", "unjournalled")
    return tuple(
        Cost(
            name,
            **{k: meter.get(name, {}).get(k) or 0 for k in counted},
            usd=meter.get(name, {}).get("usd"),
            planned=dict(planned.get(name) or {}),
        )
        for name in names
    )


def _summed(rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Planned ranges of all purposes together; None where one of them is not known."""
    out: dict[str, Any] = {}
    for kind in ("calls", "tokens", "usd"):
        ranges = [row.get(kind) for row in rows]
        known = [r for r in ranges if r]
        called = sum((row.get("calls") or [0, 0])[1] > 0 for row in rows)
        whole = known and len(known) >= called
        out[kind] = [sum(r[0] for r in known), sum(r[1] for r in known)] if whole else None
    return out


def _excluded(done: Iterable[Boxes], test: Mapping[str, Any] | None) -> tuple[Excluded, ...]:
    found = []
    for box in done:
        if box.evaluate.get("source") != LOGS:  # what the gate left, excluded ones apart
            left = box.evaluate.get("excluded", 0)
            found.append(Excluded(f"iteration {box.iteration}, train", "current", left))
        for verdict, which in zip(box.verdicts, ("", ", tested again"), strict=False):
            for arm, n in verdict["comparison"].get("excluded", {}).items():
                found.append(Excluded(f"iteration {box.iteration}, validation{which}", arm, n))
    for arm, name in (("initial", "baseline"), ("final", "candidate")):
        outcomes = ((test or {}).get(arm) or {}).values()
        if outcomes:
            found.append(Excluded("sealed test", name, sum(bool(o["excluded"]) for o in outcomes)))
    return tuple(found)


def _kept_noise(place: Place) -> Noise | None:
    """What `langgraph-truce noise` left in the run folder."""
    found = read_noise(place)
    if found is None:
        return None
    try:
        return noise_story(found, "Measured by `langgraph-truce noise`.")
    except (ValueError, KeyError, TypeError) as e:
        file = place.folder / NOISE
        raise RunError(f"{file}: damaged, or not from `langgraph-truce noise`: {e!r}; remove it") from e
