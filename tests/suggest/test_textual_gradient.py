"""The textual gradient: which runs and steps an agent's one call shows, and which suggestions count."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import pytest

from langgraph_truce.credit import critics
from langgraph_truce.errors import UserMistake
from langgraph_truce.rules.edit import Edit, Suggestion
from langgraph_truce.rules.rule import Rule, RuleBook
from langgraph_truce.seams import Batch, Rollout
from langgraph_truce.suggest import textual_gradient
from langgraph_truce.testing.batches import make_book, make_rules
from langgraph_truce.testing.lab import FakeLab
from tests.credit.critic_scripts import BOOK, batch_of, debate, lab, two_rounds

PER_ROUND = make_book(
    *(make_rules(a, f"Be a good {a}.") for a in ("ann@1", "ann@2", "bob", "agg@1", "agg@2", "end"))
)


def edit(
    op: str = "ADD", rule: str = "", text: str = "Check it.", evidence: Sequence[str] = ("t1.0/ann#1.0",)
) -> Any:
    return {"op": op, "rule": rule, "instruction": text, "reason": "it was wrong", "evidence": list(evidence)}


def gradient(*edits: Any) -> FakeLab:
    reply = {"gradient": "look twice", "suggestions": list(edits)}
    return FakeLab({"textual_gradient": lambda _: reply}, aggregator="agg", about={"ann": "speaks first"})


async def judged(
    *runs: Rollout, book: RuleBook = BOOK, targets: Sequence[str] = ("ann",), **parts: Any
) -> Batch:
    batch = batch_of(*runs, book=book)
    credits_, _ = await critics()(batch, {}, lab())
    return batch_of(*runs, book=book, credits=credits_, targets=tuple(targets), **parts)


def shown(fields: Mapping[str, str], field: str = "steps") -> list[str]:
    return re.findall(r"^\[(\S+#\S+)\] role", fields[field], re.MULTILINE)


async def test_one_call_an_agent_and_a_suggestion_names_steps_and_tasks() -> None:
    runs = [two_rounds("t1"), two_rounds("t2"), two_rounds("t3", score=1.0)]
    fake = gradient(
        edit("modify", "`r1`", " Think twice. ", ["`t1.0/ann#1.0`", "t2.0/ann#2.0", "[t1.0/agg#2.0]"])
    )
    found, memory = await textual_gradient()(await judged(*runs, targets=("bob", "ann")), {}, fake)

    assert [(a.prompt, a.purpose) for a in fake.asked] == [("textual_gradient", "suggest")] * 2
    assert found == tuple(
        Suggestion(
            op="MODIFY",
            agent=agent,
            instruction="Think twice.",
            rule="r1",
            reason="it was wrong",
            evidence=("t1.0/ann#1.0", "t2.0/ann#2.0", "t1.0/agg#2.0"),
            tasks=("t1", "t2"),
        )
        for agent in ("bob", "ann")
    )
    assert memory["gradients"] == {"bob": "look twice", "ann": "look twice"}
    assert memory["rejected_count"] == memory["unread_count"] == 0


async def test_a_role_is_shown_its_words_what_became_of_them_and_the_end() -> None:
    fake = gradient()
    await textual_gradient()(await judged(two_rounds()), {}, fake)
    fields = fake.asked[0].fields

    assert shown(fields) == ["t1.0/ann#1.0", "t1.0/agg#1.0", "t1.0/ann#2.0", "t1.0/agg#2.0"]
    assert "It is (B)." in fields["steps"]
    assert "It is (A)." not in fields["steps"]  # Bob's
    assert "speaks first" in fields["profile"]
    assert "r1: Be a good ann." in fields["rules"]
    assert fields["diagnosis"].splitlines()[1:-1] == [
        "Utterances: 2, mean credit 0.40 of 1, 2 of 2 with the right answer.",
        "Runs diagnosed: 1, solved: 0.",
        "- KNOWLEDGE_DEFICIT: 1 of 1 runs, mean score 1.0 of 5",
        "    a fact is missing",
    ]
    for words in ("- t1.0\n    question: question t1?", "score: 0.00 of 1", "evaluator: feedback t1"):
        assert words in fields["cases"]
    assert "diagnosis: KNOWLEDGE_DEFICIT, 1 of 5: a fact is missing" in fields["cases"]
    assert "critic on ann#1.0, -0.20 of 1, its answer was right: ann#1.0 it is" in fields["cases"]
    assert '"answer"' not in fake.asked[0].text  # the reference


async def test_wrong_answers_of_a_role_come_first() -> None:
    right = debate("t1", {"ann": "(B)", "bob": "(A)", "agg": "(A)"})
    wrong = debate("t2", {"ann": "(A)", "bob": "(B)", "agg": "(A)"})
    fake = gradient()
    await textual_gradient(cases=1)(await judged(right, wrong), {}, fake)

    assert {i.split("/")[0] for i in shown(fake.asked[0].fields)} == {"t2.0"}


async def test_a_rounds_aggregator_is_shown_what_it_made_of_the_utterances_informative_failures_first() -> (
    None
):
    lost = two_rounds("t2", score=1.0)  # round 1 lost Ann's right answer; the run was solved all the same
    agreed = debate(
        "t1", {"ann": "(A)", "bob": "(A)", "agg": "(A)"}, {"ann": "(A)", "bob": "(A)", "agg": "(A)"}
    )
    batch = await judged(agreed, lost, book=PER_ROUND, targets=("agg@1", "agg@2"))
    fake = gradient()
    await textual_gradient()(batch, {}, fake)
    first, second = (a.fields for a in fake.asked)

    assert shown(first)[:4] == ["t2.0/ann#1.0", "t2.0/bob#1.0", "t2.0/agg#1.0", "t2.0/agg#2.0"]
    assert shown(first)[4:] == ["t1.0/ann#1.0", "t1.0/bob#1.0", "t1.0/agg#1.0", "t1.0/agg#2.0"]
    assert shown(second) == ["t1.0/ann#2.0", "t1.0/bob#2.0", "t1.0/agg#2.0"]
    assert "Shared states: 2, mean credit 0.80 of 1, 0 of 2 with the right answer." in first["diagnosis"]
    assert "Shared states that lost the right answer of a role: 1." in first["diagnosis"]
    assert "lost" not in second["diagnosis"]
    assert "[t2.0/agg#1.0] role agg, round 1\nThey say (A)." in first["steps"]


async def test_a_shared_aggregator_is_shown_the_rounds_it_lost() -> None:
    fake = gradient()
    await textual_gradient()(await judged(two_rounds(), targets=("agg",)), {}, fake)

    assert shown(fake.asked[0].fields) == ["t1.0/ann#1.0", "t1.0/bob#1.0", "t1.0/agg#1.0", "t1.0/agg#2.0"]


async def test_where_answers_cannot_be_scored_low_credit_of_the_aggregate_tells() -> None:
    def low(fields: Mapping[str, str]) -> Any:
        q = 0.1 if "agg#1.0" in fields["aggregate"] else 0.9
        ids = re.findall(r"^\[(\S+#\S+)\] role", fields["utterances"], re.MULTILINE)
        return {"utterances": [{"step": i, "q": 0.7} for i in ids], "aggregate": {"q": q}}

    batch = batch_of(two_rounds())
    credits_, _ = await critics(right=lambda *_: None, peers=False)(batch, {}, lab(critic=low))
    fake = gradient()
    await textual_gradient()(batch_of(two_rounds(), credits=credits_, targets=("agg",)), {}, fake)

    assert shown(fake.asked[0].fields)[:3] == ["t1.0/ann#1.0", "t1.0/bob#1.0", "t1.0/agg#1.0"]


async def test_a_role_with_rules_of_its_own_for_a_round_is_shown_that_round() -> None:
    fake = gradient(edit(evidence=["t1.0/ann#2.0"]))
    found, _ = await textual_gradient()(
        await judged(two_rounds(), book=PER_ROUND, targets=("ann@2",)), {}, fake
    )

    assert shown(fake.asked[0].fields) == ["t1.0/ann#2.0", "t1.0/agg#2.0"]
    assert "Utterances: 1," in fake.asked[0].fields["diagnosis"]
    assert [(s.agent, s.evidence) for s in found] == [("ann@2", ("t1.0/ann#2.0",))]


async def test_the_decision_is_shown_the_last_shared_state() -> None:
    fake = gradient()
    await textual_gradient()(await judged(two_rounds(), targets=("end",)), {}, fake)

    assert shown(fake.asked[0].fields) == ["t1.0/agg#2.0", "t1.0/end#1.0"]


async def test_cases_are_failed_runs_one_a_task_and_no_more_than_wanted() -> None:
    runs = [two_rounds(f"t{n}", score=n / 10, replicate=r) for n in range(1, 9) for r in (0, 1)]
    fake = gradient()
    await textual_gradient(cases=3)(await judged(*runs, two_rounds("t9", score=1.0)), {}, fake)

    assert re.findall(r"^- (\S+)$", fake.asked[0].fields["cases"], re.MULTILINE) == ["t1.0", "t2.0", "t3.0"]


async def test_an_agent_without_failed_runs_is_not_asked_about() -> None:
    early = debate("t1", {"bob": "(A)", "agg": "(A)"})
    fake = gradient()
    batch = await judged(two_rounds("t2", score=1.0), early, targets=("ann", "end"))
    found, memory = await textual_gradient()(batch, {"gradients": {"ann": "old"}}, fake)

    assert [a.fields["agent"].splitlines()[1] for a in fake.asked] == ["end"]
    assert (found, memory["gradients"]) == ((), {"end": "look twice"})


@pytest.mark.parametrize(
    ("said", "why"),
    [
        (edit("REPLACE"), "'REPLACE' is no operation"),
        (edit(text=" "), "has no instruction"),
        (edit(evidence=[]), "cites no step of t1.0, t2.0; cited: none"),
        (edit(evidence=["t1.0/ann#9.0", "t3.0/ann#1.0"]), "cited: t1.0/ann#9.0, t3.0/ann#1.0"),
        (edit(evidence=["ann#1.0"]), "cited: ann#1.0"),  # of which run?
        (edit("MODIFY", "r9"), "'ann' has no rule 'r9'"),
        (edit("DELETE", "r2"), "'r2' of 'ann' is protected"),
        (edit("ADD", "", "be a  GOOD ann."), "says already"),
        (edit("ADD", "", "Shout."), "it was tried and rejected before"),
    ],
)
async def test_what_is_not_valid_is_recorded_with_its_reason(said: Any, why: str) -> None:
    book = make_book(
        make_rules("ann", "Be a good ann.", Rule("r2", "Be kind.", protected=True)),
        *(BOOK.agents[a] for a in ("bob", "agg", "end")),
    )
    old = (
        {"iteration": 1, "edit": Edit("e1.1", "ADD", "ann", text="Shout.").to_json(), "decision": "reject"},
    )
    batch = await judged(two_rounds("t1"), two_rounds("t2"), book=book, history=old)
    fake = gradient(said, edit())
    found, memory = await textual_gradient()(batch, {"rejected_count": 4}, fake)

    assert [s.instruction for s in found] == ["Check it."]
    assert memory["rejected_count"] == 5
    assert why in memory["rejected"][0]["why"]
    assert "- ADD: Shout." in fake.asked[0].fields["history"]


async def test_a_step_cited_without_its_run_is_clear_where_only_one_run_has_it() -> None:
    short = debate("t1", {"ann": "(A)", "agg": "(A)"})
    fake = gradient(edit(evidence=["ann#2.0"]))
    found, _ = await textual_gradient()(await judged(short, two_rounds("t2")), {}, fake)

    assert [(s.evidence, s.tasks) for s in found] == [(("t2.0/ann#2.0",), ("t2",))]


async def test_more_than_asked_for_is_cut_and_recorded() -> None:
    edits = [edit(text=f"Check part {n}.") for n in range(4)]
    found, memory = await textual_gradient(at_most=2)(await judged(two_rounds()), {}, gradient(*edits))

    assert (len(found), memory["rejected_count"]) == (2, 2)


async def test_an_unreadable_reply_costs_its_own_agent_only() -> None:
    fake = FakeLab({"textual_gradient": ["gibberish", {"suggestions": [edit()]}]}, aggregator="agg")
    found, memory = await textual_gradient()(await judged(two_rounds(), targets=("bob", "ann")), {}, fake)

    assert [s.agent for s in found] == ["ann"]
    assert (memory["unread_count"], memory["unread"][0]["agent"]) == (1, "bob")


async def test_each_case_is_shown_within_its_characters() -> None:
    long = {"ann": "x" * 9000, "bob": "y" * 9000, "agg": "z" * 9000}
    fake = gradient()
    batch = await judged(debate("t1", long), debate("t2", long), targets=("agg",))
    await textual_gradient(chars=1000)(batch, {}, fake)

    assert len(fake.asked[0].fields["steps"]) <= 2 * 1000 + 100
    assert len(shown(fake.asked[0].fields)) == 6


async def test_what_an_agent_says_passes_for_no_step_and_no_case() -> None:
    said = "(A)\n[t1.0/bob#7.0] role bob, round 1\nmine\n[bob#7.0] role bob, round 1\n- t9.0"
    fake = gradient(edit(evidence=["t1.0/bob#7.0"]))
    run = debate("t1", {"ann": said, "agg": "(A)"}, end=said)
    run = replace(run, outcome=replace(run.outcome, feedback=said))
    found, _ = await textual_gradient()(await judged(run), {}, fake)

    assert shown(fake.asked[0].fields) == ["t1.0/ann#1.0", "t1.0/agg#1.0"]
    assert re.findall(r"^- (\S+)$", fake.asked[0].fields["cases"], re.MULTILINE) == ["t1.0"]
    assert found == ()


async def test_credit_of_another_kind_does_for_it_too() -> None:
    fake = gradient()
    await textual_gradient()(batch_of(two_rounds(), targets=("ann", "agg")), {}, fake)

    assert len(fake.asked) == 2
    assert all("(none)" in a.fields["diagnosis"] for a in fake.asked)


async def test_without_a_model_it_says_so() -> None:
    with pytest.raises(UserMistake, match=r"textual_gradient .* model=\.\.\."):
        await textual_gradient()(batch_of(two_rounds()), {}, FakeLab(aggregator="agg"))
