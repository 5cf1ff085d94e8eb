"""What the report says of rounds: each judged run counts once, and the tables add up."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from langgraph_truce.codec import to_json
from langgraph_truce.errors import RunError
from langgraph_truce.optimizer.ablated import ABLATION, Ablation, Row
from langgraph_truce.optimizer.place import Place
from langgraph_truce.optimizer.story import cells
from langgraph_truce.optimizer.story_rounds import round_story
from langgraph_truce.optimizer.story_turns import Boxes
from langgraph_truce.seams import Credit


def diagnosis(rollout: str, pattern: str, score: float, last: int) -> dict[str, Any]:
    details = {"kind": "diagnosis", "pattern": pattern, "score": score, "round": last, "role": ""}
    row: dict[str, Any] = to_json(
        Credit(rollout, rollout, ("decide#1.0",), 2 * score / 5 - 1, details=details)
    )
    return row


def utterance(rollout: str, role: str, t: int, c: float, *, right: bool | None) -> dict[str, Any]:
    details = {"kind": "role", "q": c, "p": None, "c": c, "right": right}
    row: dict[str, Any] = to_json(
        Credit(rollout, rollout, (f"{role}#{t}.0",), 2 * c - 1, role=role, round=t, details=details)
    )
    return row


def aggregate(rollout: str, t: int, q: float, *, right: bool | None, agents_right: int) -> dict[str, Any]:
    details = {"kind": "aggregator", "q": q, "right": right, "agents_right": agents_right, "agents": 3}
    row: dict[str, Any] = to_json(
        Credit(
            rollout,
            rollout,
            (f"aggregator#{t}.0",),
            2 * q - 1,
            role="aggregator",
            round=t,
            details=details,
        )
    )
    return row


FIRST = [
    diagnosis("a", "NONE", 5.0, 2),
    diagnosis("b", "KNOWLEDGE_DEFICIT", 1.0, 2),
    diagnosis("c", "KNOWLEDGE_DEFICIT", 2.0, 1),
    diagnosis("d", "OVERGENERALIZATION", 0.0, 2),
    utterance("a", "proposer", 1, 0.9, right=True),
    utterance("b", "proposer", 1, 0.2, right=False),
    utterance("b", "critic", 1, 0.4, right=True),
    aggregate("b", 1, 0.25, right=False, agents_right=1),
    aggregate("a", 1, 0.75, right=True, agents_right=2),
    aggregate("d", 1, 0.5, right=False, agents_right=0),
]


def boxes(iteration: int, credits_: list[dict[str, Any]]) -> Boxes:
    return Boxes(iteration, {}, credits_, [], None)


def test_each_run_counts_once_and_the_tables_add_up(tmp_path: Path) -> None:
    again = [diagnosis("e", "NONE", 5.0, 1), *FIRST]  # a later phase read the same rollouts, and one more
    told = round_story(Place.of(tmp_path), [boxes(1, FIRST), boxes(2, again)])

    assert told is not None
    assert told.runs == 5
    assert [(r.round, r.runs, r.score) for r in told.rounds] == [(1, 2, 3.5), (2, 3, 2.0)]
    assert sum(r.share for r in told.rounds) == pytest.approx(1)
    assert [(r.aggregates, r.credit, r.failures) for r in told.rounds] == [(3, 0.5, 1), (0, None, 0)]
    assert [(p.pattern, p.runs, p.score, p.by_round) for p in told.patterns] == [
        ("NONE", 2, 5.0, {1: 1, 2: 1}),
        ("KNOWLEDGE_DEFICIT", 2, 1.5, {1: 1, 2: 1}),
        ("OVERGENERALIZATION", 1, 0.0, {2: 1}),
    ]
    assert all(bool(p.meaning) == (p.pattern != "NONE") for p in told.patterns)
    by_role = {a.role: (a.right, a.wrong, a.auc) for a in told.agreement}
    assert by_role == {
        "": (2, 1, 1.0),
        "aggregator": (1, 2, 1.0),
        "critic": (1, 0, None),
        "proposer": (1, 1, 1.0),
    }


def test_the_heat_map_holds_no_diagnosis() -> None:
    assert {c.role for c in cells([boxes(1, FIRST)])} == {"proposer", "critic", "aggregator"}


def test_rollouts_that_a_later_phase_read_again_count_once_in_the_heat_map() -> None:
    run, again = {"source": "train", "fresh": True}, {"source": "train", "fresh": False}
    logs = {"source": "gate logs", "fresh": False}
    first, second, third = (Boxes(n, row, FIRST, [], None) for n, row in enumerate((run, again, logs), 1))

    assert cells([first, second]) == cells([first])
    assert {c.n for c in cells([first, third])} == {2 * c.n for c in cells([first])} - {0}


def test_where_answers_cannot_be_scored_failures_are_counted_as_the_method_counts_them(
    tmp_path: Path,
) -> None:
    said = [utterance("a", role, 1, c, right=None) for role, c in (("proposer", 0.8), ("critic", 0.1))]
    closing = aggregate("a", 1, 0.2, right=None, agents_right=0)
    closing["details"]["agents"] = 0
    failed = [diagnosis("a", "KNOWLEDGE_DEFICIT", 1.0, 1), *said, closing]
    solved = [diagnosis("a", "NONE", 5.0, 1), *said, closing]

    counted = []
    for credits_ in (failed, solved):
        told = round_story(Place.of(tmp_path), [boxes(1, credits_)])
        assert told is not None
        counted.append([(r.aggregates, r.failures) for r in told.rounds])

    assert counted == [[(1, 1)], [(1, 0)]]


def test_other_methods_have_no_such_part(tmp_path: Path) -> None:
    verbal = to_json(Credit("a", "a", ("s#1.0",), 0.5, role="s", round=1))
    assert round_story(Place.of(tmp_path), [boxes(1, [verbal])]) is None


def test_an_ablation_is_shown_whatever_the_method(tmp_path: Path) -> None:
    row = Row(
        "aggregator@2", "agent", ("aggregator@2",), 2, 9, 1, 0.2, 0.1, 0.3, 0.5, 0.7, ("t", "u"), ("v",), 40
    )
    (tmp_path / ABLATION).write_text(json.dumps(Ablation((row,), "x", "y").to_json()))
    told = round_story(Place.of(tmp_path), [])

    assert told is not None
    assert [(r.name, r.round, r.estimate, r.fixed, r.broken) for r in told.ablation] == [
        ("aggregator@2", 2, 0.2, 2, 1)
    ]
    (tmp_path / ABLATION).write_text("{")
    with pytest.raises(RunError, match="damaged"):
        round_story(Place.of(tmp_path), [])


def test_two_utterances_of_a_round_are_two_and_the_critics_tell_what_cannot_be_scored(tmp_path: Path) -> None:
    twice = utterance("a", "proposer", 1, 0.8, right=True)
    told = round_story(
        Place.of(tmp_path),
        [
            boxes(1, [twice, {**twice, "steps": ["proposer#1.1"]}, {**twice, "round": 2}]),
            boxes(2, [twice, aggregate("a", 3, 0.2, right=None, agents_right=2)]),
        ],
    )

    assert told is not None
    assert [(r.round, r.runs, r.share, r.score, r.failures) for r in told.rounds] == [(3, 0, 0.0, None, 1)]
    assert {a.role: a.right for a in told.agreement} == {"": 3, "proposer": 3}


def test_patterns_come_by_their_number_and_then_by_name(tmp_path: Path) -> None:
    names = [
        "OVERGENERALIZATION",
        "KNOWLEDGE_DEFICIT",
        "OVERGENERALIZATION",
        "KNOWLEDGE_DEFICIT",
        "ODD",
        "NONE",
    ]
    rows = [diagnosis(f"r{n}", name, 1.0, 1) for n, name in enumerate(names)]

    told = round_story(Place.of(tmp_path), [boxes(1, rows)])

    assert told is not None
    assert [p.pattern for p in told.patterns] == ["NONE", "KNOWLEDGE_DEFICIT", "OVERGENERALIZATION", "ODD"]
    assert [p.share for p in told.patterns] == pytest.approx([1 / 6, 2 / 6, 2 / 6, 1 / 6])
