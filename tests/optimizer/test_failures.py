"""Whole runs against a real server that misbehaves: they end as undisturbed ones do, and nobody wins by being left out."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace
from itertools import count
from pathlib import Path
from typing import Any, TypedDict

import openai
import pytest
from langchain_core.messages import HumanMessage, SystemMessage
from langgraph.graph import END, START, StateGraph
from langgraph.store.base import PutOp
from langgraph.store.memory import InMemoryStore
from pydantic import BaseModel

from langgraph_truce.bind import ainstructions
from langgraph_truce.errors import EndpointDown, ModelReplyError
from langgraph_truce.evaluate import as_evaluator
from langgraph_truce.model import Journal, Patience
from langgraph_truce.optimizer import Result, Run, optimize, revert
from langgraph_truce.optimizer.doors import run_door
from langgraph_truce.optimizer.lab import RunLab
from langgraph_truce.optimizer.noise import noise
from langgraph_truce.rollout.run import Runner
from langgraph_truce.rules import RuleBook, parse
from langgraph_truce.seams import Rollout
from langgraph_truce.system import System
from langgraph_truce.task import Task
from tests.model.openai_server import OK, Act, OpenAIServer

QUICK = Patience(attempts=2, tries=3, back_off=0.005, longest_back_off=0.02, probe=0.05, longest_probe=0.2)
TEXT = "Repeat the question.\n\n- Be brief.\n"


@pytest.fixture
def server() -> Iterator[OpenAIServer]:
    made = OpenAIServer().start()
    yield made
    made.stop()


class State(TypedDict, total=False):
    question: str
    answer: str


def score(outputs: Mapping[str, Any], reference_outputs: Mapping[str, Any]) -> dict[str, Any]:
    right = outputs["answer"] == reference_outputs["answer"]
    return {"key": "exact", "score": right, "comment": "right" if right else "wrong"}


def shouting(model: Any, **settings: Any) -> System:
    """Right once its rules say SHOUT: the node then takes the server's capital letters as they are."""

    async def solver(state: State) -> State:
        text = await ainstructions("solver")
        reply = await model.ainvoke([SystemMessage(text), HumanMessage(state["question"])])
        return {"answer": reply.text if "SHOUT" in text else reply.text.lower()}

    builder = StateGraph(State)
    builder.add_node("solver", solver)
    builder.add_edge(START, "solver")
    builder.add_edge("solver", END)
    return System(builder.compile(), RuleBook({"solver": parse("solver", TEXT)}), **settings)


def run(
    toy: Any, model: Any, place: Path, rule: str = "SHOUT.", *, patience: Patience = QUICK, **settings: Any
) -> Result:
    where = Run(place, patience=patience, **settings)
    return optimize(shouting(model), toy.splits(), score, method=toy.method(rule), run=where)


def figures(result: Result) -> Any:
    return (
        result.baseline,
        result.final,
        result.difference,
        result.rules.render("solver"),
        [line["decision"] for line in result.ledger],
        [{k: row[k] for k in ("train_score", "tasks", "excluded", "errors")} for row in result.iterations],
    )


def test_a_run_with_every_kind_of_failure_ends_like_an_undisturbed_one(
    toy: Any, server: OpenAIServer, tmp_path: Path
) -> None:
    calm = run(toy, server.model(), tmp_path / "calm")
    asked = len(server.answered)

    acts = (
        Act(429),
        Act(429, {"Retry-After": "0.01"}),
        Act(500),
        Act(503),
        Act(reset=True),
        Act(seconds=1.5),
    )
    spoiled: set[str] = set()
    turn = 0

    def script(question: str, n: int) -> Act:
        nonlocal turn
        turn += 1
        if turn % 3 or question in spoiled:
            return OK
        spoiled.add(question)
        return acts[len(spoiled) % len(acts)]

    server.script = script
    server.answered.clear()
    rough = run(toy, server.model(), tmp_path / "rough", call_timeout=0.5)

    assert len(spoiled) >= 6
    assert figures(rough) == figures(calm)
    assert (
        asked <= len(server.answered) <= asked + len(spoiled)
    )  # replies to abandoned calls may have been sent
    assert rough.meter["total"]["calls"] == calm.meter["total"]["calls"]


def test_a_server_that_is_restarted_in_the_middle_pauses_the_run(
    toy: Any, server: OpenAIServer, tmp_path: Path
) -> None:
    calm = run(toy, server.model(), tmp_path / "calm")
    asked = len(server.answered)
    server.answered.clear()
    server.asked.clear()
    words: list[str] = []

    def restart() -> None:
        time.sleep(1.0)
        server.start()

    def on_event(event: Mapping[str, Any]) -> None:
        if "words" in event:
            words.append(event["words"])
        elif event["stage"] == "gate" and event["done"] == 4 and not words:
            words.append("stopped")
            server.stop()
            threading.Thread(target=restart).start()

    rough = run(toy, server.model(), tmp_path / "rough", on_event=on_event)

    assert figures(rough) == figures(calm)
    assert words[0] == "stopped"
    assert any("openai:m has not answered since" in w for w in words)
    assert "answers again" in words[-1]
    # what was being answered while the server stopped may have been lost on the way; nothing that came is asked again
    assert asked <= len(server.answered) <= asked + 8
    assert rough.meter["total"]["calls"] == asked


def test_a_server_that_stays_away_ends_the_run_and_the_same_call_goes_on(
    toy: Any, server: OpenAIServer, tmp_path: Path
) -> None:
    calm = run(toy, server.model(), tmp_path / "calm")
    asked = len(server.answered)
    server.answered.clear()

    asks = count()

    def script(question: str, n: int) -> Act:
        """Five are answered and several callers fail: one alone would be a poisoned request, and left out."""
        return OK if next(asks) < 5 else Act(503)

    server.script = script
    patience = Patience(tries=3, back_off=0.005, trip=4, probe=0.02, longest_probe=0.05, longest_pause=0.4)
    with pytest.raises(EndpointDown, match=r"openai:m has not answered for longer than 0\.4 s"):
        run(toy, server.model(), tmp_path / "rough", patience=patience)
    server.script = lambda question, n: OK
    # on a busy machine a connection may fail by itself: with room to try it again nothing is left out
    rough = run(toy, server.model(), tmp_path / "rough", patience=Patience(tries=8, back_off=0.05))

    assert figures(rough) == figures(calm)
    assert len(server.answered) == asked


def test_a_rule_that_breaks_the_endpoint_cannot_win_by_being_left_out(
    toy: Any, server: OpenAIServer, tmp_path: Path
) -> None:
    """The old rules are right for odd tasks; the new one is right for even ones, and makes the server fail for odd ones."""
    model = server.model()

    async def solver(state: State) -> State:
        text = await ainstructions("solver")
        odd = int(state["question"][1:]) % 2 == 1
        question = f"poison {state['question']}" if odd and "SHOUT" in text else state["question"]
        reply = await model.ainvoke([SystemMessage(text), HumanMessage(question)])
        return {"answer": reply.text if odd or "SHOUT" in text else reply.text.lower()}

    builder = StateGraph(State)
    builder.add_node("solver", solver)
    builder.add_edge(START, "solver")
    builder.add_edge("solver", END)
    system = System(builder.compile(), RuleBook({"solver": parse("solver", TEXT)}))
    server.script = lambda question, n: Act(500) if question.startswith("poison") else OK
    patience = Patience(attempts=2, tries=2, back_off=0.001, trip=10_000)
    splits = toy.splits(16)
    where = Run(tmp_path / "run", patience=patience)
    result = optimize(system, splits, score, method=toy.method("SHOUT."), run=where)

    (line,) = result.ledger
    assert line["decision"] != "accept"  # of the tasks that were not left out, all eight were won
    assert len(line["broken"]) == 8
    assert result.rules.render("solver") == TEXT


@pytest.mark.parametrize("status", [400, 413])
def test_a_rule_that_makes_prompts_too_long_is_scored(
    toy: Any, server: OpenAIServer, tmp_path: Path, status: int
) -> None:
    plain = server.model()

    class Long:
        async def ainvoke(self, messages: Any) -> Any:
            if "SHOUT" in messages[0].content:
                return await plain.ainvoke([*messages[:-1], HumanMessage("too long")])
            return await plain.ainvoke(messages)

    server.script = lambda question, n: Act(status) if question == "too long" else OK
    result = run(toy, Long(), tmp_path / "run")

    assert [line["decision"] for line in result.ledger] != ["accept"]
    assert server.asked.count("too long") == 8  # each validation task once: it is not tried again


class Verdict(BaseModel):
    """What a critic says."""

    good: bool


@asynccontextmanager
async def lab(model: Any, patience: Patience) -> AsyncIterator[RunLab]:
    """A lab with a critic, a journal and a door."""
    with Journal(InMemoryStore()) as journal, journal.installed():
        journal.door = run_door(None, Run(patience=patience), 0)
        runner = Runner(shouting(model), as_evaluator(score), journal, Records())
        yield RunLab(runner, {"": model}, journal, 0)


class Records:
    """A rollout store that holds nothing."""

    async def read_rollout(self, rollout_id: str) -> Rollout | None:
        return None

    async def write_rollout(self, rollout: Rollout) -> None:
        pass


ASK = {"prompt": "Good?", "schema": "{}"}


@pytest.mark.parametrize("act", [Act(500), Act(400), Act(413), Act(text="%&!"), Act(text="")], ids=str)
async def test_one_question_that_cannot_be_answered_is_recorded(server: OpenAIServer, act: Act) -> None:
    server.script = lambda question, n: act
    async with lab(server.model(), Patience(tries=2, back_off=0.001)) as mine:
        with pytest.raises(ModelReplyError):
            await mine.ask("reply_as_json", ASK, Verdict, purpose="credit")


async def test_a_question_outlives_a_bad_spell(server: OpenAIServer) -> None:
    acts = iter([Act(429), Act(reset=True)])
    server.script = lambda question, n: next(acts, Act(text='{"good": true}'))
    async with lab(server.model(), QUICK) as mine:
        assert (await mine.ask("reply_as_json", ASK, Verdict, purpose="credit")).good


async def test_a_model_that_does_not_exist_is_the_users_mistake(server: OpenAIServer) -> None:
    server.script = lambda question, n: Act(404)
    async with lab(server.model(), QUICK) as mine:
        with pytest.raises(openai.NotFoundError):
            await mine.ask("reply_as_json", ASK, Verdict, purpose="credit")


async def test_time_at_the_door_does_not_count_against_a_rollout(server: OpenAIServer) -> None:
    server.script = lambda question, n: OK if n else Act(429, {"Retry-After": "0.8"})
    with Journal(InMemoryStore()) as journal, journal.installed():
        journal.door = run_door(None, Run(patience=QUICK), 0)
        system = shouting(server.model(), timeout=0.5)
        runner = Runner(system, as_evaluator(score), journal, Records())
        task = Task("t", {"question": "q"}, {"answer": "q"})
        (rollout,) = await runner.run_all([task], system.book)

    assert (rollout.outcome.score, rollout.outcome.error) == (1.0, "")
    assert len(rollout.trajectory.steps[0].calls) == 1  # the graph saw one call


class Away(InMemoryStore):
    """A database that is away when the first reply is to be kept, and comes back."""

    def __init__(self, seconds: float) -> None:
        super().__init__()
        self.seconds = seconds
        self.waited = 0

    def batch(self, ops: Any) -> Any:
        given = list(ops)
        if self.waited == 0 and any(isinstance(op, PutOp) for op in given):
            self.waited += 1
            time.sleep(self.seconds)
        return super().batch(given)


async def test_time_in_which_the_database_was_away_does_not_count_against_a_rollout(
    server: OpenAIServer,
) -> None:
    store = Away(0.8)
    with Journal(store) as journal, journal.installed():
        system = shouting(server.model(), timeout=0.5)
        runner = Runner(system, as_evaluator(score), journal, Records())
        task = Task("t", {"question": "q"}, {"answer": "q"})
        (rollout,) = await runner.run_all([task], system.book)

    assert store.waited == 1
    assert (rollout.outcome.score, rollout.outcome.error) == (1.0, "")


def test_where_nothing_but_server_errors_come_the_way_out_is_said_and_is_one(
    toy: Any, server: OpenAIServer, tmp_path: Path
) -> None:
    """An edit that the endpoint breaks at, in every call: the run ends, and the sentence says how the edit is judged."""
    plain = server.model()

    class Breaking:
        async def ainvoke(self, messages: Any) -> Any:
            bad = "SHOUT" in messages[0].content
            return await plain.ainvoke([*messages[:-1], HumanMessage("poison")] if bad else messages)

    server.script = lambda question, n: Act(500) if question == "poison" else OK
    short = replace(QUICK, longest_pause=0.3, trip=4)
    with pytest.raises(EndpointDown, match=r"with Run\(patience=Patience\(trip=1_000_000\)\)"):
        run(toy, Breaking(), tmp_path / "run", patience=short)
    result = run(toy, Breaking(), tmp_path / "run", patience=replace(short, trip=1_000_000))

    (line,) = result.ledger
    assert line["decision"] != "accept"
    assert result.rules.render("solver") == TEXT


def test_noise_and_revert_ask_again_like_a_run(toy: Any, server: OpenAIServer, tmp_path: Path) -> None:
    """Two failures of each question, and one attempt of each rollout: without the traffic's tries all were left out."""
    model, splits = server.model(), toy.splits()
    patient = replace(QUICK, attempts=1)
    server.script = lambda question, n: Act(500) if n % 3 < 2 else OK

    found = noise(
        shouting(model), splits.validation, score, replicates=1, run=Run(tmp_path / "n", patience=patient)
    )
    assert (found.noise.comparison.n, found.noise.comparison.excluded) == (8, {"baseline": 0, "candidate": 0})

    server.script = lambda question, n: OK
    assert run(toy, model, tmp_path / "run").ledger[0]["decision"] == "accept"
    asked = Counter(server.asked)
    server.script = lambda question, n: Act(500) if (n - asked[question]) % 3 < 2 else OK
    done = revert("e1.1", Run(tmp_path / "run", patience=patient), shouting(model), splits.validation, score)
    assert done.comparison.excluded == {"baseline": 0, "candidate": 0}
    assert done.comparison.n == 8


async def test_tools_do_not_run_twice_for_a_429(server: OpenAIServer) -> None:
    sent: list[str] = []
    model = server.model()

    async def mail(state: State) -> State:
        sent.append(state["question"])
        return {}

    async def solver(state: State) -> State:
        return {"answer": (await model.ainvoke(state["question"])).text}

    builder = StateGraph(State)
    builder.add_node("mail", mail)
    builder.add_node("solver", solver)
    builder.add_edge(START, "mail")
    builder.add_edge("mail", "solver")
    builder.add_edge("solver", END)
    system = System(builder.compile(), RuleBook({"solver": parse("solver", TEXT)}))
    server.script = lambda question, n: OK if n > 1 else Act(429)
    with Journal(InMemoryStore()) as journal, journal.installed():
        journal.door = run_door(None, Run(patience=QUICK), 0)
        runner = Runner(system, as_evaluator(score), journal, Records())
        (rollout,) = await runner.run_all([Task("t", {"question": "q"}, {"answer": "Q"})], system.book)

    assert (rollout.outcome.score, sent) == (1.0, ["q"])
