"""DyLAN with aggregators: at once inside a round, one rater a round, the stop after each round, a decision."""

from __future__ import annotations

import asyncio
import importlib
import re
from collections.abc import Mapping, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from langchain_core.messages import BaseMessage
from langgraph.checkpoint.memory import InMemorySaver

from langgraph_truce import graphs, instructions
from langgraph_truce.errors import UserMistake
from langgraph_truce.testing import ScriptedModel

dylan: Any = graphs.load("dylan")
protocol: Any = importlib.import_module("langgraph_truce.graphs.dylan.protocol")
RULES = Path(str(dylan.__file__)).parent / "rules"
VOICES = {
    instructions(agent, beside=RULES): agent for agent in (*dylan.POOL, "rater", "aggregator", "decide")
}
TASK = {"question": "Which?", "options": dict(zip("ABCD", "abcd", strict=True))}


class Play:
    """What everybody says; what they were asked."""

    def __init__(
        self, answers: Mapping[tuple[str, int], str], ratings: Sequence[str] = (), answer: str = "A"
    ) -> None:
        self.answers, self.ratings, self.answer = answers, ratings, answer
        self.heard: list[tuple[str, int, str]] = []

    def reply(self, messages: Sequence[BaseMessage]) -> str:
        who, asked = VOICES[str(messages[0].text)], str(messages[1].text)
        turn = 1 + sum(w == who for w, _, _ in self.heard)
        self.heard.append((who, turn, asked))
        if who == "rater":
            return self.ratings[turn - 1] if self.ratings else "[[1, 1]]"
        if who == "aggregator":
            return f"State {turn}."
        if who == "decide":
            return f"So it is ({self.answer})." if self.answer else "I cannot say."
        letter = self.answers.get((who, turn), "")
        return f"I am {who} in turn {turn}: ({letter})" if letter else ""

    def hold(self, **how: Any) -> dict[str, Any]:
        graph = dylan.build(ScriptedModel(replies=self.reply), aggregated=True, **how)
        state: dict[str, Any] = asyncio.run(graph.ainvoke({"task": TASK}))
        return state

    def asked(self, who: str) -> list[str]:
        return [text for w, _, text in self.heard if w == who]


def test_agents_see_the_task_and_the_last_state_and_the_rater_sees_all_answers() -> None:
    roles = ("lawyer", "doctor", "historian")
    play = Play({(r, t): "ABC"[n] for n, r in enumerate(roles) for t in (1, 2)}, answer="B")
    state = play.hold(roles=roles, rounds=2)

    for role in roles:
        first, second = play.asked(role)
        assert "State" not in first
        assert "> State 1." in second
        assert "I am" not in first + second
    for who in ("rater", "aggregator"):
        for number, text in enumerate(play.asked(who), 1):
            seen = re.findall(r"> I am (\w+) in turn (\d)", text)
            assert sorted(seen) == sorted((r, str(number)) for r in roles)
            assert [r for r, _ in seen] == list(protocol.shown_order(roles, 0, TASK, number))
            assert "State" not in text
    assert "> State 2." in play.asked("decide")[0]
    assert state["answer"] == "So it is (B)."
    assert len(play.heard) == dylan.calls(roles, 2, aggregated=True) == 11


@st.composite
def plays(draw: st.DrawFn) -> tuple[Play, dict[str, Any]]:
    roles = draw(st.permutations(dylan.POOL))[: draw(st.integers(2, 7))]
    letters = draw(st.sampled_from(["AB", "AAB", "ABCD"]))
    answers = {(r, t): draw(st.sampled_from([*letters, *letters, ""])) for r in roles for t in (1, 2, 3)}
    row = st.lists(st.integers(-1, 7), min_size=len(roles), max_size=len(roles)).map(lambda r: f"[{r}]")
    ratings = [draw(st.one_of(row, st.sampled_from(["", "[[1]]", "[[x, y]]"]))) for _ in range(3)]
    return Play(answers, ratings, draw(st.sampled_from(["A", "B", ""]))), {"roles": roles}


@settings(max_examples=30, deadline=None)
@given(plays())
def test_it_stops_after_the_first_round_in_which_enough_agree(drawn: tuple[Play, dict[str, Any]]) -> None:
    play, how = drawn
    state = play.hold(**how)
    rounds = {t: [a for r in how["roles"] if (a := play.answers[r, t])] for t in range(1, state["round"] + 1)}
    agree = [t for t, said in rounds.items() if any(3 * said.count(a) > 2 * len(how["roles"]) for a in said)]
    assert agree in ([], [state["round"]])
    assert agree or state["round"] == 3
    for role in how["roles"]:
        assert (
            len(play.asked(role)) == state["round"]
        )  # in every round everybody is asked, and nobody after the stop
    assert len(play.asked("aggregator")) == state["round"]
    assert len(play.asked("rater")) == sum(bool(said) for said in rounds.values())


@settings(max_examples=30, deadline=None)
@given(plays())
def test_importance_is_the_raters_share_of_what_the_next_round_is_worth(
    drawn: tuple[Play, dict[str, Any]],
) -> None:
    play, how = drawn
    state = play.hold(**how)
    spoke = {t: [r for r in how["roles"] if play.answers[r, t]] for t in range(1, state["round"] + 1)}
    held = [t for t in sorted(spoke) if spoke[t]]
    wanted = dict.fromkeys(how["roles"], Fraction(0))
    worth = Fraction(0)
    for t in reversed(held):
        if t == held[-1]:
            share = {r: Fraction(bool(play.answer) and play.answers[r, t] == play.answer) for r in spoke[t]}
            worth = Fraction(bool(sum(share.values())))
        else:
            (row,) = [r["text"] for r in state["ratings"] if r["round"] == t]
            shown = re.findall(r"> I am (\w+) in turn", play.asked("rater")[held.index(t)])
            numbers = [Fraction(n) for n in re.findall(r"-?\d+", row)]
            share = {
                r: min(max(n / 5, Fraction(0)), Fraction(1)) for r, n in zip(shown, numbers, strict=False)
            }
            if len(numbers) != len(spoke[t]) or not sum(share.values()):
                share = dict.fromkeys(spoke[t], Fraction(1))
            worth = worth if t + 1 in held else Fraction(0)  # a silent round passes nothing on
        for r, part in share.items():
            wanted[r] += worth * part / (sum(share.values()) or 1)
    assert set(state["importance"]) == set(how["roles"])
    assert all(state["importance"][r] == pytest.approx(float(wanted[r])) for r in wanted)


def test_nobody_speaks() -> None:
    play = Play({}, answer="")
    state = play.hold(roles=("doctor", "lawyer"), rounds=1)
    assert play.asked("rater") == []
    assert state["importance"] == {"doctor": 0.0, "lawyer": 0.0}


def test_one_thread_holds_one_debate_after_the_other() -> None:
    model = dylan.scripted_model()
    graph = dylan.build(model, aggregated=True).copy({"checkpointer": InMemorySaver()})
    for task in dylan.splits().train[:4]:
        config = {"configurable": {"thread_id": "t"}}
        again = asyncio.run(graph.ainvoke({"task": task.inputs}, config, durability="sync"))
        assert again == asyncio.run(dylan.build(model, aggregated=True).ainvoke({"task": task.inputs}))


def test_it_warns_of_nothing_and_joins_nothing(caplog: pytest.LogCaptureFixture) -> None:
    graph = dylan.build(dylan.scripted_model(), aggregated=True)
    assert caplog.records == []
    assert not [c for c in graph.channels if str(c).startswith("join:")]
    assert {"rater", "importance", "decide", "aggregator", *dylan.ROLES} <= set(graph.nodes)


def test_a_system_has_an_aggregator_for_every_round_unless_told_otherwise() -> None:
    system = dylan.system(dylan.scripted_model(), aggregated=True, rounds=2)
    assert set(system.book.agents) == {*dylan.ROLES, "rater", "decide", "aggregator@1", "aggregator@2"}
    assert system.calls == 2 * 6 + 1
    shared = dylan.system(dylan.scripted_model(), aggregated=True, own=())
    assert {"aggregator"} == {a for a in shared.book.agents if a.startswith("aggregator")}
    with pytest.raises(UserMistake, match="rounds must be a whole number of at least 1, got 0"):
        dylan.system(aggregated=True, rounds=0)
