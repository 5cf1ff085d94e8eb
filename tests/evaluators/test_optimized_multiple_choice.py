"""`optimize(score=multiple_choice)` needs nothing beside the function, and shows what could not be read."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypedDict

from langchain_core.messages import BaseMessage
from langgraph.graph import END, START, StateGraph

from langgraph_truce import System, evaluators, instructions, optimize
from langgraph_truce.benchmarks.multiple_choice import question
from langgraph_truce.benchmarks.protocol import split
from langgraph_truce.choices import LETTERS
from langgraph_truce.methods import truce
from langgraph_truce.task import Task
from langgraph_truce.testing import ScriptedModel


class State(TypedDict, total=False):
    question: str
    options: dict[str, str]
    answer: str


def reply(messages: Sequence[BaseMessage]) -> str:
    """A solver that gives a letter only where a rule asks for it, and the wrong one where it would rather not be asked."""
    number, _, listed = messages[-1].text.partition("|")
    wanted = number.split()[-1]
    options: dict[str, str] = json.loads(listed)
    if int(wanted) % 4 == 0:
        return "If you ask me: " + next(letter for letter, text in options.items() if text != wanted)
    letter = next(letter for letter, text in options.items() if text == wanted)
    return f"The answer is ({letter})." if "letter" in messages[0].text else "A person can see it at once."


def critic(_messages: Sequence[BaseMessage], tools: Sequence[Mapping[str, Any]]) -> str:
    if "iteration_progress" in tools[0]["function"]["parameters"]["properties"]:
        part = {"score": 2, "analysis": "No option was named."}
        agent = {"agent": "solver", "score": 1, "words": "No letter.", "steps": ["solver#1.0"]}
        fields = ("iteration_progress", "agent_coordination", "stage_appropriateness")
        return json.dumps(dict.fromkeys(fields, part) | {"agents": [agent]})
    wish = {
        "op": "ADD",
        "instruction": "End with the letter of the option in brackets.",
        "reason": "It is missing.",
    }
    return json.dumps({"suggestions": [wish | {"evidence": ["solver#1.0"]}]})


def system(folder: Path) -> System:
    folder.mkdir()
    (folder / "solver.md").write_text("You solve problems.\n\n- Think before you answer.\n", encoding="utf-8")
    model = ScriptedModel(replies=reply)

    async def solver(state: State) -> State:
        asked = f"{state['question']}|{json.dumps(state['options'])}"
        said = await model.ainvoke([("system", instructions("solver", beside=folder)), ("human", asked)])
        return {"answer": said.text}

    graph = StateGraph(State)
    graph.add_node("solver", solver)
    graph.add_edge(START, "solver")
    graph.add_edge("solver", END)
    return System(graph.compile(name="quiz"), folder, outputs=lambda state: {"answer": state["answer"]})


def quiz(n: int) -> list[Task]:
    return [
        question(
            f"q{i}", f"Which is {i}", [str(i + (k - i) % 5) for k in range(5)], LETTERS[i % 5], where="quiz"
        )
        for i in range(n)
    ]


def test_an_edit_that_makes_answers_readable_is_found_and_both_counts_are_shown(tmp_path: Path) -> None:
    splits = split(quiz(45), train=12, validation=16, test=12)
    result = optimize(
        system(tmp_path / "rules"),
        splits,
        evaluators.load("multiple_choice"),
        model=ScriptedModel(replies=critic),
        method=truce(iterations=1),
        run=tmp_path / "run",
    )

    unwilling = sum(int(t.id[1:]) % 4 == 0 for t in splits.test)
    assert 0 < unwilling < len(splits.test)
    assert (result.baseline.mean, result.final.mean) == (0.0, 1 - unwilling / len(splits.test))
    (edit,) = result.ledger
    (guard,) = edit["guards"]
    assert "letter of the option" in edit["after"]
    assert (guard["key"], guard["passed"]) == ("valid", True)
    assert 0 < guard["estimate"] == edit["estimate"] < 1
