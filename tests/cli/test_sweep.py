"""`langgraph-truce sweep`: what other thresholds would have selected, from a run's records alone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from langgraph_truce import optimize
from langgraph_truce.cli import app
from langgraph_truce.gate import on_validation
from langgraph_truce.methods import outcome_only, temporal_structural
from langgraph_truce.optimizer import Run, read_run
from langgraph_truce.optimizer.sweep import read_sweep
from langgraph_truce.seams import Method
from langgraph_truce.testing import ScriptedModel
from tests.select.debate_world import Debate, score


def ran(folder: Path, method: Method, world: Debate | None = None) -> Path:
    world = world or Debate(2, 2, ("2",))
    optimize(world.system(), world.splits(6, 6), score, method=method, model=world.critic, run=Run(folder))
    return folder


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One turn: phase A finds nothing, phase B repairs the aggregator of round 2."""
    return ran(
        tmp_path_factory.mktemp("sweep") / "run", temporal_structural(iterations=1, gate=on_validation())
    )


def said(*words: str) -> Any:
    return CliRunner().invoke(app, ["sweep", *words])


def test_the_runs_own_thresholds_give_what_it_selected(done: Path) -> None:
    swept = read_sweep(done, taus=[0.5], ms=[5])

    assert swept.own == (0.5, 5)
    assert [(row.rounds, row.edits) for row in swept.rows] == [({2: (2,)}, 1)]
    assert (swept.iterations, swept.beta) == (2, 0.2)


def test_it_prints_a_table_and_asks_no_model(done: Path) -> None:
    before = {f: f.read_bytes() for f in done.iterdir() if f.suffix in {".json", ".md"}}
    found = said(str(done), "--tau", "0.1,0.5", "--m", "5,10")

    assert found.exit_code == 0, found.output
    rows = [line.split() for line in found.stdout.splitlines()[2:]]
    assert [r[:4] for r in rows] == [
        ["0.10", "5", "0", "none"],
        ["0.10", "10", "0", "none"],
        ["0.50", "5", "1", "2:"],
        ["0.50", "10", "0", "none"],
    ]
    assert "(the run's own)" in found.stdout
    assert {f: f.read_bytes() for f in before} == before


def test_all_pairs_without_options(done: Path) -> None:
    assert len(said(str(done)).stdout.splitlines()) == 2 + 5 * 4


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (["--tau", "low"], "--tau low: numbers with commas between them"),
        (["--m", "2.5"], "--m 2.5: numbers with commas between them"),
        (["--m", ","], "at least one number"),
        (["--tau", "1.5"], "tau=1.5"),
        (["--m", "0"], "m=0"),
    ],
)
def test_numbers_that_cannot_be_are_refused(done: Path, words: list[str], why: str) -> None:
    found = said(str(done), *words)

    assert found.exit_code == 2
    assert why in found.output


def test_a_method_without_temporal_credit_is_named(tmp_path: Path) -> None:
    folder = ran(tmp_path / "run", outcome_only(iterations=1, gate=on_validation()))

    found = said(str(folder))

    assert found.exit_code == 2
    assert "the method 'outcome_only' has no temporal credit" in found.output
    assert "--method temporal_structural" in found.output


def test_a_run_whose_critic_could_not_be_read_has_nothing_to_replay(tmp_path: Path) -> None:
    world = Debate(2, 2, ("2",))
    world.critic = ScriptedModel(replies=lambda _: "I would rather not. {")
    folder = ran(tmp_path / "run", temporal_structural(iterations=1, gate=on_validation()), world)

    found = said(str(folder))
    told = read_run(folder).iterations[0]["words"]

    assert found.exit_code == 2
    assert "no aggregate of its 2 iterations has a score of the critic" in found.output
    assert told.startswith("No agent was selected to be edited. So far 30 replies of the critic")


def test_a_run_of_roles_alone_has_no_aggregator_to_sweep(tmp_path: Path) -> None:
    folder = ran(tmp_path / "run", temporal_structural(iterations=1, blocks=("roles",), gate=on_validation()))

    found = said(str(folder))

    assert found.exit_code == 2
    assert "its blocks are roles" in found.output


def test_no_run_is_no_table(tmp_path: Path) -> None:
    assert said(str(tmp_path / "nothing")).exit_code != 0
