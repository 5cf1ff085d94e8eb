"""`with_aggregator`: agents see the task and S_(t-1) and nothing else, whoever they are and whatever the others say."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from copy import deepcopy
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from langgraph.checkpoint.memory import InMemorySaver

from langgraph_truce.bottleneck import State, View, per_round, with_aggregator
from langgraph_truce.errors import SystemMismatch, UnknownNameError
from langgraph_truce.rounds import rounds_of
from langgraph_truce.rules import RuleBook, parse
from langgraph_truce.seams import Rollout
from langgraph_truce.system import System
from langgraph_truce.task import Task
from langgraph_truce.testing import ScriptedModel, real_lab
from langgraph_truce.trajectory.transcript import said

ROLES = ("solver", "critic", "judge")
TASK = {"question": "What is 3 + 4?", "options": {"A": "6", "B": "7 (seven)"}}


class Stage:
    """Roles that say who and when they are, and what each node was given."""

    def __init__(self, **says: Callable[[View], str | None]) -> None:
        self.seen: dict[str, list[View]] = {}
        self.says = says

    def __getitem__(self, node: str) -> Callable[[View], Any]:
        async def speak(view: View) -> str | None:
            self.seen.setdefault(node, []).append(deepcopy(view))
            if node in self.says:
                return self.says[node](view)
            return f"{node} in {view['round']}"

        return speak

    def graph(self, rounds: int = 2, roles: tuple[str, ...] = ROLES, **settings: Any) -> Any:
        return with_aggregator(
            {role: self[role] for role in roles},
            rounds=rounds,
            aggregate=self["aggregator"],
            decide=self["decide"],
            **settings,
        )


def book(*agents: str) -> RuleBook:
    return RuleBook({a: parse(a, f"You are {a}.\n\n- Be brief.\n") for a in agents})


def system(graph: Any, rules: RuleBook) -> System:
    return System(
        graph,
        rules,
        inputs=lambda t: {"task": dict(t)},
        outputs=lambda s: {"answer": s["answer"]},
        aggregator="aggregator",
    )


async def run(graph: Any, task: Mapping[str, Any] = TASK) -> Any:
    return await graph.ainvoke({"task": task})


async def rolled(graph: Any, rules: RuleBook) -> Rollout:
    async with real_lab(system(graph, rules), lambda outputs: 1.0) as (lab, _):
        (rollout,) = await lab.rollouts([Task("t", TASK)], rules)
        return rollout


async def test_every_node_is_given_what_the_paper_gives_it() -> None:
    stage = Stage()
    state = await run(stage.graph(3))

    for role in ROLES:
        assert stage.seen[role] == [
            {"task": TASK, "round": t, "shared": f"aggregator in {t - 1}" if t > 1 else ""} for t in (1, 2, 3)
        ]
    assert stage.seen["aggregator"] == [
        {
            "task": TASK,
            "round": t,
            "shared": f"aggregator in {t - 1}" if t > 1 else "",
            "utterances": {role: f"{role} in {t}" for role in ROLES},
        }
        for t in (1, 2, 3)
    ]
    assert [list(view["utterances"]) for view in stage.seen["aggregator"]] == [list(ROLES)] * 3
    assert stage.seen["decide"] == [{"task": TASK, "round": 3, "shared": "aggregator in 3"}]
    assert (state["answer"], state["shared"], state["round"]) == ("decide in 3", "aggregator in 3", 3)
    assert sorted((u["round"], u["role"], u["text"]) for u in state["utterances"]) == [
        (t, role, f"{role} in {t}") for t in (1, 2, 3) for role in sorted(ROLES)
    ]


async def test_no_word_of_another_role_is_in_what_langgraph_hands_a_node() -> None:
    rollout = await rolled(Stage().graph(3), book(*ROLES, "aggregator", "decide"))

    for step in rollout.trajectory.steps:
        assert step.input is not None
        given = rollout.trajectory.value(step.input)
        if step.role == "aggregator":
            assert len(given["utterances"]) == 3 * step.round
        else:
            assert set(given) <= {"task", "round", "shared"}


async def test_what_a_role_does_to_its_task_reaches_nobody() -> None:
    def spoils(view: View) -> str:
        view["task"]["options"]["B"] = "9"
        return "7"

    stage = Stage(solver=spoils)
    state = await run(stage.graph())

    assert all(view["task"] == TASK for views in stage.seen.values() for view in views)
    assert state["task"] == TASK


async def test_roles_of_a_round_speak_at_the_same_time() -> None:
    everybody = asyncio.Barrier(3)

    async def waits(view: View) -> str:
        async with asyncio.timeout(5):
            await everybody.wait()
        return "here"

    graph = with_aggregator(
        dict.fromkeys(ROLES, waits), rounds=2, aggregate=lambda v: "s", decide=lambda v: "d"
    )

    assert (await run(graph))["answer"] == "d"


def test_the_edges_are_plain() -> None:
    graph = Stage().graph()

    edges = {(e.source, e.target) for e in graph.get_graph().edges}
    assert {("__start__", r) for r in ROLES} | {(r, "aggregator") for r in ROLES} <= edges
    assert not [c for c in graph.channels if str(c).startswith("join:")]
    assert graph.checkpointer is None


async def test_chat_models_are_asked_with_the_rules_of_the_round() -> None:
    model = ScriptedModel(replies=lambda m: f"{m[0].text.split()[2]} says 7 (B)")
    graph = with_aggregator(dict.fromkeys(("solver", "critic")), rounds=2, model=model)
    rules = per_round(book("solver", "critic", "aggregator", "decide"), ["aggregator"], 2)
    rules = RuleBook({**rules.agents, "aggregator@2": parse("aggregator@2", "You are aggregator-two.\n")})
    with system(graph, rules).use(rules) as config:
        state = await graph.ainvoke({"task": TASK}, config)

    question = "What is 3 + 4?\n(A) 6\n(B) 7 (seven)"
    said = "solver:\nsolver. says 7 (B)\n\ncritic:\ncritic. says 7 (B)"
    asked = [(c.messages[0].text, c.messages[1].text) for c in model.calls]
    first, second = "aggregator. says 7 (B)", "aggregator-two. says 7 (B)"
    held = f"{question}\n\nShared state after the rounds so far:\n\n"
    assert sorted(asked[:2]) == [(rules.render(r), question) for r in ("critic", "solver")]
    assert asked[2] == (rules.render("aggregator", 1), f"{question}\n\nSaid in round 1:\n\n{said}")
    assert sorted(asked[3:5]) == [(rules.render(r), held + first) for r in ("critic", "solver")]
    assert asked[5] == ("You are aggregator-two.\n", f"{question}\n\nSaid in round 2:\n\n{said}")
    assert asked[6] == (rules.render("decide"), held + second)
    assert state["answer"] == "decide. says 7 (B)"


async def test_models_functions_and_models_with_settings_stand_side_by_side() -> None:
    model = ScriptedModel(replies={"": "from the model"})
    graph = with_aggregator(
        {"solver": model.bind(max_tokens=9), "critic": lambda view: "from a function", "judge": None},
        rounds=1,
        model=model,
        decide=lambda view: view["shared"],
    )
    rules = book("solver", "judge", "aggregator")
    rollout = await rolled(graph, rules)

    assert len(model.calls) == 3
    assert rollout.outcome.result == {"answer": "from the model"}


async def test_a_silent_role_is_left_out_of_the_round() -> None:
    silences: list[str | None] = [None, "", " \n"]
    stage = Stage(solver=lambda view: silences[view["round"] - 1])
    state = await run(stage.graph(3))

    assert [list(v["utterances"]) for v in stage.seen["aggregator"]] == [["critic", "judge"]] * 3
    assert {u["role"] for u in state["utterances"]} == {"critic", "judge"}


async def test_rounds_of_a_rollout_have_a_step_for_everyone_also_the_silent() -> None:
    stage = Stage(solver=lambda view: None if view["round"] == 1 else "now I know")
    rules = book(*ROLES, "aggregator", "decide")
    rollout = await rolled(stage.graph(2), rules)

    first, second = rounds_of(rollout, rules, "aggregator")
    assert {s.role: bool(said(rollout.trajectory, s)) for s in first.utterances} == {
        "solver": False,
        "critic": True,
        "judge": True,
    }
    assert all(said(rollout.trajectory, s) for s in second.utterances)
    assert (first.aggregate and first.aggregate.id, second.aggregate and second.aggregate.id) == (
        "aggregator#1.0",
        "aggregator#2.0",
    )


async def test_a_round_in_which_nobody_speaks_goes_to_the_aggregator_all_the_same() -> None:
    stage = Stage(**dict.fromkeys(ROLES, lambda view: None))
    model = ScriptedModel(replies={"": "nothing yet"})
    graph = with_aggregator(
        {role: stage[role] for role in ROLES}, rounds=1, model=model, decide=stage["decide"]
    )
    rules = book("aggregator")
    with system(graph, rules).use(rules) as config:
        assert (await graph.ainvoke({"task": TASK}, config))["answer"] == "decide in 1"
    assert model.calls[0].messages[1].text.endswith("Said in round 1:\n\n(nothing)")


@settings(max_examples=25, deadline=None)
@given(st.text(min_size=1).filter(str.strip), st.text())
def test_an_aggregator_may_write_anything(state: str, answer: str) -> None:
    """Options that it drops or invents are its business: the words go on as they are, and nothing breaks."""
    stage = Stage(aggregator=lambda view: state, decide=lambda view: answer)

    done = asyncio.run(run(stage.graph(2)))

    assert stage.seen["critic"][1]["shared"] == stage.seen["decide"][0]["shared"] == done["shared"] == state
    assert done["answer"] == (answer if answer.strip() else "")


@pytest.mark.parametrize("nothing", [None, "", " \t"])
async def test_a_silent_aggregator_is_a_mistake(nothing: str | None) -> None:
    stage = Stage(aggregator=lambda view: "first" if view["round"] == 1 else nothing)

    with pytest.raises(SystemMismatch, match=r"'aggregator' in round 2 wrote no text.*must say something"):
        await run(stage.graph(2))


@pytest.mark.parametrize("node", ["critic", "aggregator", "decide"])
async def test_what_is_no_text_is_a_mistake(node: str) -> None:
    stage = Stage(**{node: lambda view: {"text": "B"}})  # type: ignore[arg-type]

    with pytest.raises(SystemMismatch, match=rf"'{node}' in round 1 returned dict, not text; return a str"):
        await run(stage.graph(1))


async def test_stop_is_asked_after_each_round_with_what_was_said() -> None:
    asked: list[State] = []

    def stop(state: State) -> bool:
        asked.append(deepcopy(state))
        return state["round"] == 2

    stage = Stage()
    rules = book(*ROLES, "aggregator", "decide")
    rollout = await rolled(stage.graph(5, stop=stop), rules)

    assert [(s["round"], s["shared"], len(s["utterances"])) for s in asked] == [
        (1, "aggregator in 1", 3),
        (2, "aggregator in 2", 6),
    ]
    assert stage.seen["decide"] == [{"task": TASK, "round": 2, "shared": "aggregator in 2"}]
    assert [r.number for r in rounds_of(rollout, rules, "aggregator")] == [1, 2]


async def test_a_second_run_on_a_thread_begins_anew() -> None:
    stage = Stage(critic=lambda view: None if view["task"]["question"] == "next?" else "spoke")
    graph = stage.graph(2, stop=lambda state: state["task"]["question"] == "short?")
    kept = graph.copy({"checkpointer": InMemorySaver()})
    config: Any = {"configurable": {"thread_id": "t"}}
    for question in ("short?", "first?", "next?"):
        done = await kept.ainvoke({"task": {"question": question}}, config)
        views = dict(stage.seen)
        stage.seen.clear()

        assert done == await run(graph, {"question": question})
        assert stage.seen == views
        stage.seen.clear()


def test_rules_of_every_round_are_equal_at_first() -> None:
    shared = book(*ROLES, "aggregator", "decide")
    own = per_round(shared, [*ROLES, "aggregator"], 3)

    assert set(own.agents) == {f"{a}@{t}" for a in (*ROLES, "aggregator") for t in (1, 2, 3)} | {"decide"}
    for name, rules in own.agents.items():
        before = shared.agents[name.partition("@")[0]]
        assert rules.agent == name
        assert (rules.parts, rules.next_id) == (before.parts, before.next_id)
    assert per_round(shared, [], 3) == shared


def test_a_round_that_had_rules_of_its_own_keeps_them() -> None:
    shared = book("critic", "aggregator")
    some = RuleBook({**shared.agents, "critic@2": parse("critic@2", "Second time.\n")})

    own = per_round(some, ["critic"], 2)

    assert set(own.agents) == {"critic@1", "critic@2", "aggregator"}
    assert own.render("critic", 2) == "Second time.\n"
    assert own.render("critic", 1) == shared.render("critic")


def test_per_round_says_what_cannot_be() -> None:
    with pytest.raises(UnknownNameError, match="no agent sceptic; its agents are: aggregator, critic"):
        per_round(book("critic", "aggregator"), ["critic", "sceptic"], 2)
    with pytest.raises(SystemMismatch, match="per_round: rounds must be a whole number of at least 1, got 0"):
        per_round(book("critic"), ["critic"], 0)
    with pytest.raises(SystemMismatch, match="'decide' runs once, after the last round"):
        per_round(book("critic", "decide"), ["critic", "decide"], 2)


@pytest.mark.parametrize("rounds", [0, -1, 1.5, True, "2"])
def test_rounds_that_cannot_be(rounds: Any) -> None:
    with pytest.raises(SystemMismatch, match="rounds must be a whole number of at least 1, got"):
        Stage().graph(rounds)


@pytest.mark.parametrize(
    ("role", "why"),
    [
        ("", "cannot be a node's name"),
        (" critic", "cannot be a node's name"),
        ("team/critic", "cannot be a node's name"),
        ("critic@2", "cannot be a node's name"),
        ("critic~2", "cannot be a node's name"),
        ("a|b", "cannot be a node's name"),
        ("a:b", "cannot be a node's name"),
        ("__start__", "cannot be a node's name"),
        (3, "cannot be a node's name"),
        ("aggregator", "is the name of the aggregator; choose another"),
        ("decide", "is the name of the decision node"),
        ("utterances", "is the name of a key of the state"),
        ("heard", "is the name of a key of the state"),
    ],
)
def test_role_names_that_cannot_be(role: Any, why: str) -> None:
    with pytest.raises(SystemMismatch, match=f"{role!r} {why}"):
        Stage().graph(roles=("solver", role))


@pytest.mark.parametrize("role", ["Historian", "agent_1", "Prüferin", "second reader", "self-critic", "7"])
async def test_role_names_that_can_be(role: str) -> None:
    assert (await rolled(Stage().graph(roles=(role,)), book(role))).outcome.score == 1.0


def test_other_mistakes_are_said() -> None:
    stage = Stage()
    with pytest.raises(SystemMismatch, match="roles are at least one name"):
        with_aggregator({}, rounds=2, model=stage["any"])
    with pytest.raises(SystemMismatch, match="'shared' is the name of a key of the state"):
        stage.graph(aggregator="shared")
    with pytest.raises(
        SystemMismatch, match="'critic' has nothing to speak with, got None; give it a chat model"
    ):
        with_aggregator({"critic": None}, rounds=2)
    with pytest.raises(SystemMismatch, match="'decide' has nothing to speak with"):
        with_aggregator({"critic": stage["critic"]}, rounds=2, aggregate=stage["aggregator"])
    with pytest.raises(SystemMismatch, match="a graph is called in such a function"):
        with_aggregator({"critic": stage.graph()}, rounds=2, model=stage["any"])
    with pytest.raises(SystemMismatch, match="stop must be a plain function of the state"):
        stage.graph(stop=stage["any"])


@pytest.mark.parametrize("given", [{"task": None}, {"question": "3 + 4?"}])
async def test_an_input_without_task_says_how_to_hand_it_in(given: Any) -> None:
    with pytest.raises(SystemMismatch, match=r"no task, got None; invoke it with \{'task': inputs\}"):
        await Stage().graph().ainvoke(given)


def test_names_in_the_wrong_form_are_told_apart_from_unknown_ones() -> None:
    listed: Any = ["ann", "bob"]
    with pytest.raises(SystemMismatch, match="roles are a mapping"):
        with_aggregator(listed, rounds=1)
    with pytest.raises(SystemMismatch, match=r"agents are a list of names, \['aggregator'\]"):
        per_round(RuleBook({}), "aggregator", 2)
