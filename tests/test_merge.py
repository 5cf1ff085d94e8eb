"""Merging: what is joined, how support is counted, what is kept."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from langgraph_truce.merge import merge_suggestions, similar
from langgraph_truce.rules.edit import Suggestion
from langgraph_truce.seams import Batch
from langgraph_truce.task import Task
from langgraph_truce.testing.batches import make_batch, make_book, make_rules
from langgraph_truce.testing.lab import FakeLab

BOOK = make_book(make_rules("solver", "Think.", "Guess."), make_rules("critic", "Object."))
TASKS = {f"t{n}": Task(f"t{n}", {"q": n}) for n in range(4)}


def wish(
    text: str, *tasks: str, op: Any = "ADD", rule: str = "", agent: str = "solver", **more: Any
) -> Suggestion:
    evidence = tuple(f"{t}.0/{agent}#1.0" for t in tasks)
    return Suggestion(op, agent, text, rule, evidence=evidence, tasks=tasks, **more)


def batch(*suggestions: Suggestion, tasks: Mapping[str, Task] = TASKS) -> Batch:
    return make_batch(BOOK, tasks=tasks, suggestions=suggestions)


async def merged(
    known: Batch, lab: FakeLab | None = None, **settings_: Any
) -> tuple[tuple[Suggestion, ...], Any]:
    return await merge_suggestions(**settings_)(known, {}, lab or FakeLab())


async def test_near_duplicates_are_joined_and_support_is_the_share_of_tasks() -> None:
    known = batch(
        wish("Always state the units.", "t0", reason="no units"),
        wish("State the units always!", "t1", reason="units missing"),
        wish("Always state the units.", "t1", reason="no units"),
        wish("Greet the user.", "t2"),
    )
    found, _ = await merged(known)
    assert [(s.instruction, s.support, s.tasks) for s in found] == [
        ("Always state the units.", 0.5, ("t0", "t1")),
        ("Greet the user.", 0.25, ("t2",)),
    ]
    assert found[0].evidence == ("t0.0/solver#1.0", "t1.0/solver#1.0")
    assert found[0].reason == "no units"


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("Always state the units.", "always state the units", True),
        ("Always state the units.", "Never state the units.", False),
        ("You must answer in French.", "You mustn't answer in French.", False),
        ("Write at most 10 words.", "Write at most 20 words.", False),
        ('Send messages with "invoice" to Ledger.', 'Send messages with "refund" to Ledger.', False),
        ("Repeat {name} in the answer.", "Repeat {date} in the answer.", False),
        ("Ask for the order id.", "Greet the user by name.", False),
    ],
)
def test_what_counts_as_the_same(one: str, other: str, same: bool) -> None:
    assert similar(one, other, 0.8) is similar(other, one, 0.8) is same


async def test_other_agents_rules_operations_and_examples_are_never_joined() -> None:
    known = batch(
        wish("Be exact.", "t0"),
        wish("Be exact.", "t0", agent="critic"),
        wish("Be exact.", "t0", op="MODIFY", rule="r1"),
        wish("Be exact.", "t0", op="MODIFY", rule="r2"),
        wish("Input one gives A", "t0", kind="example"),
        wish("Input one gives A.", "t1", kind="example"),
    )
    found, _ = await merged(known, top_k=10)
    assert len(found) == 6


async def test_deletes_of_one_rule_are_one_whatever_their_reasons() -> None:
    known = batch(
        wish("It misleads.", "t0", op="DELETE", rule="r2"), wish("Useless.", "t1", op="DELETE", rule="r2")
    )
    found, _ = await merged(known)
    assert [(s.op, s.support) for s in found] == [("DELETE", 0.5)]


async def test_of_contradicting_wishes_for_one_rule_the_better_supported_stays() -> None:
    known = batch(
        wish("Guess only when sure.", "t0", op="MODIFY", rule="r2"),
        wish("Useless.", "t1", "t2", op="DELETE", rule="r2"),
        wish("Useless.", "t1", op="DELETE", rule="r1"),
        wish("Think twice.", "t2", op="MODIFY", rule="r1"),
    )
    found, memory = await merged(known)
    assert [(s.op, s.rule) for s in found] == [("DELETE", "r2"), ("MODIFY", "r1")]
    assert memory["dropped_count"] == 2
    assert "DELETE of the same rule has support 0.50" in memory["dropped"][0]["why"]


THREE = (
    wish("Show units.", "t0"),
    wish("Give the unit of each number.", "t1"),
    wish("Greet the user.", "t2"),
)


def grouping(*groups: tuple[str, Sequence[int]]) -> FakeLab:
    return FakeLab(
        {"merge": lambda _: {"top": [{"text": t, "support_examples_idx": list(i)} for t, i in groups]}}
    )


async def test_the_model_joins_what_words_do_not() -> None:
    # items are listed by text: 0 "Give the unit...", 1 "Greet...", 2 "Show units."
    lab = grouping(("Give units.", [0, 2]), ("Hello.", [1]))
    found, memory = await merged(batch(*THREE), lab)
    assert [(s.instruction, s.support) for s in found] == [("Give units.", 0.5), ("Greet the user.", 0.25)]
    assert memory["repaired_count"] == memory["unread_count"] == 0
    assert "0: Give the unit of each number.\n1: Greet the user.\n2: Show units." in lab.asked[0].text


async def test_wrong_indices_of_the_model_are_repaired_and_recorded() -> None:
    lab = grouping(("Give units.", [0, 2, 7, -1]), ("Again.", [2]), ("", [5]))
    found, memory = await merged(batch(*THREE), lab)
    assert [(s.instruction, s.support) for s in found] == [("Give units.", 0.5), ("Greet the user.", 0.25)]
    assert memory["repaired_count"] == 3


async def test_an_unreadable_reply_leaves_the_joining_by_text() -> None:
    found, memory = await merged(batch(*THREE), FakeLab({"merge": lambda _: "sorry"}))
    assert len(found) == 3
    assert memory["unread_count"] == 1
    lab = grouping(("Give units.", [0, 2]))
    assert len((await merged(batch(*THREE), lab, by_model=False))[0]) == 3
    assert not lab.asked


async def test_nothing_to_merge_gives_nothing() -> None:
    assert (await merged(batch()))[0] == ()


TEXTS = st.sampled_from(
    [
        "Show units.",
        "show units",
        "Never show units.",
        "Greet the user.",
        "Greet the kind user.",
        "Use 3 words.",
    ]
)
TARGETS = st.sampled_from([("ADD", ""), ("MODIFY", "r1"), ("DELETE", "r1"), ("MODIFY", "r2")])


@st.composite
def wishes(draw: st.DrawFn) -> Suggestion:
    op, rule = draw(TARGETS)
    agent = "solver" if rule == "r2" else draw(st.sampled_from(["solver", "critic"]))
    tasks = draw(st.lists(st.sampled_from(sorted(TASKS)), max_size=3))
    return wish(
        draw(TEXTS), *tasks, op=op, rule=rule, agent=agent, reason=draw(st.sampled_from(["", "x", "y"]))
    )


@settings(max_examples=150, deadline=None)
@given(st.lists(wishes(), max_size=12), st.integers(1, 5), st.randoms(use_true_random=False))
def test_support_is_a_share_at_most_k_are_kept_and_order_does_not_matter(
    suggestions: list[Suggestion], k: int, luck: Any
) -> None:
    found, _ = asyncio.run(merged(batch(*suggestions), top_k=k))
    assert len(found) <= k
    assert all(0 <= s.support <= 1 for s in found)
    assert [s.support for s in found] == sorted((s.support for s in found), reverse=True)
    targets = [(s.agent, s.rule) for s in found if s.rule]
    assert len(targets) == len(set(targets))
    shuffled, names = list(suggestions), sorted(TASKS)
    luck.shuffle(shuffled)
    luck.shuffle(names)
    again, _ = asyncio.run(merged(batch(*shuffled, tasks={n: TASKS[n] for n in names}), top_k=k))
    assert again == found
