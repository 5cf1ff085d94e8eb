"""The demo on the deterministic stand-in: it prints what it promises and leaves rules and diff."""

from __future__ import annotations

from typing import Any

from langgraph_truce import read_rules


def test_the_demo_shows_the_whole_job(shop: Any) -> None:
    said = shop("demo", "--model", "scripted", "--run", "runs/d")

    assert said.code == 0, said
    for part in (
        "Model calls",
        "Sealed test",
        "Credit by role",
        "Edits",
        "difference",
        "p = ",
        "Rules: runs/d/rules",
    ):
        assert part in said.out or (part == "p = " and "p < " in said.out), part
    assert "rollouts" in said.err, "it says what it is doing"
    folder = shop.folder / "runs/d"
    assert "manager" in read_rules(folder / "rules").agents
    assert (folder / "rules.diff").read_text(encoding="utf-8")


def test_the_demo_again_goes_on_and_runs_nothing(shop: Any) -> None:
    first = shop("demo", "--model", "scripted", "--run", "runs/d")

    second = shop("demo", "--model", "scripted", "--run", "runs/d")

    assert second.code == 0
    assert second.out == first.out
    assert "rollouts" not in second.err
