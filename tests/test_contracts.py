"""Contracts 1 to 4 and 8 of the design, through the public faces (rendering and editing alone: tests/rules)."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, TypedDict

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from langchain_core.messages import HumanMessage, SystemMessage
from langchain_core.runnables import RunnableConfig
from langgraph.graph import END, START, StateGraph
from langgraph.store.sqlite import SqliteStore

from langgraph_truce import Suggestion, ainstructions, instructions, optimize
from langgraph_truce.bind import RunContext, published
from langgraph_truce.gate import on_validation, paired_gate
from langgraph_truce.methods import truce
from langgraph_truce.optimizer.records import Records
from langgraph_truce.rules import Edit, RuleBook, parse
from langgraph_truce.seams import Batch, Lab, Memory
from langgraph_truce.testing import PlantedWorld, ScriptedModel

prompts = st.text(st.characters(exclude_categories=["Cs"]), max_size=200) | st.lists(
    st.sampled_from(
        [
            "You solve.",
            "",
            "- Be brief.",
            "  1. Then {field}.",
            "```\n- code\n```",
            '{"a": [1]}',
            "## Rules",
            "\r",
        ]
    ),
    max_size=8,
).map("\n".join)


class State(TypedDict, total=False):
    question: str
    answer: str


@given(prompts, prompts)
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_1_a_system_without_edits_sends_the_model_the_same_messages(first: str, second: str) -> None:
    """Bare: the text hard-coded in the node. Wrapped: the text parsed into rules, published, read by the node."""
    model = ScriptedModel(replies=lambda messages: "ok")
    texts = {"first": first, "second": second}

    def graph(*, bare: bool) -> Any:
        async def one(state: State) -> State:
            text = first if bare else await ainstructions("first")
            reply = await model.ainvoke([SystemMessage(text), HumanMessage(state["question"])])
            return {"answer": str(reply.content)}

        def two(state: State) -> State:
            text = second if bare else instructions("second")
            reply = model.invoke([SystemMessage(text), HumanMessage(state["answer"])])
            return {"answer": str(reply.content)}

        builder = StateGraph(State)
        builder.add_node("first", one)
        builder.add_node("second", two)
        builder.add_edge(START, "first")
        builder.add_edge("first", "second")
        builder.add_edge("second", END)
        return builder.compile()

    async def sent(*, bare: bool, config: RunnableConfig) -> list[list[tuple[str, Any]]]:
        before = len(model.calls)
        await graph(bare=bare).ainvoke({"question": "why?"}, config)
        return [[(m.type, m.content) for m in call.messages] for call in model.calls[before:]]

    async def both() -> None:
        book = RuleBook({role: parse(role, text) for role, text in texts.items()})
        expected = await sent(bare=True, config=RunnableConfig())
        with published(book) as version:
            config = RunnableConfig(configurable=RunContext(version, "r", "t").configurable())
            assert await sent(bare=False, config=config) == expected

    asyncio.run(both())


def test_3_a_suggestion_that_cannot_be_applied_is_a_line_of_the_ledger(tmp_path: Path) -> None:
    world = PlantedWorld(3)

    async def suggest(batch: Batch, memory: Memory, lab: Lab) -> tuple[tuple[Suggestion, ...], Memory]:
        step = batch.rollouts[0].trajectory.steps[0].id
        cited: Mapping[str, Any] = {
            "evidence": (f"{batch.rollouts[0].id}/{step}",),
            "tasks": (batch.rollouts[0].task,),
        }
        agent = next(iter(batch.book.agents))
        return (
            Suggestion("MODIFY", agent, "Never mind.", rule="r999", **cited),
            Suggestion("ADD", "nobody", "Be there.", **cited),
            Suggestion("ADD", agent, "Keep to {a_field_that_is_not_there}.", **cited),
        ), memory

    method = replace(truce(iterations=1, gate=on_validation()), suggest=suggest)
    result = optimize(
        world.system,
        world.splits(9, 9, 9),
        world.score,
        method=method,
        model=world.model,
        run=tmp_path / "run",
    )

    assert [line["decision"] for line in result.ledger] == ["error", "error", "error"]
    assert all(line["words"] for line in result.ledger)
    assert result.rules == world.rules


def test_4_everything_cited_exists(tmp_path: Path) -> None:
    """Every credit and every edit of a real run names steps of trajectories that were kept."""
    world = PlantedWorld(4, garbage=0.3)
    result = optimize(
        world.system,
        world.splits(18, 24, 6),
        world.score,
        method=truce(iterations=2),
        model=world.model,
        run=tmp_path / "run",
    )

    async def check() -> tuple[int, int]:
        with SqliteStore.from_conn_string(str(tmp_path / "run" / "records.sqlite")) as store:
            records = await Records(store).open()
            judged = cited = 0
            for iteration in (1, 2):
                for row in await records.read_box(iteration, "credit") or []:
                    rollout = await records.read_rollout(row["rollout"])
                    assert rollout is not None
                    assert row["steps"]
                    assert set(row["steps"]) <= rollout.trajectory.step_ids
                    judged += 1
            for line in result.ledger:
                assert line["edit"]["suggestion"]["evidence"]
                for place in line["edit"]["suggestion"]["evidence"]:
                    name, _, step = place.rpartition("/")
                    rollout = await records.read_rollout(name)
                    assert rollout is not None
                    assert step in rollout.trajectory.step_ids
                    cited += 1
            return judged, cited

    assert min(asyncio.run(check())) > 0


def test_8_no_edit_is_tested_on_a_task_that_it_was_proposed_from(tmp_path: Path) -> None:
    """Also where a later phase of a turn proposes from what the gate itself ran, and nothing that was read is read again."""
    world = PlantedWorld(3)
    splits = world.splits(9, 30, 6)
    made = replace(truce(iterations=4, gate=on_validation()), phases=2, logs=0.25)
    read: dict[int, set[str]] = {}
    asked: dict[int, list[Edit]] = {}
    tested: dict[int, set[str]] = {}

    async def suggest(batch: Batch, memory: Memory, lab: Lab) -> Any:
        read[batch.iteration] = {r.id for r in batch.rollouts}
        return await made.suggest(batch, memory, lab)

    class Told:
        """A lab that writes down what the gate runs."""

        def __init__(self, lab: Lab, iteration: int) -> None:
            self._lab, self._iteration = lab, iteration

        def __getattr__(self, name: str) -> Any:
            return getattr(self._lab, name)

        async def rollouts(self, *given: Any, **how: Any) -> Any:
            found = await self._lab.rollouts(*given, **how)
            tested.setdefault(self._iteration, set()).update(r.id for r in found)
            return found

    controlled = paired_gate()

    async def gate(batch: Batch, memory: Memory, lab: Lab) -> Any:
        asked[batch.iteration] = list(batch.edits)
        return await controlled(batch, memory, Told(lab, batch.iteration))

    result = optimize(
        world.system,
        splits,
        world.score,
        method=replace(made, suggest=suggest, gate=gate),
        model=world.model,
        run=tmp_path / "run",
    )

    sources = [row["source"] for row in result.iterations]
    assert {"train", "gate logs"} <= set(sources)
    assert not {t.id for t in splits.test} & {
        name.split("/")[1] for names in tested.values() for name in names
    }
    for iteration, edits in asked.items():
        names = {t for e in edits if e.suggestion is not None for t in e.suggestion.tasks}
        assert names
        assert not names & {name.split("/")[1] for name in tested[iteration]}
        assert not {name.split("/")[1] for name in read[iteration]} & {
            name.split("/")[1] for name in tested[iteration]
        }
    for iteration, names in read.items():
        later = [found for i, found in tested.items() if i >= iteration]
        assert not names & set().union(*later)
