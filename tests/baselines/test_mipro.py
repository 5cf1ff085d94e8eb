"""MIPROv2 of the real dspy over a toy system: what it finds, what it costs, and that it stops and resumes as every run."""

from __future__ import annotations

import asyncio
import math
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from langchain_core.messages import HumanMessage, SystemMessage
from langgraph.graph import END, START, StateGraph

from langgraph_truce import Budget, Result, Run, Splits, System, Task, optimize
from langgraph_truce.baselines import amipro, mipro
from langgraph_truce.bind import ainstructions
from langgraph_truce.errors import EvaluatorError, MissingExtra, ModelReplyError, RunError, UserMistake
from langgraph_truce.gate import on_validation
from langgraph_truce.methods import offline
from langgraph_truce.optimizer import read_run
from langgraph_truce.rules import RuleBook, parse
from langgraph_truce.testing import PlantedBottleneck, ScriptedModel

SMALL: dict[str, Any] = {"num_candidates": 4, "num_trials": 6, "minibatch": False}
BOOK = RuleBook(
    {
        "solver": parse("solver", "Repeat the question.\n\n- Be brief.\n"),
        "editor": parse("editor", "Pass on what the solver said.\n"),
    }
)


def score(outputs: Mapping[str, Any], reference_outputs: Mapping[str, Any]) -> dict[str, Any]:
    return {"key": "exact", "score": outputs["answer"] == reference_outputs["answer"]}


class Toy:
    """The solver shouts where its instructions say SHOUT; that is right."""

    def __init__(self, book: RuleBook = BOOK, latency: float = 0.0) -> None:
        self.book = book
        self.task = ScriptedModel(replies=self._reply, model_name="task", max_tokens=20, latency=latency)
        self.prompt = ScriptedModel(
            replies=self._propose, model_name="prompt", max_tokens=100, latency=latency
        )
        self.proposals = 0
        self.breaks_at: int | None = None
        self.wraps = "[[ ## proposed_instruction ## ]]\n{}\n\n[[ ## completed ## ]]"

    @property
    def asked(self) -> tuple[int, int]:
        """Calls that reached the system's model, and the prompt model."""
        return len(self.task.calls), len(self.prompt.calls)

    def _reply(self, messages: list[Any]) -> str:
        question = str(messages[-1].content)
        return question.upper() if "SHOUT" in str(messages[0].content) else question

    def _propose(self, messages: list[Any]) -> Any:
        text = "\n".join(str(m.content) for m in messages)
        if "proposed_instruction" not in text:
            return "A task about words."
        if self.proposals + 1 == self.breaks_at:
            return ValueError("the prompt is too strange")
        self.proposals += 1
        word = "SHOUT" if self.proposals % 3 == 0 else "whisper"
        return self.wraps.format(f"You answer as number {self.proposals}.\n- {word} every word.")

    def system(self, **more: Any) -> System:
        async def node(name: str, state: Mapping[str, Any], key: str) -> dict[str, Any]:
            text = await ainstructions(name)
            reply = await self.task.ainvoke([SystemMessage(text), HumanMessage(state[key])])
            return {**state, "answer": str(reply.content)}

        async def solver(state: dict[str, Any]) -> dict[str, Any]:
            return await node("solver", state, "question")

        async def editor(state: dict[str, Any]) -> dict[str, Any]:
            return await node("editor", state, "answer")

        builder: Any = StateGraph(dict)
        builder.add_node("solver", solver)
        builder.add_node("editor", editor)
        builder.add_edge(START, "solver")
        builder.add_edge("solver", "editor")
        builder.add_edge("editor", END)
        return System(
            builder.compile(name="toy"), self.book, outputs=lambda s: {"answer": s["answer"]}, **more
        )

    def splits(self, n: int = 6) -> Splits:
        def tasks(name: str) -> list[Task]:
            return [
                Task(f"{name}{i}", {"question": f"{name} {i}"}, {"answer": f"{name} {i}".upper()})
                for i in range(n)
            ]

        return Splits(tasks("train"), tasks("validation"), tasks("test"))


def run(toy: Toy, folder: Path, **more: Any) -> Any:
    settings = {"model": toy.prompt, "run": folder, **SMALL, **more}
    return mipro(toy.system(), toy.splits(), score, **settings)


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> tuple[Toy, Result, Path]:
    """A finished search, for those who only look at it."""
    toy, folder = Toy(), tmp_path_factory.mktemp("mipro") / "run"
    return toy, run(toy, folder), folder


def test_the_instruction_that_scores_best_is_found_and_measured(done: tuple[Toy, Result, Path]) -> None:
    _, result, _ = done

    assert (result.baseline.mean, result.final.mean) == (0.0, 1.0)
    assert result.difference.p_value == pytest.approx(2 / 2**6)
    rules = [rule for agent in result.rules.agents.values() for rule in agent.rules]
    assert "SHOUT every word." in [rule.text for rule in rules]
    assert "+" in result.diff()
    first, *rows = result.iterations
    assert (first["version"], first["validation_candidate"], first["whole"]) == (BOOK.version, 0.0, True)
    assert len(rows) == SMALL["num_trials"]
    assert max(row["validation_candidate"] for row in rows) == 1.0
    assert result.rules.version in [row["version"] for row in rows]


def test_every_call_is_in_the_meter_by_purpose(done: tuple[Toy, Result, Path]) -> None:
    toy, result, _ = done

    assert result.meter["propose"]["calls"] == len(toy.prompt.calls) > 0
    assert result.meter["task"]["calls"] + result.meter["test"]["calls"] == len(toy.task.calls)
    assert "propose" in result.report()
    assert result.report_html().startswith("<!")


def test_the_same_call_again_reads_and_asks_nothing(done: tuple[Toy, Result, Path]) -> None:
    toy, first, folder = done
    asked = toy.asked

    again = run(toy, folder)

    assert toy.asked == asked
    assert (again.rules, again.iterations, again.final) == (first.rules, first.iterations, first.final)
    assert read_run(folder).rules == first.rules


def test_another_search_in_the_same_folder_is_refused(done: tuple[Toy, Result, Path]) -> None:
    toy, _, folder = done
    with pytest.raises(RunError, match="seed"):
        run(toy, folder, seed=1)


def test_the_found_rules_are_where_optimize_begins(done: tuple[Toy, Result, Path], tmp_path: Path) -> None:
    _, found, _ = done
    toy = Toy()
    system = replace(toy.system(), rules=found.rules)

    method = replace(offline(), gate=on_validation())
    result = optimize(system, toy.splits(), score, method=method, run=tmp_path / "optimize")

    assert result.baseline.mean == 1.0
    assert result.initial == found.rules


def test_a_run_that_was_stopped_goes_on_and_asks_nothing_twice(tmp_path: Path) -> None:
    whole, broken = Toy(), Toy()
    undisturbed = run(whole, tmp_path / "whole")
    broken.breaks_at = 5  # the fifth proposal; the first half has been paid
    with pytest.raises(ModelReplyError, match="MIPROv2"):
        run(broken, tmp_path / "run")
    broken.breaks_at = None

    resumed = run(broken, tmp_path / "run")

    assert resumed.rules == undisturbed.rules
    assert resumed.iterations == undisturbed.iterations
    failed = 1
    assert broken.asked == tuple(n + f for n, f in zip(whole.asked, (0, failed), strict=True))


@pytest.mark.parametrize("calls", [60, 75, 90])
def test_a_spent_budget_ends_it_with_the_best_so_far_and_a_test(calls: int, tmp_path: Path) -> None:
    toy = Toy()
    result = run(toy, tmp_path / "run", budget=Budget(calls=calls))

    assert sum(toy.asked) <= calls
    assert "calls" in result.stopped
    whole = [row for row in result.iterations if row["whole"]]
    best = max((row["validation_candidate"] for row in whole), default=0.0)
    assert result.final.n == result.baseline.n == 6
    assert result.final.mean == best


def test_a_budget_that_does_not_pay_for_one_candidate_leaves_the_rules(tmp_path: Path) -> None:
    toy = Toy()
    result = run(toy, tmp_path / "run", budget=Budget(calls=20))

    assert sum(toy.asked) <= 20
    assert result.rules == BOOK
    assert result.stopped


def test_equal_seeds_give_equal_searches_whatever_the_threads(tmp_path: Path) -> None:
    one = run(Toy(), tmp_path / "one", seed=3, num_threads=1)
    many = run(Toy(), tmp_path / "many", seed=3, num_threads=4)
    other = run(Toy(), tmp_path / "other", seed=4)

    assert (one.iterations, one.rules) == (many.iterations, many.rules)
    assert one.iterations != other.iterations


def test_minibatches_score_a_part_and_only_whole_scores_win(tmp_path: Path) -> None:
    result = run(Toy(), tmp_path / "run", minibatch=True, minibatch_size=2, minibatch_full_eval_steps=2)

    assert {row["tasks"] for row in result.iterations if not row["whole"]} == {2}
    whole = {row["version"]: row["validation_candidate"] for row in result.iterations if row["whole"]}
    assert whole[result.rules.version] == max(whole.values())


def test_an_automatic_size_runs(tmp_path: Path) -> None:
    toy = Toy()
    result = mipro(toy.system(), toy.splits(2), score, model=toy.prompt, run=tmp_path / "run", auto="light")

    assert len(result.iterations) > 6
    assert result.final.mean == 1.0


def test_replies_without_markers_are_taken_for_the_field_asked_for(tmp_path: Path) -> None:
    toy = Toy()
    toy.wraps = "<think>hm</think>\n{}"
    result = run(toy, tmp_path / "run")

    assert result.final.mean == 1.0
    assert "think" not in result.rules.render("solver")
    assert "[[" not in result.rules.render("solver")


def test_what_agents_said_on_solved_train_tasks_is_shown_to_the_prompt_model(tmp_path: Path) -> None:
    toy = Toy(BOOK.with_agent(parse("solver", "SHOUT.")))
    run(toy, tmp_path / "run")

    asked = ["\n".join(str(m.content) for m in call.messages) for call in toy.prompt.calls]
    assert any("Reply Of Solver: TRAIN" in text for text in asked)
    assert any("instructions='Pass on what the solver said.'" in text for text in asked)
    assert not any("validation" in text or "test " in text for text in asked)


def test_prompts_with_fields_keep_them(tmp_path: Path) -> None:
    toy = Toy(BOOK.with_agent(parse("solver", "Repeat the question of {name}.")))
    result = run(toy, tmp_path / "run")

    assert result.rules.agents["solver"] == toy.book.agents["solver"]
    assert result.rules.agents["editor"] != toy.book.agents["editor"]


def test_hard_coded_prompts_of_a_discovered_graph_are_searched(tmp_path: Path) -> None:
    toy = Toy()

    def solver(state: dict[str, Any]) -> dict[str, Any]:
        asked = [SystemMessage("Repeat the question.\n- Be brief."), HumanMessage(state["question"])]
        return {**state, "answer": str(toy.task.invoke(asked).content)}

    builder: Any = StateGraph(dict)
    builder.add_node("solver", solver)
    builder.add_edge(START, "solver")
    builder.add_edge("solver", END)
    splits = toy.splits(2)
    system = System.discover(
        builder.compile(name="hard"),
        [task.inputs for task in splits.train],
        outputs=lambda s: {"answer": s["answer"]},
    )

    result = mipro(
        system, splits, score, model=toy.prompt, run=tmp_path / "run", **{**SMALL, "num_trials": 12}
    )

    assert result.final.mean == 1.0
    assert "SHOUT" in result.rules.render("solver")


def test_agents_of_a_bottleneck_are_searched_one_by_one(tmp_path: Path) -> None:
    world = PlantedBottleneck(0, roles=2, rounds=2)
    toy = Toy()
    settings = {**SMALL, "num_trials": 2, "num_candidates": 2}

    result = mipro(
        world.system, world.splits(3, 3, 3), world.score, model=toy.prompt, run=tmp_path / "run", **settings
    )

    assert result.rules.agents.keys() == world.system.book.agents.keys()
    assert len(result.iterations) == 3
    assert toy.proposals == 2 * len(world.system.book.agents)


def test_a_broken_evaluator_ends_it_with_its_own_sentence(tmp_path: Path) -> None:
    def broken(outputs: Mapping[str, Any]) -> float:
        raise ValueError("no such column")

    toy = Toy()
    with pytest.raises(EvaluatorError, match="no such column"):
        mipro(toy.system(), toy.splits(), broken, model=toy.prompt, run=tmp_path / "run", **SMALL)


async def test_both_faces_work_inside_a_running_loop(tmp_path: Path) -> None:
    toy, other = Toy(), Toy()
    events: list[Any] = []
    circumstances = Run(tmp_path / "async", on_event=events.append)
    found = await amipro(toy.system(), toy.splits(), score, model=toy.prompt, run=circumstances, **SMALL)
    blocking = run(other, tmp_path / "sync")

    assert found.rules == blocking.rules
    assert {event["stage"] for event in events} == {"MIPROv2", "test"}


async def test_a_cancelled_search_ends_and_goes_on_later(tmp_path: Path) -> None:
    toy = Toy(latency=0.02)
    search = asyncio.ensure_future(
        amipro(toy.system(), toy.splits(), score, model=toy.prompt, run=tmp_path / "run", **SMALL)
    )
    while len(toy.prompt.calls) < 4:
        await asyncio.sleep(0.01)
    search.cancel()
    with pytest.raises(asyncio.CancelledError):
        await search
    asked = toy.asked
    await asyncio.sleep(0.1)

    assert toy.asked == asked  # nothing goes on behind the caller's back
    again = await amipro(toy.system(), toy.splits(), score, model=toy.prompt, run=tmp_path / "run", **SMALL)
    assert again.final.mean == 1.0


def test_nothing_is_printed_cached_on_disk_or_left_behind(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DSPY_CACHEDIR", str(tmp_path / "cache"))
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    streams = (sys.stdout, sys.stderr)
    run(Toy(), tmp_path / "run")

    assert capfd.readouterr() == ("", "")
    assert (sys.stdout, sys.stderr) == streams
    assert not (tmp_path / "cache").exists()
    assert not (tmp_path / "home").exists()
    assert "litellm" not in sys.modules  # it would ask the network for prices


@pytest.mark.parametrize("missing", ["dspy", "optuna"])
def test_without_the_extra_the_message_says_what_to_install(
    missing: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, missing, None)
    for name in ("dspy_program", "dspy_model"):
        monkeypatch.delitem(sys.modules, f"langgraph_truce.baselines.{name}", raising=False)
    with pytest.raises(MissingExtra, match=r"pip install 'langgraph-truce\[mipro\]'"):
        run(Toy(), tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_the_library_starts_without_dspy() -> None:
    code = "import sys, langgraph_truce, langgraph_truce.baselines; print({'dspy', 'optuna'} & sys.modules.keys())"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"auto": "huge"}, "auto is one of"),
        ({"auto": "light", "num_trials": 3}, "or auto alone"),
        ({"num_candidates": 3}, "or auto alone"),
        ({"num_candidates": 1, "num_trials": 3}, "num_candidates is a whole number of at least 2"),
        ({"num_candidates": 3, "num_trials": 0}, "num_trials is a whole number of at least 1"),
        ({"minibatch": True, "minibatch_size": 7}, "at most 6"),
        ({"num_threads": True}, "num_threads"),
        ({"init_temperature": math.nan}, "init_temperature"),
        ({"metric_threshold": 0}, "metric_threshold"),
        ({"max_bootstrapped_demos": 4}, "no setting max_bootstrapped_demos"),
    ],
)
def test_settings_that_cannot_be_are_refused_before_anything_runs(
    settings: dict[str, Any], words: str, tmp_path: Path
) -> None:
    toy = Toy()
    with pytest.raises(UserMistake, match=words):
        mipro(toy.system(), toy.splits(), score, model=toy.prompt, run=tmp_path / "run", **settings)
    assert toy.asked == (0, 0)
