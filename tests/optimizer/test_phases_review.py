"""Phases where a person approves: whose rollouts are read, and what an edit that was put off is tested on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from langgraph_truce.optimizer import Run
from tests.optimizer.phased import LOG_TASKS, Chain, Watching, run, splits


class Person:
    """Answers by iteration; accepts where nothing else was told."""

    def __init__(self, answers: Mapping[int, Mapping[str, str]]) -> None:
        self.answers = answers

    async def __call__(self, proposal: Mapping[str, Any]) -> Any:
        answer = self.answers.get(proposal["iteration"], {"answer": "accept"})
        return {"edits": {e["id"]: dict(answer) for e in proposal["edits"]}, "by": "ann"}


def test_after_a_rewording_the_logs_are_those_of_what_was_reworded(tmp_path: Path) -> None:
    chain = Chain()
    ann = Person({1: {"answer": "reword", "text": "SHOUT, please."}})

    run(chain, tmp_path / "r", run=Run(tmp_path / "r", approve=ann))

    second = chain.seen(2)["suggest"]
    assert "SHOUT, please." in second.book.render("shouter")
    assert len(second.tasks) == LOG_TASKS
    assert {r.version for r in second.rollouts} == {second.book.version}
    assert {r.replicate for r in second.rollouts} == {1}, "of the second gate, which measured afresh"


def test_both_gates_of_a_later_phase_and_an_edit_that_was_put_off_leave_the_log_tasks_out(
    tmp_path: Path,
) -> None:
    chain, tested = Chain(), dict[int, list[set[str]]]()
    plain = chain.method(iterations=4)
    answers = {2: {"answer": "defer"}, 3: {"answer": "reword", "text": "MARK, please."}}

    result = run(
        chain,
        tmp_path / "r",
        replace(plain, gate=Watching(plain.gate, tested)),
        run=Run(tmp_path / "r", approve=Person(answers)),
    )

    validation = {t.id for t in splits().validation}
    rest = validation - set(chain.seen(2)["suggest"].tasks)
    assert result.iterations[2]["source"] == "train"
    assert tested == {1: [validation], 2: [rest], 3: [rest, rest]}
    assert result.rules.render("marker").endswith("- MARK, please.\n")
