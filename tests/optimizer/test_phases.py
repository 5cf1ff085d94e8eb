"""Phases of a turn: what a later phase reads, what its gate leaves out, and what nothing to do costs."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from langgraph_truce.gate import on_validation, sequential_gate
from langgraph_truce.model import Patience
from langgraph_truce.optimizer import Result, Run, read_run
from langgraph_truce.rules import Suggestion
from langgraph_truce.seams import Batch, Lab, Memory, Verdict
from tests.optimizer.phased import (
    AGENTS,
    LOG_TASKS,
    MARK,
    SHOUT,
    Chain,
    Nodding,
    Watching,
    calls,
    run,
    splits,
)

# ---- the rules stand -------------------------------------------------------------------------------------------------


def test_while_the_rules_stand_a_later_phase_reads_what_the_first_one_ran(tmp_path: Path) -> None:
    chain = Chain()
    method = chain.method(gate=on_validation(), order=("marker", "marker"))

    async def never(batch: Batch, memory: Memory, lab: Lab) -> tuple[tuple[Any, ...], Memory]:
        return (), memory

    result = run(chain, tmp_path / "r", replace(method, write=never))

    first, second = chain.seen(1)["suggest"], chain.seen(2)["suggest"]
    assert [r.id for r in second.rollouts] == [r.id for r in first.rollouts]
    assert second.tasks == first.tasks
    assert calls(result, "task") == 6 * 2, "the first phase ran six tasks, the second none"
    assert [(row["source"], row["fresh"], row["tasks"]) for row in result.iterations] == [
        ("train", True, 6),
        ("train", False, 6),
    ]
    # equal questions about equal rollouts are answered by the journal
    assert (calls(result, "credit"), result.meter["credit"]["hits"]) == (6, 6)
    assert len(chain.critic.calls) == 6


def test_where_nothing_is_selected_nobody_is_asked_anything(tmp_path: Path) -> None:
    chain, tested = Chain(broken=False), dict[int, list[set[str]]]()

    result = run(chain, tmp_path / "r", chain.method(gate=Watching(on_validation(), tested), iterations=4))

    assert {name for name, _ in chain.batches} == {"segment", "credit", "select"}
    assert tested == {}
    assert calls(result, "gate") == 0
    assert calls(result, "task") == 2 * 6 * 2, "two turns of four phases ran their tasks"
    assert [row["decision"] for row in result.iterations] == ["inconclusive"] * 4
    assert {row["words"] for row in result.iterations} == {"No agent was selected to be edited."}


def test_a_phase_without_a_target_leaves_its_rollouts_to_the_next(tmp_path: Path) -> None:
    chain = Chain(cured=("shouter",))

    result = run(chain, tmp_path / "r")

    first, second = chain.seen(1), chain.seen(2)
    assert list(first) == ["segment", "credit", "select"]
    assert [r.id for r in second["suggest"].rollouts] == [r.id for r in first["select"].rollouts]
    assert calls(result, "task") == 6 * 2
    assert result.rules.render("marker").endswith(f"- {MARK}\n")


def test_what_was_excluded_is_not_run_again_by_a_phase_that_only_reads(tmp_path: Path) -> None:
    chain = Chain(broken=False)

    class Refusing(Chain):
        def _reply(self, messages: list[Any], *_: Any) -> str:
            if str(messages[-1].content).endswith("number 3"):
                raise ConnectionError("no route")
            return super()._reply(messages)

    chain = Refusing(broken=False)
    quick = Patience(attempts=1, tries=1, back_off=0.001, longest_back_off=0.002)

    result = run(chain, tmp_path / "r", run=Run(tmp_path / "r", patience=quick))

    assert [(row["tasks"], row["excluded"]) for row in result.iterations] == [(5, 1), (5, 0)]


# ---- the rules have changed ------------------------------------------------------------------------------------------


def test_after_a_change_the_later_phase_proposes_from_the_gates_own_rollouts(tmp_path: Path) -> None:
    chain, tested = Chain(), dict[int, list[set[str]]]()
    plain = chain.method()

    result = run(chain, tmp_path / "r", replace(plain, gate=Watching(plain.gate, tested)))

    first, second = chain.seen(1)["suggest"], chain.seen(2)["suggest"]
    validation = {t.id for t in splits().validation}
    logs = set(second.tasks)
    assert SHOUT in second.book.render("shouter")
    assert len(logs) == LOG_TASKS
    assert logs < validation
    assert {r.task for r in second.rollouts} == logs
    assert {r.version for r in second.rollouts} == {second.book.version} != {first.book.version}
    assert tested == {1: [validation], 2: [validation - logs]}
    assert calls(result, "task") == 6 * 2, "no train rollout of the new rules"
    assert [(row["source"], row["fresh"]) for row in result.iterations] == [
        ("train", True),
        ("gate logs", False),
    ]
    assert [row["decision"] for row in result.iterations] == ["accept", "accept"]
    assert result.final.mean == 1.0
    again = read_run(tmp_path / "r")
    assert again.iterations == result.iterations
    assert "gate logs" in json.dumps(again.iterations)
    assert again.report() == result.report()
    assert again.report_html()


def test_a_gate_reads_no_rollout_again_that_was_proposed_from(tmp_path: Path) -> None:
    chain = Chain()
    pairs: list[tuple[int, set[str]]] = []
    method = chain.method(iterations=4)

    @dataclass
    class Reading:
        async def __call__(self, batch: Batch, memory: Memory, lab: Lab) -> tuple[Verdict, Memory]:
            read: set[str] = set()

            class Telling:
                def __getattr__(self, name: str) -> Any:
                    return getattr(lab, name)

                async def rollouts(self, *args: Any, **kwargs: Any) -> Any:
                    found = await lab.rollouts(*args, **kwargs)
                    read.update(r.id for r in found)
                    return found

            verdict = await method.gate(batch, memory, Telling())
            pairs.append((batch.iteration, read))
            return verdict

    run(chain, tmp_path / "r", replace(method, gate=Reading()))

    proposed = {r.id for r in chain.seen(2)["suggest"].rollouts}
    later = set().union(*(read for iteration, read in pairs if iteration > 1))
    assert proposed
    assert later
    assert not proposed & later


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_the_log_tasks_hang_on_the_seed_and_on_nothing_that_happened(tmp_path: Path, seed: int) -> None:
    drawn = []
    for name, gate, sample in (("one", None, None), ("other", sequential_gate(), 3)):
        chain = Chain()
        run(chain, tmp_path / name, chain.method(gate=gate, sample=sample), seed=seed)
        drawn.append(set(chain.seen(2)["suggest"].tasks))
    one, other = drawn
    assert len(one) == LOG_TASKS
    assert other <= one, "a gate that stops early may leave fewer of them, never others"


def test_without_gate_rollouts_the_train_tasks_run_with_the_new_rules_and_share_what_stands(
    tmp_path: Path,
) -> None:
    chain, tested = Chain(), dict[int, list[set[str]]]()
    method = chain.method(order=("marker", "shouter"), gate=Watching(Nodding(), tested))

    result = run(chain, tmp_path / "r", method)

    second = chain.seen(2)["suggest"]
    assert list(second.tasks) == [t.id for t in splits().train]
    assert {r.replicate for r in second.rollouts} == {0}, "the replicate of the turn"
    assert {r.version for r in second.rollouts} == {second.book.version}
    assert (result.iterations[1]["source"], result.iterations[1]["fresh"]) == ("train", True)
    # the first agent's prompt and place are as they were: the journal has its replies
    assert calls(result, "task") == 6 * 2 + 6
    assert len(tested[2][0]) == 12, "proposed from train tasks, tested on all"


def test_a_third_phase_goes_on_from_what_the_second_one_ran(tmp_path: Path) -> None:
    chain = Chain()
    method = chain.method(order=("marker", "marker", "marker"), phases=3, iterations=3, logs=0.0)

    result = run(chain, tmp_path / "r", method)

    rows = [(row["source"], row["fresh"]) for row in result.iterations]
    assert rows == [("train", True), ("train", True), ("train", False)]
    assert result.iterations[0]["decision"] == "accept"
    assert calls(result, "task") == 6 * 2 + 6


# ---- what may be quoted ----------------------------------------------------------------------------------------------


def _suggesting(*texts: str, kind: str = "instruction") -> Any:
    """In the second phase, these texts of the sampled tasks; `{n}` is the number of the first."""

    async def suggest(batch: Batch, memory: Memory, lab: Lab) -> tuple[tuple[Suggestion, ...], Memory]:
        r, (agent,) = batch.rollouts[0], batch.targets
        own = texts if batch.iteration == 2 else (AGENTS[agent],)
        return tuple(
            Suggestion(
                "ADD",
                agent,
                text.replace("{n}", r.task[1:]),
                reason="it is missing",
                evidence=(f"{r.id}/{agent}#1.0",),
                tasks=(r.task,),
                kind=kind if batch.iteration == 2 else "instruction",  # type: ignore[arg-type]
            )
            for text in own
        ), memory

    return suggest


def _errors(result: Result) -> list[str]:
    return [line["words"] for line in result.ledger if line["decision"] == "error"]


def test_an_edit_that_copies_a_log_task_is_refused_and_recorded(tmp_path: Path) -> None:
    chain = Chain()
    method = replace(
        chain.method(),
        suggest=_suggesting(
            "Where they ask would you please be so kind and tell what is number {n}, MARK it.", MARK
        ),
    )

    result = run(chain, tmp_path / "r", method)

    (why,) = _errors(result)
    assert "copies a validation task" in why
    assert result.rules.render("marker").endswith(f"- {MARK}\n")


def test_what_log_tasks_share_with_train_tasks_may_be_said(tmp_path: Path) -> None:
    chain = Chain()
    polite = "MARK the end where they say would you please be so kind and tell what is number."
    method = replace(chain.method(), suggest=_suggesting(polite))

    result = run(chain, tmp_path / "r", method)

    assert _errors(result) == []
    assert result.rules.render("marker").endswith(f"- {polite}\n")


def test_an_example_quotes_no_log_task(tmp_path: Path) -> None:
    chain = Chain()
    method = replace(chain.method(), suggest=_suggesting("number {n} -> NUMBER!", kind="example"))

    result = run(chain, tmp_path / "r", method)

    (why,) = _errors(result)
    assert "quotes no train task" in why
