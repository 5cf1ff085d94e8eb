"""`credit`, `evaluate` and `optimize` on a chat app that nobody ported: a bare graph, with messages and a tool."""

from __future__ import annotations

import json
import sqlite3
from pathlib import Path
from typing import Any

import pytest
from langgraph.checkpoint.sqlite import SqliteSaver

from langgraph_truce.cli import target
from langgraph_truce.rollout.thread import read_thread
from langgraph_truce.trajectory import write_trajectories

CHAT = '''
"""A clerk that looks orders up and a writer that answers; the writer is always wrong about invoices."""

from langchain_core.messages import AIMessage, SystemMessage
from langchain_core.tools import tool
from langgraph.graph import START, MessagesState, StateGraph
from langgraph_truce import System
from langgraph_truce.testing import ScriptedModel

print("the app is loaded")
model = ScriptedModel(replies=lambda messages: "wrong" if "invoice" in messages[-1].text else "right")


@tool
def look_up(order: str) -> str:
    """Look an order up."""
    print("looking", order)
    return f"order {order}"


def clerk(state: MessagesState):
    return {"messages": [AIMessage(look_up.invoke({"order": state["messages"][0].text}))]}


def writer(state: MessagesState):
    prompt = SystemMessage("You answer.\\n\\n- Be brief.\\n- Be polite.\\n")
    return {"messages": [model.invoke([prompt, state["messages"][-1]])]}


builder = StateGraph(MessagesState)
builder.add_node("clerk", clerk)
builder.add_node("writer", writer)
builder.add_edge(START, "clerk")
builder.add_edge("clerk", "writer")
graph = builder.compile()


def filing(state: MessagesState):
    look_up.invoke({"order": state["messages"][-1].text})
    return {}


builder = StateGraph(MessagesState)
builder.add_node("writer", writer)
builder.add_node("filing", filing)
builder.add_edge(START, "writer")
builder.add_edge("writer", "filing")
filed = builder.compile()


def declared():
    return System(graph, "found", tools={"look_up": "forbidden", "pay": "recorded"})


def last(state):
    return state["messages"][-1].text


def score(outputs):
    return outputs["messages"][-1].text == "right"


def several(outputs):
    if "rain" in outputs["messages"][0].text:
        raise RuntimeError("the judge is down")
    return [{"key": "polite", "score": 1.0}, {"key": "right", "score": score(outputs)}]


def broken(state):
    raise AssertionError("no answer in it")
'''


@pytest.fixture
def chat(shop: Any) -> Any:
    """Three threads of the chat app in SQLite, and tasks of the same kind."""
    shop.write("chat.py", CHAT)
    graph = target.load("chat.py:graph")
    with SqliteSaver.from_conn_string("chat.db") as saver:
        compiled = graph.copy({"checkpointer": saver})
        for name, text in (("t1", "my invoice"), ("t2", "the rain"), ("t3", "an invoice")):
            compiled.invoke({"messages": [("user", text)]}, {"configurable": {"thread_id": name}})
    for split in ("train", "validation", "test"):
        kinds = [(f"invoice {split} {n}", "wrong") for n in range(6)]
        rows = [{"inputs": {"messages": [["user", t]]}, "outputs": {"answer": a}} for t, a in kinds]
        shop.tasks(f"c_{split}.jsonl", rows)
    return shop


STORED = ("credit", "--checkpointer", "chat.db", "--graph", "chat.py:graph", "--json")


def report(said: Any) -> dict[str, Any]:
    assert said.code == 0, said
    found: dict[str, Any] = json.loads(said.out)  # nothing else is on stdout
    return found


def test_evaluators_see_messages_as_the_graph_gives_them(chat: Any) -> None:
    found = report(chat(*STORED, "--evaluator", "chat.py:score", "--credit", "outcome_only"))
    assert (found["threads"], found["score"]) == (3, pytest.approx(1 / 3))
    chat.tasks("refs.jsonl", [{"thread": t, "reference_outputs": {"answer": "wrong"}} for t in ("t1", "t3")])
    named = ("--evaluator", "exact_match", "--references", "refs.jsonl", "--credit", "outcome_only")
    assert report(chat(*STORED, *named, "--outputs", "chat.py:last"))["score"] == 1.0


def test_one_thread_that_cannot_be_scored_leaves_the_others(chat: Any) -> None:
    found = report(
        chat(*STORED, "--evaluator", "chat.py:several", "--objective", "right", "--credit", "outcome_only")
    )
    assert (found["threads"], found["left_out"]) == (2, 1)
    assert "'t2': its state could not be scored" in found["problems"][0]
    assert "the judge is down" in found["problems"][0]
    said = chat(
        *STORED, "--evaluator", "chat.py:score", "--credit", "outcome_only", "--outputs", "chat.py:broken"
    )
    assert (said.code, said.err.count("AssertionError: no answer in it")) == (2, 1)


COUNTED = ("--evaluator", "chat.py:score", "--credit", "counterfactual", "--yes")


def test_contributions_that_no_replay_values_are_said_and_a_declared_tool_mends_it(chat: Any) -> None:
    found = report(chat(*STORED, *COUNTED, "--replace", "fresh"))
    assert {c["role"] for c in found["credits"]} == {"writer"}
    (said,) = found["problems"]
    assert said.startswith("clerk: no credit (2 contributions), ")
    assert "'look_up'" in said
    again = report(
        chat(*STORED, *COUNTED, "--replace", "fresh", "--replicates", "2", "--tool", "look_up=safe")
    )
    assert {c["role"] for c in again["credits"]} == {"clerk", "writer"}
    assert again["problems"] == []
    assert {c["details"]["replicates"] for c in again["credits"]} == {2}


def test_a_thread_that_cannot_be_forked_leaves_the_others(chat: Any) -> None:
    db = sqlite3.connect("chat.db")
    db.execute("UPDATE writes SET value = x'c1', type = 'msgpack' WHERE thread_id = 't1'")
    db.commit()
    db.close()
    found = report(chat(*STORED, *COUNTED, "--tool", "look_up=safe"))
    assert {c["task"] for c in found["credits"]} == {"t3"}
    assert any("thread 't1' cannot be forked: ValueError" in said for said in found["problems"])


def test_the_report_of_discovery_is_alone_on_stdout(chat: Any) -> None:
    said = chat(
        "rules", "discover", "chat.py:graph", "--examples", "c_train.jsonl", "--out", "found", "--json"
    )
    assert [f["agent"] for f in report(said)["found"]] == ["writer"]
    assert "looking" in said.err


def test_single_rules_are_credited_by_leaving_them_out(chat: Any) -> None:
    assert (
        chat("rules", "discover", "chat.py:graph", "--examples", "c_train.jsonl", "--out", "found").code == 0
    )
    found = report(chat(*STORED, *COUNTED, "--replace", "rules", "--rules", "found"))
    assert [(r["name"], r["text"]) for r in found["rules"]] == [
        ("writer r1", "Be brief."),
        ("writer r2", "Be polite."),
    ]


def test_the_tools_of_a_system_stay_beside_the_options(chat: Any) -> None:
    from langgraph_truce.cli import options

    assert (
        chat("rules", "discover", "chat.py:graph", "--examples", "c_train.jsonl", "--out", "found").code == 0
    )
    own = options.settings(["look_up=safe"], "messages")
    system = target.system("chat.py:declared", settings=own)
    assert system.tools == {"look_up": "safe", "pay": "recorded"}
    assert system.answer({"messages": ["hello"]}) == ["hello"]
    assert target.system("chat.py:declared", settings=options.settings()).tools["look_up"] == "forbidden"


SPLITS = ("--train", "c_train.jsonl", "--validation", "c_validation.jsonl", "--test", "c_test.jsonl")


def test_a_bare_graph_is_evaluated_and_optimized_with_options_alone(chat: Any) -> None:
    named = ("--evaluator", "exact_match", "--outputs", "chat.py:last")
    said = chat("evaluate", "chat.py:graph", "--tasks", "c_test.jsonl", *named, "--run", "runs/e")
    assert "score 1.000" in said.out, said
    job = ("optimize", "chat.py:filed", *SPLITS, "--evaluator", "chat.py:score", "--iterations", "1")
    forks = ("--method", "counterfactual", "--model", "critic.py:model")
    said = chat(*job, *forks, "--run", "runs/o", "--tool", "look_up=safe")
    assert said.code == 0, said
    assert "could not be replayed" not in said.out
    said = chat(*job, *forks, "--run", "runs/p")
    assert "could not be replayed" in said.out
    assert "'look_up'" in said.out


def test_what_evaluate_ran_can_be_credited(chat: Any) -> None:
    chat(
        "evaluate",
        "chat.py:graph",
        "--tasks",
        "c_test.jsonl",
        "--evaluator",
        "chat.py:score",
        "--run",
        "runs/e",
    )
    found = report(
        chat(
            *("credit", "--jsonl", "runs/e/trajectories.jsonl", "--scores", "runs/e/outcomes.jsonl"),
            *("--credit", "state_change", "--json"),
        )
    )
    assert (found["threads"], found["score"], found["problems"]) == (6, 0.0, [])
    assert not any("prompts" in said for said in found["unknown"])


def test_broken_lines_and_unknown_ids_of_a_file_leave_the_others(chat: Any) -> None:
    graph = target.load("chat.py:graph")
    db = sqlite3.connect("chat.db", check_same_thread=False)
    write_trajectories([read_thread(graph, SqliteSaver(db), t) for t in ("t1", "t2")], "old.jsonl")
    db.close()
    with Path("old.jsonl").open("a") as file:
        file.write('{"rollout": "t3", "ste\nnull\n')
    chat.tasks("scores.jsonl", [{"thread": "t1", "score": 0.0}, {"thread": "nobody", "score": 1.0}])
    rest = ("--scores", "scores.jsonl", "--credit", "outcome_only", "--json")
    found = report(chat("credit", "--jsonl", "old.jsonl", *rest, "--threads", "t1,nobody"))
    assert found["threads"] == 1
    assert [said.partition(" ")[0] for said in found["problems"]] == [
        "old.jsonl:4:",
        "old.jsonl:5:",
        "thread",
        "scores",
    ]
    assert "thread 'nobody': old.jsonl holds no trajectory of it" in found["problems"]


@pytest.mark.parametrize(
    ("arguments", "parts"),
    [
        (["--checkpointer", "fresh.db"], ["holds no thread"]),
        (["--checkpointer", "chat.db", "--outputs", "answer"], ["--outputs answer", "messages"]),
        (
            ["--checkpointer", "chat.db", "--outputs", "chat.py:graph"],
            ["--outputs chat.py:graph", "function"],
        ),
        (["--checkpointer", "chat.db", "--tool", "look_up=often"], ["look_up=often", "NAME=recorded"]),
        (
            ["--checkpointer", "chat.db", "--credit", "counterfactual", "--replace", "silence"],
            ["'silence'", "peer"],
        ),
        (["--jsonl", "gone.jsonl"], ["gone.jsonl", "no such trajectory file"]),
    ],
)
def test_mistakes(chat: Any, arguments: list[str], parts: list[str]) -> None:
    with SqliteSaver.from_conn_string("fresh.db") as saver:
        saver.setup()
    plain = [] if "--credit" in arguments else ["--credit", "outcome_only"]
    said = chat("credit", *arguments, "--graph", "chat.py:graph", "--evaluator", "chat.py:score", *plain)
    assert (said.code, said.out) == (2, ""), said
    (sentence,) = (line for line in said.err.splitlines() if line != "the app is loaded")
    for part in parts:
        assert part in sentence, sentence
