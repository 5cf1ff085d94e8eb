"""`ablation`: one agent's accepted changes at a time, on fresh replicates, in a place of its own, within a budget."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from langgraph_truce import Budget
from langgraph_truce.errors import RunError, UserMistake
from langgraph_truce.optimizer import (
    Ablation,
    Run,
    ablation,
    ablation_plan,
    optimize,
    read_ablation,
    read_ledger,
    revert,
)
from langgraph_truce.optimizer.ablated import ABLATION, UNCONTROLLED, arms_of
from langgraph_truce.rules import RuleBook, parse
from tests.optimizer.phased import Chain, score, splits

TASKS = splits().validation
N = 12


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run in which a role and an aggregator were mended."""
    folder = tmp_path_factory.mktemp("finished") / "r"
    _optimized(folder)
    return folder


@pytest.fixture
def chain(finished: Path, tmp_path: Path) -> Chain:
    """Its system; the run itself is copied to `tmp_path / "r"`."""
    shutil.copytree(finished, tmp_path / "r")
    return Chain()


def _optimized(place: Path | str) -> None:
    made = Chain()
    result = optimize(made.system(aggregator="marker"), splits(), score, method=made.method(), run=place)
    assert [row["decision"] for row in result.iterations] == ["accept", "accept"]


def measure(chain: Chain, folder: Path, **more: Any) -> Ablation:
    return ablation(folder / "r", chain.system(aggregator="marker"), TASKS, score, **more)


def test_each_agents_changes_are_measured_alone_and_together(chain: Chain, tmp_path: Path) -> None:
    events: list[Any] = []
    before = read_ledger(tmp_path / "r").lines

    run = Run(tmp_path / "r", on_event=events.append)
    found = ablation(run, chain.system(aggregator="marker"), TASKS, score)

    assert [(r.name, r.kind, r.agents) for r in found.rows] == [
        ("shouter", "agent", ("shouter",)),
        ("marker", "agent", ("marker",)),
        ("roles", "roles", ("shouter",)),
        ("aggregators", "aggregators", ("marker",)),
        ("all", "all", ("shouter", "marker")),
    ]
    assert [r.estimate for r in found.rows] == [0.5, 0.5, 0.5, 0.5, 1.0]
    assert all(r.low <= r.estimate <= r.high and (r.n, r.replicates) == (N, 1) for r in found.rows)
    assert all(len(r.fixed) == N and not r.broken for r in found.rows)
    # the first agent's replies are those of the initial rules where only the second is edited, and so on
    assert [r.calls for r in found.rows] == [2 * N, N, 0, 0, N]
    assert len(chain.calls) == 2 * N + 2 * N + N + N
    assert (found.planned, found.ran, found.stopped) == (4 * N, 4 * N, "")
    assert found.words == UNCONTROLLED
    assert (events[-1]["stage"], events[-1]["done"]) == ("ablation", 6 * N)
    assert read_ledger(tmp_path / "r").lines == before, "the run is only read"


def test_what_is_kept_is_read_back(chain: Chain, tmp_path: Path) -> None:
    assert read_ablation(tmp_path / "r") is None
    found = measure(chain, tmp_path)

    kept = json.loads((tmp_path / "r" / ABLATION).read_text())
    assert kept == json.loads(json.dumps(found.to_json()))
    assert read_ablation(tmp_path / "r") == found == Ablation.from_json(kept)
    assert "shouter" in found.text()
    assert UNCONTROLLED in found.text()

    (tmp_path / "r" / ABLATION).write_text('{"rows": 3}')
    with pytest.raises(RunError, match="damaged"):
        read_ablation(tmp_path / "r")


def test_the_same_call_again_pays_nothing_and_more_replicates_use_the_earlier_ones(
    chain: Chain, tmp_path: Path
) -> None:
    one = measure(chain, tmp_path)
    paid = len(chain.calls)
    again = measure(chain, tmp_path)
    assert (again.rows, again.ran) == (one.rows, one.ran)
    assert len(chain.calls) == paid

    two = measure(chain, tmp_path, replicates=2)
    assert len(chain.calls) == 2 * paid
    assert {r.replicates for r in two.rows} == {2}


def test_at_the_cap_the_finished_arms_count_and_the_same_call_goes_on(chain: Chain, tmp_path: Path) -> None:
    cut = measure(chain, tmp_path, budget=Budget(calls=2 * N + 2 * N + 3))

    assert [r.name for r in cut.rows] == ["shouter", "roles"]
    assert cut.stopped
    assert cut.ran < cut.planned
    paid = len(chain.calls)
    assert paid <= 2 * N + 2 * N + 3

    whole = measure(chain, tmp_path)
    assert len(whole.rows) == 5
    assert len(chain.calls) == 6 * N, "what was paid was not paid again"


def test_the_plan_holds_what_is_paid(chain: Chain, tmp_path: Path) -> None:
    plan = ablation_plan(tmp_path / "r", chain.system(aggregator="marker"), TASKS)
    assert (plan.rollouts, plan.low, plan.high) == (4 * N, 2 * N, 2 * 4 * N)
    assert "48 rollouts on 12 validation tasks, 24 to 96 model calls" in plan.text()
    assert chain.calls == []
    measure(chain, tmp_path)
    assert plan.low <= len(chain.calls) <= plan.high


def test_after_a_revert_there_is_less_to_take_apart(chain: Chain, tmp_path: Path) -> None:
    system = chain.system(aggregator="marker")
    measure(chain, tmp_path)
    revert("e2.1", tmp_path / "r", system, TASKS, score)
    assert [r.name for r in measure(chain, tmp_path).rows] == ["shouter", "roles", "all"]
    revert("e1.1", tmp_path / "r", system, TASKS, score)

    nothing = measure(chain, tmp_path)
    assert nothing.rows == ()
    assert nothing == read_ablation(tmp_path / "r")
    assert "nothing to take apart" in nothing.text()
    assert "nothing to take apart" in ablation_plan(tmp_path / "r", system, TASKS).text()


def test_other_tasks_are_refused(chain: Chain, tmp_path: Path) -> None:
    for wrong in (splits().test, TASKS[1:]):
        with pytest.raises(UserMistake, match="not the run's validation tasks"):
            ablation(tmp_path / "r", chain.system(aggregator="marker"), wrong, score)
    assert chain.calls == []


def test_no_task_no_replicate_and_no_finished_run_are_refused(chain: Chain, tmp_path: Path) -> None:
    system = chain.system(aggregator="marker")
    with pytest.raises(UserMistake, match="at least one task and one replicate, got 0 and 1"):
        ablation_plan(tmp_path / "r", system, ())
    with pytest.raises(UserMistake, match="got 12 and 0"):
        measure(chain, tmp_path, replicates=0)
    with pytest.raises(RunError):
        ablation_plan(tmp_path / "none", system, TASKS)


def test_a_rollout_that_the_infrastructure_spoils_is_left_out(chain: Chain, tmp_path: Path) -> None:
    from langgraph_truce.model import Patience

    class Refusing(Chain):
        def _reply(self, messages: list[Any], *_: Any) -> str:
            if str(messages[-1].content).endswith("1003"):
                raise ConnectionError("no route")
            return super()._reply(messages)

    quick = Patience(attempts=1, tries=1, back_off=0.001, longest_back_off=0.002)
    found = ablation(
        Run(tmp_path / "r", patience=quick), Refusing().system(aggregator="marker"), TASKS, score
    )
    assert {r.n for r in found.rows} == {N - 1}
    assert found.ran == 4 * (N - 1)


def test_a_run_in_a_database_has_its_ablation_there(
    postgres_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)  # where the readable files are
    place = f"{postgres_url}#phased"
    _optimized(place)

    found, paid = [], []
    for _ in range(2):
        chain = Chain()
        found.append(ablation(place, chain.system(aggregator="marker"), TASKS, score))
        paid.append(len(chain.calls))

    assert found[0].rows == found[1].rows == (read_ablation(place) or found[0]).rows
    assert [r.estimate for r in found[0].rows] == [0.5, 0.5, 0.5, 0.5, 1.0]
    assert paid == [6 * N, 0]


def _book(changed: Sequence[str]) -> RuleBook:
    agents = ("team/critic", "critic~2", "aggregator@1", "aggregator@2", "aggregators", "decide")
    return RuleBook(
        {a: parse(a, f"You are {a}.\n\n- {'Be so.' if a in changed else 'Be brief.'}\n") for a in agents}
    )


@pytest.mark.parametrize(
    ("changed", "names"),
    [
        ((), ()),
        (("aggregator@2",), ("aggregator@2", "aggregators", "all")),
        (
            ("aggregator@1", "critic~2", "aggregator@2"),
            ("critic~2", "aggregator@1", "aggregator@2", "roles", "aggregators", "all"),
        ),
        (("aggregators", "decide"), ("aggregators", "decide", "roles", "all")),
    ],
)
def test_arms(changed: Sequence[str], names: Sequence[str]) -> None:
    initial, final = _book(()), _book(changed)
    arms = arms_of(initial, final, "aggregator")
    assert tuple(arm.name for arm in arms) == names
    for arm in arms:
        for agent in initial.agents:
            source = final if agent in arm.agents else initial
            assert arm.book.render(agent) == source.render(agent)
    if arms:
        assert arms[-1].book == final
