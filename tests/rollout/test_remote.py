"""A graph on a real `langgraph dev` server, recorded and scored through `RemoteGraph`."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.pregel.remote import RemoteException, RemoteGraph
from langgraph_sdk import get_client
from typer.testing import CliRunner

from langgraph_truce.cli import app
from langgraph_truce.errors import SystemMismatch, UserMistake
from langgraph_truce.model.failure import infrastructure
from langgraph_truce.rollout.interrupts import RunOptions, Unanswered
from langgraph_truce.rollout.record import Recorded, record
from langgraph_truce.rules import RuleBook, parse
from langgraph_truce.system import System
from tests.dev_server import dev_server, write_app

ROOT = Path(__file__).parents[2]
APP = """
import asyncio, operator
from typing import Annotated, Any, TypedDict
from langchain_core.messages import SystemMessage
from langgraph.func import entrypoint, task
from langgraph.graph import START, StateGraph
from langgraph.graph.message import add_messages
from langgraph.runtime import Runtime
from langgraph.types import Send, interrupt
from langgraph_truce.testing import ScriptedModel
from tests.rollout.kinds.agents import build_agent
from tests.rollout.kinds.kind import talker

model = talker()

class State(TypedDict, total=False):
    items: list[str]
    item: str
    notes: Annotated[list[str], operator.add]
    messages: Annotated[list[Any], add_messages]

class Result(TypedDict, total=False):
    notes: Annotated[list[str], operator.add]

async def work(state: State):
    return {"notes": [(await model.ainvoke([SystemMessage("work " + state["item"])])).text]}

async def asks(state: State):
    draft = (await model.ainvoke([SystemMessage("asks")])).text
    return {"notes": [draft + ", " + interrupt({"draft": draft})]}

async def end(state: State, runtime: Runtime[dict]):
    if "fail" in state["items"]:
        raise ValueError("no luck")
    if "slow" in state["items"]:
        await asyncio.sleep(60)
    tone = (runtime.context or {}).get("tone", "plain")
    return {"messages": [await model.ainvoke([SystemMessage(tone), *state["messages"]])]}

team = StateGraph(State, output_schema=Result).add_node("asks", asks).add_edge(START, "asks").compile()
builder = StateGraph(State).add_node("work", work).add_node("team", team).add_node("end", end)
builder.add_conditional_edges(START, lambda s: [Send("work", {"item": i}) for i in s["items"]], ["work"])
builder.add_edge("work", "team").add_edge("team", "end")
small = builder.compile()
agent = build_agent(model)

@task
async def draft(text: str) -> str:
    return (await model.ainvoke(text)).text

@entrypoint()
async def flow(text: str) -> str:
    return await draft(await draft(text))
"""

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A development server over `APP`, ended by its own process id."""
    folder = tmp_path_factory.mktemp("remote")  # the server keeps its state in the working directory
    for name in ("langgraph_truce", "tests"):
        (folder / name).symlink_to(ROOT / name)
    (folder / "app.py").write_text(APP, encoding="utf-8")
    write_app(folder, {name: f"./app.py:{name}" for name in ("small", "agent", "flow")})
    with dev_server(folder) as address:
        yield address


def given(*items: str) -> dict[str, Any]:
    return {"items": list(items), "messages": [{"role": "user", "content": "hi"}]}


async def small(address: str, *items: str, **options: Any) -> Recorded:
    graph = RemoteGraph("small", url=address)
    return await record(graph, given(*items), rollout="v/t/0", options=RunOptions(**options))


def said(done: Recorded) -> list[tuple[str, str, int | None]]:
    """Step, reply and output tokens of every model call."""
    value = done.trajectory.value
    return [
        (s.id, value(c.output)["content"], c.usage.output_tokens)
        for s in done.trajectory.steps
        for c in s.calls
        if c.output
    ]


async def test_steps_writes_replies_usage_and_answers(kit: Any, address: str) -> None:
    done = await small(
        address, "a", "b", interrupts=lambda value: f"yes to {value['draft']}", context={"tone": "warm"}
    )

    assert done.error is None
    assert kit.ids(done.trajectory) == ["work#1.0", "work#1.1", "team#1.0", "team/asks#1.0", "end#1.0"]
    assert [s.superstep for s in done.trajectory.steps] == [1, 1, 2, 1, 3]
    assert kit.seen(done, "work#1.1") == {"item": "b"}
    assert kit.wrote(done, "team/asks#1.0") == {"notes": ["asks sees 1, yes to asks sees 1"]}
    assert kit.wrote(done, "end#1.0") == {"messages": [{"role": "assistant", "content": "warm sees 2"}]}
    assert said(done) == [
        ("work#1.0", "work a sees 1", 4),
        ("work#1.1", "work b sees 1", 4),
        ("team/asks#1.0", "asks sees 1", 3),
        ("end#1.0", "warm sees 2", 3),
    ]
    assert all(s.latency is not None and not s.error for s in done.trajectory.steps)
    assert not done.trajectory.prompts_known
    assert done.unjoined == 0
    assert done.state["messages"][-1]["content"] == "warm sees 2"


async def test_errors_questions_and_time_limits_are_outcomes(kit: Any, address: str) -> None:
    failed, unanswered, slow = await asyncio.gather(
        small(address, "fail", interrupts=lambda _: "yes"),
        small(address, "a"),
        small(address, "slow", interrupts=lambda _: "yes", timeout=6),
    )

    assert isinstance(failed.error, RemoteException)
    assert not infrastructure(failed.error)
    assert kit.of(failed, "end#1.0").error == "ValueError: no luck"
    assert isinstance(unanswered.error, Unanswered)
    assert kit.of(unanswered, "team/asks#1.0").error == "GraphInterrupt: the node waits for a person"
    assert isinstance(slow.error, TimeoutError)
    assert kit.ids(slow.trajectory)[-1] == "end#1.0"


async def test_no_thread_stays_but_the_callers_own(address: str) -> None:
    graph = RemoteGraph("agent", url=address)
    message = {"messages": [{"role": "user", "content": "hi"}]}
    async with get_client(url=address) as client:
        before = len(await client.threads.search(limit=100))
        await record(graph, message, rollout="r")
        assert len(await client.threads.search(limit=100)) == before
        own = (await client.threads.create())["thread_id"]
        await record(graph, message, rollout="r", config={"configurable": {"thread_id": own}})
        values: Any = (await client.threads.get_state(own))["values"]
        assert len(values["messages"]) > 1


def test_one_graph_object_in_two_event_loops(kit: Any, address: str) -> None:
    graph = RemoteGraph("agent", url=address)
    runs = [asyncio.run(record(graph, {"messages": [("user", "hi")]}, rollout="r")) for _ in range(2)]

    assert [kit.ids(done.trajectory) for done in runs] == [
        ["model#1.0", "tools#1.0", "model#2.0", "tools#2.0", "model#3.0"]
    ] * 2
    value = runs[0].trajectory.value
    (first,) = kit.of(runs[0], "model#1.0").calls
    assert value(first.output)["tool_calls"] == [{"name": "add", "args": {"a": 2, "b": 2}, "id": "call-add"}]


async def test_functions_of_the_functional_api(kit: Any, address: str) -> None:
    done = await record(RemoteGraph("flow", url=address), "hm", rollout="r")

    assert done.state == "hm sees 1 sees 1"
    assert [s.role for s in done.trajectory.steps] == ["flow", "flow/draft", "flow/draft"]


async def test_a_server_that_is_gone_is_infrastructure_and_a_saver_is_refused(address: str) -> None:
    done = await record(RemoteGraph("small", url="http://127.0.0.1:9"), given(), rollout="r")
    assert done.error is not None
    assert infrastructure(done.error)
    with pytest.raises(UserMistake, match="a RemoteGraph uses the saver and store of its server"):
        await record(RemoteGraph("small", url=address), given(), rollout="r", saver=InMemorySaver())


@contextmanager
def remote(address: str, *roles: str) -> Iterator[System]:
    graph = RemoteGraph("small", url=address)
    try:
        yield System(graph, RuleBook({r: parse(r, f"You are {r}.") for r in roles}))
    finally:
        assert graph.sync_client is not None
        graph.sync_client.close()


def test_a_system_knows_the_nodes_of_its_server_and_refuses_to_optimize(address: str) -> None:
    with remote(address, "work", "team/asks") as system, remote(address, "end") as other:
        assert system.remote
        assert system.name == "small"
        assert system.about("team") == "team: comes after work; goes on to end."
        assert system.fingerprint == other.fingerprint
        with pytest.raises(SystemMismatch, match="optimize needs the graph in this process"):
            system.in_process("optimize")
    wrong = pytest.raises(
        SystemMismatch, match="the graph has no node 'wrok'; its nodes are: end, team, work"
    )
    with wrong, remote(address, "wrok"):
        raise AssertionError("it was made")


def test_the_command_line_evaluates_it_credits_what_ran_and_refuses_to_optimize(
    address: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    made = f"from langgraph.pregel.remote import RemoteGraph\ngraph = RemoteGraph('agent', url={address!r})\n"
    Path("far.py").write_text(f"{made}\ndef bad(outputs):\n    return 0.0 if outputs['messages'] else 1.0\n")
    for split in ("train", "validation", "test"):
        rows = [{"inputs": {"messages": [["user", f"{split} {n}"]]}} for n in range(6)]
        Path(f"{split}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))

    def command(*arguments: str) -> Any:
        return CliRunner().invoke(app, list(arguments))

    splits = [text for split in ("train", "validation", "test") for text in (f"--{split}", f"{split}.jsonl")]
    refused = command(
        "optimize", "far.py:graph", *splits, "--evaluator", "far.py:bad", "--method", "offline", "--run", "r"
    )
    assert (refused.exit_code, refused.stderr.count("\n")) == (2, 1)
    assert "optimize needs the graph in this process" in refused.stderr
    assert not Path("r").exists()
    done = command(
        "evaluate", "far.py:graph", "--tasks", "test.jsonl", "--evaluator", "far.py:bad", "--run", "e"
    )
    assert "score 0.000" in done.stdout, done.output
    judged = command(
        *(
            "credit",
            "--jsonl",
            "e/trajectories.jsonl",
            "--scores",
            "e/outcomes.jsonl",
            "--credit",
            "outcome_only",
            "--json",
        )
    )
    report = json.loads(judged.stdout)
    sys.modules.pop("far").graph.sync_client.close()
    assert report["threads"] == 6
    assert report["unknown"][0].startswith("prompts: the server that ran the graph does not tell them")
