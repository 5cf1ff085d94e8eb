"""A debate to record, and readers of what was recorded."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, TypedDict

import pytest
from langchain_core.messages import AIMessage, HumanMessage, SystemMessage
from langgraph.graph import END, START, StateGraph
from langgraph.graph.message import add_messages

from langgraph_truce.rollout.record import Recorded
from langgraph_truce.testing import ScriptedModel
from langgraph_truce.trajectory import Step, Trajectory


class Debate(TypedDict, total=False):
    question: str
    messages: Annotated[list[Any], add_messages]
    round: int


def echo(messages: list[Any]) -> AIMessage:
    text = f"{messages[0].content} sees {len(messages)}"
    return AIMessage(
        text,
        usage_metadata={"input_tokens": len(messages), "output_tokens": 3, "total_tokens": 3 + len(messages)},
    )


@dataclass(frozen=True)
class Kit:
    """What the recording tests share."""

    Debate: type[Any] = Debate
    model: ScriptedModel = field(default_factory=lambda: ScriptedModel(replies=echo))
    question: dict[str, Any] = field(default_factory=lambda: {"question": "why?", "messages": []})

    def speaker(self, name: str, *, sync: bool = False) -> Any:
        """A node that asks the model with what was said so far."""

        def prompt(state: Mapping[str, Any]) -> list[Any]:
            return [SystemMessage(name), HumanMessage(state["question"]), *state["messages"]]

        async def aspeak(state: Debate) -> dict[str, Any]:
            reply = await self.model.ainvoke(prompt(state))
            return {"messages": [AIMessage(reply.content, name=name)]}

        def speak(state: Debate) -> dict[str, Any]:
            return {"messages": [AIMessage(self.model.invoke(prompt(state)).content, name=name)]}

        return speak if sync else aspeak

    def debate(self, *, rounds: int = 2, join: bool = False, sync: bool = False) -> Any:
        """A solver and a critic side by side, then a judge, `rounds` times."""
        agents = ["solver", "critic"]
        builder = StateGraph(Debate)
        for name in agents:
            builder.add_node(name, self.speaker(name, sync=sync))
            builder.add_edge(START, name)
            if not join:
                builder.add_edge(name, "judge")
        speak = self.speaker("judge", sync=True)
        builder.add_node("judge", lambda s: {**speak(s), "round": s.get("round", 0) + 1})
        if join:
            builder.add_edge(agents, "judge")
        builder.add_conditional_edges(
            "judge", lambda s: agents if s["round"] < rounds else END, [*agents, END]
        )
        return builder.compile()

    def ids(self, trajectory: Trajectory) -> list[str]:
        return [step.id for step in trajectory.steps]

    def of(self, recorded: Recorded, step_id: str) -> Step:
        """The step of that id, which must be there."""
        step = recorded.trajectory.step(step_id)
        assert step is not None, self.ids(recorded.trajectory)
        return step

    def seen(self, recorded: Recorded, step_id: str) -> Any:
        """The state that the step was given."""
        ref = self.of(recorded, step_id).input
        assert ref is not None
        return recorded.trajectory.value(ref)

    def wrote(self, recorded: Recorded, step_id: str) -> dict[str, Any]:
        """What the step wrote, by channel."""
        return {c: recorded.trajectory.value(ref) for c, ref in self.of(recorded, step_id).writes.items()}


@pytest.fixture
def kit() -> Kit:
    return Kit()
