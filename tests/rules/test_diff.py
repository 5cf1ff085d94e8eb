"""diff and changes: what a reviewer reads."""

from __future__ import annotations

from langgraph_truce.rules import (
    AgentRules,
    Change,
    Edit,
    Rule,
    RuleBook,
    RuleSlot,
    apply,
    changes,
    diff,
    parse,
)


def book_of(text: str) -> RuleBook:
    return RuleBook({"solver": parse("solver", text), "critic": parse("critic", "- Be fair.")})


def edited() -> tuple[RuleBook, RuleBook]:
    old = book_of("1. Always check the units.\n2. Never guess.\n3. Be brief.\n")
    rules = old.agent("solver")
    return old, apply(
        old,
        [
            Edit("e1", "MODIFY", "solver", "r1", rules.rule("r1").hash, "Always check all units twice."),
            Edit("e2", "DELETE", "solver", "r2", rules.rule("r2").hash),
            Edit("e3", "ADD", "solver", text="Q: 1 m?\nA: 100 cm", kind="example", task="t1"),
        ],
    )


def test_changes_name_rule_and_texts() -> None:
    old, new = edited()
    assert changes(old, new) == (
        Change("MODIFY", "solver", "r1", "Always check the units.", "Always check all units twice."),
        Change("DELETE", "solver", "r2", "Never guess.", ""),
        Change("ADD", "solver", "r4", "", "Q: 1 m?\nA: 100 cm", "example of task t1"),
    )
    assert changes(new, old)[1].op == "ADD"
    assert changes(old, old) == ()
    assert changes(old, new)[0].to_json()["rule"] == "r1"


def test_the_text_shows_the_words_that_differ() -> None:
    assert diff(*edited()) == (
        "solver\n"
        "  ~ r1\n"
        "      - Always check [-the-] units.\n"
        "      + Always check {+all+} units{+ twice+}.\n"
        "  - r2  Never guess.\n"
        "  + r4 (example of task t1)  Q: 1 m?\n"
        "                             A: 100 cm\n"
    )


def test_equal_books_give_an_empty_diff() -> None:
    old, _ = edited()
    assert diff(old, RuleBook.from_json(old.to_json())) == ""


def test_agents_attributes_and_role_text() -> None:
    old = book_of("- a b\n")
    new = RuleBook(
        {
            "planner": parse("planner", "- plan it"),
            "solver": AgentRules("solver", ("Role: ", RuleSlot(Rule("r1", "a b", protected=True))), 2),
        }
    )
    assert diff(old, new) == (
        "critic\n  - r1  Be fair.\n\nplanner\n  + r1  plan it\n\n"
        "solver\n  ! role text differs\n  ~ r1 (plain -> protected)\n"
    )
