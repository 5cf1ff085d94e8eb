"""Do the critics see who is right? Their credit beside answer credit."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import astuple
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from langgraph_truce.credit import Agreement, agreement, critics
from langgraph_truce.seams import Credit
from tests.credit.critic_scripts import batch_of, critic, lab, two_rounds


def judged(role: str, c: float, right: bool | None, kind: str = "role") -> Credit:
    key = "c" if kind == "role" else "q"
    details = {"kind": kind, key: c, "right": right}
    return Credit("t.0", "t", ("s#1.0",), 2 * c - 1, role=role, round=1, details=details)


def test_means_and_the_chance_that_the_right_one_is_preferred() -> None:
    found = agreement(
        [
            judged("ann", 0.9, right=True),
            judged("ann", 0.5, right=True),
            judged("ann", 0.5, right=False),
            judged("ann", 0.1, right=False),
            judged("ann", 0.0, right=None),
            judged("bob", 0.3, right=False),
            judged("agg", 0.7, right=True, kind="aggregator"),
        ]
    )
    assert list(found) == ["", "agg", "ann", "bob"]
    assert astuple(found["ann"]) == pytest.approx((2, 2, 0.7, 0.3, 3.5 / 4))
    assert found["bob"] == Agreement(0, 1, None, 0.3, None)
    assert found["agg"] == Agreement(1, 0, 0.7, None, None)
    assert (found[""].n, found["ann"].n) == (5, 4)


def test_other_credits_and_unscored_ones_do_not_count() -> None:
    assert agreement([judged("ann", 0.4, right=None), Credit("t.0", "t", ("s#1.0",), 0.5, role="ann")]) == {}


scores = st.lists(st.tuples(st.floats(0, 1), st.booleans()), min_size=1, max_size=12)


@given(scores)
def test_the_chance_is_that_of_all_pairs(said: list[tuple[float, bool]]) -> None:
    found = agreement(judged("ann", c, right=right) for c, right in said)["ann"]
    good, bad = ([c for c, r in said if r is right] for right in (True, False))
    pairs = [1.0 if g > b else 0.5 if g == b else 0.0 for g in good for b in bad]
    assert found.auc == (pytest.approx(sum(pairs) / len(pairs)) if pairs else None)
    assert (found.right, found.wrong) == (len(good), len(bad))


async def test_critics_that_know_who_is_right_agree_and_blind_ones_do_not() -> None:
    def knowing(fields: Mapping[str, str]) -> dict[str, Any]:
        reply = critic()(fields)
        for one in reply["utterances"]:
            said = fields["utterances"].split(f"[{one['step']}]")[1].split("[")[0]
            one["q"] = 0.9 if "(B)" in said else 0.1
        return reply

    for asked, auc in ((knowing, 1.0), (critic(), 0.5)):
        credits_, _ = await critics(peers=False)(
            batch_of(two_rounds(), two_rounds("t2")), {}, lab(critic=asked)
        )
        assert agreement(credits_)[""].auc == auc
