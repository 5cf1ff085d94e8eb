"""`plan` with prices and budgets, and `optimize` under a budget, from the shell."""

from __future__ import annotations

from typing import Any

import pytest

PRICES = '{"scripted": {"input": 1.0, "output": 4.0}}\n'
LIMITED = """
from app import system
from langgraph_truce.testing import ScriptedModel

model = ScriptedModel(replies={"": "Ledger"}, max_tokens=40)
"""


def words(said: Any) -> str:
    return " ".join((said.out + said.err).split())


def test_plan_says_calls_tokens_and_what_it_needs_to_know_for_dollars(shop: Any) -> None:
    said = shop("plan", *shop.job())

    assert said.code == 0
    assert "unknown" in said.out
    for part in ("calls", "tokens", "dollars", "--prices", "Judges in the evaluator are not counted"):
        assert part in words(said)


def test_plan_says_dollars_where_models_and_prices_are_named(shop: Any) -> None:
    shop.write("limited.py", LIMITED)
    shop.write("prices.json", PRICES)
    named = ("--model", "limited.py:model", "--task-model", "limited.py:model", "--prices", "prices.json")
    said = shop("plan", *shop.job(), *named)

    assert said.code == 0, words(said)
    assert "unknown" not in said.out


@pytest.mark.parametrize(
    ("options", "part"),
    [
        (["--budget-calls", "1000000"], "1,000,000 calls suffices for all of it"),
        (["--budget-calls", "3"], "3 calls does not suffice even for the sealed test"),
        (["--budget-calls", "100"], "100 calls does not suffice for all iterations"),
        (["--budget-usd", "5"], "$5 cannot be compared: the price of a model is unknown"),
        (["--budget-seconds", "60"], "60 seconds: how long calls take is not known"),
    ],
)
def test_plan_says_whether_a_budget_suffices(shop: Any, options: list[str], part: str) -> None:
    said = shop("plan", *shop.job(), "--calls-per-task", "1", *options)

    assert said.code == 0, words(said)
    assert part in words(said)


@pytest.mark.parametrize(
    ("options", "parts"),
    [
        (["--budget-usd", "-1"], ["usd=-1.0", "above 0"]),
        (["--budget-seconds", "nan"], ["seconds=nan", "above 0"]),
        (["--prices", "gone.json"], ["gone.json", "cannot be read"]),
    ],
)
def test_a_budget_that_is_none_is_refused_in_a_sentence(
    shop: Any, options: list[str], parts: list[str]
) -> None:
    said = shop("plan", *shop.job(), *options)

    assert said.code == 2
    for part in parts:
        assert part in words(said)


def test_optimize_stops_at_the_cap_and_says_so(shop: Any) -> None:
    job = shop.job(method="offline", evaluator="exact_match", run="runs/x")
    said = shop("optimize", *job, "--iterations", "1", "--budget-calls", "10")

    assert said.code == 0, words(said)
    assert "10 calls is spent" in words(said)


def test_optimize_refuses_a_token_cap_that_could_not_be_kept(shop: Any) -> None:
    job = shop.job(method="offline", evaluator="exact_match", run="runs/x")
    said = shop("optimize", *job, "--iterations", "1", "--budget-tokens", "100000")

    assert said.code == 2
    assert "has no output limit" in words(said)
