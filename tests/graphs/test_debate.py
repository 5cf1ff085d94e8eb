from __future__ import annotations

import importlib
import importlib.util
import re
import sys
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from langgraph_truce import graphs, instructions
from langgraph_truce.errors import SystemMismatch, UnknownNameError
from langgraph_truce.evaluate import as_evaluator
from langgraph_truce.rules import parse, read_rules
from langgraph_truce.system import System
from langgraph_truce.testing import ScriptedModel, real_lab

debate: Any = graphs.load("debate")
code: Any = sys.modules[debate.build.__module__]
FOLDER = Path(str(debate.__file__)).parent
TASK = {"question": "What is 3 + 4?", "options": {"A": "6", "B": "7", "C": "8 (eight)", "D": "9"}}
QUESTION = "What is 3 + 4?\n(A) 6\n(B) 7\n(C) 8 (eight)\n(D) 9"


def says(*replies: str) -> ScriptedModel:
    """Replies in order of the calls."""
    left = iter(replies)
    return ScriptedModel(replies=lambda _: next(left))


async def answer(graph: Any, task: Any = TASK) -> Any:
    return (await graph.ainvoke({"task": task}))["answer"]


def prompts(model: ScriptedModel) -> list[list[tuple[str, str]]]:
    return [[(m.type, m.text) for m in call.messages] for call in model.calls]


@pytest.mark.parametrize(
    ("names", "rounds"), [(debate.ROLES, 2), (debate.ROLES, 3), (("critic",), 1), (["proposer", "critic"], 5)]
)
async def test_any_number_of_roles_and_rounds(names: Sequence[str], rounds: int) -> None:
    model = debate.scripted_model()
    system = debate.system(model, roles=names, rounds=rounds)

    await answer(system.graph)

    calls = len(names) * rounds + rounds + 1
    assert (len(model.calls), system.calls) == (calls, calls)
    assert {n for n in system.graph.nodes if not n.startswith("__")} == {*names, "aggregator", "decide"}


async def test_roles_are_asked_with_their_rules_and_the_shared_state() -> None:
    model = ScriptedModel(replies={"proposer": "7 (B)", "critic": "no, 8 (C)", "": "B is best (B)"})

    assert await answer(debate.build(model)) == "B is best (B)"
    asked = prompts(model)
    rules = {r: instructions(r, beside=FOLDER / "rules") for r in (*debate.ROLES, "aggregator", "decide")}
    held = f"{QUESTION}\n\nShared state after the rounds so far:\n\nB is best (B)"
    first, second = sorted(asked[:3]), sorted(asked[4:7])
    assert first == sorted([("system", rules[r]), ("human", QUESTION)] for r in debate.ROLES)
    assert second == sorted([("system", rules[r]), ("human", held)] for r in debate.ROLES)
    for closing in (asked[3], asked[7]):
        assert closing[0] == ("system", rules["aggregator"])
        assert closing[1][1].endswith("proposer:\n7 (B)\n\ncritic:\nno, 8 (C)\n\nsynthesiser:\nB is best (B)")
    assert asked[8] == [("system", rules["decide"]), ("human", held)]


async def test_without_roles_and_aggregator_every_agent_keeps_its_own_history() -> None:
    model = says(*(f"answer {n} (B)" for n in range(9)))

    state = await debate.build(model, roles=3, aggregator=False, rounds=3).ainvoke({"task": TASK})

    assert state["answer"] == "(B)"
    said = [{u["role"]: u["text"] for u in state["said"] if u["round"] == t} for t in (1, 2, 3)]
    assert [len(turn) for turn in said] == [3, 3, 3]
    rules = ("system", instructions("debater", beside=FOLDER / "original"))
    asked = prompts(model)
    assert asked[:3] == [[rules, ("human", QUESTION)]] * 3
    for turn in asked[6:]:
        me = next(agent for agent, text in said[0].items() if turn[2] == ("ai", text))
        assert turn[:2] == [rules, ("human", QUESTION)]
        assert turn[4] == ("ai", said[1][me])
        for shown, round_said in ((turn[3], said[0]), (turn[5], said[1])):
            others = [text for agent, text in round_said.items() if agent != me]
            assert shown[0] == "human"
            assert [line for line in shown[1].split("\n") if line.endswith("(B)")] == others


async def test_one_agent_is_asked_to_check_itself() -> None:
    model = says("(A)", "(B)")

    assert await answer(debate.build(model, roles=1, aggregator=False)) == "(B)"
    assert prompts(model)[1][-1][1].startswith("Check your answer once more")


async def test_roles_without_aggregator_have_rules_of_their_own() -> None:
    model = ScriptedModel(replies={"proposer": "(A)", "": "(B)"})
    system = debate.system(model, aggregator=False, own=("critic", "aggregator"))

    assert await answer(system.graph) == "(B)"
    rules = sorted(instructions(r, beside=FOLDER / "rules") for r in debate.ROLES)
    assert sorted(p[0][1] for p in prompts(model)[:3]) == rules
    assert sorted(system.book.agents) == ["critic@1", "critic@2", "proposer", "synthesiser"]
    assert (system.aggregator, system.calls) == ("", 6)


async def test_a_thread_takes_one_debate_after_the_other() -> None:
    from langgraph.checkpoint.memory import InMemorySaver

    for form in ({}, {"aggregator": False}, {"aggregator": False, "roles": 2}):
        model = debate.scripted_model()
        graph = debate.build(model, **form).copy({"checkpointer": InMemorySaver()})
        states = []
        for _ in range(2):
            states.append(await graph.ainvoke({"task": TASK}, {"configurable": {"thread_id": "t"}}))
        assert states[0] == states[1]


@pytest.mark.parametrize(
    ("replies", "won"),
    [
        (["(B)", "(A)", "(B)"], "(B)"),
        (["7 (B) or 8 (C)", "(C)", "(B)"], "(C)"),
        (["(B)", "(A)", "(C)"], "(B)"),
        (["no idea", "(D)", ""], "(D)"),
        (["no idea", "", "(E)"], ""),
        ([], ""),
    ],
)
def test_the_majority_is_read_and_among_equals_the_first_found(replies: list[str], won: str) -> None:
    assert code.majority(TASK, replies) == won


def test_without_options_the_most_frequent_words_win() -> None:
    assert code.majority({"question": "?"}, ["Rome", " Paris", "Paris\n"]) == "Paris"


@given(st.lists(st.sampled_from("ABCD"), min_size=1, max_size=9))
def test_nobody_has_more_votes_than_the_majority(votes: list[str]) -> None:
    won = code.majority(TASK, [f"so ({v})" for v in votes])

    counted = Counter(votes)
    assert counted[won[1]] == max(counted.values())
    assert won[1] == max(dict.fromkeys(votes), key=lambda v: counted[v])


async def test_an_agent_that_said_nothing_stands_as_silent() -> None:
    left = iter(["", "(B)", "(B)", "(B)"])
    model = ScriptedModel(replies=lambda _: next(left))

    assert await answer(debate.build(model, roles=2, aggregator=False)) == "(B)"
    own = sorted(turn[2] for turn in prompts(model)[2:])
    assert own == [("ai", "(B)"), ("ai", "(no answer)")]


@pytest.mark.parametrize(
    ("settings", "why"),
    [
        ({"roles": 3}, "3 agents without roles need aggregator=False"),
        ({"roles": 0, "aggregator": False}, "a number of at least 1"),
        ({"roles": ()}, "roles are at least one name"),
        ({"roles": "critic"}, "roles are at least one name, got 'critic'"),
        ({"roles": ("critic", "critic")}, "a role is named twice"),
        ({"roles": ("critic", "decide")}, "'decide' is the name of the decision node"),
        ({"roles": ("critic", "vote"), "aggregator": False}, "'vote' is the name of the voting node"),
        ({"roles": ("critic", "said"), "aggregator": False}, "'said' is the name of a key of the state"),
        ({"rounds": 0}, "rounds must be a whole number"),
        ({"rounds": 0, "aggregator": False}, "rounds must be a whole number"),
    ],
)
def test_what_cannot_be_built_is_said(settings: dict[str, Any], why: str) -> None:
    with pytest.raises(SystemMismatch, match=re.escape(why)):
        debate.build(**settings)


@pytest.mark.parametrize("form", [{}, {"aggregator": False}])
async def test_an_input_without_task_says_how_to_hand_it_in(form: dict[str, Any]) -> None:
    with pytest.raises(SystemMismatch, match="no task, got None"):
        await debate.build(debate.scripted_model(), **form).ainvoke({})


def test_a_role_without_rules_is_said() -> None:
    with pytest.raises(UnknownNameError, match="no agent 'sceptic'; its agents are: aggregator, critic"):
        debate.system(roles=("critic", "sceptic"))


def test_roles_of_ones_own_come_with_rules_of_ones_own(tmp_path: Path) -> None:
    for name in ("sceptic", "aggregator", "decide"):
        (tmp_path / f"{name}.md").write_text(f"You are {name}.\n")

    system = debate.system(roles=("sceptic",), rules=tmp_path)

    assert system.book.render("sceptic") == "You are sceptic."


def test_every_round_has_an_aggregator_of_its_own_unless_told_otherwise() -> None:
    assert sorted(debate.system(rounds=3).book.agents) == [
        "aggregator@1",
        "aggregator@2",
        "aggregator@3",
        "critic",
        "decide",
        "proposer",
        "synthesiser",
    ]
    assert set(debate.system(own=()).book.agents) == {*debate.ROLES, "aggregator", "decide"}


@pytest.mark.parametrize("form", [{}, {"aggregator": False}, {"aggregator": False, "roles": 2}])
def test_plain_edges_into_what_closes_a_round(form: dict[str, Any]) -> None:
    graph = debate.build(**form)

    assert not [c for c in graph.channels if str(c).startswith("join:")]


def test_it_loads_by_path_alone_as_langgraph_dev_does(monkeypatch: pytest.MonkeyPatch) -> None:
    spec = importlib.util.spec_from_file_location("by_path", FOLDER / "graph.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, "by_path", module)
    spec.loader.exec_module(module)
    assert module.graph.get_name() == "debate"


def test_rules_are_there_for_every_agent_and_can_be_edited() -> None:
    assert set(read_rules(debate.RULES).agents) == {*debate.ROLES, "aggregator", "decide"}
    assert set(read_rules(debate.ORIGINAL).agents) == {"debater"}
    for folder in (debate.RULES, debate.ORIGINAL):
        assert all(len(rules.rules) >= 2 for rules in read_rules(folder).agents.values())


def test_the_questions_are_sound() -> None:
    whole = debate.splits(full=True)
    tasks = [*whole.train, *whole.validation, *whole.test]
    assert len(tasks) >= 60
    assert len({t.inputs["question"] for t in tasks}) == len(tasks)
    for task in tasks:
        assert list(task.inputs["options"]) == list("ABCD")
        assert len(set(task.inputs["options"].values())) == 4
    rights = Counter(t.reference_outputs["answer"] for t in tasks)
    assert set(rights) == set("ABCD")
    assert max(rights.values()) - min(rights.values()) <= 1
    demo = debate.splits()
    assert 0 < len(demo.train) < len(whole.train)


def _numbers(question: str) -> list[int]:
    return [int(n) for n in re.findall(r"\d+", question)]


SOLVED: dict[str, Callable[[list[int]], int]] = {
    "boxes": lambda n: n[0] * n[1],
    "left": lambda n: n[0] - n[1] + n[2],
    "share": lambda n: n[0] % n[1],
    "change": lambda n: n[2] - n[0] * n[1],
    "queue": lambda n: n[0] + n[1] - 1,
    "sequence": lambda n: 2 * n[-1] - n[-2],
    "doubling": lambda n: 2 * n[-1],
    "rect": lambda n: 2 * (n[0] + n[1]),
    "percent": lambda n: n[0] * (100 - n[1]) // 100,
    "average": lambda n: sum(n) // 3,
    "speed": lambda n: n[0] * n[1],
    "ages": sum,
    "coins": lambda n: n[0] * n[1] + n[2] * n[3] + n[4] * n[5],
}


def test_the_answers_of_the_arithmetic_questions_are_right() -> None:
    whole = debate.splits(full=True)
    checked = 0
    for task in (*whole.train, *whole.validation, *whole.test):
        if (solve := SOLVED.get(task.metadata["kind"])) is not None:
            right = task.inputs["options"][task.reference_outputs["answer"]]
            assert int(right) == solve(_numbers(task.inputs["question"])), task.inputs
            checked += 1
    assert checked >= 60


def test_scores_say_which_rule_read_the_answer() -> None:
    evaluator = as_evaluator(debate.score)

    assert evaluator.objective == "multiple_choice"
    (score, valid) = debate.score(TASK, {"answer": "A 3 and (C)? No: (B)"}, {"answer": "B"})
    assert (score["score"], valid["score"]) == (1.0, 1.0)
    assert "last_parenthesised/1" in score["comment"]


async def mean_score(system: System) -> float:
    async with real_lab(system, debate.score) as (lab, _):
        rollouts = await lab.rollouts(debate.splits().train, system.book)
    return sum(r.outcome.score or 0.0 for r in rollouts) / len(rollouts)


@pytest.mark.parametrize("form", [{}, {"aggregator": False}, {"aggregator": False, "roles": 3}])
async def test_the_stand_in_can_be_taught(form: dict[str, Any]) -> None:
    system = debate.system(debate.scripted_model(), **form)
    told = system.book
    for agent in system.book.agents:
        told = told.with_agent(parse(agent, told.render(agent) + "- Go step by step.\n"))

    before = await mean_score(system)
    after = await mean_score(System(**{**_fields(system), "rules": told}))

    assert 0.3 < before < 0.9
    assert after == 1.0


def _fields(system: System) -> dict[str, Any]:
    names = ("graph", "rules", "inputs", "outputs", "aggregator", "name", "in_flight", "calls")
    return {name: getattr(system, name) for name in names}


async def test_a_copied_template_runs_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    graphs.copy("debate", tmp_path / "my_panel")
    monkeypatch.syspath_prepend(tmp_path)
    panel: Any = importlib.import_module("my_panel")
    try:
        files = {m.__file__ for name, m in sys.modules.items() if name.startswith("my_panel")}
        system = panel.system(panel.scripted_model())
        task = panel.splits().train[0]
        state = await system.graph.ainvoke(system.graph_input(task))
    finally:
        for name in [n for n in sys.modules if n.startswith("my_panel")]:
            del sys.modules[name]

    assert {Path(str(f)).parent for f in files} == {tmp_path / "my_panel"}
    assert tmp_path / "my_panel" in panel.RULES.parents
    assert re.fullmatch(r"It is \([A-D]\)", system.answer(state)["answer"])
