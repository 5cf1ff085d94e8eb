"""Rollouts of sync graphs whose functions wait for each other finish, however many run side by side."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from langchain_core.messages import HumanMessage, SystemMessage
from langgraph.func import entrypoint, task

from langgraph_truce import System, Task
from langgraph_truce.bind.found import Prompts
from langgraph_truce.errors import UserMistake
from langgraph_truce.rules import RuleBook, parse
from langgraph_truce.testing import ScriptedModel, real_lab
from langgraph_truce.threads import home_loop, wide_threads


@task
def half(number: int) -> int:
    return number // 2


@task
def double(number: int) -> int:
    return 4 * half(number).result()


@entrypoint()
def flow(given: dict[str, int]) -> int:
    return double(given["number"]).result()


def score(outputs: Any, inputs: dict[str, Any]) -> float:
    return float(outputs == 4 * (inputs["number"] // 2))


async def test_sixty_flows_that_wait_for_tasks_do_not_wait_for_each_other() -> None:
    system = System(flow, RuleBook({"flow": parse("flow", "Be exact.")}))
    tasks = [Task(f"t{n}", {"number": n}) for n in range(60)]
    async with real_lab(system, score) as (lab, _):
        rollouts = await asyncio.wait_for(lab.rollouts(tasks, system.book, purpose="task"), 60)

    assert [r.outcome.error for r in rollouts] == [""] * 60
    assert [r.outcome.score for r in rollouts] == [1.0] * 60


async def test_the_loops_own_executor_comes_back() -> None:
    loop = asyncio.get_running_loop()
    await asyncio.to_thread(int)
    own = getattr(loop, "_default_executor")  # noqa: B009 - private: mypy does not know it
    with wide_threads(4):
        with wide_threads(4):
            assert getattr(loop, "_default_executor") is not own  # noqa: B009
        assert getattr(loop, "_default_executor") is not own  # noqa: B009

    assert getattr(loop, "_default_executor") is own  # noqa: B009
    assert await asyncio.to_thread(int) == 0


def test_forty_examples_of_such_a_flow_are_discovered_at_once() -> None:
    model = ScriptedModel(replies=lambda messages: "ok")

    @task
    def ask(number: int) -> str:
        return model.invoke([SystemMessage("Be exact and brief."), HumanMessage(str(number))]).text

    @entrypoint()
    def asking(given: dict[str, int]) -> str:
        return ask(given["number"]).result()

    system = System.discover(asking, [{"number": n} for n in range(40)], timeout=60)

    assert [slot.text for slot in (system.prompts or Prompts(())).slots] == ["Be exact and brief."]


class Living:
    """Something that lives on a loop, as async savers and stores do."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop


async def test_sync_code_finds_the_loop_of_what_it_is_given() -> None:
    here, idle = asyncio.get_running_loop(), asyncio.new_event_loop()
    idle.close()

    assert home_loop("areplay", object(), None) is None
    assert await asyncio.to_thread(home_loop, "areplay", Living(here), None, Living(here)) is here
    with pytest.raises(UserMistake, match=r"Living lives on .* `await areplay\(\.\.\.\)` there"):
        home_loop("areplay", Living(here))
    with pytest.raises(UserMistake, match="Living lives on an event loop that does not run"):
        home_loop("areplay", Living(idle))
