"""The summarised diagnosis: counts, means and words of many runs in a few lines."""

from __future__ import annotations

from typing import Any

from langgraph_truce.seams import Credit
from langgraph_truce.suggest import summary


def credit(run: str, role: str, round_: int | None, words: str = "", **details: Any) -> Credit:
    return Credit(run, "t", ("s#1.0",), 0.0, role=role, round=round_, words=words, details=details)


def diagnosed(run: str, pattern: str, score: float, words: str = "") -> Credit:
    return credit(run, "", None, words, kind="diagnosis", pattern=pattern, score=score)


CREDITS = [
    credit("a", "ann", 1, kind="role", q=0.2, p=None, c=0.2, right=False),
    credit("a", "ann", 2, kind="role", q=0.8, p=None, c=0.8, right=True),
    credit("b", "bob", 1, kind="role", q=0.5, p=None, c=0.5, right=None),
    credit("a", "agg", 1, kind="aggregator", q=0.4, right=False, agents_right=1, agents=2),
    credit("a", "agg", 2, kind="aggregator", q=0.6, right=True, agents_right=2, agents=2),
    diagnosed("a", "OVERGENERALIZATION", 2, "second\nline"),
    diagnosed("b", "OVERGENERALIZATION", 1, "first"),
    diagnosed("c", "NONE", 5),
]


def test_of_a_role_its_utterances_and_the_runs_it_took_part_in() -> None:
    assert summary(CREDITS, role="ann").splitlines() == [
        "Utterances: 2, mean credit 0.50 of 1, 1 of 2 with the right answer.",
        "Runs diagnosed: 1, solved: 0.",
        "- OVERGENERALIZATION: 1 of 1 runs, mean score 2.0 of 5",
        "    second line",
    ]
    assert summary(CREDITS, role="bob").splitlines()[0] == "Utterances: 1, mean credit 0.50 of 1."


def test_of_a_round_its_utterances_and_its_shared_state() -> None:
    assert summary(CREDITS, round=1).splitlines() == [
        "Utterances: 2, mean credit 0.35 of 1, 0 of 1 with the right answer.",
        "Shared states: 1, mean credit 0.40 of 1, 0 of 1 with the right answer.",
        "Shared states that lost the right answer of a role: 1.",
        "Runs diagnosed: 2, solved: 0.",
        "- OVERGENERALIZATION: 2 of 2 runs, mean score 1.5 of 5",
        "    first",
        "    second line",
    ]


def test_frequent_patterns_come_first_and_long_words_are_cut() -> None:
    said = [credit(run, "ann", 1, kind="role", q=1, p=None, c=1, right=None) for run in "abc"]
    words = summary(
        [
            *said,
            diagnosed("a", "B_RARE", 1, "x" * 999),
            diagnosed("b", "C_OFTEN", 3),
            diagnosed("c", "C_OFTEN", 4),
        ]
    )

    lines = words.splitlines()
    assert lines[2:4] == [
        "- C_OFTEN: 2 of 3 runs, mean score 3.5 of 5",
        "- B_RARE: 1 of 3 runs, mean score 1.0 of 5",
    ]
    assert len(lines[4]) < 320


def test_nothing_is_known_of_nobody() -> None:
    assert summary(CREDITS, role="eve") == summary([]) == ""
