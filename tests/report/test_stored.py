"""Credit over stored threads: by round, role and rule, with the steps it rests on, and what is not known."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from langchain_core.messages import AIMessage

from langgraph_truce.credit import answer_credit, outcome_only, verbal_credit
from langgraph_truce.errors import UserMistake
from langgraph_truce.evaluate import as_evaluator
from langgraph_truce.report import credit_threads, render_credit
from langgraph_truce.rollout.history import Thread
from langgraph_truce.seams import Batch, Credit, Lab, Memory
from langgraph_truce.task import Outcome
from langgraph_truce.testing import ScriptedModel
from langgraph_truce.testing.batches import make_book, make_rules, make_trajectory

BOOK = make_book(make_rules("solver", "Think twice.", "Be short."), make_rules("critic", "Object."))
SAID = [("solver", 1, "forty"), ("critic", 1, "are you sure?"), ("solver", 2, "forty-one")]


def thread(name: str, said: Sequence[tuple[str, int, str]] = SAID, **other: Any) -> Thread:
    return Thread(name, make_trajectory(name, said), **{"state": {"answer": said[-1][2]}, **other})


def scored(**scores: float) -> dict[str, Outcome]:
    return {name: Outcome(None, score, f"{name} scored {score}") for name, score in scores.items()}


class Judge:
    """A source that blames what it is told to."""

    def __init__(self, *credits_: Credit) -> None:
        self.credits = credits_
        self.batch: Batch | None = None

    async def __call__(self, batch: Batch, memory: Memory, lab: Lab) -> tuple[tuple[Credit, ...], Memory]:
        self.batch = batch
        return self.credits, memory


def blame(name: str, role: str, round_: int, value: float, *steps: str, rules: Sequence[str] = ()) -> Credit:
    words = f"{role} in {name}: {value}"
    return Credit(name, name, steps, value, role=role, round=round_, words=words, rules=tuple(rules))


def test_rows_are_means_and_cite_the_most_telling_steps_first() -> None:
    judge = Judge(
        blame("a", "solver", 1, -0.2, "solver#1.0", rules=["r2"]),
        blame("b", "solver", 2, -1.0, "solver#2.0", rules=["r1", "r2"]),
        blame("b", "critic", 1, 0.5, "critic#1.0"),
    )
    report = credit_threads([thread("a"), thread("b")], judge, scored(a=1.0, b=0.0), rules=BOOK)

    assert [(r.name, r.value, r.credits, r.tasks) for r in report.roles] == [
        ("solver", pytest.approx(-0.6), 2, 2),
        ("critic", 0.5, 1, 1),
    ]
    assert [(r.name, r.value) for r in report.rounds] == [("round 1", pytest.approx(0.15)), ("round 2", -1.0)]
    assert [(r.name, r.value, r.text) for r in report.rules] == [
        ("solver r1", -1.0, "Think twice."),
        ("solver r2", pytest.approx(-0.6), "Be short."),
    ]
    cited = report.roles[0].steps
    assert [(s.thread, s.step, s.quote) for s in cited] == [
        ("b", "solver#2.0", "forty-one"),
        ("a", "solver#1.0", "forty"),
    ]
    assert report.roles[0].words == ("solver in b: -1.0", "solver in a: -0.2")
    assert (report.threads, report.score, report.source) == (2, 0.5, "Judge")


def test_json_and_text_hold_the_same_figures() -> None:
    judge = Judge(blame("a", "solver", 1, -0.25, "solver#1.0", rules=["r1"]))
    report = credit_threads([thread("a")], judge, scored(a=0.0), rules=BOOK)
    row = json.loads(json.dumps(report.to_json()))
    assert row["roles"][0]["value"] == -0.25
    assert row["roles"][0]["steps"][0] == {
        "thread": "a",
        "step": "solver#1.0",
        "quote": "forty",
        "value": -0.25,
    }
    assert row["credits"][0]["rules"] == ["r1"]
    text = render_credit(report)
    for part in ("round 1", "solver", "solver r1", "-0.25", "Think twice.", "a solver#1.0: forty"):
        assert part in text
    assert all(len(line) <= 110 for line in text.splitlines())


def test_what_is_not_known_is_said() -> None:
    recorded = replace(make_trajectory("a", SAID), prompts_known=False)
    remote = credit_threads([Thread("a", recorded)], outcome_only(), scored(a=0.0), rules=BOOK)
    assert remote.unknown[0].startswith("prompts: the server that ran the graph does not tell them")
    old = replace(recorded, steps=tuple(replace(s, calls=()) for s in recorded.steps))
    report = credit_threads([Thread("a", old)], outcome_only(), scored(a=0.0), rules=BOOK)
    said = "\n".join(report.unknown)
    assert "prompts, token usage and latency" in said
    assert "credit by rule: outcome_only named no rule" in said
    assert "credit by round: outcome_only does not tell rounds apart" in said
    assert report.rules == report.rounds == ()
    assert "Not known" in render_credit(report)


def test_without_rules_every_role_is_judged() -> None:
    report = credit_threads([thread("a")], outcome_only(), scored(a=0.25))
    assert {r.name: r.value for r in report.roles} == {"solver": -0.5, "critic": -0.5}
    assert any(note.startswith("rules: none were given") for note in report.unknown)


def test_an_evaluator_scores_final_states_with_references() -> None:
    def exact(outputs: Any, reference_outputs: Any) -> dict[str, Any]:
        right = outputs["answer"] == reference_outputs["answer"]
        return {"key": "exact", "score": right, "comment": f"expected {reference_outputs['answer']}"}

    judge = Judge()
    threads = [
        thread("a"),
        thread("b"),
        thread("waits", finished=False, problem="thread 'waits': it waits for a person"),
        thread("failed", finished=False, error="ValueError: no"),
        thread("odd", state={"reply": 1}),
    ]
    answers = {"a": {"answer": "forty-one"}, "b": {"answer": "forty-two"}, "odd": {"answer": "x"}}
    report = credit_threads(threads, judge, exact, rules=BOOK, references=answers)
    assert judge.batch is not None
    assert {r.id: r.outcome.score for r in judge.batch.rollouts} == {"a": 1.0, "b": 0.0, "failed": 0.0}
    assert judge.batch.rollouts[1].outcome.feedback == "expected forty-two"
    assert "ValueError: no" in judge.batch.rollouts[2].outcome.feedback
    assert report.left_out == 2
    (waits,) = (p for p in report.problems if "waits" in p)
    assert waits.startswith("thread 'waits': it waits for a person; it is not at its end")
    assert any("'odd': its state could not be scored" in p for p in report.problems)


def test_an_evaluator_sees_what_the_graph_gives_and_may_score_progress() -> None:
    seen: list[Any] = []

    def exact(outputs: Any) -> float:
        seen.append(outputs)
        if outputs == "boom":
            raise RuntimeError("the judge is down")
        return 0.0

    def progress(state: Any) -> float:
        return 0.25 if state else 0.0

    judge = Judge()
    threads = [thread("a", final=AIMessage("forty-one")), thread("b", final="boom")]
    scored_by = as_evaluator(exact, progress=progress)
    report = credit_threads(threads, judge, scored_by, rules=BOOK)
    assert AIMessage("forty-one") in seen
    assert judge.batch is not None
    (rollout,) = judge.batch.rollouts
    assert rollout.outcome.progress == {"1": 0.25, "2": 0.25}
    assert rollout.outcome.result == {"role": "assistant", "content": "forty-one"}
    (said,) = report.problems
    assert "thread 'b': its state could not be scored" in said
    assert "the judge is down" in said


def test_what_no_replay_could_value_is_said_once_for_each_reason() -> None:
    why = "the replay calls the tool 'pay', which is not declared"
    rows = [{"rollout": f"t{n}", "role": "solver", "why": why} for n in range(3)]

    async def judge(batch: Batch, memory: Memory, lab: Lab) -> tuple[tuple[Credit, ...], Memory]:
        return (), {**memory, "refused": [*rows, {"role": "critic", "why": why}], "refused_count": 9}

    report = credit_threads([thread("a")], judge, scored(a=0.0), rules=BOOK)
    assert report.problems == (
        f"solver: no credit (3 contributions), {why}",
        f"critic: no credit (1 contribution), {why}",
        "and 5 more contributions that no replay could value",
    )


def test_no_credit_at_all_is_said_and_not_blamed_on_the_source() -> None:
    report = credit_threads([thread("a")], answer_credit(), scored(a=0.0), rules=BOOK)
    (said,) = report.unknown
    assert said.startswith("credit: answer_credit gave none on these threads; no role wrote a field")
    solved = credit_threads([thread("a")], Judge(), scored(a=1.0), rules=BOOK)
    assert solved.unknown == (
        "credit: Judge gave none on these threads; each of them reached the full score",
    )


def test_scores_of_other_threads_and_rules_of_another_system_are_said() -> None:
    foreign = make_book(make_rules("porter", "Carry."))
    report = credit_threads([thread("a")], outcome_only(), scored(a=0.0, x=1.0, y=0.5), rules=foreign)
    assert report.problems == (
        "scores are given for threads that were not read: 'x', 'y'",
        "the rules are of another system: they are for 'porter', and 'solver', 'critic' ran",
    )


def test_long_role_paths_leave_room_for_what_was_said() -> None:
    role = "supervisor/tools/researcher/a_very_long_name_of_a_node/compress"
    trajectory = make_trajectory("a", [(role, 1, "words " * 20)])
    judge = Judge(blame("a", role, 1, -1.0, trajectory.steps[0].id))
    text = render_credit(credit_threads([Thread("a", trajectory)], judge, scored(a=0.0)))
    assert f"{role}  -1.00  1 credit, 1 thread\n" in text
    assert max(len(line.strip()) for line in text.splitlines()) > 90
    assert len(text.splitlines()) < 25


def test_threads_without_score_or_twice_or_unreadable_are_left_out_and_named() -> None:
    gone = Thread("gone", None, "thread 'gone': it cannot be read", finished=False)
    threads = [thread("a"), thread("a"), thread("b"), gone]
    report = credit_threads(threads, outcome_only(), scored(a=1.0, gone=1.0), rules=BOOK)
    assert (report.threads, report.left_out) == (1, 3)
    assert [p.partition(":")[0] for p in report.problems] == ["thread 'a'", "thread 'gone'", "thread 'b'"]
    with pytest.raises(UserMistake, match="no thread can be judged: thread 'b': no score is given"):
        credit_threads([thread("b")], outcome_only(), scored(a=1.0), rules=BOOK)
    with pytest.raises(UserMistake, match="none was given"):
        credit_threads([], outcome_only(), {}, rules=BOOK)


def test_answers_are_compared_with_the_references() -> None:
    said = [("solver", 1, "x")]
    report = credit_threads(
        [thread("a", said)], answer_credit(), scored(a=0.0), rules=BOOK, references={"a": {"messages": "y"}}
    )
    assert [(r.name, r.value) for r in report.roles] == [("solver", -1.0)]
    assert "expected 'y', gave 'x'" in report.roles[0].words[0]


def critic(asked: list[str]) -> ScriptedModel:
    def judge(messages: Any, tools: Any) -> str:
        asked.append(messages[-1].text)
        part = {"score": 3, "analysis": "Weak."}
        agent = {
            "agent": "solver",
            "score": 1,
            "words": "It guessed.",
            "steps": ["solver#1.0"],
            "rules": ["r2"],
        }
        names = ("iteration_progress", "agent_coordination", "stage_appropriateness")
        return json.dumps({**dict.fromkeys(names, part), "agents": [agent]})

    return ScriptedModel(replies=judge)


async def test_a_critic_is_asked_once_for_each_question(tmp_path: Path) -> None:
    asked: list[str] = []
    reports = [
        credit_threads(
            [thread("a")],
            verbal_credit(),
            scored(a=0.0),
            rules=BOOK,
            model=critic(asked),
            journal=tmp_path / "kept" / "journal.sqlite",
        )
        for _ in range(2)
    ]
    assert len(asked) == 2  # two rounds, once each; the second call found them
    assert reports[0] == reports[1]
    assert [(r.name, r.value) for r in reports[0].rules] == [("solver r2", -1.0)]
    assert any("round-2" in p and "solver#1.0" in p for p in reports[0].problems)
    with pytest.raises(UserMistake, match="verbal_credit asks a critic model"):
        credit_threads([thread("a")], verbal_credit(), scored(a=0.0), rules=BOOK)
