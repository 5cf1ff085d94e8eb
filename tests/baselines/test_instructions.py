"""Whole instructions as rule units: nothing changes until something is edited, ids are never given twice, protected rules stay."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st

from langgraph_truce.baselines.instructions import reworded, unfit
from langgraph_truce.rules import AgentRules, RuleSlot, parse

OLD = parse("solver", "You solve.\n\n- Be brief.\n- Name the units.\n")
TEXTS = st.one_of(
    st.text(max_size=80),
    st.lists(
        st.sampled_from(["You solve.", "- Be kind.", "1. Count twice.", "", "## Rules", "Use {name}."])
    ).map("\n".join),
)


def protecting(rules: AgentRules, rule_id: str) -> AgentRules:
    parts = tuple(
        replace(p, rule=replace(p.rule, protected=True))
        if isinstance(p, RuleSlot) and p.rule.id == rule_id
        else p
        for p in rules.parts
    )
    return replace(rules, parts=parts)


@settings(max_examples=100)
@given(TEXTS, TEXTS)
def test_the_text_is_sent_as_it_is_and_ids_are_new(before: str, after: str) -> None:
    old = parse("solver", before)
    new = reworded(old, after)

    assert new.render() == after
    assert (new is old) == (before == after)
    if before != after:
        ids = [rule.id for rule in new.rules]
        assert len(set(ids)) == len(ids)
        assert not {rule.id for rule in old.rules} & set(ids)
        assert all(int(name.removeprefix("r")) < new.next_id for name in ids)
        assert [rule.text for rule in new.rules] == [rule.text for rule in parse("solver", after).rules]


@settings(max_examples=50)
@given(TEXTS.filter(lambda text: text != OLD.render()))
def test_protected_rules_stay_behind_the_text(text: str) -> None:
    old = protecting(OLD, "r2")
    new = reworded(old, text)

    assert new.render() == text + "\n- Name the units."
    assert new.rule("r2") == old.rule("r2")
    assert not any(
        isinstance(a, str) and isinstance(b, str) for a, b in zip(new.parts, new.parts[1:], strict=False)
    )
    assert AgentRules.from_json(new.to_json()) == new


def test_the_old_text_keeps_the_old_rules_protected_or_not() -> None:
    old = protecting(OLD, "r1")

    assert reworded(old, old.render()) is old


def test_a_text_that_cannot_replace_instructions_says_why() -> None:
    fields = parse("solver", "Answer {question} for {user}.")

    assert unfit(fields, "Answer {question} for {user}, politely.") == ""
    assert "question" in unfit(fields, "Answer for {user}.")
    assert "nothing fills" in unfit(OLD, "Answer {question}.")
    assert "empty" in unfit(OLD, " \n")
    assert "secret" in unfit(OLD, "Use the key sk-proj-" + "a1B2c3D4e5F6g7H8i9J0" * 2)
