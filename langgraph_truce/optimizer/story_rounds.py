"""Critics' credits of a run as a `RoundStory`: rounds, patterns of failure, agreement with the answers, ablation."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from statistics import fmean
from typing import Any

from langgraph_truce.codec import from_json
from langgraph_truce.credit.agreement import agreement
from langgraph_truce.credit.diagnosis import NONE, PATTERNS
from langgraph_truce.optimizer.ablated import read_ablation
from langgraph_truce.optimizer.place import Place
from langgraph_truce.optimizer.story_turns import Boxes
from langgraph_truce.report.rounds import AblationRow, AgreementRow, PatternRow, RoundRow, RoundStory
from langgraph_truce.seams import Credit
from langgraph_truce.select.temporal import signals


def round_story(place: Place, done: Iterable[Boxes]) -> RoundStory | None:
    """What the critics of a run said; None where its method has no critics and nothing was ablated.

    Raises:
        RunError: `ablation.json` is damaged.
    """
    judged = _once(box.credits for box in done)
    ablated = read_ablation(place)
    rows = tuple(
        AblationRow(r.name, r.round, r.n, r.estimate, r.low, r.high, len(r.fixed), len(r.broken))
        for r in (ablated.rows if ablated else ())
    )
    if not judged and not rows:
        return None
    diagnosed = [c for c in judged if c.details["kind"] == "diagnosis"]
    return RoundStory(
        len(diagnosed),
        _rounds(diagnosed, [c for c in judged if c.details["kind"] == "aggregator"], _informative(judged)),
        _patterns(diagnosed),
        tuple(
            AgreementRow(role, a.right, a.wrong, a.mean_right, a.mean_wrong, a.auc)
            for role, a in agreement(judged).items()
        ),
        rows,
    )


def _once(boxes: Iterable[Sequence[Mapping[str, Any]]]) -> list[Credit]:
    """The critics' credits; a later phase judges the same rollouts again, and they count once."""
    found: dict[tuple[object, ...], Credit] = {}
    for rows in boxes:
        for row in rows:
            if kind := (row.get("details") or {}).get("kind"):
                credit = from_json(Credit, row)
                found.setdefault((kind, credit.rollout, credit.role, credit.round, credit.steps), credit)
    return list(found.values())


def _informative(judged: Sequence[Credit]) -> Counter[int]:
    """Round -> informative failures, as the method's temporal credit counts them."""
    solved = {c.rollout for c in judged if c.details.get("pattern") == NONE}
    failed = {c.rollout for c in judged} - solved
    return Counter(s.round for s in signals(judged, failed) if s.z == 0)


def _rounds(
    diagnosed: Sequence[Credit], closing: Sequence[Credit], failures: Mapping[int, int]
) -> tuple[RoundRow, ...]:
    numbers = {int(c.details["round"]) for c in diagnosed} | {c.round for c in closing if c.round is not None}
    rows = []
    for number in sorted(numbers):
        scores = [float(c.details["score"]) for c in diagnosed if c.details["round"] == number]
        here = [c.details for c in closing if c.round == number]
        rows.append(
            RoundRow(
                number,
                len(scores),
                len(scores) / len(diagnosed) if diagnosed else 0.0,
                fmean(scores) if scores else None,
                len(here),
                fmean(float(d["q"]) for d in here) if here else None,
                failures[number],
            )
        )
    return tuple(rows)


def _patterns(diagnosed: Sequence[Credit]) -> tuple[PatternRow, ...]:
    found: dict[str, list[Credit]] = {}
    for credit in diagnosed:
        found.setdefault(str(credit.details["pattern"]), []).append(credit)
    order = sorted(found, key=lambda name: (name != NONE, -len(found[name]), name))
    return tuple(
        PatternRow(
            name,
            len(found[name]),
            len(found[name]) / len(diagnosed),
            fmean(float(c.details["score"]) for c in found[name]),
            PATTERNS.get(name, ""),
            dict(sorted(Counter(int(c.details["round"]) for c in found[name]).items())),
        )
        for name in order
    )
