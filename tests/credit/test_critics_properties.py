"""Critics: scores and credit stay in their ranges, and c lies between q and p."""

from __future__ import annotations

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from langgraph_truce.credit import critics
from langgraph_truce.credit.structural import fused, in_range
from langgraph_truce.testing.batches import make_book, make_rules
from tests.credit.critic_scripts import batch_of, debate, lab

unit = st.floats(0, 1)


@given(unit, unit, unit)
def test_fused_credit_lies_between_its_parts(q: float, p: float, lam: float) -> None:
    c = fused(q, p, lam)
    assert min(q, p) <= c <= max(q, p)
    assert (fused(q, p, 1.0), fused(q, p, 0.0)) == (q, p)
    assert fused(q, None, lam) == q
    assert fused(max(q, p), p, lam) >= fused(min(q, p), p, lam)


@given(st.one_of(st.floats(), st.integers(), st.booleans(), st.text(max_size=3), st.none()))
def test_only_numbers_in_their_range_are_scores(value: Any) -> None:
    number = in_range(value, 5)
    if number is None:
        assert isinstance(value, bool | str | None) or not 0 <= value <= 5
    else:
        assert number == value
        assert 0 <= number <= 5


@given(st.lists(st.tuples(unit, unit), min_size=1, max_size=4), unit)
@settings(max_examples=15, deadline=None)
async def test_values_are_bounded_and_rise_with_the_scores(
    scores: list[tuple[float, float]], lam: float
) -> None:
    roles = [f"r{n}" for n in range(len(scores))]
    book = make_book(*(make_rules(r, "Think.") for r in (*roles, "agg")))
    run = debate("t1", {**dict.fromkeys(roles, "(A)"), "agg": "(A)"})
    judged = {
        "utterances": [{"step": f"{r}#1.0", "q": q} for r, (q, _) in zip(roles, scores, strict=True)],
        "aggregate": {"q": scores[0][0]},
    }
    seen = {"roles": [{"role": r, "p": p} for r, (_, p) in zip(roles, scores, strict=True)]}
    fake = lab(critic=[judged], peers=[seen])
    credits_, _ = await critics(lam=lam)(batch_of(run, book=book), {}, fake)

    assert all(c.value is not None and -1 <= c.value <= 1 for c in credits_)
    assert [c.details["c"] for c in credits_ if c.details["kind"] == "role"] == [
        fused(q, p, lam) for q, p in scores
    ]
    assert len(credits_) == len(scores) + 2
