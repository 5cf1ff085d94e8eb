"""The wrappers of LangChain's entry points: put back in every order, also with other people's wrappers."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack
from typing import Any, get_args

import pytest
from langchain_core.language_models.chat_models import BaseChatModel
from langchain_core.messages import AIMessage, AIMessageChunk, SystemMessage
from langgraph.store.memory import InMemoryStore

from langgraph_truce.bind.found import Prompts, Slot
from langgraph_truce.bind.intercept import intercepting, listening
from langgraph_truce.entry_points import Entry, rewriting, whole_streams
from langgraph_truce.model import Journal
from langgraph_truce.testing import ScriptedModel

NAMES = get_args(Entry)
PROMPTS = Prompts((Slot("solver", "You solve."),))


def methods() -> list[Any]:
    return [vars(BaseChatModel)[name] for name in NAMES]


@pytest.fixture(autouse=True)
def _no_trace() -> Iterator[None]:
    before = methods()
    yield
    after = methods()
    for name, method in zip(NAMES, before, strict=True):  # a failing test must not spoil the next
        setattr(BaseChatModel, name, method)
    assert all(a is b for a, b in zip(after, before, strict=True))


class Theirs:
    """Somebody else's wrapper, as such tools do it: remember what was there, put that back."""

    def __init__(self) -> None:
        self.calls = 0

    def __enter__(self) -> Theirs:
        self.before = BaseChatModel.invoke
        before = self.before

        @functools.wraps(before)
        def invoke(model: Any, *args: Any, **kwargs: Any) -> Any:
            self.calls += 1
            return before(model, *args, **kwargs)

        setattr(BaseChatModel, "invoke", invoke)  # noqa: B010
        return self

    def __exit__(self, *_: object) -> None:
        setattr(BaseChatModel, "invoke", self.before)  # noqa: B010


def as_chunk(message: AIMessage) -> AIMessageChunk:
    return AIMessageChunk(content=message.content)


def users(journal: Journal) -> list[AbstractContextManager[Any]]:
    return [
        journal.installed(),
        intercepting(PROMPTS),
        listening(lambda _: None),
        intercepting(PROMPTS),
    ]


@pytest.mark.parametrize("order", list(itertools.permutations(range(4))))
def test_ours_leave_in_every_order(order: tuple[int, ...]) -> None:
    before = methods()
    with Journal(InMemoryStore()) as journal:
        stacks = []
        for user in users(journal):
            stack = ExitStack()
            stack.enter_context(user)
            stacks.append(stack)
        assert all(a is not b for a, b in zip(methods(), before, strict=True))
        for n in order:
            assert methods() != before
            stacks[n].close()
    assert all(a is b for a, b in zip(methods(), before, strict=True))


def test_what_raises_inside_leaves_no_trace() -> None:
    before = methods()
    with pytest.raises(ZeroDivisionError), intercepting(PROMPTS), listening(lambda _: None):
        print(1 / 0)
    assert methods() == before


def test_under_somebody_elses_wrapper_ours_passes_on_and_goes_at_the_next_call() -> None:
    before = methods()
    model = ScriptedModel(replies={"": "ok"})
    heard: list[Any] = []
    theirs = Theirs()
    with listening(heard.append):
        theirs.__enter__()
        model.invoke("one")
    assert BaseChatModel.invoke is not before[0]  # theirs, over ours
    model.invoke("two")
    assert (len(heard), theirs.calls, len(model.calls)) == (1, 2, 2)
    theirs.__exit__()
    model.invoke("three")
    assert BaseChatModel.invoke is before[0]
    assert (len(heard), theirs.calls, len(model.calls)) == (1, 2, 3)


def test_entering_again_over_somebody_elses_wrapper_hears_each_call_once() -> None:
    model = ScriptedModel(replies={"": "ok"})
    heard: list[Any] = []
    theirs = Theirs()
    with listening(heard.append):
        theirs.__enter__()
    with listening(heard.append):
        model.invoke("one")
        assert (len(heard), theirs.calls) == (1, 1)
    theirs.__exit__()
    with listening(heard.append):
        model.invoke("two")
    assert (len(heard), theirs.calls) == (2, 1)


def test_over_somebody_elses_wrapper_it_is_put_on_again_when_theirs_goes_first() -> None:
    model = ScriptedModel(replies={"": "ok"})
    heard: list[Any] = []
    theirs = Theirs()
    theirs.__enter__()
    with listening(heard.append):
        model.invoke("one")
        theirs.__exit__()
        with intercepting(PROMPTS):
            model.invoke("two")
    assert (len(heard), theirs.calls) == (2, 1)


async def test_a_call_is_rewritten_once_whatever_it_turns_into() -> None:
    seen: list[str] = []

    def rewrite(model: BaseChatModel, given: Any, config: Any, entry: Entry) -> Any:
        seen.append(entry)
        return [SystemMessage(f"{given} again")]

    model = ScriptedModel(replies={"": "ok"})
    whole = ScriptedModel(replies={"": "ok"}, disable_streaming=True)
    with rewriting(rewrite), rewriting(rewrite):
        model.invoke("q")
        await model.ainvoke("q")
        for m in (model, whole):
            list(m.stream("q"))
            assert [c async for c in m.astream("q")]
        with whole_streams(lambda model, config: as_chunk):
            assert [type(c) for c in model.stream("q")] == [AIMessageChunk]
            assert [c.text async for c in model.astream("q")] == ["ok"]
    assert seen == ["invoke", "ainvoke", *("stream", "astream") * 3]
    assert {c.messages[0].text for c in (*model.calls, *whole.calls)} == {"q again"}


async def test_a_stream_that_is_left_early_is_closed() -> None:
    closed: list[str] = []

    class Slow(ScriptedModel):
        async def _astream(self, *args: Any, **kwargs: Any) -> Any:
            try:
                async for chunk in super()._astream(*args, **kwargs):
                    yield chunk
            finally:
                closed.append("yes")

    model = Slow(replies={"": "one two three"})
    with listening(lambda _: None):
        parts = model.astream("q")
        assert (await anext(parts)).text == "one "
        await parts.aclose()  # type: ignore[attr-defined]
    assert closed == ["yes"]


def test_generate_does_not_come_by() -> None:
    model = ScriptedModel(replies={"": "ok"})
    heard: list[Any] = []
    with listening(heard.append):
        model.generate([[SystemMessage("You solve.")]])
    assert heard == []
