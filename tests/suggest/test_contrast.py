from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from langgraph_truce.rules.edit import Suggestion
from langgraph_truce.rules.rule import Rule
from langgraph_truce.seams import Batch
from langgraph_truce.suggest import contrast
from langgraph_truce.suggest.telling import shape_of, telling_words
from langgraph_truce.task import Task
from langgraph_truce.testing.batches import make_batch, make_book, make_rollout, make_rules
from langgraph_truce.testing.lab import FakeLab

TEXTS = {
    "red": ["invoice charged twice", "invoice overdue again", "invoice missing", "an invoice question"],
    "blue": ["parcel broken here", "parcel lost somewhere", "parcel late", "a parcel question"],
}


def make(
    *,
    picked: str = "red",
    code: str = "7",
    manager: Sequence[Rule] = (),
    teams: Sequence[str] = ("red", "blue"),
) -> Batch:
    """Every task is sent to `picked`; the worker says `code`; right codes are `K-1234`."""
    tasks, rollouts = {}, []
    for team in teams:
        for n, text in enumerate(TEXTS[team]):
            task = Task(f"{team}{n}", {"request": text}, {"team": team, "code": f"K-{1230 + n}"})
            tasks[task.id] = task
            lines = [("manager", 1, json.dumps({"team": picked})), (picked, 1, json.dumps({"code": code}))]
            rollouts.append(make_rollout(task.id, lines, score=0.0))
    book = make_book(make_rules("manager", *manager), make_rules("red"), make_rules("blue"))
    return make_batch(book, rollouts, tasks=tasks)


async def suggested(batch: Batch, **settings: Any) -> tuple[Suggestion, ...]:
    return (await contrast(**settings)(batch, {}, FakeLab()))[0]


async def test_words_that_tell_missed_tasks_become_an_instruction() -> None:
    found = [s for s in await suggested(make()) if s.agent == "manager" and s.kind == "instruction"]
    assert [s.op for s in found] == ["ADD"]
    assert '"blue"' in found[0].instruction
    assert "parcel" in found[0].instruction
    assert "invoice" not in found[0].instruction
    assert set(found[0].tasks) == {"blue0", "blue1", "blue2", "blue3"}


async def test_an_agent_that_was_never_asked_learns_from_its_own_tasks() -> None:
    found = [s for s in await suggested(make()) if s.agent == "blue"]
    assert [s.kind for s in found] == ["example"]
    assert "parcel" in found[0].instruction
    assert '"code": "K-123' in found[0].instruction
    assert all(e.endswith("/manager#1.0") for e in found[0].evidence)


async def test_a_definition_says_the_form_where_no_example_is_shown() -> None:
    found = [s for s in await suggested(make(), examples=0) if s.agent == "red"]
    assert [s.instruction for s in found] == ['Write code as "K-", then four digits, for example "K-1230".']


async def test_a_learned_rule_with_other_words_is_modified_and_an_equal_one_left_alone() -> None:
    stem = 'Choose team "blue" when the text has words like '
    found = await suggested(make(manager=[Rule("r1", f"{stem}banana.")]))
    changed = [s for s in found if s.op == "MODIFY"]
    assert [(s.rule, "parcel" in s.instruction) for s in changed] == [("r1", True)]
    again = await suggested(make(manager=[Rule("r1", changed[0].instruction)]))
    assert not [s for s in again if s.agent == "manager" and s.kind == "instruction"]


async def test_a_protected_rule_is_left_alone() -> None:
    rule = Rule("r1", 'Choose team "blue" when the text has words like banana.', protected=True)
    assert not [s for s in await suggested(make(manager=[rule])) if s.rule == "r1"]


async def test_nothing_is_suggested_where_every_answer_is_right() -> None:
    batch = make(teams=["red"])
    right = [
        make_rollout(
            t.id,
            [
                ("manager", 1, '{"team": "red"}'),
                ("red", 1, json.dumps({"code": t.reference_outputs["code"]})),
            ],
            score=1.0,
        )
        for t in batch.tasks.values()
    ]
    assert await suggested(replace(batch, rollouts=tuple(right))) == ()


async def test_what_was_rejected_is_not_asked_for_again() -> None:
    batch = make()
    first = await suggested(batch)
    history = tuple(
        {"edit": {"agent": s.agent, "op": s.op, "text": s.instruction}, "decision": "reject"} for s in first
    )
    assert first
    assert await suggested(replace(batch, history=history)) == ()


async def test_evidence_exists_and_examples_quote_a_task_that_asked_for_them() -> None:
    batch = make()
    steps = {f"{r.id}/{i}" for r in batch.rollouts for i in r.trajectory.step_ids}
    for s in await suggested(batch):
        assert s.evidence
        assert set(s.evidence) <= steps
        assert s.reason
        assert set(s.tasks) <= batch.tasks.keys()
        if s.kind == "example":
            assert str(batch.tasks[s.tasks[0]].inputs["request"]) in s.instruction


@given(st.lists(st.from_regex(r"[a-z]{3,8}( [a-z]{3,8}){0,4}", fullmatch=True)), st.integers(1, 5))
def test_texts_are_not_told_from_themselves(texts: list[str], k: int) -> None:
    assert telling_words(texts, texts, k) == ()


def test_telling_words_rank_by_how_well_they_tell() -> None:
    inside = ["alpha beta", "alpha gamma", "alpha beta", "alpha"]
    outside = ["beta", "gamma", "delta", "delta"]
    assert telling_words(inside, outside, 3) == ("alpha",)


def test_shape_needs_its_share_and_a_number() -> None:
    assert shape_of(["A/12", "A/34", "A/56", "x"], 0.7) == '"A/", then two digits'
    assert shape_of(["A/12", "A/34", "A/56", "x"], 0.8) == ""
    assert shape_of(["ash", "ash"], 0.8) == ""
    assert shape_of([], 0.8) == ""
