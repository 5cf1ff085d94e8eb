"""Other thresholds over a run's credits: what the method itself did comes out again, and caution grows as it should."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from langgraph_truce.errors import UserMistake
from langgraph_truce.seams import Batch, Credit, Memory
from langgraph_truce.select import Thresholds, low_credit_blocks
from langgraph_truce.select.blocks import BLOCKS
from langgraph_truce.select.sweep import sweep
from langgraph_truce.testing.lab import FakeLab
from tests.select.scripted_credits import AGGREGATOR, ROLES, batch, book, lost, won

OWN = book(*ROLES, *(f"{AGGREGATOR}@{t}" for t in (1, 2)))


def iteration(i: int, rows: list[tuple[int, bool]]) -> Batch:
    credits_: list[Credit] = [
        (won if good else lost)(f"t{n}.{(i - 1) // 2}", t) for n, (t, good) in enumerate(rows)
    ]
    return batch(*credits_, iteration=i, rules=OWN)


RUNS = st.lists(
    st.lists(st.tuples(st.integers(1, 2), st.booleans()), min_size=1, max_size=12), min_size=1, max_size=6
)


@settings(max_examples=40, deadline=None)
@given(RUNS, st.sampled_from([0.3, 0.5, 0.7]), st.sampled_from([1, 3]))
async def test_at_its_own_thresholds_it_tells_what_the_method_did(
    runs: list[list[tuple[int, bool]]], tau: float, m: int
) -> None:
    batches = [iteration(i, rows) for i, rows in enumerate(runs, 1)]
    select = low_credit_blocks(Thresholds(tau=tau, m=m))
    memory: Memory = {}
    did: dict[int, list[str]] = {}
    for one in batches:
        targets, memory = await select(one, memory, FakeLab(aggregator=AGGREGATOR))
        if targets:
            did[one.iteration] = list(targets)

    (row,) = sweep(batches, AGGREGATOR, taus=[tau], ms=[m], blocks=BLOCKS)

    assert {i: [f"{AGGREGATOR}@{t}" for t in low] for i, low in row.rounds.items()} == did
    assert row.edits == sum(map(len, did.values()))


def test_higher_tau_and_fewer_failures_select_more() -> None:
    batches = [iteration(i, [(1, n % 2 == 0) for n in range(9)]) for i in range(1, 7)]

    rows = {(r.tau, r.m): r.edits for r in sweep(batches, AGGREGATOR)}

    assert len(rows) == 20
    assert rows[0.3, 1] < rows[0.7, 1]
    assert rows[0.7, 1] > rows[0.7, 10] > 0


def test_a_shared_aggregator_is_one_edit() -> None:
    credits_ = [lost(f"t{n}.0", t) for n in range(8) for t in (1, 2)]

    (row,) = sweep([batch(*credits_)], AGGREGATOR, taus=[0.5], ms=[5])

    assert (row.rounds, row.edits) == ({1: (1, 2)}, 1)


def test_what_cannot_be_swept_is_said() -> None:
    with pytest.raises(UserMistake, match="its blocks are roles"):
        sweep([], AGGREGATOR, blocks=("roles",))
    with pytest.raises(UserMistake, match=r"tau=1\.5"):
        sweep([], AGGREGATOR, taus=[1.5])
