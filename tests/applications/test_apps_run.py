"""The applications run by themselves: every prompt is sent, and the rule that is missing costs the score."""

from __future__ import annotations

from typing import Any

import pytest

from langgraph_truce import as_evaluator
from tests.applications.catalog import CASES, NAMES, Case, model_of
from tests.applications.sent import Roles, fits

each = pytest.mark.parametrize("case", CASES.values(), ids=NAMES)


def thread(n: int, *callbacks: Any) -> Any:
    return {"configurable": {"thread_id": f"thread-{n}"}, "callbacks": list(callbacks)}


def test_there_are_eleven_applications() -> None:
    assert len(CASES) == 11


@each
def test_no_application_knows_of_langgraph_truce(case: Case) -> None:
    assert "truce" not in case.source


@each
def test_splits_are_disjoint(case: Case) -> None:
    assert len({task.content for task in case.tasks}) == len(case.tasks)


@each
async def test_the_prompts_listed_by_hand_are_what_is_sent(case: Case) -> None:
    app = case.load()
    roles = Roles()
    for n, example in enumerate(case.examples):
        await app.graph.ainvoke(dict(example), thread(n, roles))

    calls = roles.by_role(model_of(app))

    expected = case.prompts(app)
    unsent = [e.role for e in expected if not any(fits(e, messages) for messages in calls.get(e.role, []))]
    assert unsent == []
    known = {e.role for e in expected}
    unlisted = {r for r, cs in calls.items() if r not in known or not all(_has(expected, r, c) for c in cs)}
    assert unlisted == without_instructions(case)


def _has(expected: Any, role: str, messages: Any) -> bool:
    return any(e.role == role and fits(e, messages) for e in expected)


def without_instructions(case: Case) -> set[str]:
    """Roles whose model is given the conversation alone."""
    return {"sql_agent": {"call_get_schema"}, "handbook_rag": {"generate_query_or_respond"}}.get(
        case.name, set()
    )


@each
async def test_without_its_rule_an_application_scores_low(case: Case) -> None:
    app = case.load()
    evaluate = as_evaluator(case.score)

    scores = []
    for n, task in enumerate(case.tasks):
        state = await app.graph.ainvoke(dict(task.inputs), thread(n))
        scores.append((await evaluate(task, state)).score)

    assert scores == [0.0] * len(case.tasks)


@pytest.mark.parametrize("case", [c for c in CASES.values() if c.sync], ids=lambda c: c.name)
def test_an_application_runs_without_an_event_loop(case: Case) -> None:
    app = case.load()
    app.graph.invoke(dict(case.tasks[0].inputs), thread(0))

    assert model_of(app).calls
