"""Two optimizations of one app in one process at the same time: each gives what it gives alone."""

from __future__ import annotations

import asyncio
import json
import re
import threading
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypedDict

import pytest
from langchain_core.messages import BaseMessage, HumanMessage, SystemMessage
from langgraph.graph import END, START, StateGraph
from langgraph.store.sqlite.aio import AsyncSqliteStore

from langgraph_truce import Result, Splits, System, Task, optimize
from langgraph_truce.errors import UserMistake
from langgraph_truce.gate import on_validation
from langgraph_truce.methods import counterfactual, truce
from langgraph_truce.optimizer.run import aoptimize
from langgraph_truce.testing import ScriptedModel

RULE = "Write in capital letters."


class State(TypedDict, total=False):
    question: str
    draft: str
    answer: str


def speak(messages: Sequence[BaseMessage]) -> str:
    text = messages[-1].text
    return text.upper() if RULE in messages[0].text else text


def app(*, raw: bool) -> Any:
    """Two nodes with hard-coded prompts; `raw` calls the model from a thread that LangGraph knows nothing of."""
    model = ScriptedModel(replies=speak)
    pool = ThreadPoolExecutor(4)

    def node(prompt: str, source: str, target: str) -> Any:
        def run(state: State) -> dict[str, Any]:
            messages = [SystemMessage(prompt), HumanMessage(state[source])]  # type: ignore[literal-required]
            reply = pool.submit(model.invoke, messages).result() if raw else model.invoke(messages)
            return {target: reply.text}

        return run

    builder = StateGraph(State)
    builder.add_node("draft", node("You draft answers.\n\n- Repeat the question.\n", "question", "draft"))
    builder.add_node("polish", node("You polish drafts.\n\n- Change no word.\n", "draft", "answer"))
    builder.add_edge(START, "draft").add_edge("draft", "polish").add_edge("polish", END)
    return builder.compile()


def score(outputs: Mapping[str, Any], reference_outputs: Mapping[str, Any]) -> bool:
    return bool(outputs["answer"] == reference_outputs["answer"])


def critic(messages: Sequence[BaseMessage], tools: Sequence[Mapping[str, Any]]) -> str:
    prompt = messages[-1].text
    steps = re.findall(r"polish#\d+\.\d+", prompt)[:1]
    if "iteration_progress" in tools[0]["function"]["parameters"]["properties"]:
        part = {"score": 3, "analysis": "It is not in capital letters."}
        keys = ("iteration_progress", "agent_coordination", "stage_appropriateness")
        blame = [{"agent": "polish", "score": 2, "words": "It kept the case.", "steps": steps}]
        return json.dumps({**dict.fromkeys(keys, part), "agents": blame})
    wish = {"op": "ADD", "instruction": RULE, "reason": "It is missing.", "evidence": steps}
    return json.dumps(
        {"suggestions": [wish] if re.search(r"place of the agent\n.*\npolish\n", prompt) else []}
    )


TASKS = [Task(f"t{n}", {"question": f"q{n}"}, {"answer": f"Q{n}"}) for n in range(18)]
SPLITS = Splits(TASKS[:4], TASKS[4:12], TASKS[12:])


def jobs(system: System, folder: Path) -> list[dict[str, Any]]:
    """Two runs with other methods, seeds and folders."""
    methods = [
        counterfactual(replace=("neutral", "fresh", "rules"), iterations=2, gate=on_validation()),
        truce(iterations=2, blame_tests=True, gate=on_validation()),
    ]
    return [{"system": system, "method": m, "seed": n, "run": folder / str(n)} for n, m in enumerate(methods)]


def given(job: Mapping[str, Any]) -> dict[str, Any]:
    return {**job, "splits": SPLITS, "score": score, "model": ScriptedModel(replies=critic)}


def facts(result: Result) -> Any:
    """All of a result but its folder and its seconds."""
    spent = {purpose: row["calls"] + row["hits"] for purpose, row in result.meter.items()}
    edits = [(line["edit"]["agent"], line["edit"]["text"], line["decision"]) for line in result.ledger]
    return result.baseline, result.final, result.rules, edits, result.credits, result.missed, spent


@pytest.mark.parametrize("raw", [False, True])
def test_two_at_a_time_give_what_each_gives_alone(raw: bool, tmp_path: Path) -> None:
    system = System.discover(app(raw=raw), TASKS[:3])
    assert system.prompts is not None
    assert system.prompts.raw_threads is raw
    alone = [facts(optimize(**given(job))) for job in jobs(system, tmp_path / "alone")]

    found: list[Any] = [None, None]

    def work(n: int, job: Mapping[str, Any]) -> None:
        found[n] = facts(optimize(**given(job)))

    threads = [
        threading.Thread(target=work, args=(n, job), daemon=True)
        for n, job in enumerate(jobs(system, tmp_path / "threads"))
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert found == alone

    async def together() -> list[Result]:
        runs = [aoptimize(**given(job)) for job in jobs(system, tmp_path / "loop")]
        return await asyncio.wait_for(asyncio.gather(*runs), 60)

    assert [facts(result) for result in asyncio.run(together())] == alone
    assert alone[0][1].mean == alone[1][1].mean == 1.0
    assert all(RULE in result[2].render("polish") for result in alone)


async def test_sync_optimize_does_not_wait_for_the_loop_that_it_stops(tmp_path: Path) -> None:
    async with AsyncSqliteStore.from_conn_string(str(tmp_path / "store.db")) as store:
        await store.setup()
        graph = app(raw=False).copy({"store": store})
        system = await System.adiscover(graph, TASKS[:3])
        (_, job) = jobs(system, tmp_path)
        with pytest.raises(UserMistake, match=r"AsyncSqliteStore lives on .* `await aoptimize\(\.\.\.\)`"):
            optimize(**given(job))
        assert (await aoptimize(**given(job))).final.mean == 1.0
