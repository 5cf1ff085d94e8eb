"""Blame tests: blame that a replay does not bear out loses its support, the rest stays as it was."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest

from langgraph_truce.credit import blame_test
from langgraph_truce.errors import ReplayRefused, UserMistake
from langgraph_truce.seams import Attributor, Batch, Change, Credit, Lab, Memory, Rollout
from langgraph_truce.task import Outcome
from langgraph_truce.testing.batches import make_batch, make_book, make_rules
from langgraph_truce.testing.lab import FakeLab

BOOK = make_book(*(make_rules(r, "Be kind.") for r in ("ann", "bob", "cyd")))


def says(*credits_: Credit) -> Attributor:
    async def credit(batch: Batch, memory: Memory, lab: Lab) -> tuple[tuple[Credit, ...], Memory]:
        return credits_, {**memory, "rejected": [], "inner": True}

    return credit


def blame(role: str, round_: int | None, *steps: str, value: float = -0.8, words: str = "wrong") -> Credit:
    return Credit("t1.0", "t1", steps, value, role=role, round=round_, words=words)


def lab_of(*guilty: str, way: str = "") -> FakeLab:
    def play(rollout: Rollout, change: Change, replicate: int) -> Rollout:
        edited = change.neutral or change.instead or change.rerun
        repairs = edited and set(change.steps) & set(guilty) and (not way or getattr(change, way))
        return replace(rollout, outcome=Outcome("r", float(bool(repairs))))

    return FakeLab(replay=play)


async def run(
    debate: Any, given: Sequence[Credit], lab: FakeLab, **settings: Any
) -> tuple[tuple[Credit, ...], Memory]:
    return await blame_test(says(*given), **settings)(make_batch(BOOK, [debate()]), {}, lab)


async def test_blame_that_changes_nothing_loses_its_support(debate: Any) -> None:
    given = [blame("bob", 2, "bob#2.0"), blame("ann", 1, "ann#1.0", words="ann lied")]
    credits_, memory = await run(debate, given, lab_of("bob#2.0"))

    assert credits_[0].value == -0.8
    assert credits_[0].words == "wrong"
    assert credits_[0].details["blame_test"]["gain"] == 1.0
    assert credits_[1].value == 0.0
    assert credits_[1].details["withdrawn"] == "ann lied"
    assert "no support" in credits_[1].words
    assert memory["unsupported_count"] == 1
    assert (memory["unsupported"][0]["role"], memory["unsupported"][0]["value"]) == ("ann", -0.8)
    assert (memory["tested_count"], memory["inner"]) == (2, True)


async def test_praise_and_credit_of_segments_are_not_touched(debate: Any) -> None:
    given = [blame("ann", 1, "ann#1.0", value=0.5), blame("", 1, "ann#1.0"), blame("bob", 1, value=-1)]
    lab = lab_of()
    credits_, memory = await run(debate, given, lab)

    assert credits_ == tuple(given)
    assert lab.replayed == []
    assert memory["tested_count"] == 0


async def test_the_largest_gain_among_the_cited_decides(debate: Any) -> None:
    given = [blame("bob", None, "bob#1.0", "bob#3.0", "ann#2.0")]
    credits_, _ = await run(debate, given, lab_of("bob#3.0"))

    assert credits_[0].value == -0.8
    assert credits_[0].details["blame_test"]["steps"] == ["bob#3.0"]


async def test_steps_of_others_as_evidence_mean_the_role_in_its_round(debate: Any) -> None:
    credits_, _ = await run(debate, [blame("bob", 2, "ann#2.0")], lab := lab_of("bob#2.0"))

    assert credits_[0].value == -0.8
    assert {c.steps for _, c, _ in lab.replayed if c.neutral} == {("bob#2.0",)}


async def test_one_contribution_blamed_twice_is_replayed_once(debate: Any) -> None:
    given = [blame("bob", 2, "bob#2.0"), blame("bob", 2, "bob#2.0", words="again")]
    credits_, _ = await run(debate, given, lab := lab_of(), replicates=2)

    assert [c.value for c in credits_] == [0.0, 0.0]
    assert len(lab.replayed) == 4


async def test_an_omission_needs_other_words_than_silence(debate: Any) -> None:
    given = [blame("bob", 1, "bob#1.0")]
    silent, _ = await run(debate, given, lab_of("bob#1.0", way="instead"))
    peer, _ = await run(debate, given, lab_of("bob#1.0", way="instead"), replace=("neutral", "peer"))

    assert (silent[0].value, peer[0].value) == (0.0, -0.8)


async def test_least_is_the_gain_that_blame_needs(debate: Any) -> None:
    def play(rollout: Rollout, change: Change, replicate: int) -> Rollout:
        return replace(rollout, outcome=Outcome("r", 0.2 if change.neutral else 0.0))

    lab = FakeLab(replay=play)
    given = [blame("bob", 1, "bob#1.0")]

    assert (await run(debate, given, lab, least=0.1))[0][0].value == -0.8
    assert (await run(debate, given, lab, least=0.2))[0][0].value == 0.0


async def test_at_most_tests_the_heaviest(debate: Any) -> None:
    given = [blame("ann", 1, "ann#1.0", value=-0.2), blame("bob", 1, "bob#1.0", value=-0.9)]
    credits_, memory = await run(debate, given, lab_of(), at_most=1)

    assert [c.value for c in credits_] == [-0.2, 0.0]
    assert memory["tested_count"] == 1


async def test_what_cannot_be_tested_stands_and_is_recorded(debate: Any) -> None:
    def play(rollout: Rollout, change: Change, replicate: int) -> Rollout:
        raise ReplayRefused("tool 'pay' is not declared")

    given = [blame("ann", 1, "ann#1.0"), blame("dan", 1, "ann#1.0")]
    credits_, memory = await run(debate, given, FakeLab(replay=play))

    assert credits_ == tuple(given)
    assert memory["untested_count"] == 2
    assert memory["untested_why"] == {
        "ann: tool 'pay' is not declared": 1,
        "dan: its role contributed nothing it could mean": 1,
    }
    assert {r["role"] for r in memory["untested"]} == {"ann", "dan"}
    assert memory["unsupported_count"] == 0


@pytest.mark.parametrize(
    "settings", [{"replace": ()}, {"replace": "rules"}, {"replicates": 0}, {"least": 1.0}]
)
def test_settings_out_of_range_are_refused(settings: dict[str, Any]) -> None:
    with pytest.raises(UserMistake, match="blame test"):
        blame_test(says(), **settings)
