"""The story of a run as it is read back: finished, going on, stopped, reviewed, reverted; and what is quoted."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from langgraph_truce.codec import to_json
from langgraph_truce.errors import RunError
from langgraph_truce.gate.noise import noise_of
from langgraph_truce.model import Budget, open_store
from langgraph_truce.optimizer import Result, optimize
from langgraph_truce.optimizer.read import read_story
from langgraph_truce.optimizer.records import Records
from langgraph_truce.optimizer.story_edits import edit_stories
from langgraph_truce.optimizer.story_rollouts import Cited
from langgraph_truce.report import Story, page, render
from langgraph_truce.report.story import Moved
from langgraph_truce.seams import Batch, Lab, Memory, Rollout
from langgraph_truce.task import Outcome
from langgraph_truce.trajectory.step import ModelCall, Step, Trajectory
from tests.optimizer.conftest import Toy, score


@pytest.fixture
def toy() -> Toy:
    return Toy()


def run(toy: Toy, folder: Path, *texts: str, n: int = 12, **settings: Any) -> Result:
    return optimize(toy.system(), toy.splits(n), score, method=toy.method(*texts), run=folder, **settings)


def test_a_finished_run_is_told_with_its_evidence(toy: Toy, tmp_path: Path) -> None:
    result = run(toy, tmp_path / "run", "SHOUT every word.", "Whisper.")
    story = result.story
    edit = next(e for e in story.edits if e.after == "SHOUT every word.")
    (turn,) = story.turns

    assert read_story(tmp_path / "run") == story
    assert story.state == "finished"
    assert (edit.decision, edit.history[-1].approver, edit.rule) == ("accept", "gate", "r2")
    assert [(q.role, q.round, q.said, q.found) for q in edit.quotes] == [("solver", 1, "q0", True)]
    assert edit.quotes[0].task == story.tasks[0].task == "t0"
    assert (story.tasks[0].score, story.tasks[0].feedback) == (0.0, "wrong")
    assert edit.undo.startswith(f"langgraph-truce revert {edit.id} {tmp_path / 'run'}")
    assert [(r.op, r.new, r.edits) for r in story.rules] == [
        ("ADD", "SHOUT every word.", (story.edits.index(edit),))
    ]
    assert turn.shift is not None
    assert turn.shift.risen[0] == Moved(result.ledger[0]["fixed"][0], 0.0, 1.0)
    assert story.shift is not None
    assert (story.shift.rose, story.shift.binary, story.shift.right) == (12, True, 0)
    assert story.total is not None
    assert story.total.calls == len(toy.calls)
    assert story.settings["seed"] == 0
    json.dumps(to_json(story))


def test_result_and_command_line_write_the_same_page(toy: Toy, tmp_path: Path) -> None:
    result = run(toy, tmp_path / "run", "SHOUT.")

    assert result.report() == render(result.story)
    assert result.write_report() == tmp_path / "run" / "report.html"
    assert (tmp_path / "run" / "report.html").read_text(encoding="utf-8") == result.report_html()
    assert result.write_report(tmp_path / "other.html").read_text(encoding="utf-8") == result.report_html()


def test_a_run_that_broke_off_tells_how_far_it_came(toy: Toy, tmp_path: Path) -> None:
    class PowerCut(Exception):
        pass

    async def cut(batch: Batch, memory: Memory, lab: Lab) -> Any:
        raise PowerCut

    method = toy.method("SHOUT.", gate=cut)
    with pytest.raises(PowerCut):
        optimize(toy.system(), toy.splits(), score, method=method, run=tmp_path / "run")
    story = read_story(tmp_path / "run")

    assert (story.state, story.why) == ("unfinished", "it has come to iteration 1, write")
    assert story.difference is None
    assert [t.train.mean for t in story.turns if t.train] == [0.0]
    assert story.credit[0].mean == -1.0
    assert story.total is not None
    assert story.total.calls == len(toy.calls) == 8
    assert "UNFINISHED" in page.render(story)


def test_nothing_but_a_manifest_is_a_story_too(toy: Toy, tmp_path: Path) -> None:
    def broken(outputs: Any) -> float:
        raise ZeroDivisionError

    with pytest.raises(Exception, match="ZeroDivisionError"):
        optimize(toy.system(), toy.splits(), broken, method=toy.method("SHOUT."), run=tmp_path / "run")
    story = read_story(tmp_path / "run")

    assert story.why == "no iteration has been evaluated yet"
    assert "not finished" in render(story)
    with pytest.raises(RunError, match="no run folder"):
        read_story(tmp_path)


def test_a_run_without_money_for_its_test_says_so(toy: Toy, tmp_path: Path) -> None:
    result = run(toy, tmp_path / "run", "SHOUT.", budget=Budget(calls=16))
    story = result.story

    assert story.state == "stopped early"
    assert result.difference.n == 0
    assert story.difference is None
    assert story.why == result.stopped
    assert "The sealed test was not measured" in render(story)
    assert "STOPPED EARLY" in page.render(story)
    assert next(c for c in story.costs if c.purpose == "task").planned["calls"] == [12, 12]


def test_a_noise_floor_that_was_measured_is_shown(toy: Toy, tmp_path: Path) -> None:
    run(toy, tmp_path / "run", "SHOUT.")
    noise = noise_of({f"t{i}": [float(i % 2), float(i % 3 == 0)] for i in range(30)})
    file = tmp_path / "run" / "noise.json"

    assert read_story(tmp_path / "run").noise.source.startswith("Not known")
    file.write_text(json.dumps(noise.to_json()), encoding="utf-8")
    found = read_story(tmp_path / "run").noise
    assert (found.tasks, found.flips, found.floor) == (30, noise.flips, noise.floor)
    assert found.needed == {f"{100 * row['gain']:g}": row["tasks_one_replicate"] for row in noise.needed}
    file.write_text("{}", encoding="utf-8")
    with pytest.raises(RunError, match="damaged, or not from"):
        read_story(tmp_path / "run")


def test_graded_scores_are_not_called_right_and_wrong(toy: Toy, tmp_path: Path) -> None:
    def graded(outputs: Mapping[str, Any], reference_outputs: Mapping[str, Any]) -> float:
        return 0.7 if outputs["answer"] == reference_outputs["answer"] else 0.2

    result = optimize(toy.system(), toy.splits(), graded, method=toy.method("SHOUT."), run=tmp_path / "run")
    shift = result.story.shift
    (turn,) = result.story.turns

    assert shift is not None
    assert (shift.rose, shift.binary, shift.right) == (8, False, None)
    assert turn.shift is not None
    assert turn.shift.binary is False
    assert "sealed test: 8 rose, 0 fell" in page.render(result.story)


LINE: dict[str, Any] = {
    "iteration": 1,
    "kind": "edit",
    "id": "e1.0",
    "edit": {"id": "e1.0", "op": "ADD", "agent": "solver", "rule": "", "text": "SHOUT."},
    "rule_id": "r2",
    "before": "",
    "reason": "too quiet",
    "support": 0.5,
    "tasks": ["t0"],
    "evidence": [],
    "decision": "accept",
    "words": "it wins",
    "estimate": 0.2,
    "low": 0.1,
    "high": 0.3,
    "p_value": 0.01,
    "alpha": 0.05,
    "fixed": ["v1"],
    "broken": [],
    "approver": "gate",
    "version_before": "a",
    "version_after": "b",
    "at": "2026-01-01T00:00:00+00:00",
}


async def told(tmp_path: Path, *lines: dict[str, Any]) -> Any:
    with open_store(tmp_path / "store.sqlite") as store:
        return await edit_stories(lines, Cited(Records(store)), lambda name: f"undo {name}")


async def test_what_happens_later_joins_the_edit(tmp_path: Path) -> None:
    later = {
        **LINE,
        "kind": "review",
        "decision": "declined",
        "words": "no",
        "approver": "Ada",
        "p_value": None,
    }
    (edit,) = await told(tmp_path, LINE, {**later, "version_after": "a"})

    assert edit.decision == "declined"
    assert [(s.kind, s.approver) for s in edit.history] == [("edit", "gate"), ("review", "Ada")]
    assert (edit.estimate, edit.undo) == (0.2, "")


async def test_a_reverted_edit_keeps_the_figures_it_was_accepted_with(tmp_path: Path) -> None:
    back = {**LINE, "kind": "revert", "decision": "reverted", "estimate": -0.4, "version_after": "a"}
    (edit,) = await told(tmp_path, LINE, {**back, "version_before": "b"})

    assert (edit.decision, edit.estimate, edit.undo) == ("reverted", 0.2, "")


async def test_suggestions_that_became_no_edit_stay_apart(tmp_path: Path) -> None:
    error = {**LINE, "kind": "error", "id": "", "edit": {**LINE["edit"], "id": ""}, "decision": "error"}

    assert [e.decision for e in await told(tmp_path, error, LINE, error)] == ["error", "accept", "error"]


async def test_steps_are_found_whatever_slashes_their_names_hold(tmp_path: Path) -> None:
    step = Step("team/solver#1.0", "team/solver", 1, 1, 0, 2, None, calls=(ModelCall("p", "o"),))
    other = replace(step, id="empty#1.0", role="empty", calls=(), error="ValueError: no")
    blobs = {"p": [], "o": {"role": "assistant", "content": "x" * 5_000}}
    name = "abc/data/set/7/0"
    kept = Rollout(
        name, "data/set/7", 0, "abc", Outcome({"a": 1}, 0.5), Trajectory(name, (step, other), blobs)
    )
    with open_store(tmp_path / "store.sqlite") as store:
        records = Records(store)
        await records.write_rollout(kept)
        cited = Cited(records)
        found, empty, lost = await cited.quotes(
            [f"{name}/team/solver#1.0", f"{name}/empty#1.0", "v/t/0/x#1.0"]
        )
        records.close()

    assert (found.step, found.task, found.role, found.round) == (
        "team/solver#1.0",
        "data/set/7",
        "team/solver",
        2,
    )
    assert len(found.said) == 600
    assert "characters left out" in found.said
    assert empty.said == "ValueError: no"
    assert (lost.found, lost.step) == (False, "v/t/0/x#1.0")
    assert [(t.task, t.answer) for t in cited.tasks.values()] == [("data/set/7", '{"a": 1}')]


async def test_quotes_come_from_different_tasks_first(tmp_path: Path) -> None:
    steps = [f"v/t{task}/0/a#{visit}.0" for task in (1, 2) for visit in (1, 2, 3)]
    with open_store(tmp_path / "store.sqlite") as store:
        found = await Cited(Records(store)).quotes(steps)

    assert [q.step for q in found] == ["v/t1/0/a#1.0", "v/t2/0/a#1.0", "v/t1/0/a#2.0"]


def test_a_story_is_read_beside_a_running_loop(toy: Toy, tmp_path: Path) -> None:
    run(toy, tmp_path / "run", "SHOUT.")

    async def main() -> Story:
        from langgraph_truce.optimizer.read import aread_story

        return await aread_story(tmp_path / "run")

    assert asyncio.run(main()).state == "finished"
