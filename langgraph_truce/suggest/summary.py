"""What critics and diagnoses say of many runs, in a few lines: the summarised diagnosis of a prompt (TSCA section 5.1)."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence

from langgraph_truce.seams import Credit
from langgraph_truce.trajectory.transcript import cut

_SAID = 2
"""Diagnoses quoted for each pattern."""
_WORDS = 300
"""Characters of each."""


def summary(credits_: Iterable[Credit], *, role: str = "", round: int | None = None) -> str:  # noqa: A002
    """The record of a role, a round, or both, and how the runs it took part in failed.

    One line for its utterances and one for its aggregates: how many, mean credit, how many held the right answer. Then
    each pattern of failure of those runs, most frequent first, with its count, its mean score and the worst scored two
    diagnoses in their own words.

    Args:
        credits_: what `credit.critics` gave, of any number of runs.
        role: role path; empty for every role.
        round: round, from 1; None for all.
    """
    everything = list(credits_)
    own = [
        c
        for c in everything
        if c.details.get("kind") in {"role", "aggregator"}
        and role in {"", c.role}
        and round in {None, c.round}
    ]
    runs = {c.rollout for c in own}
    diagnoses = [c for c in everything if c.details.get("kind") == "diagnosis" and c.rollout in runs]
    return "\n".join([*_record(own), *_patterns(diagnoses)])


def _record(own: Sequence[Credit]) -> list[str]:
    lines: list[str] = []
    for kind, what, key in (("role", "Utterances", "c"), ("aggregator", "Shared states", "q")):
        of_kind = [c.details for c in own if c.details["kind"] == kind]
        if not of_kind:
            continue
        scored = [d["right"] for d in of_kind if d["right"] is not None]
        answers = f", {sum(scored)} of {len(scored)} with the right answer" if scored else ""
        mean = sum(d[key] for d in of_kind) / len(of_kind)
        lines.append(f"{what}: {len(of_kind)}, mean credit {mean:.2f} of 1{answers}.")
        lost = sum(d["right"] is False and d["agents_right"] > 0 for d in of_kind if kind == "aggregator")
        if lost:
            lines.append(f"Shared states that lost the right answer of a role: {lost}.")
    return lines


def _patterns(diagnoses: Sequence[Credit]) -> list[str]:
    by_pattern: dict[str, list[Credit]] = defaultdict(list)
    for credit in diagnoses:
        by_pattern[str(credit.details["pattern"])].append(credit)
    solved = len(by_pattern.pop("NONE", ()))
    lines = [f"Runs diagnosed: {len(diagnoses)}, solved: {solved}."] if diagnoses else []
    for pattern, found in sorted(by_pattern.items(), key=lambda item: (-len(item[1]), item[0])):
        mean = sum(c.details["score"] for c in found) / len(found)
        lines.append(f"- {pattern}: {len(found)} of {len(diagnoses)} runs, mean score {mean:.1f} of 5")
        worst = sorted(found, key=lambda c: (c.details["score"], c.rollout))
        said = dict.fromkeys(" ".join(c.words.split()) for c in worst if c.words)
        lines += [f"    {cut(words, _WORDS)}" for words in list(said)[:_SAID]]
    return lines
