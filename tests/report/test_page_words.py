"""The small parts of a report: words that differ, hidden characters, worked-out figures, the chart, the command."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from typer.testing import CliRunner

from langgraph_truce.cli import app
from langgraph_truce.cli.optimize import leave_so_far
from langgraph_truce.optimizer import optimize
from langgraph_truce.report import Story
from langgraph_truce.report.chart import HEIGHT, WIDTH, chart
from langgraph_truce.report.figures import mean_of, tasks_needed, verdict
from langgraph_truce.report.story import Contrast
from langgraph_truce.report.visible import visible
from langgraph_truce.rules.worded import LONGEST, worded
from langgraph_truce.seams import Batch, Lab, Memory
from tests.optimizer.conftest import Toy, score


@given(st.text(), st.text())
def test_pieces_give_both_texts_back(old: str, new: str) -> None:
    pieces = worded(old, new)

    assert "".join(p.text for p in pieces if p.op != "come") == old
    assert "".join(p.text for p in pieces if p.op != "gone") == new


def test_only_the_words_that_differ_are_marked() -> None:
    found = worded("Refunds go to the elm desk.", "Refunds go to the oak desk.")

    assert [(p.op, p.text) for p in found] == [
        ("same", "Refunds go to the "),
        ("gone", "elm"),
        ("come", "oak"),
        ("same", " desk."),
    ]


def test_texts_with_little_in_common_and_long_ones_are_shown_whole() -> None:
    long = "word " * LONGEST

    assert [p.op for p in worded("Refunds go to elm.", "Be brief!")] == ["gone", "come"]
    assert [p.op for p in worded(long, long + "more")] == ["gone", "come"]


@given(st.text(alphabet=st.characters(exclude_categories=())))
def test_what_is_visible_stays_and_nothing_hides(text: str) -> None:
    seen = visible(text)

    assert visible(seen) == seen
    assert not {c for c in seen if ord(c) < 32 or 127 <= ord(c) < 160} - set("\n\t")
    assert not set(seen) & set(
        "\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069\u200e\u200f\u061c\ufeff"
    )
    seen.encode("utf-8")


@pytest.mark.parametrize(
    "text", ["plain", "zwei\nZeilen\t!", "日本語", "👩\u200d🔬", "\u0645\u06cc\u200c\u062e", "é"]
)
def test_ordinary_text_of_any_script_is_untouched(text: str) -> None:
    assert visible(text) == text


@pytest.mark.parametrize(("right", "n"), [(0, 7), (7, 7), (3, 40), (250, 500)])
def test_the_interval_is_wilsons(right: int, n: int) -> None:
    wanted = stats.binomtest(right, n).proportion_ci(0.95, method="wilson")
    found = mean_of(right / n, n)

    assert (found.low, found.high) == pytest.approx((wanted.low, wanted.high), abs=1e-12)


def test_as_many_tasks_as_said_find_the_gain() -> None:
    """20 % rise and 10 % fall: a gain of 10 points, found with the chance that was asked for."""
    n = tasks_needed(Contrast(100, 0.1, 0, 0, 0.95, 0.05, 0, 0), 30, 0.05)
    assert n is not None

    sd = math.sqrt(0.3 - 0.1**2)
    power = stats.norm.sf(stats.norm.isf(0.05) - 0.1 * math.sqrt(n) / sd)
    assert 0.8 <= power < 0.805


@pytest.mark.parametrize(
    ("estimate", "alpha", "n"), [(0.0, 0.05, 9), (-0.1, 0.05, 9), (0.1, 1.0, 9), (0.1, 0.05, 0)]
)
def test_no_number_of_tasks_is_made_up(estimate: float, alpha: float, n: int) -> None:
    assert tasks_needed(Contrast(n, estimate, 0, 0, 0.95, 1, 0, 0), 1, alpha) is None


def test_all_agreeing_tasks_still_need_enough_signs() -> None:
    assert tasks_needed(Contrast(3, 1.0, 0, 1, 0.95, 0.125, 0, 1), 3, 0.01) == 7


def test_the_verdict_names_its_figures(story: Story) -> None:
    parts = verdict(story)
    assert story.difference is not None

    assert {p.figure: p.value for p in parts if p.figure}["test.difference.estimate"] == 0.22
    fell = replace(story.difference, estimate=-0.1, p_value=0.2)
    said = "".join(p.text for p in verdict(replace(story, difference=fell)))
    assert "fell from" in said
    assert "a difference is not shown" in said


def test_the_chart_stays_in_its_frame(story: Story) -> None:
    many = tuple(replace(story.turns[0], iteration=t) for t in range(1, 21))
    for turns in (story.turns, many):
        found = chart(replace(story, turns=turns))
        assert found is not None
        assert len(found.marks) == 3 * len(turns) + 2
        assert all(0 < m.x < WIDTH and 0 < m.top <= m.y <= m.bottom < HEIGHT for m in found.marks)
    assert chart(Story("x", "unfinished")) is None


@pytest.fixture
def stopped(tmp_path: Path) -> Path:
    """The folder of a run that broke off in its gate."""
    toy = Toy()

    async def cut(batch: Batch, memory: Memory, lab: Lab) -> Any:
        raise InterruptedError

    method = toy.method("SHOUT.", gate=cut)
    with pytest.raises(InterruptedError):
        optimize(toy.system(), toy.splits(), score, method=method, run=tmp_path / "run")
    return tmp_path / "run"


def test_the_command_writes_the_page_of_any_run(stopped: Path, tmp_path: Path) -> None:
    said = CliRunner().invoke(app, ["report", str(stopped)])
    assert said.exit_code == 0
    assert "UNFINISHED: it has come to iteration 1, write" in said.stdout

    file = tmp_path / "page.html"
    said = CliRunner().invoke(app, ["report", str(stopped), "--html", str(file)])
    assert (said.exit_code, said.stdout) == (0, f"Report: {file}\n")
    assert "UNFINISHED" in file.read_text(encoding="utf-8")

    said = CliRunner().invoke(app, ["report", str(tmp_path), "--html", str(file)])
    assert said.exit_code != 0
    assert "no run folder" in said.stderr

    said = CliRunner().invoke(app, ["report", str(stopped), "--html", str(tmp_path / "no" / "page.html")])
    assert said.exit_code != 0
    assert "the report cannot be written" in said.stderr


def test_a_run_that_stops_leaves_its_page(stopped: Path, capsys: pytest.CaptureFixture[str]) -> None:
    leave_so_far(stopped)

    assert capsys.readouterr().out == f"Page:  {stopped / 'report.html'}\n"
    assert "UNFINISHED" in (stopped / "report.html").read_text(encoding="utf-8")
    leave_so_far(stopped.parent)
    assert "no run folder" in capsys.readouterr().err
