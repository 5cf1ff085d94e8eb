"""Diagnosis of runs: patterns, scores, what is seen and what is refused."""

from __future__ import annotations

from typing import Any

import pytest

from langgraph_truce.credit import PATTERNS, critics
from tests.credit.critic_scripts import asked, batch_of, debate, diagnosis, lab, two_rounds


async def test_a_failed_run_costs_one_call_and_a_solved_one_none() -> None:
    fake = lab(diagnosis=diagnosis("MISINTERPRET_QUESTION", 2))
    credits_, _ = await critics()(batch_of(two_rounds(), two_rounds("t2", score=1.0)), {}, fake)

    found = [c for c in credits_ if c.details["kind"] == "diagnosis"]
    assert [(c.task, c.role, c.round, c.steps) for c in found] == [
        ("t1", "", None, ("agg#2.0", "end#1.0")),
        ("t2", "", None, ("agg#2.0", "end#1.0")),
    ]
    assert [dict(c.details) for c in found] == [
        {"kind": "diagnosis", "pattern": "MISINTERPRET_QUESTION", "score": 2.0, "round": 2, "role": ""},
        {"kind": "diagnosis", "pattern": "NONE", "score": 5.0, "round": 2, "role": ""},
    ]
    assert [c.value for c in found] == pytest.approx([-0.2, 1.0])
    assert found[0].words == "a fact is missing"
    assert asked(fake).count(("diagnosis", "diagnose")) == 1


async def test_it_can_be_left_out() -> None:
    fake = lab()
    credits_, _ = await critics(diagnose=False)(batch_of(two_rounds()), {}, fake)

    assert {c.details["kind"] for c in credits_} == {"role", "aggregator"}
    assert ("diagnosis", "diagnose") not in asked(fake)


async def test_it_sees_task_end_and_evaluator_and_every_pattern() -> None:
    fake = lab()
    await critics()(batch_of(two_rounds()), {}, fake)
    fields = next(a.fields for a in fake.asked if a.prompt == "diagnosis")

    assert "question t1?" in fields["task_context"]
    assert "score: 0.00 of 1" in fields["global_evaluation"]
    assert "feedback t1" in fields["evaluator"]
    for shown in ("[bob#2.0] role bob", "All say (B).", "[end#1.0] role end"):
        assert shown in fields["final_states"]
    assert "They say (A)." not in fields["final_states"]
    assert len(PATTERNS) == 8
    assert all(f"- `{name}`: {words}." in fields["patterns"] for name, words in PATTERNS.items())
    assert "`NONE`" not in fields["patterns"]


@pytest.mark.parametrize(
    ("pattern", "score", "why"),
    [
        ("LAZINESS", 1, "'LAZINESS' is no pattern; they are: KNOWLEDGE_DEFICIT, "),
        ("", 1, "is no pattern"),
        ("NONE", 5, "NONE stands for solved runs, and this one scored 0.00"),
        ("OVERGENERALIZATION", 5.5, "must be a number from 0 to 5, got 5.5"),
        ("OVERGENERALIZATION", -1, "must be a number from 0 to 5, got -1"),
        ("OVERGENERALIZATION", "3", "must be a number from 0 to 5, got '3'"),
        ("OVERGENERALIZATION", float("nan"), "got nan"),
    ],
)
async def test_unknown_patterns_and_scores_out_of_range_are_recorded(
    pattern: str, score: Any, why: str
) -> None:
    credits_, memory = await critics()(batch_of(two_rounds()), {}, lab(diagnosis=diagnosis(pattern, score)))

    assert {c.details["kind"] for c in credits_} == {"role", "aggregator"}
    assert memory["rejected_count"] == 1
    assert memory["rejected"][0]["part"] == "diagnosis"
    assert why in memory["rejected"][0]["why"]


@pytest.mark.parametrize("name", ["domain mismatch", "`DOMAIN_MISMATCH`", " Domain_Mismatch. "])
async def test_a_pattern_is_known_in_any_spelling(name: str) -> None:
    credits_, _ = await critics()(batch_of(two_rounds()), {}, lab(diagnosis=diagnosis(name, 0)))

    assert (credits_[-1].details["pattern"], credits_[-1].value) == ("DOMAIN_MISMATCH", -1.0)


async def test_an_unreadable_diagnosis_costs_itself_alone() -> None:
    fake = lab(diagnosis=["gibberish", {"pattern": "KNOWLEDGE_DEFICIT", "score": 1}])
    credits_, memory = await critics()(batch_of(two_rounds(), two_rounds("t2")), {}, fake)

    assert [c.task for c in credits_ if c.details["kind"] == "diagnosis"] == ["t2"]
    assert (memory["unread_count"], memory["unread"][0]["rollout"]) == (1, "t1.0")


async def test_the_last_round_is_that_of_the_run() -> None:
    early = debate("t1", {"ann": "(A)", "agg": "(A)"})
    credits_, _ = await critics()(batch_of(early, two_rounds("t2")), {}, lab())

    assert [c.details["round"] for c in credits_ if c.details["kind"] == "diagnosis"] == [1, 2]
