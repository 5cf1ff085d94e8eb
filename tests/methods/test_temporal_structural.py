"""TSCA as a method: its parts, its phases on a debate whose weak prompts are known, its memory through kill -9."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from langgraph_truce import optimize, plan
from langgraph_truce.cli import job
from langgraph_truce.errors import UserMistake
from langgraph_truce.gate import on_validation
from langgraph_truce.methods import temporal_structural
from langgraph_truce.model.stores import FileSaver
from langgraph_truce.optimizer import Result, read_run
from langgraph_truce.optimizer.ledger import timeless
from langgraph_truce.seams import Method
from langgraph_truce.select import Thresholds
from tests.select.debate_world import CHECK, WEIGH, Debate, score

ROOT = Path(__file__).parents[2]
WEAK = ("role2", "2", "2", "2")
"""One weak role, one weak round."""


def ran(folder: Path, method: Method, breaks: tuple[str, ...] = WEAK, **form: Any) -> Result:
    world = Debate(3, 2, breaks, **{"loud": True, **form})
    return optimize(world.system(), world.splits(8, 8), score, method=method, model=world.critic, run=folder)


def method() -> Method:
    return temporal_structural(iterations=2, gate=on_validation())


def kept(result: Result) -> list[tuple[int, str, str]]:
    return [(x["iteration"], x["agent"], x["after"]) for x in result.ledger if x["decision"] == "accept"]


def select_memory(folder: Path) -> dict[str, Any]:
    """What the selector keeps in the optimizer's checkpoint."""

    async def read() -> Any:
        async with FileSaver.open(folder / "checkpoints.sqlite") as saver:
            found = await saver.aget({"configurable": {"thread_id": "optimizer"}})
            assert found is not None
            return found["channel_values"]["memory"]["select"]

    return dict(asyncio.run(read()))


# What it is made of ----------------------------------------------------------------------------------------------


def test_a_turn_has_a_phase_for_each_block() -> None:
    both, roles = temporal_structural(iterations=3), temporal_structural(iterations=3, blocks=("roles",))

    assert (both.iterations, both.phases, both.patience, both.logs) == (6, 2, 4, 0.25)
    assert (roles.iterations, roles.phases, roles.patience, roles.logs) == (3, 1, 2, 0.0)
    assert json.loads(json.dumps(both.settings)) == both.settings
    assert both.settings["thresholds"]["tau"] == 0.5
    assert roles.settings != both.settings


def test_the_plan_counts_what_its_decisions_ask() -> None:
    asks = temporal_structural(thresholds=Thresholds(roles=3), top_k=7).asks
    assert asks is not None

    planned = asks(10, 9)

    assert planned["credit"] == (20, 100), "two calls a round, one round to five"
    assert planned["diagnose"] == (0, 10)
    assert planned["suggest"] == (0, 5), "the aggregators of five rounds"
    assert planned["write"] == (0, 7)


def test_the_command_line_knows_it() -> None:
    assert job.method("temporal_structural", 2).iterations == 4


@pytest.mark.parametrize("wrong", [{"lam": 1.5}, {"blocks": ()}, {"blocks": ("rounds",)}])
def test_settings_out_of_range_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(UserMistake):
        temporal_structural(**wrong)


# What it does ----------------------------------------------------------------------------------------------------


def test_both_weak_prompts_are_found_and_repaired_in_turn(tmp_path: Path) -> None:
    result = ran(tmp_path / "run", temporal_structural(iterations=2, gate=on_validation()))

    assert kept(result) == [(1, "role2", CHECK), (2, "aggregator@2", WEIGH)]
    assert (result.baseline.mean, result.final.mean) == (0.0, 1.0)
    turns = select_memory(tmp_path / "run")["turns"]
    assert [(t["block"], t["targets"]) for t in turns] == [
        ("roles", ["role2"]),
        ("aggregators", ["aggregator@2"]),
        ("roles", []),
        ("aggregators", []),
    ]


@pytest.mark.parametrize(
    ("block", "expected"), [("roles", (1, "role2", CHECK)), ("aggregators", (1, "aggregator@2", WEIGH))]
)
def test_an_ablation_leaves_the_other_block_as_it_is(
    tmp_path: Path, block: Any, expected: tuple[int, str, str]
) -> None:
    method = temporal_structural(iterations=1, blocks=(block,), gate=on_validation())

    assert kept(ran(tmp_path / "run", method)) == [expected]


def test_a_debate_without_weak_parts_is_left_alone(tmp_path: Path) -> None:
    result = ran(tmp_path / "run", temporal_structural(iterations=5, gate=on_validation()), breaks=("fine",))

    assert result.ledger == ()
    assert len(result.iterations) == 4, "two turns without an edit end it"
    assert not {"suggest", "write", "gate"} & {p for p, row in result.meter.items() if row["calls"]}


def test_a_system_that_does_not_name_its_aggregator_is_told_before_anything_is_run(tmp_path: Path) -> None:
    world = Debate(3, 2, WEAK)

    with pytest.raises(UserMistake, match=r"System\(\.\.\., aggregator=NODE\)"):
        optimize(
            world.system(aggregator=""),
            world.splits(2, 8),
            score,
            method=method(),
            model=world.critic,
            run=tmp_path / "run",
        )

    assert world.critic.calls == ()
    assert not (tmp_path / "run").exists()
    with pytest.raises(UserMistake, match="aggregator=NODE"):
        plan(world.system(aggregator=""), world.splits(2, 8), method())


def test_whole_prompts_are_rewritten_where_that_is_asked(tmp_path: Path) -> None:
    method = temporal_structural(iterations=1, gate=on_validation(), whole_prompt=True)
    result = ran(tmp_path / "run", method)

    assert {(x["edit"]["op"], x["agent"]) for x in result.ledger} == {
        ("DELETE", "role2"), ("ADD", "role2"), ("DELETE", "aggregator@2"), ("ADD", "aggregator@2")
    }  # fmt: skip
    assert result.final.mean == 1.0


def test_role_prompts_that_are_not_shared_are_edited_round_by_round(tmp_path: Path) -> None:
    method = temporal_structural(iterations=1, blocks=("roles",), gate=on_validation())
    result = ran(tmp_path / "run", method, unshared=True)

    assert {x["agent"] for x in result.ledger} == {"role2@1", "role2@2"}


# Kill -9 ---------------------------------------------------------------------------------------------------------

CHILD = """
import os, signal, sys
from dataclasses import replace
from pathlib import Path
from tests.methods.test_temporal_structural import method, ran
from tests.select.debate_world import Debate

folder, when = Path(sys.argv[1]), int(sys.argv[2])
made = method()


async def select(batch, memory, lab):
    found = await made.select(batch, memory, lab)
    if batch.iteration == when:
        print(len(Debate.asked), flush=True)
        os.kill(os.getpid(), signal.SIGKILL)
    return found


def counted(reply):
    return lambda self, messages: (Debate.asked.append(1), reply(self, messages))[1]


Debate.asked = []
Debate._speak, Debate._judge = counted(Debate._speak), counted(Debate._judge)
ran(folder, replace(made, select=select))
"""


def test_its_memory_survives_kill_9(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Killed after a selection that is not kept yet, in phase B, where it empties a buffer."""
    clean, killed = tmp_path / "clean", tmp_path / "killed"
    asked: list[int] = []
    for name in ("_speak", "_judge"):
        monkeypatch.setattr(Debate, name, _counted(getattr(Debate, name), asked))
    ran(clean, method())
    undisturbed = len(asked)

    command = [sys.executable, "-c", CHILD, str(killed), "2"]
    child = subprocess.run(
        command, cwd=ROOT, env=os.environ | {"PYTHONPATH": str(ROOT)}, stdout=subprocess.PIPE, check=False
    )
    assert child.returncode == -signal.SIGKILL
    ran(killed, method())

    assert select_memory(killed) == select_memory(clean)
    assert [t["targets"] for t in select_memory(killed)["turns"]] == [["role2"], ["aggregator@2"], [], []]
    assert timeless(read_run(killed).ledger) == timeless(read_run(clean).ledger)
    assert read_run(killed).rules == read_run(clean).rules
    assert int(child.stdout) + len(asked) == 2 * undisturbed, "no reply was asked for twice"


def _counted(reply: Callable[[Debate, Any], str], asked: list[int]) -> Callable[[Debate, Any], str]:
    def told(self: Debate, messages: Any) -> str:
        asked.append(1)
        return reply(self, messages)

    return told
