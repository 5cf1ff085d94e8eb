"""Discovery finds in every application the prompts that a person finds in its code, and no other."""

from __future__ import annotations

import pytest

from langgraph_truce import System
from tests.applications.catalog import CASES, NAMES, Case
from tests.applications.test_apps_run import without_instructions

each = pytest.mark.parametrize("case", CASES.values(), ids=NAMES)


@each
async def test_exactly_the_prompts_of_the_code_are_found(case: Case) -> None:
    app = case.load()

    system = await System.adiscover(app.graph, case.examples)

    assert system.prompts is not None
    found = sorted((s.role, s.text, s.fields, s.message) for s in system.prompts.slots)
    assert found == sorted((e.role, e.text, e.fields, e.message) for e in case.prompts(app))


@each
def test_discovery_works_without_an_event_loop_and_is_repeatable(case: Case) -> None:
    one, other = (System.discover(case.load().graph, case.examples) for _ in range(2))

    assert one.prompts == other.prompts
    assert one.book.version == other.book.version


@each
async def test_the_report_hides_nothing(case: Case) -> None:
    report = (await System.adiscover(case.load().graph, case.examples)).discovery

    assert report is not None
    assert report.errors == ()
    assert report.not_reached == ()
    assert report.not_reachable == ()
    assert report.not_stable == ()
    assert not any(role in report.silent for role in without_instructions(case))


@each
async def test_the_rules_are_the_prompts(case: Case) -> None:
    system = await System.adiscover(case.load().graph, case.examples)

    assert system.prompts is not None
    for slot in system.prompts.slots:
        assert system.book.render(slot.agent) == slot.text
    assert any(
        system.book.agent(slot.agent).rules for slot in system.prompts.slots if slot.role == case.agent
    )
