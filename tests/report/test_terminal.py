"""The terminal report: every figure of a run stands in it, and no text of the run is taken for markup or obeyed."""

from __future__ import annotations

from dataclasses import replace

import pytest

from langgraph_truce.report import Story, render
from langgraph_truce.report.story import Cost


def test_every_figure_stands_in_the_report(story: Story) -> None:
    said = render(story, width=160)

    for figure in (
        "With 1 edit accepted, the score on 80 sealed test tasks rose from 0.410 to 0.630: +0.220",
        "0.320 to 0.510",
        "+0.100 to +0.340",
        "p < 0.001 (paired, two-sided); 20 tasks fixed, 2 broken",
        "0.400 -> 0.600",
        "about 4,321 validation tasks would decide",
        "MODIFY manager r7 (e1.0): accept, +0.200, p 0.003 of 0.0167, 3 tasks fixed, 1 broken",
        "asked for by 30% of the tasks; tasks t1, t2, t5 and 1 more; 5 steps cited",
        "manager#1.0 of task t1: Send it to the elm desk.",
        "DELETE worker r2 (e2.0): inconclusive",
        "Be brief.",
        "ADD worker (new): error",
        "Copied.",
        "ADD worker (new) (e2.1): deferred",
        "review: deferred by Bea. Ask Ada.",
        "-0.50 (60)",
        "+0.75 (3)",
        "300 to 500",
        "1.2500",
        "2 paid calls could not be journalled",
        "10% of 40 tasks",
        "A difference of up to 0.062 is noise",
        "1 points: 3,091",
        "sealed test, baseline: 1; sealed test, candidate: 2",
        "3 model calls from writer",
        "2 model calls from raw threads",
        "4 contributions could not be replayed: writer: it wrote no words.",
        "100,000",
        "runs/monday",
    ):
        assert figure in said, figure


def test_shifts_add_up(story: Story) -> None:
    rows = [
        line.split() for line in render(story, width=160).splitlines() if line.startswith("  sealed test ")
    ]

    assert ["sealed", "test", "80", "20", "2", "58"] in rows


def test_texts_of_rules_are_no_markup(story: Story) -> None:
    assert "[bold]Harbor[/bold]" in render(story, width=160)


def test_credit_is_sorted_worst_first_and_shows_rounds(story: Story) -> None:
    said = render(story, width=140)

    assert said.index("manager  ") < said.index("worker  ") < said.index("(whole round)")
    assert "round 2" in said
    assert "no round" in said


@pytest.mark.parametrize("width", [60, 80, 110])
def test_lines_stay_within_the_width(story: Story, width: int) -> None:
    assert max(map(len, render(replace(story, run="r"), width=width).splitlines())) <= width


def test_no_figure_is_cut_where_the_terminal_is_narrow(story: Story) -> None:
    planned = {"calls": [777_777, 888_888]}
    most = Cost("total", 111_111, 222_222, 3_333_333, 444_444, 55_555, usd=66.6666, planned=planned)

    said = render(replace(story, costs=(most,)), width=80)

    for figure in ("111,111", "222,222", "3,333,333", "444,444", "55,555", "66.6666", "777,777", "888,888"):
        assert figure in said, figure


def test_a_run_that_a_budget_ended_says_what_a_larger_one_does(story: Story) -> None:
    early = replace(story, state="stopped early", why="the budget of 20 calls is spent")

    tested, untested = render(early), render(replace(early, difference=None))

    assert "A larger budget needs a new run" in " ".join(tested.split())
    assert "The same command with a larger budget goes on with its test" in " ".join(untested.split())


def test_a_run_without_edits_says_so(story: Story) -> None:
    said = render(replace(story, edits=(), turns=(), credit=(), costs=(), rules=()))

    assert "none was tried" in said
    assert "none was assigned" in said


def test_a_run_that_goes_on_is_marked() -> None:
    said = render(Story("runs/x", "unfinished", "it has come to iteration 2, credit"))

    assert said.startswith("UNFINISHED: it has come to iteration 2, credit\n")
    assert "not finished" in said
    assert "not measured" in said


def test_a_run_without_a_test_says_why() -> None:
    said = render(Story("runs/x", "stopped early", "the budget of 5 calls is spent"))

    assert "STOPPED EARLY: the budget of 5 calls is spent" in said
    assert "The sealed test was not measured (the budget of 5 calls is spent)" in said


HOSTILE = "\x1b[2J\x1b]0;owned\x07\x9b31m\x00\u202egnp.exe\u2066\ud800\r\b"


def test_nothing_in_the_run_moves_the_terminal(story: Story) -> None:
    first = story.edits[0]
    bad = replace(
        first,
        after=HOSTILE,
        reason=HOSTILE,
        agent=HOSTILE,
        quotes=(replace(first.quotes[0], said=HOSTILE),),
        tasks=(HOSTILE,),
    )
    turn = replace(story.turns[0], words=HOSTILE)
    hostile = replace(
        story,
        run=HOSTILE,
        edits=(bad,),
        turns=(turn,),
        missed={HOSTILE: 1},
        refused={HOSTILE: 1},
        credit=(replace(story.credit[0], role=HOSTILE),),
        rules=(),
    )

    said = render(hostile, width=200)

    assert not {c for c in said if ord(c) < 32 or 127 <= ord(c) < 160} - {"\n"}
    assert not set(said) & set("\u202e\u2066\ud800")
    assert "␛[2J" in said
    assert "⟨U+202E⟩" in said
    said.encode("utf-8")
