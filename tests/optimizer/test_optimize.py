"""The optimizer graph, end to end on a toy: what it changes, what it leaves, and that it resumes."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from langgraph_truce.errors import EvaluatorError, GateRefused, RunError
from langgraph_truce.gate import on_validation, paired_gate
from langgraph_truce.gate.exact import PairedGate
from langgraph_truce.model import Patience
from langgraph_truce.optimizer import Run, optimize, plan, read_run
from langgraph_truce.optimizer.graph import build
from langgraph_truce.optimizer.ledger import timeless
from langgraph_truce.seams import Batch, Lab, Memory


def score(outputs: Mapping[str, Any], reference_outputs: Mapping[str, Any]) -> dict[str, Any]:
    right = outputs["answer"] == reference_outputs["answer"]
    return {"key": "exact", "score": right, "comment": "right" if right else "wrong"}


def test_a_rule_that_helps_is_found_proven_and_applied(toy: Any, tmp_path: Path) -> None:
    result = optimize(
        toy.system(), toy.splits(), score, method=toy.method("SHOUT every word."), run=tmp_path / "run"
    )

    assert (result.baseline.mean, result.final.mean) == (0.0, 1.0)
    assert result.difference.p_value == pytest.approx(2 / 2**8)
    assert result.rules.render("solver").endswith("- Be brief.\n- SHOUT every word.\n")
    assert [line["decision"] for line in result.ledger] == ["accept"]
    assert result.ledger[0]["edit"]["suggestion"]["evidence"][0].endswith("/solver#1.0")
    assert "SHOUT every word." in result.diff()
    assert result.credits["solver"]["mean"] == -1.0


def test_a_useless_rule_changes_nothing(toy: Any, tmp_path: Path) -> None:
    system = toy.system()
    result = optimize(system, toy.splits(), score, method=toy.method("Whisper."), run=tmp_path / "run")

    assert result.rules == system.book
    assert result.difference.estimate == 0.0
    assert [line["decision"] for line in result.ledger] == ["inconclusive"]


def test_what_can_go_without_loss_goes(toy: Any, tmp_path: Path) -> None:
    method = toy.method("SHOUT every word.", "Whisper.")
    result = optimize(toy.system(), toy.splits(16), score, method=method, run=tmp_path / "run")

    by_text = {line["edit"]["text"]: line["decision"] for line in result.ledger}
    assert by_text == {"SHOUT every word.": "accept", "Whisper.": "pruned"}
    assert "Whisper" not in result.rules.render("solver")


def test_the_same_call_again_reads_and_asks_nothing(toy: Any, tmp_path: Path) -> None:
    arguments: dict[str, Any] = {"method": toy.method("SHOUT."), "run": tmp_path / "run"}
    first = optimize(toy.system(), toy.splits(), score, **arguments)
    asked = len(toy.calls)

    again = optimize(toy.system(), toy.splits(), score, **arguments)

    assert len(toy.calls) == asked
    assert (again.rules, again.ledger, again.final) == (first.rules, first.ledger, first.final)
    assert read_run(tmp_path / "run").rules == first.rules


def test_every_reply_is_asked_for_once(toy: Any, tmp_path: Path) -> None:
    result = optimize(toy.system(), toy.splits(), score, method=toy.method("SHOUT."), run=tmp_path / "run")

    # train, validation twice (before, with the rule), test twice
    assert len(toy.calls) == 8 * 5
    assert sum(row["calls"] for name, row in result.meter.items() if name != "total") == 8 * 5


def test_a_run_that_stops_in_the_gate_goes_on_where_it_was(
    toy: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clean = optimize(toy.system(), toy.splits(), score, method=toy.method("SHOUT."), run=tmp_path / "clean")
    asked = len(toy.calls)
    toy.calls.clear()
    decide = PairedGate.__call__

    class PowerCut(Exception):
        pass

    async def cut(self: PairedGate, batch: Batch, memory: Memory, lab: Lab) -> Any:
        await decide(self, batch, memory, lab)
        raise PowerCut

    with monkeypatch.context() as patched:
        patched.setattr(PairedGate, "__call__", cut)
        with pytest.raises(PowerCut):
            optimize(toy.system(), toy.splits(), score, method=toy.method("SHOUT."), run=tmp_path / "run")
    resumed = optimize(toy.system(), toy.splits(), score, method=toy.method("SHOUT."), run=tmp_path / "run")

    assert len(toy.calls) == asked
    assert (resumed.rules, resumed.final) == (clean.rules, clean.final)
    assert timeless(resumed.ledger) == timeless(clean.ledger)


def test_it_works_inside_a_running_loop(toy: Any, tmp_path: Path) -> None:
    async def main() -> float:
        return optimize(
            toy.system(), toy.splits(), score, method=toy.method("SHOUT."), run=tmp_path / "r"
        ).final.mean

    assert asyncio.run(main()) == 1.0


def test_a_folder_of_another_run_is_refused(toy: Any, tmp_path: Path) -> None:
    optimize(toy.system(), toy.splits(), score, method=toy.method("SHOUT."), run=tmp_path / "run")

    with pytest.raises(
        RunError, match=r"belongs to another run \(seed: 0 there, 1 now\); choose another run folder"
    ):
        optimize(toy.system(), toy.splits(), score, method=toy.method("SHOUT."), run=tmp_path / "run", seed=1)
    other = toy.method("SHOUT.", gate=paired_gate(alpha=0.1))
    with pytest.raises(RunError, match=r"\(gate\S*\.alpha: 0.05 there, 0.1 now\)"):
        optimize(toy.system(), toy.splits(), score, method=other, run=tmp_path / "run")
    with pytest.raises(RunError, match="no run folder"):
        read_run(tmp_path)


def test_too_few_validation_tasks_are_refused_before_any_call(toy: Any, tmp_path: Path) -> None:
    with pytest.raises(GateRefused, match="on_validation"):
        optimize(toy.system(), toy.splits(3), score, method=toy.method("SHOUT."), run=tmp_path / "run")
    assert toy.calls == []

    method = toy.method("SHOUT.", gate=on_validation())
    assert optimize(toy.system(), toy.splits(3), score, method=method, run=tmp_path / "run").final.mean == 1.0


def test_an_evaluator_that_raises_ends_the_run_and_keeps_what_was_paid(toy: Any, tmp_path: Path) -> None:
    def broken(outputs: Any) -> float:
        raise ZeroDivisionError("oops")

    with pytest.raises(EvaluatorError, match="oops"):
        optimize(toy.system(), toy.splits(), broken, method=toy.method("SHOUT."), run=tmp_path / "run")
    paid = len(toy.calls)
    result = optimize(toy.system(), toy.splits(), score, method=toy.method("SHOUT."), run=tmp_path / "run")

    assert result.final.mean == 1.0
    assert paid >= 1
    assert len(toy.calls) == 8 * 5


def test_exceptions_of_the_users_code_are_scored_and_said(toy: Any, tmp_path: Path) -> None:
    toy.word = "nothing raises this"
    original = toy._reply

    def reply(messages: Any, *_: Any) -> str:
        if messages[-1].content == "q3":
            raise ValueError("node broke")
        return str(original(messages))

    toy._reply = reply
    result = optimize(toy.system(), toy.splits(), score, method=toy.method("x"), run=tmp_path / "run")

    assert result.iterations[0]["errors"] == 1
    assert result.iterations[0]["excluded"] == 0


def test_lost_connections_are_retried_then_excluded(toy: Any, tmp_path: Path) -> None:
    original, tries = toy._reply, {"q3": 0, "q4": 0}

    def reply(messages: Any, *_: Any) -> str:
        question = str(messages[-1].content)
        if question in tries:
            tries[question] += 1
            if question == "q3" or tries[question] < 3:
                raise ConnectionResetError("gone")
        return str(original(messages))

    toy._reply = reply
    run = Run(tmp_path / "run", patience=Patience(attempts=1, tries=3, back_off=0.001))
    result = optimize(toy.system(), toy.splits(), score, method=toy.method("SHOUT."), run=run)

    assert tries == {"q3": 3, "q4": 3}
    assert result.iterations[0]["excluded"] == 1
    assert result.iterations[0]["tasks"] == 7


def test_the_state_stays_small(toy: Any, tmp_path: Path) -> None:
    import sqlite3

    method = toy.method(*(f"SHOUT rule {i}. " + "x" * 200 for i in range(5)), iterations=2)
    optimize(toy.system(), toy.splits(200), score, method=method, run=tmp_path / "run")

    with sqlite3.connect(tmp_path / "run" / "checkpoints.sqlite") as db:
        (largest,) = db.execute("SELECT max(length(checkpoint)) FROM checkpoints").fetchone()
    assert largest < 100_000


def test_two_runs_with_one_seed_are_equal(toy: Any, tmp_path: Path) -> None:
    runs = [
        optimize(
            toy.system(),
            toy.splits(),
            score,
            method=toy.method("SHOUT.", "Hum.", sample=5),
            run=tmp_path / n,
            seed=3,
        )
        for n in ("a", "b")
    ]

    assert timeless(runs[0].ledger) == timeless(runs[1].ledger)
    assert runs[0].final == runs[1].final


def test_patience_ends_a_run_without_gains(toy: Any, tmp_path: Path) -> None:
    method = toy.method("Whisper.", iterations=4, patience=2)
    result = optimize(toy.system(), toy.splits(12), score, method=method, run=tmp_path / "run")

    assert [row["iteration"] for row in result.iterations] == [1, 2]


def test_plan_brackets_what_a_run_really_calls(toy: Any, tmp_path: Path) -> None:
    method = toy.method("SHOUT.", iterations=2)
    expected = plan(toy.system(), toy.splits(), method)
    optimize(toy.system(), toy.splits(), score, method=method, run=tmp_path / "run")

    assert expected.low <= len(toy.calls) <= expected.high


def test_progress_is_told(toy: Any, tmp_path: Path) -> None:
    events: list[Mapping[str, Any]] = []
    optimize(
        toy.system(),
        toy.splits(),
        score,
        method=toy.method("SHOUT."),
        run=Run(tmp_path / "r", on_event=events.append),
    )

    assert {"rollouts", "credit", "suggest", "gate", "test with the final rules"} <= {
        e["stage"] for e in events
    }
    assert events[-1]["done"] == events[-1]["total"]
    json.dumps(events)


def test_the_optimizer_graph_can_be_drawn_without_a_session() -> None:
    drawing = build(None).get_graph()

    assert {
        "tasks",
        "rollout",
        "evaluate",
        "segment",
        "credit",
        "select",
        "suggest",
        "merge",
        "write",
        "gate",
        "review",
        "apply",
        "test",
    } <= set(drawing.nodes)
