"""`langgraph-truce noise`: what it prints, what it leaves, and what it refuses."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest

COMMAND = ("noise", "app.py:system", "--tasks", "test.jsonl", "--evaluator", "ev.py:exact", "--run", "runs/n")


def test_a_system_without_luck_has_no_noise(shop: Any) -> None:
    said = shop(*COMMAND, "--replicates", "1", "--iterations", "4")

    assert said.code == 0, said
    assert "A/A on 20 tasks, 1 replicate an arm: score 0.500 and 0.500, difference +0.0 points" in said.out
    assert "0 % of the tasks flip" in said.out
    assert "level 0.0125 (alpha over 4 iterations)" in said.out
    assert "10 points" in said.out
    assert "noise: 40/40, 40 calls" in said.err
    kept = json.loads((shop.folder / "runs/n/noise.json").read_text())
    assert (kept["within"], kept["ran"], kept["stopped"]) == (0.0, 40, "")
    assert [row["gain"] for row in kept["needed"]] == [0.01, 0.02, 0.05, 0.1]


def test_the_same_command_again_asks_for_nothing_and_says_the_same(shop: Any) -> None:
    first, second = shop(*COMMAND), shop(*COMMAND)

    assert second.out == first.out
    assert "80/80, 80 calls" in second.err.splitlines()[-1]


def test_at_the_cap_it_says_so_and_counts_what_is_finished(shop: Any) -> None:
    said = shop(*COMMAND, "--budget-calls", "45")

    assert said.code == 0, said
    assert re.search(r"Ended early after 4[0-5] of 80 rollouts: .*45 so far", said.out)


@pytest.mark.parametrize("alpha", ["0", "1"])
def test_an_alpha_that_is_none_is_refused(shop: Any, alpha: str) -> None:
    said = shop(*COMMAND, "--alpha", alpha)

    assert said.code == 2
    assert "above 0 and below 1" in said.err
