"""Shared rollouts of every kind of graph equal whole reruns, step by step."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from langchain_core.messages import AIMessage, BaseMessage

from langgraph_truce.rules import RuleBook, parse
from langgraph_truce.system import System
from langgraph_truce.testing import ScriptedModel
from tests.rollout.kinds.agents import AGENTS
from tests.rollout.kinds.asking import ASKING
from tests.rollout.kinds.functional import FUNCTIONAL
from tests.rollout.kinds.kind import Kind, speak
from tests.rollout.kinds.shapes import SHAPES
from tests.rollout.kinds.states import STATES
from tests.rollout.sharing import echo, running, tasks, told

NO_PROMPT = {"pydantic_state", "dataclass_state", "breakpoints"}
"""Their system messages come with the input: there is nothing to edit."""
KINDS = [kind for kind in (*SHAPES, *STATES, *AGENTS, *FUNCTIONAL, *ASKING) if str(kind) not in NO_PROMPT]
WHOLE = {
    "cached": "node cache",
    "own_store": "long-term store",
    "odd_channels": "UntrackedValue",
    "supervisor": "how many steps are left",
    **{str(kind): "functional API" for kind in FUNCTIONAL},
    **{str(kind): "person" for kind in (*AGENTS, *ASKING) if kind.answers is not None},
}
"""Kinds that cannot be forked faithfully, and a word of why."""


def says(messages: Sequence[BaseMessage], tools: Sequence[Any]) -> AIMessage:
    """As the zoo's talker, but every change of a prompt changes the reply."""
    reply = speak(messages, tools)
    return reply if reply.tool_calls else AIMessage(echo(messages))


async def found(kind: Kind) -> System:
    return await System.adiscover(
        kind.build(ScriptedModel(replies=says)),
        [{"n": 1}, {"n": 2}],
        inputs=lambda _: kind.given(),
        outputs=lambda _: "",
        aggregator=kind.aggregator,
        tools={"add": "safe", "look": "safe"},
        context=None if kind.context is None else lambda _: kind.context,
        interrupts=kind.answers,
    )


@pytest.mark.parametrize("kind", KINDS, ids=str)
async def test_a_shared_rollout_is_what_a_whole_rerun_is(kind: Kind) -> None:
    system = await found(kind)
    before = system.book
    for agent in before.agents:
        after = RuleBook({**before.agents, agent: parse(agent, f"New! {before.render(agent)}\nMore.")})
        async with running(system) as runner:
            (parent,) = await runner.run_all(tasks(1), before, purpose="gate")
            (shared,) = await runner.run_all(tasks(1), after, purpose="gate", parent=before)
            assert WHOLE.get(str(kind), "") in runner.whole
            assert runner.whole or runner.ran["whole"] <= 2
        async with running(system) as alone:
            (whole,) = await alone.run_all(tasks(1), after)

        assert told(shared) == told(whole)
        assert told(shared) != told(parent)
        assert (shared.id, shared.version, shared.outcome) == (whole.id, whole.version, whole.outcome)


@pytest.mark.parametrize("kind", [k for k in KINDS if str(k) not in WHOLE], ids=str)
async def test_kinds_that_can_be_forked_are(kind: Kind) -> None:
    system = await found(kind)
    agent = list(system.book.agents)[-1]
    after = RuleBook({**system.book.agents, agent: parse(agent, f"New! {system.book.render(agent)}")})
    async with running(system) as runner:
        await runner.run_all(tasks(1), system.book, purpose="gate")
        await runner.run_all(tasks(1), after, purpose="gate", parent=system.book)

        # its subgraphs keep no checkpoints: where inside them a rule was read has no place to fork from
        assert runner.ran["forked"] == (str(kind) != "stateless_subgraph")
