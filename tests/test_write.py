"""Writing: which text an edit gets, and what does not become one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from langgraph_truce.errors import UserMistake
from langgraph_truce.rules.apply import apply
from langgraph_truce.rules.edit import Suggestion
from langgraph_truce.rules.rule import Rule
from langgraph_truce.seams import Batch
from langgraph_truce.task import Task
from langgraph_truce.testing.batches import make_batch, make_book, make_rules
from langgraph_truce.testing.lab import FakeLab
from langgraph_truce.write import rewrite_whole, write_edits

BOOK = make_book(
    make_rules("solver", "Think.", "Guess about {topic}.", Rule("r3", "Be kind.", protected=True)),
    make_rules("critic", "Object."),
)
TRAIN = {
    "t1": Task(
        "t1", {"q": "When does the night train to Lisbon leave on a public holiday?"}, {"answer": "At nine."}
    ),
    "t2": Task("t2", {"q": "short"}),
}
SHARED = "Answer the following customer message politely and in English: "
VALIDATION = (
    Task(
        "v1", {"q": {"text": ["Is the museum of clocks and watches open on Mondays in the winter season?"]}}
    ),
    Task(
        "v2",
        {"q": "x"},
        {"answer": "The deposit is returned within fourteen days of the key being handed in."},
    ),
    Task("v3", {"q": SHARED + "where is my parcel"}),
)


def wish(op: Any, rule: str, text: str, agent: str = "solver", **more: Any) -> Suggestion:
    return Suggestion(op, agent, text, rule, **{"tasks": ("t1",), "support": 0.5, **more})


def batch(*suggestions: Suggestion, **parts: Any) -> Batch:
    return make_batch(BOOK, tasks=TRAIN, suggestions=suggestions, validation=VALIDATION, **parts)


async def test_without_a_model_the_instruction_is_the_text_and_the_edits_apply() -> None:
    known = batch(
        wish("ADD", "", "- Check the sum."),
        wish("MODIFY", "r2", "Never guess about {topic}."),
        wish("DELETE", "r1", "It is useless."),
        iteration=3,
    )
    edits, memory = await write_edits()(known, {}, FakeLab())
    assert [(e.id, e.op, e.rule, e.text) for e in edits] == [
        ("e3.1", "ADD", "", "Check the sum."),
        ("e3.2", "MODIFY", "r2", "Never guess about {topic}."),
        ("e3.3", "DELETE", "r1", ""),
    ]
    assert [e.old_hash for e in edits] == [
        "",
        BOOK.agents["solver"].rule("r2").hash,
        BOOK.agents["solver"].rule("r1").hash,
    ]
    assert [e.suggestion for e in edits] == list(known.suggestions)
    assert memory["errors"] == []
    texts = [r.text for r in apply(BOOK, edits).agents["solver"].rules]
    assert texts == ["Never guess about {topic}.", "Be kind.", "Check the sum."]


def writing(text: str) -> FakeLab:
    return FakeLab({"write": lambda _: {"text": text}})


async def test_the_model_writes_modifications_and_text_that_is_not_ready() -> None:
    lab = writing('1. "Guess about {topic} only when sure."')
    known = batch(
        wish("MODIFY", "r2", "Guess less."),
        wish("ADD", "", "Add a rule that makes it check sums."),
        wish("ADD", "", "Check the units."),
    )
    edits, _ = await write_edits()(known, {}, lab)
    assert [e.text for e in edits] == ["Guess about {topic} only when sure.", "Check the units."]
    assert [a.fields["op"] for a in lab.asked] == ["MODIFY r2", "ADD"]
    assert lab.asked[0].fields["fields"].splitlines()[1] == "topic"
    assert "Guess about {topic}." in lab.asked[0].fields["rule"]
    _, memory = await write_edits(by_model=False)(known, {}, lab)
    assert "it would lose the template field {topic}" in memory["errors"][0]["error"]
    assert len(lab.asked) == 2


@pytest.mark.parametrize(
    ("suggestion", "why"),
    [
        (wish("MODIFY", "r9", "Think twice."), "r9"),
        (wish("MODIFY", "r3", "Be rude."), "protected"),
        (wish("DELETE", "r3", "Kindness is slow."), "protected"),
        (wish("MODIFY", "r2", "Guess about everything."), "topic"),
        (wish("ADD", "", "Think twice.", agent="nobody"), "nobody"),
        (wish("ADD", "", "THINK."), "says exactly this already"),
        (
            wish("ADD", "", "The museum of  clocks and watches open on Mondays in the winter is shut."),
            "copies a validation",
        ),
        (
            wish("ADD", "", "The deposit is returned within fourteen days of the key."),
            "copies a validation task",
        ),
        (wish("ADD", "", "Q: bicycle A: Lost", kind="example", tasks=("t1", "t2")), "quotes no train task"),
    ],
)
async def test_what_cannot_be_applied_is_an_error_with_its_suggestion(
    suggestion: Suggestion, why: str
) -> None:
    edits, memory = await write_edits()(batch(suggestion, wish("ADD", "", "Check the sum.")), {}, FakeLab())
    assert [e.text for e in edits] == ["Check the sum."]
    assert edits[0].id == "e1.1"
    assert memory["errors_count"] == 1
    (error,) = memory["errors"]
    assert why in error["error"]
    assert error["suggestion"] == suggestion.to_json()
    assert error["iteration"] == 1


async def test_the_second_edit_of_one_rule_does_not_apply() -> None:
    known = batch(wish("MODIFY", "r1", "Think twice."), wish("MODIFY", "r1", "Think thrice."))
    edits, memory = await write_edits()(known, {}, FakeLab())
    assert [e.text for e in edits] == ["Think twice."]
    assert memory["errors_count"] == 1


async def test_what_all_tasks_share_may_be_said() -> None:
    tasks = {"t1": Task("t1", {"q": SHARED + "where is my refund"})}
    known = make_batch(
        BOOK, tasks=tasks, validation=VALIDATION, suggestions=(wish("ADD", "", SHARED.strip(" :")),)
    )
    assert len((await write_edits()(known, {}, FakeLab()))[0]) == 1


async def test_an_example_is_never_rewritten_and_names_the_task_it_quotes() -> None:
    text = f"- Message: {TRAIN['t1'].inputs['q']}\n  Answer: At nine."
    lab = writing("something else")
    edits, _ = await write_edits()(batch(wish("ADD", "", text, kind="example", tasks=("t2", "t1"))), {}, lab)
    assert [(e.kind, e.task, e.text) for e in edits] == [("example", "t1", text)]
    assert not lab.asked


async def test_an_unreadable_reply_is_an_error() -> None:
    edits, memory = await write_edits()(batch(wish("MODIFY", "r1", "Think.")), {}, FakeLab({"write": ["hm"]}))
    assert edits == ()
    assert "'write' is no JSON object" in memory["errors"][0]["error"]


async def test_a_rewritten_agent_becomes_edits_of_its_rules() -> None:
    def script(fields: Mapping[str, str]) -> dict[str, Any]:
        assert fields["agent"].splitlines()[1] == "solver"
        assert "- MODIFY r2: Guess less." in fields["suggestions"]
        rules = [
            ("r2", "Guess about {topic} when sure."),
            ("", "Check sums."),
            ("r3", "Be cruel."),
            ("r2", "Again."),
        ]
        return {"rules": [{"rule": r, "text": t} for r, t in rules]}

    lab = FakeLab({"rewrite": script})
    known = batch(wish("MODIFY", "r2", "Guess less.", evidence=("t1.0/solver#1.0",)))
    edits, memory = await rewrite_whole()(known, {}, lab)
    assert [(e.op, e.rule, e.text) for e in edits] == [
        ("DELETE", "r1", ""),
        ("MODIFY", "r2", "Guess about {topic} when sure."),
        ("ADD", "", "Check sums."),
    ]
    assert [r.text for r in apply(BOOK, edits).agents["solver"].rules][:2] == [
        "Guess about {topic} when sure.",
        "Be kind.",
    ]
    assert all(e.suggestion and e.suggestion.evidence == ("t1.0/solver#1.0",) for e in edits)
    assert "'r2' twice" in memory["errors"][0]["error"]


async def test_rewriting_needs_a_model_and_survives_a_bad_reply() -> None:
    known = batch(wish("MODIFY", "r2", "Guess less."))
    with pytest.raises(UserMistake, match="rewrite_whole"):
        await rewrite_whole()(known, {}, FakeLab())
    edits, memory = await rewrite_whole()(known, {}, FakeLab({"rewrite": ["no"]}))
    assert edits == ()
    assert memory["errors_count"] == 1
