"""Without an edit the model gets the very same messages; an edit of one prompt changes that prompt and nothing else."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from langgraph_truce import Edit, RuleBook, System
from langgraph_truce.bind.context import PROMPTS, VERSION, published
from langgraph_truce.bind.found import Prompts, Slot
from langgraph_truce.bind.intercept import intercepting
from langgraph_truce.rules import apply
from tests.applications.case import Expected
from tests.applications.catalog import CASES, NAMES, Case, model_of
from tests.applications.sent import Calls, Message, Roles, fits, in_order, texts, without_usage

each = pytest.mark.parametrize("case", CASES.values(), ids=NAMES)
ADDED = "Do not forget to be kind."


async def sent(case: Case, **keys: Any) -> Calls:
    """What a fresh copy of the application sends for its examples, run with `keys` in configurable."""
    app, roles = case.load(), Roles()
    for n, example in enumerate(case.examples):
        config = {"configurable": {"thread_id": f"thread-{n}", **keys}, "callbacks": [roles]}
        await app.graph.ainvoke(dict(example), config)
    return in_order(roles.by_role(model_of(app)), fans_out=case.fans_out)


def sent_sync(case: Case, **keys: Any) -> Calls:
    """As `sent`, with `invoke`."""
    app, roles = case.load(), Roles()
    for n, example in enumerate(case.examples):
        config = {"configurable": {"thread_id": f"thread-{n}", **keys}, "callbacks": [roles]}
        app.graph.invoke(dict(example), config)
    return in_order(roles.by_role(model_of(app)), fans_out=case.fans_out)


async def sent_with(case: Case, prompts: Prompts, book: RuleBook) -> tuple[Calls, Mapping[str, int]]:
    """What it sends with the rules of `book`, and role path -> calls in which no prompt was found."""
    with published(book) as version, intercepting(prompts) as interception:
        calls = await sent(case, **{PROMPTS: interception.id, VERSION: version})
        return calls, interception.missed


async def discovered(case: Case) -> Prompts:
    system = await System.adiscover(case.load().graph, case.examples)
    assert system.prompts is not None
    return system.prompts


@each
async def test_without_edits_the_messages_are_the_same(case: Case) -> None:
    prompts = await discovered(case)

    calls, missed = await sent_with(case, prompts, prompts.book)

    bare = await sent(case)
    assert calls == bare
    roles = {slot.role for slot in prompts.slots}
    assert missed == {role: len(them) for role, them in bare.items() if role not in roles}


@pytest.mark.parametrize("case", [c for c in CASES.values() if c.sync], ids=lambda c: c.name)
def test_without_edits_the_messages_are_the_same_in_sync_runs(case: Case) -> None:
    prompts = System.discover(case.load().graph, case.examples).prompts
    assert prompts is not None

    with published(prompts.book) as version, intercepting(prompts) as interception:
        calls = sent_sync(case, **{PROMPTS: interception.id, VERSION: version})

    assert calls == sent_sync(case)
    assert interception.matched > 0


@each
async def test_an_added_rule_reaches_the_model_and_nothing_else_changes(case: Case) -> None:
    prompts = await discovered(case)
    bare = without_usage(await sent(case))

    for slot in prompts.slots:
        book = apply(prompts.book, [Edit(id="e1.1", op="ADD", agent=slot.agent, text=ADDED)])
        calls = without_usage((await sent_with(case, prompts, book))[0])

        others = {role: them for role, them in calls.items() if role != slot.role}
        assert others == {role: them for role, them in bare.items() if role != slot.role}
        pairs = list(zip(bare[slot.role], calls[slot.role], strict=True))
        assert any(before != after for before, after in pairs)
        assert all(_edited(slot, before, after) for before, after in pairs)


def _edited(slot: Slot, before: Any, after: Any) -> bool:
    """Whether `after` is `before` with the rule in each text that the slot stands for."""
    own = Expected(slot.role, slot.text, slot.fields, slot.message)
    if not fits(own, before):
        return bool(before == after)
    added = 0
    for one, other in zip(before, after, strict=True):
        assert _without_text(one) == _without_text(other)
        for text, new in zip(texts(one), texts(other), strict=True):
            added += text != new and _has_one_more_line(text, new)
            assert text == new or _has_one_more_line(text, new)
    return added == 1


def _without_text(message: Message) -> Any:
    content = message["content"]
    blocks = None if isinstance(content, str) else [{**block, "text": ""} for block in content]
    return {**message, "content": blocks}


def _has_one_more_line(before: str, after: str) -> bool:
    """Whether `after` is `before` with ADDED, and perhaps a marker and line ends, put in at one place."""
    grown = len(after) - len(before)
    same = next((n for n, (a, b) in enumerate(zip(before, after, strict=False)) if a != b), len(before))
    starts = range(max(0, same - grown), same + 1)
    put_in = [after[at : at + grown] for at in starts if after[:at] + after[at + grown :] == before]
    return any(ADDED in text for text in put_in) and grown <= len(ADDED) + 8
