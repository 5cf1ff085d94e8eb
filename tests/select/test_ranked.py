"""Which agents may be edited, in which order."""

from __future__ import annotations

from langgraph_truce.seams import Batch, Credit, Selector
from langgraph_truce.select import below, every_agent, lowest
from langgraph_truce.testing.batches import make_batch, make_book, make_rollout, make_rules
from langgraph_truce.testing.lab import FakeLab

SAID = [("a", 1, "x"), ("b", 1, "y"), ("c", 1, "z"), ("a", 2, "w")]


def credit(role: str, value: float | None, round_: int | None = 1, steps: tuple[str, ...] = ()) -> Credit:
    cited = steps or (f"{role}#1.0",)
    return Credit("t1.0", "t1", cited, value, None if value is not None else 1.0, role, round_)


def batch(*credits_: Credit, agents: tuple[str, ...] = ("a", "b", "c")) -> Batch:
    book = make_book(*(make_rules(name, "Rule.") for name in agents))
    return make_batch(book, [make_rollout("t1", SAID, score=0.0)], credits=credits_)


async def chosen(selector: Selector, known: Batch) -> tuple[str, ...]:
    names, memory = await selector(known, {"kept": 1}, FakeLab())
    assert memory == {"kept": 1}
    return names


async def test_every_agent_lowest_mean_credit_first_and_unjudged_last() -> None:
    known = batch(credit("b", 0.5), credit("c", -0.5), credit("c", 0.1))
    assert await chosen(every_agent(), known) == ("c", "b", "a")


async def test_below_and_lowest_leave_out_the_others() -> None:
    known = batch(credit("b", 0.5), credit("c", -0.5), credit("a", None))
    assert await chosen(below(0.0), known) == ("c",)
    assert await chosen(lowest(1), known) == ("c",)
    assert await chosen(lowest(9), known) == ("c", "b")


async def test_a_segments_credit_counts_where_no_credit_names_the_agent() -> None:
    shared = credit("", -0.9, steps=("a#1.0", "b#1.0"))
    known = batch(shared, credit("a", 0.8))
    assert await chosen(every_agent(), known) == ("b", "a", "c")


async def test_a_round_with_rules_of_its_own_is_an_agent_of_its_own() -> None:
    known = batch(credit("a", 0.9, 1), credit("a", -0.9, 2, ("a#2.0",)), agents=("a", "a@2"))
    assert await chosen(every_agent(), known) == ("a@2", "a")
    known = batch(credit("a", -0.9, None, ("a#2.0",)), agents=("a", "a@2"))
    assert await chosen(lowest(2), known) == ("a@2",)
