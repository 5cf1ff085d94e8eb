"""Ψ: which agents and tasks are asked about, and which suggestions count."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from langgraph_truce.errors import UserMistake
from langgraph_truce.rules.edit import Edit, Suggestion
from langgraph_truce.rules.rule import Rule
from langgraph_truce.seams import Batch, Credit
from langgraph_truce.suggest import suggest_rules
from langgraph_truce.testing.batches import make_batch, make_book, make_rollout, make_rules
from langgraph_truce.testing.lab import FakeLab

BOOK = make_book(
    make_rules("solver", "Think.", Rule("r2", "Be kind.", protected=True)), make_rules("critic", "Object.")
)
SAID = [("solver", 1, "forty"), ("critic", 1, "are you sure?")]


def credit(task: str, role: str, value: float = -0.5, rollout: str = "") -> Credit:
    steps = (f"{role}#1.0",)
    return Credit(
        rollout or f"{task}.0", task, steps, value, role=role, round=1, segment="round-1", words="bad sum"
    )


def batch(scores: Mapping[str, float], credits_: list[Credit], **parts: Any) -> Batch:
    runs = [make_rollout(t, SAID, score=s, feedback=f"feedback {t}") for t, s in scores.items()]
    return make_batch(BOOK, runs, credits=tuple(credits_), **parts)


def edit(
    op: str = "ADD", rule: str = "", text: str = "Check the sum.", evidence: Any = ("solver#1.0",)
) -> Any:
    return {"op": op, "rule": rule, "instruction": text, "reason": "it was wrong", "evidence": list(evidence)}


def lab(*edits: Any) -> FakeLab:
    return FakeLab({"suggest": lambda _: {"suggestions": list(edits)}})


async def test_a_suggestion_names_rule_evidence_and_task() -> None:
    fake = lab(edit("modify", "`r1`", " Think twice. "))
    found, memory = await suggest_rules()(batch({"t1": 0.0}, [credit("t1", "solver")]), {}, fake)
    assert found == (
        Suggestion(
            op="MODIFY",
            agent="solver",
            instruction="Think twice.",
            rule="r1",
            reason="it was wrong",
            evidence=("t1.0/solver#1.0",),
            tasks=("t1",),
        ),
    )
    assert memory["rejected_count"] == memory["unread_count"] == 0


async def test_each_selected_agent_is_asked_once_for_each_failed_task_with_credit_about_it() -> None:
    credits_ = [
        credit("t1", "solver"),
        credit("t1", "critic"),
        credit("t2", "solver"),
        credit("t3", "solver"),
    ]
    fake = lab()
    known = batch({"t1": 0.0, "t2": 0.5, "t3": 1.0, "t4": 0.0}, credits_, targets=("solver",))
    await suggest_rules()(known, {}, fake)
    asked = [(a.fields["agent"].splitlines()[1], a.fields["task_context"].split()[-3]) for a in fake.asked]
    assert asked == [("solver", "t1?"), ("solver", "t2?")]


async def test_solved_tasks_are_asked_about_where_wanted() -> None:
    fake = lab(edit())
    found, _ = await suggest_rules(score_below=1.1)(
        batch({"t1": 1.0}, [credit("t1", "solver", 0.8)]), {}, fake
    )
    assert [s.op for s in found] == ["ADD"]


async def test_praised_agents_can_be_left_out_and_calls_limited() -> None:
    known = batch(
        {"t1": 0.0, "t2": 0.0},
        [credit("t1", "solver", -0.2), credit("t1", "critic", 0.9), credit("t2", "solver", -0.9)],
    )
    fake = lab()
    await suggest_rules(credit_below=0.0)(known, {}, fake)
    assert [a.fields["agent"].splitlines()[1] for a in fake.asked] == ["solver", "solver"]
    fake = lab()
    await suggest_rules(calls=1)(known, {}, fake)
    assert ["t2?" in a.fields["task_context"] for a in fake.asked] == [True]


async def test_of_replicates_the_worst_is_asked_about() -> None:
    runs = [make_rollout("t1", SAID, score=s, replicate=n) for n, s in enumerate((0.6, 0.2, 0.4))]
    credits_ = tuple(credit("t1", "solver", rollout=f"t1.{n}") for n in range(3))
    found, _ = await suggest_rules()(make_batch(BOOK, runs, credits=credits_), {}, lab(edit()))
    assert [s.evidence for s in found] == [("t1.1/solver#1.0",)]


@pytest.mark.parametrize(
    ("said", "why"),
    [
        (edit("REPLACE"), "'REPLACE' is no operation"),
        (edit(text="  "), "has no instruction"),
        (edit(evidence=[]), "cites no step"),
        (edit(evidence=["solver#7.0"]), "cited: solver#7.0"),
        (edit("MODIFY", "r9"), "has no rule 'r9' to MODIFY; its rules are: r1, r2"),
        (edit("DELETE", ""), "has no rule '' to DELETE"),
        (edit("DELETE", "r2"), "'r2' of 'solver' is protected"),
        (edit("MODIFY", "r1", "think."), "says already"),
        (edit("ADD", "", "Be  kind."), "says already"),
    ],
)
async def test_what_is_not_valid_is_recorded_with_its_reason(said: Any, why: str) -> None:
    known = batch({"t1": 0.0}, [credit("t1", "solver")])
    found, memory = await suggest_rules()(known, {"rejected_count": 4}, lab(said, edit()))
    assert [s.instruction for s in found] == ["Check the sum."]
    assert memory["rejected_count"] == 5
    assert why in memory["rejected"][0]["why"]


async def test_more_than_asked_for_is_cut_and_recorded() -> None:
    edits = [edit(text=f"Check part {n}.") for n in range(4)]
    known = batch({"t1": 0.0}, [credit("t1", "solver")])
    found, memory = await suggest_rules(at_most=3)(known, {}, lab(*edits))
    assert len(found) == 3
    assert memory["rejected_count"] == 1


async def test_what_the_gate_rejected_is_shown_and_not_taken_again() -> None:
    tried = [
        {
            "edit": Edit("e1.1", "ADD", "solver", text="Check the sum.").to_json(),
            "decision": "reject",
            "estimate": -0.1,
        },
        {
            "edit": Edit("e1.2", "ADD", "critic", text="Shout.").to_json(),
            "decision": "reject",
            "estimate": 0.0,
        },
        {
            "edit": Edit("e1.3", "ADD", "solver", text="Use units.").to_json(),
            "decision": "inconclusive",
            "estimate": 0.0,
        },
    ]
    known = batch({"t1": 0.0}, [credit("t1", "solver")], history=tuple(tried))
    fake = lab(edit(text="check the  sum."), edit(text="Use units."))
    found, memory = await suggest_rules()(known, {}, fake)
    assert [s.instruction for s in found] == ["Use units."]
    assert "rejected before" in memory["rejected"][0]["why"]
    assert "- ADD: Check the sum." in fake.asked[0].fields["history"]
    assert "Shout." not in fake.asked[0].text


async def test_a_rejected_delete_is_the_same_only_for_the_same_text() -> None:
    rule = BOOK.agents["solver"].rule("r1")
    for old_hash, kept in ((rule.hash, 0), ("0" * 16, 1)):
        gone = Edit("e1.1", "DELETE", "solver", "r1", old_hash)
        history = ({"edit": gone.to_json(), "decision": "reject", "estimate": 0.0},)
        known = batch({"t1": 0.0}, [credit("t1", "solver")], history=history)
        found, _ = await suggest_rules()(known, {}, lab(edit("DELETE", "r1", "useless")))
        assert len(found) == kept


async def test_an_unreadable_reply_costs_its_own_case_only() -> None:
    fake = FakeLab({"suggest": ["gibberish", {"suggestions": [edit()]}]})
    known = batch({"t1": 0.0, "t2": 0.0}, [credit("t1", "solver"), credit("t2", "solver")])
    found, memory = await suggest_rules()(known, {}, fake)
    assert [s.tasks for s in found] == [("t2",)]
    assert memory["unread_count"] == 1


async def test_the_model_sees_rules_with_ids_credits_and_own_steps() -> None:
    fake = lab()
    await suggest_rules()(batch({"t1": 0.25}, [credit("t1", "solver")]), {}, fake)
    fields = fake.asked[0].fields
    assert "r1: Think.\nr2 (protected): Be kind." in fields["rules"]
    assert "round-1, solver, -0.50: bad sum [solver#1.0]" in fields["credits"]
    assert "forty" in fields["steps"]
    assert "are you sure?" not in fields["steps"]
    assert "are you sure?" in fields["communications"]
    assert "forty" not in fields["communications"]
    assert "score: 0.25 of 1" in fields["result_context"]
    assert "feedback t1" in fields["result_evaluation"]


async def test_without_a_model_it_says_so() -> None:
    with pytest.raises(UserMistake, match="suggest_rules"):
        await suggest_rules()(batch({}, []), {}, FakeLab())
