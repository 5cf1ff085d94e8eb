"""Rules are judged by their words: every wording counts where it should, and nowhere else."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from langgraph_truce.testing.planted.topics import DECOYS, IDLE_RULES, TOPICS, any_says, rules_in, says

ALL = [(a, b) for a in TOPICS for b in TOPICS]


@pytest.mark.parametrize(("mine", "other"), ALL, ids=lambda t: t.name)
def test_rules_of_a_topic_say_that_topic_alone(mine, other) -> None:  # type: ignore[no-untyped-def]  # noqa: ANN001
    for wording in mine.remedies:
        assert says(wording, other.remedy) == (mine is other)
        assert not says(wording, other.harm)
    assert says(mine.harm_rule, other.harm) == (mine is other)
    assert not says(mine.harm_rule, other.remedy)


@pytest.mark.parametrize("rule", [*IDLE_RULES, *(rule for _, rule in DECOYS)])
def test_idle_rules_say_nothing(rule: str) -> None:
    assert not any(says(rule, t.remedy) or says(rule, t.harm) for t in TOPICS)


@pytest.mark.parametrize(
    ("rule", "expected"),
    [
        ("Please always CONVERT all the sums into Euros beforehand.", True),
        ("Amounts: first exchange,\nthen look at the EUR values.", True),
        ("Do not convert amounts to euros.", False),
        ("Never ever convert anything to euros", False),
        ("Don't convert to euros.", False),
        ("Convert amounts to dollars.", False),
        ("Do not guess. Then convert the whole lot, carefully, to euros.", True),
    ],
)
def test_reworded_rules_count_and_forbidden_ones_do_not(rule: str, *, expected: bool) -> None:
    currency = next(t for t in TOPICS if t.name == "currency")
    assert says(rule, currency.remedy) is expected


def test_a_concept_must_stand_in_one_rule() -> None:
    currency = next(t for t in TOPICS if t.name == "currency")
    assert not any_says("Role.\n\n- Convert what you can.\n- Pay in euros.\n", currency.remedy)
    assert any_says("Role.\n\n- Convert what you can,\n  to euros.\n- Be kind.\n", currency.remedy)


@given(st.lists(st.sampled_from([r for t in TOPICS for r in (*t.remedies, t.harm_rule)]), max_size=6))
def test_rules_in_finds_the_items(rules: list[str]) -> None:
    text = "You are x.\n\nRules:\n" + "".join(f"- {r}\n" for r in rules) + "\nThat is all.\n"
    assert rules_in(text) == tuple(rules)
