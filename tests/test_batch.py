"""Texts for prompts, and which rules a step ran with."""

from __future__ import annotations

from langgraph_truce.batch import (
    agent_of,
    agents_of,
    credits_by_agent,
    outcome_text,
    role_of,
    rules_text,
    steps_of,
    task_text,
    values_text,
)
from langgraph_truce.seams import Credit
from langgraph_truce.task import Outcome, Task
from langgraph_truce.testing.batches import make_batch, make_book, make_rollout, make_rules

BOOK = make_book(make_rules("a", "One.\nTwo."), make_rules("a@2", "Three."), make_rules("team/b", "Four."))


def test_a_step_runs_with_the_rules_of_its_round_where_there_are_any() -> None:
    assert [agent_of(BOOK, "a", n) for n in (1, 2, None)] == ["a", "a@2", "a"]
    assert agent_of(BOOK, "stranger", 1) == ""
    run = make_rollout("t", [("a", 1, "x"), ("a", 2, "y"), ("team/b", 2, "z"), ("a", 3, "w")], score=1.0)
    assert steps_of(run, BOOK, "a") == ("a#1.0", "a#3.0")
    assert steps_of(run, BOOK, "a@2") == ("a#2.0",)


def test_the_role_of_an_agent_is_its_name_without_the_round() -> None:
    assert [role_of(n) for n in ("a", "a@2", "team/b@10", "odd@name")] == ["a", "a", "team/b", "odd@name"]


def test_long_texts_are_cut_and_say_so() -> None:
    text = task_text(Task("t", {"q": "x" * 900 + "end"}, {"answer": "secret"}), limit=100)
    assert len(text) <= 100
    assert text.startswith("q: xx")
    assert text.endswith("end")
    assert "characters left out" in text
    assert "characters left out" in outcome_text(Outcome("y" * 9000, 1.0))


def test_values_outcomes_and_rules_as_text() -> None:
    assert values_text({"q": "why?", "n": [1, {"é": None}]}) == 'q: why?\nn: [1, {"é": null}]'
    outcome = Outcome({"label": "x"}, 0.5, error="ValueError: no")
    assert outcome_text(outcome) == (
        'score: 0.50 of 1\nthe run ended with an error: ValueError: no\nanswer: {"label": "x"}'
    )
    assert rules_text(BOOK.agents["a"]) == "r1: One.\n    Two."


def test_a_node_inside_a_subgraph_falls_to_the_nearest_level_with_rules() -> None:
    book = make_book(make_rules("team", "Be quick."), make_rules("team/solver", "Be right."))

    assert [agent_of(book, role, 1) for role in ("team/solver/model", "team/critic", "team", "other/x")] == [
        "team/solver",
        "team",
        "team",
        "",
    ]


def test_a_node_with_several_prompts_has_several_agents() -> None:
    names = ("a", "a~2", "a~10", "a@2", "a~2@2", "team", "team~2")
    book = make_book(*(make_rules(name, f"I am {name}.") for name in names))

    assert agents_of(book, "a", 1) == ("a", "a~2", "a~10")
    assert agents_of(book, "a", 2) == ("a@2", "a~2@2", "a~10")
    assert agents_of(book, "team/model", None) == ("team", "team~2")
    assert agents_of(book, "stranger", 1) == ()
    assert agent_of(book, "a", 1) == "a"
    assert role_of("a~2") == role_of("a~2@2") == "a"
    run = make_rollout("t", [("a", 1, "x"), ("a", 2, "y"), ("team/model", 2, "z")], score=1.0)
    assert steps_of(run, book, "a~2") == ("a#1.0",)
    assert steps_of(run, book, "a~10") == ("a#1.0", "a#2.0")


def test_credits_about_a_node_reach_all_its_prompts() -> None:
    book = make_book(make_rules("a", "One."), make_rules("a~2", "Two."), make_rules("b", "Three."))
    run = make_rollout("t", [("a", 1, "x"), ("b", 1, "y")], score=0.0)
    named = Credit(run.id, "t", ("a#1.0",), -0.5, role="a", round=1)
    whole = Credit(run.id, "t", ("a#1.0", "b#1.0"), 0.5)

    found = credits_by_agent(make_batch(book, [run], credits=(named, whole)))

    assert found == {"a": (named,), "a~2": (named,), "b": (whole,)}
