"""`langgraph-truce credit`: threads in, blame out; every mistake one sentence."""

from __future__ import annotations

import json
import sqlite3
import sys
from pathlib import Path
from typing import Any

import pytest
from langgraph.checkpoint.sqlite import SqliteSaver

from langgraph_truce.cli import credit, target
from langgraph_truce.rollout.thread import read_thread
from langgraph_truce.trajectory import write_trajectories

TEAM = '''
"""Two writers and a judge; one of the writers is always wrong."""

from pathlib import Path
from typing import TypedDict

from langgraph.graph import END, START, StateGraph
from langgraph_truce import System, instructions
from langgraph_truce.testing import ScriptedModel

RULES = Path(__file__).parent / "team_rules"


class State(TypedDict, total=False):
    text: str
    left: str
    right: str
    answer: str


def reply(messages):
    calls.append(messages)
    return messages[0].text.split()[-1]


calls = []
model = ScriptedModel(replies=reply)


def writer(name):
    async def node(state):
        said = await model.ainvoke([("system", instructions(name, beside=RULES)), ("human", state["text"])])
        return {name: said.text}

    return node


def judge(state):
    good = state["left"] == "good" and state["right"] == "good"
    return {"answer": "right" if good else "wrong"}


def build():
    graph = StateGraph(State)
    graph.add_node("judge", judge)
    for name in ("left", "right"):
        graph.add_node(name, writer(name))
        graph.add_edge(START, name)
        graph.add_edge(name, "judge")
    return graph.compile()


graph = build()
system = System(graph, RULES, outputs=lambda state: state["answer"])


def score(outputs):
    return outputs == "right"


def exact(outputs, reference_outputs):
    return outputs["answer"] == reference_outputs["answer"]


def judging(messages, tools):
    import json

    part = {"score": 3, "analysis": "The answer is wrong."}
    agent = {"agent": "right", "score": 1, "words": "It wrote bad.", "steps": ["right#1.0"], "rules": ["r1"]}
    names = ("iteration_progress", "agent_coordination", "stage_appropriateness")
    return json.dumps({**dict.fromkeys(names, part), "agents": [agent]})


critic = ScriptedModel(replies=judging)
'''


@pytest.fixture
async def team(shop: Any) -> Any:
    """Three threads of the team on SQLite, in the working directory."""
    shop.write("team.py", TEAM)
    shop.write("team_rules/left.md", "You write.\n\n- Be brief.\n- Write good\n")
    shop.write("team_rules/right.md", "You write.\n\n- Write bad\n")
    graph = target.load("team.py:graph")
    from langgraph.checkpoint.sqlite.aio import AsyncSqliteSaver

    async with AsyncSqliteSaver.from_conn_string("threads.db") as saver:
        compiled = graph.copy({"checkpointer": saver})
        for name in ("t1", "t2", "t3"):
            await compiled.ainvoke({"text": f"task {name}"}, {"configurable": {"thread_id": name}})
    shop.tasks(
        "scores.jsonl", [{"thread": t, "score": 0.0, "comment": f"{t} failed"} for t in ("t1", "t2", "t3")]
    )
    sys.modules["team"].calls.clear()
    return shop


STORED = ("credit", "--checkpointer", "sqlite:///threads.db", "--graph", "team.py:graph")


def test_scores_from_a_file_without_rules_or_model(team: Any) -> None:
    said = team(*STORED, "--scores", "scores.jsonl", "--credit", "outcome_only")
    assert said.code == 0, said
    for part in (
        "3 threads judged by outcome_only",
        "mean score 0.000",
        "Credit by role",
        "t3 failed",
        "right: bad",
    ):
        assert part in said.out
    assert "rules: none were given" in said.out
    assert "prompts, token usage and latency" in said.out


def test_a_critic_names_rules_and_is_asked_once(team: Any) -> None:
    arguments = (
        *("credit", "--checkpointer", "threads.db", "--graph", "team.py:system"),
        *("--evaluator", "team.py:score", "--model", "team.py:critic", "--threads", "t1,t2", "--json"),
    )
    said = team(*arguments, "--out", "out/report.json")
    assert said.code == 0, said
    report = json.loads(Path("out/report.json").read_text())
    assert [(r["name"], r["value"], r["tasks"]) for r in report["rules"]] == [("right r1", -1.0, 2)]
    assert report["rules"][0]["text"] == "Write bad"
    assert [r["name"] for r in report["roles"]] == ["right"]
    assert report["roles"][0]["steps"][0]["quote"] == "right: bad"
    assert report["score"] == 0.0
    model = sys.modules["team"].critic
    object.__setattr__(model, "replies", lambda *_: "{}")
    again = team(*arguments)
    assert json.loads(again.out) == report


def test_the_newest_threads_and_those_of_a_file(team: Any) -> None:
    rest = ("--scores", "scores.jsonl", "--credit", "state_change", "--json")
    newest = json.loads(team(*STORED, *rest, "--limit", "2").out)
    assert {c["task"] for c in newest["credits"]} <= {"t3", "t2"}
    assert newest["threads"] == 2
    team.write("ids.txt", "t1\nnobody\n")
    listed = json.loads(team(*STORED, *rest, "--threads", "@ids.txt").out)
    assert (listed["threads"], listed["left_out"]) == (1, 1)
    assert any("'nobody'" in p for p in listed["problems"])


def test_trajectories_from_a_file(team: Any) -> None:
    db = sqlite3.connect("threads.db", check_same_thread=False)
    graph = target.load("team.py:graph")
    write_trajectories([read_thread(graph, SqliteSaver(db), t) for t in ("t1", "t2")], "old.jsonl")
    db.close()
    rest = ("--jsonl", "old.jsonl", "--scores", "scores.jsonl", "--credit", "outcome_only", "--json")
    report = json.loads(team("credit", *rest, "--rules", "team_rules").out)
    assert report["threads"] == 2
    assert {r["name"] for r in report["roles"]} == {"left", "right"}


def test_references_for_the_evaluator(team: Any) -> None:
    team.tasks("refs.jsonl", [{"thread": "t1", "reference_outputs": {"answer": "wrong"}}])
    said = team(
        *STORED,
        *("--evaluator", "team.py:exact", "--references", "refs.jsonl", "--credit", "outcome_only", "--json"),
    )
    report = json.loads(said.out)
    assert (report["threads"], report["score"]) == (1, 1.0)
    assert any("'t2': its state could not be scored" in p for p in report["problems"])


def test_damaged_threads_cost_a_sentence(team: Any) -> None:
    db = sqlite3.connect("threads.db")
    db.execute("UPDATE checkpoints SET checkpoint = x'c1' WHERE thread_id = 't1'")
    db.commit()
    db.close()
    said = team(*STORED, "--scores", "scores.jsonl", "--credit", "outcome_only")
    assert said.code == 0, said
    assert "2 threads judged by outcome_only" in said.out
    assert "thread 't1': 4 of 4 checkpoints cannot be read" in " ".join(said.out.split())


def test_counterfactuals_cost_is_said_and_agreed_to_first(team: Any) -> None:
    arguments = (
        *("credit", "--checkpointer", "threads.db", "--graph", "team.py:system", "--threads", "t1"),
        *("--evaluator", "team.py:score", "--credit", "counterfactual", "--json"),
    )
    asked = team(*arguments)
    assert asked.code == 2
    assert "model calls" in asked.err
    assert "--yes" in asked.err
    calls = sys.modules["team"].calls
    assert calls == []
    said = team(*arguments, "--yes")
    assert said.code == 0, said
    assert "makes about" in said.err
    report = json.loads(said.out)
    assert {c["role"] for c in report["credits"]} == {"left", "right"}
    assert report["source"] == "CounterfactualCredit"


@pytest.mark.parametrize(
    ("arguments", "parts"),
    [
        (["--scores", "scores.jsonl"], ["--checkpointer", "--jsonl"]),
        (["--checkpointer", "threads.db", "--scores", "scores.jsonl"], ["--graph"]),
        (["--checkpointer", "threads.db", "--graph", "team.py:graph"], ["--evaluator", "--scores"]),
        ([*STORED[1:], "--scores", "scores.jsonl", "--credit", "verbal"], ["--model"]),
        ([*STORED[1:], "--scores", "scores.jsonl", "--credit", "magic"], ["'magic'", "state_change"]),
        ([*STORED[1:], "--scores", "nowhere.jsonl"], ["nowhere.jsonl", "no such file"]),
        ([*STORED[1:], "--scores", "bad.jsonl"], ["bad.jsonl:2", "'score'", "7"]),
        ([*STORED[1:], "--scores", "scores.jsonl", "--threads", "@nowhere"], ["nowhere", "no such file"]),
        ([*STORED[1:], "--scores", "scores.jsonl", "--threads", "x"], ["no thread can be judged", "'x'"]),
        (
            ["--checkpointer", "gone.db", *STORED[3:], "--scores", "scores.jsonl"],
            ["gone.db", "no such SQLite"],
        ),
        ([*STORED[1:], "--scores", "scores.jsonl", "--tool", "search"], ["search", "NAME=safe"]),
        ([*STORED[1:], "--scores", "scores.jsonl", "--credit", "counterfactual"], ["--evaluator"]),
    ],
)
def test_mistakes(team: Any, arguments: list[str], parts: list[str]) -> None:
    team.tasks("bad.jsonl", [{"thread": "t1", "score": 1}, {"thread": "t2", "score": 7}])
    plain = [] if "--credit" in arguments else ["--credit", "outcome_only"]
    said = team("credit", *arguments, *plain)
    assert said.code == 2, said
    (sentence,) = said.err.strip().splitlines()
    for part in parts:
        assert part in sentence, sentence


@pytest.mark.postgres
def test_threads_on_postgres(shop: Any, postgres_url: str) -> None:
    from langgraph.checkpoint.postgres import PostgresSaver

    shop.write("sync.py", SYNC)
    graph = target.load("sync.py:graph")
    with PostgresSaver.from_conn_string(postgres_url) as saver:
        saver.setup()
        graph.copy({"checkpointer": saver}).invoke({"n": 1}, {"configurable": {"thread_id": "p"}})
    shop.tasks("scores.jsonl", [{"thread": "p", "score": 0.5}])
    said = shop(
        *("credit", "--checkpointer", postgres_url, "--graph", "sync.py:graph"),
        *("--scores", "scores.jsonl", "--credit", "outcome_only", "--json"),
    )
    report = json.loads(said.out)
    assert [(r["name"], r["steps"][0]["step"]) for r in report["roles"]] == [("add", "add#1.0")]


SYNC = """
from typing import TypedDict

from langgraph.graph import START, StateGraph


class State(TypedDict):
    n: int


builder = StateGraph(State)
builder.add_node("add", lambda s: {"n": s["n"] + 1})
builder.add_edge(START, "add")
graph = builder.compile()
"""


def test_every_source_of_the_table_can_be_made() -> None:
    for name in credit.SOURCES:
        assert callable(credit._source(name))
