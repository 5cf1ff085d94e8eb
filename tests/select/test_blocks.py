"""Which block is edited in which iteration, and who of it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest

from langgraph_truce.errors import UserMistake
from langgraph_truce.seams import Credit, Memory, Selector
from langgraph_truce.select import Thresholds, low_credit_blocks
from langgraph_truce.testing.lab import FakeLab
from tests.select.scripted_credits import AGGREGATOR, ROLES, batch, book, closed, lost, said, won

LAB = FakeLab(aggregator=AGGREGATOR)


def turn(
    n: int, *, weak: str = "", wrong: tuple[int, ...] = (), turn_: int = 0, rounds: int = 3
) -> list[Credit]:
    """Credits of n rollouts: one role bad in all rounds, the aggregator wrong in some of them."""
    out: list[Credit] = []
    for i in range(n):
        for t in range(1, rounds + 1):
            bad = {role: role == weak for role in ROLES}
            out += [said(f"t{i}.{turn_}", r, t, 0.1 if bad[r] else 0.9, right=not bad[r]) for r in ROLES]
            out.append(lost(f"t{i}.{turn_}", t) if t in wrong else won(f"t{i}.{turn_}", t))
    return out


async def ran(
    selector: Selector, *iterations: list[Credit], memory: Memory | None = None, **parts: Any
) -> tuple[list[tuple[str, ...]], Memory]:
    """Targets of each iteration, and the last memory, which goes through JSON in between."""
    found: list[tuple[str, ...]] = []
    kept: Memory = memory or {}
    for i, credits_ in enumerate(iterations, 1):
        targets, kept = await selector(batch(*credits_, iteration=i, **parts), kept, LAB)
        kept = json.loads(json.dumps(kept))
        found.append(targets)
    return found, kept


async def test_roles_and_aggregators_take_turns() -> None:
    credits_ = turn(8, weak="b", wrong=(2,))

    found, memory = await ran(low_credit_blocks(), credits_, credits_)

    assert found == [("b",), (AGGREGATOR,)]
    assert [t["block"] for t in memory["turns"]] == ["roles", "aggregators"]
    assert memory["turns"][1]["targets"] == [AGGREGATOR]
    assert memory["alpha"] == {"1": 1.0, "2": pytest.approx(0.8**8), "3": 1.0}, "each rollout once"
    assert memory["failures"] == {}, "the attempt emptied them"
    assert memory["roles"]["b"] == {"credit": 0.1, "risk": 1.0, "n": 8}


async def test_a_phase_with_nothing_low_gives_nobody() -> None:
    found, memory = await ran(low_credit_blocks(), turn(8), turn(8))

    assert found == [(), ()]
    assert memory["turns"][0]["credit"] == dict.fromkeys(ROLES, 0.9)


@pytest.mark.parametrize(("block", "expected"), [("roles", ("b",)), ("aggregators", (AGGREGATOR,))])
async def test_one_block_alone_is_edited_in_every_iteration(block: Any, expected: tuple[str, ...]) -> None:
    rows = [turn(8, weak="b", wrong=(2,), turn_=n) for n in range(2)]

    found, _ = await ran(low_credit_blocks(blocks=(block,)), *rows)

    assert found == [expected, expected]


async def test_a_round_with_an_aggregator_of_its_own_is_chosen_alone() -> None:
    own = book(*ROLES, *(f"{AGGREGATOR}@{t}" for t in (1, 2, 3)))
    credits_ = turn(8, wrong=(2, 3))

    found, _ = await ran(low_credit_blocks(), credits_, credits_, rules=own)
    mixed, _ = await ran(
        low_credit_blocks(), credits_, credits_, rules=book(*ROLES, AGGREGATOR, f"{AGGREGATOR}@2")
    )

    assert found[1] == (f"{AGGREGATOR}@2", f"{AGGREGATOR}@3")
    assert mixed[1] == (f"{AGGREGATOR}@2", AGGREGATOR)


async def test_the_lowest_round_comes_first() -> None:
    own = book(*ROLES, *(f"{AGGREGATOR}@{t}" for t in (1, 2)))
    rows = [
        lost(f"t{n}.0", t) if n < 6 else won(f"t{n}.0", t)
        for t, most in ((1, 7), (2, 6))
        for n in range(most)
    ]

    found, _ = await ran(low_credit_blocks(blocks=("aggregators",)), rows, rules=own)

    assert found == [(f"{AGGREGATOR}@2", f"{AGGREGATOR}@1")]


async def test_an_attempt_that_failed_is_made_again_after_m_new_failures_only() -> None:
    select = low_credit_blocks(Thresholds(m=5), ("aggregators",))

    found, _ = await ran(select, *(turn(n, wrong=(1,), turn_=k) for k, n in enumerate((6, 3, 2, 1))))

    assert found == [(AGGREGATOR,), (), (AGGREGATOR,), ()]


async def test_an_accepted_edit_begins_anew() -> None:
    select = low_credit_blocks(blocks=("aggregators",))
    _, memory = await ran(select, turn(8, wrong=(1,)))

    new = batch(*turn(1, wrong=(1,), turn_=1), iteration=2, rules=book(*ROLES, AGGREGATOR, rule="Weigh it."))
    _, memory = await select(new, memory, LAB)

    assert memory["alpha"]["1"] == pytest.approx(0.8)
    assert memory["failures"] == {"1": ["t0.1"]}


async def test_an_edited_role_leaves_the_aggregators_credit_as_it_is() -> None:
    select = low_credit_blocks(blocks=("aggregators",))
    _, memory = await ran(select, turn(2, wrong=(1,)))

    other = book(*ROLES, AGGREGATOR)
    other = other.with_agent(book("a", rule="Another.").agents["a"])
    _, memory = await select(batch(*turn(1, wrong=(1,), turn_=1), iteration=2, rules=other), memory, LAB)

    assert memory["alpha"]["1"] == pytest.approx(0.8**3)


async def test_nobody_without_rules_and_nothing_outside_the_rounds() -> None:
    some = turn(8, weak="b", wrong=(1,))
    outside = [said(f"t{n}.0", "decide", None, 0.0, right=False) for n in range(8)]
    rules = book("a", "c", "decide")

    found, memory = await ran(low_credit_blocks(), some + outside, some + outside, rules=rules)

    assert found == [(), ()]
    assert set(memory["roles"]) == {"a", "c"}


async def test_prompts_that_are_not_shared_over_rounds_stand_for_themselves() -> None:
    rules = book(*(f"{r}@{t}" for r in ROLES for t in (1, 2)), AGGREGATOR)
    credits_ = [
        said(f"t{n}.0", role, t, 0.1 if (role, t) == ("c", 1) else 0.9)
        for n in range(8)
        for role in ROLES
        for t in (1, 2)
    ]

    found, _ = await ran(low_credit_blocks(), credits_, rules=rules)

    assert found == [("c@1",)]


async def test_early_stopped_and_silent_roles_are_no_trouble() -> None:
    credits_ = [
        c for c in turn(9, weak="b", wrong=(3,)) if not (c.round == 3 and c.rollout < "t4") and c.role != "a"
    ]

    found, memory = await ran(low_credit_blocks(), credits_, credits_)

    assert found == [("b",), (AGGREGATOR,)]
    assert "a" not in memory["roles"]
    assert memory["alpha"]["3"] == pytest.approx(0.8**5)


async def test_without_scored_answers_the_critics_scores_stand_in() -> None:
    credits_ = [
        c
        for n in range(8)
        for c in (said(f"t{n}.0", "a", 1, 0.9), said(f"t{n}.0", "b", 1, 0.1), closed(f"t{n}.0", 1, 0.1))
    ]

    found, memory = await ran(low_credit_blocks(), credits_, credits_)
    solved, _ = await ran(low_credit_blocks(), credits_, credits_, failed=False)

    assert found == [("b",), (AGGREGATOR,)]
    assert memory["roles"]["b"]["risk"] == pytest.approx(0.9)
    assert solved[1] == ()


async def test_no_credit_at_all_selects_nobody() -> None:
    found, memory = await ran(low_credit_blocks(), [], [])

    assert found == [(), ()]
    assert memory["alpha"] == {}


async def test_a_system_without_marked_rounds_is_told_how_to_mark_them() -> None:
    with pytest.raises(UserMistake, match=r"System\(\.\.\., aggregator=NODE\)"):
        await low_credit_blocks()(batch(*turn(1)), {}, FakeLab())

    targets, _ = await low_credit_blocks(blocks=("roles",))(batch(*turn(8, weak="b")), {}, FakeLab())
    assert targets == ("b",)


@pytest.mark.parametrize(
    "wrong", [{"roles": 0}, {"role": 1.5}, {"tau": -0.1}, {"m": 0}, {"beta": 0.0}, {"tau": float("nan")}]
)
def test_thresholds_out_of_range_are_refused(wrong: Mapping[str, Any]) -> None:
    with pytest.raises(UserMistake, match=next(iter(wrong))):
        Thresholds(**wrong)


def test_blocks_that_do_not_exist_are_refused() -> None:
    with pytest.raises(UserMistake, match="no block 'rounds'; there are: roles, aggregators"):
        low_credit_blocks(blocks=("rounds",))  # type: ignore[arg-type]  # a mistake on purpose
    with pytest.raises(UserMistake, match="there are: roles, aggregators"):
        low_credit_blocks(blocks=())


async def test_the_memory_stays_small() -> None:
    """50 iterations, 100 tasks, 7 roles and 5 rounds, ids as a run has them: below 20 kB."""
    roles = [f"role_{n}" for n in range(7)]
    rules = book(*roles, *(f"{AGGREGATOR}@{t}" for t in range(1, 6)))
    select = low_credit_blocks()
    memory: Memory = {}
    for i in range(1, 52):
        names = [f"0123456789abcdef/train-{n:04}/{i // 2}.0" for n in range(100)]
        credits_ = [
            c for name in names for t in range(1, 6) for c in (said(name, roles[t], t, 0.5), lost(name, t))
        ]
        _, memory = await select(batch(*credits_, iteration=i, rules=rules), memory, LAB)

    assert len(json.dumps(memory)) < 20_000
    assert [row["iteration"] for row in memory["turns"]] == list(range(2, 52)), "the newest"
    assert len(memory["seen"]) == 100


async def test_equal_input_gives_equal_output() -> None:
    rows = [turn(6, weak="c", wrong=(1, 3), turn_=n // 2) for n in range(4)]

    assert await ran(low_credit_blocks(), *rows) == await ran(low_credit_blocks(), *rows)


async def test_what_was_counted_is_known_to_the_end_of_the_turn() -> None:
    select = low_credit_blocks()

    _, memory = await ran(select, turn(3), turn(2, turn_=1))
    assert len(memory["seen"]) == 5
    _, memory = await select(batch(*turn(4, turn_=2), iteration=3), memory, LAB)
    assert len(memory["seen"]) == 4


async def test_an_attempt_counts_for_every_round_that_its_agent_serves() -> None:
    rows = [*turn(8, wrong=(1,), rounds=1), *(lost(f"t{n}.0", 2) for n in range(2))]

    found, memory = await ran(low_credit_blocks(blocks=("aggregators",)), rows)

    assert found == [(AGGREGATOR,)]
    assert memory["alpha"]["2"] == pytest.approx(0.64), "round 2 was not low"
    assert memory["failures"] == {}


async def test_other_rules_begin_anew_also_in_rounds_that_were_not_reached() -> None:
    select = low_credit_blocks(blocks=("aggregators",))
    _, memory = await ran(select, turn(4, wrong=(1, 2), rounds=2))

    other = book(*ROLES, AGGREGATOR, rule="Weigh it.")
    _, memory = await select(batch(*turn(1, turn_=1, rounds=1), iteration=2, rules=other), memory, LAB)

    assert memory["alpha"] == {"1": 1.0, "2": 1.0}
    assert memory["failures"] == {}


@pytest.mark.parametrize(("score", "failures"), [(0.9, ["t.0"]), (1.0, None)])
async def test_a_run_below_the_full_score_failed(score: float, failures: list[str] | None) -> None:
    given = batch(said("t.0", "a", 1, 0.9), closed("t.0", 1, 0.1))
    (run,) = given.rollouts
    given = replace(given, rollouts=(replace(run, outcome=replace(run.outcome, score=score)),))

    _, memory = await low_credit_blocks()(given, {}, LAB)

    assert memory["failures"].get("1") == failures


@pytest.mark.parametrize(
    ("thresholds", "expected"),
    [
        (Thresholds(m=3, role=1.0), [("b", "a"), (AGGREGATOR,)]),
        (Thresholds(m=3, role=1.0, roles=1), [("b",), (AGGREGATOR,)]),
        (Thresholds(m=3, role=1.0, roles=3), [("b", "a", "c"), (AGGREGATOR,)]),
        (Thresholds(m=3, role=0.05), [(), (AGGREGATOR,)]),
        (Thresholds(m=3, tau=0.2), [("b",), ()]),
        (Thresholds(m=3, beta=0.05), [("b",), ()]),
        (Thresholds(m=5), [("b",), ()]),
    ],
)
async def test_every_threshold_is_heard(thresholds: Thresholds, expected: list[tuple[str, ...]]) -> None:
    """Four runs: alpha of rounds 1 and 2 is 0.8 to the 4th, 0.41; both have the same aggregator, which is chosen once."""
    credits_ = turn(4, weak="b", wrong=(1, 2))

    found, _ = await ran(low_credit_blocks(thresholds), credits_, credits_)

    assert found == expected
