"""The planted world's system: a real LangGraph graph of agents, aggregator, loop and decision."""

from __future__ import annotations

import operator
from collections.abc import Callable, Sequence
from typing import Annotated, Any, TypedDict

from langchain_core.language_models.chat_models import BaseChatModel
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, SystemMessage
from langchain_core.outputs import ChatGeneration, ChatResult
from langchain_core.runnables import RunnableConfig
from langgraph.graph import END, START, StateGraph
from langgraph.graph.state import CompiledStateGraph

from langgraph_truce.bind import ainstructions
from langgraph_truce.testing.planted.faults import AGGREGATOR, DECISION
from langgraph_truce.testing.planted.play import Overloaded, Play

Graph = CompiledStateGraph[Any, Any, Any, Any]
Cast = Callable[[str, str, int], Play]
"""(request, topic, replicate) -> how this rollout goes."""


class State(TypedDict, total=False):
    """What travels through the graph."""

    request: str
    topic: str
    round: int
    """Rounds that are over."""
    notes: Annotated[list[dict[str, Any]], operator.add]
    """`{"role", "round", "text", "value"}`; value "" from agents that leave the task to others."""
    summary: str
    carried: str
    """The value the aggregator carries on."""
    value: str
    """The final value."""


class Voice(BaseChatModel):
    """Says what the simulator decided (`said`), so that prompts are recorded as with a real model."""

    @property
    def _llm_type(self) -> str:
        return "planted-voice"

    def _generate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,  # noqa: ARG002 - LangChain's signature
        run_manager: Any = None,  # noqa: ARG002
        *,
        said: str = "",
        **kwargs: Any,  # noqa: ARG002
    ) -> ChatResult:
        given = sum(len(m.text) for m in messages) // 4 + 1
        out = len(said) // 4 + 1
        usage = {"input_tokens": given, "output_tokens": out, "total_tokens": given + out}
        message = AIMessage(said, usage_metadata=usage)
        return ChatResult(generations=[ChatGeneration(message=message)])

    async def _agenerate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: Any = None,
        **kwargs: Any,
    ) -> ChatResult:
        return self._generate(messages, stop, run_manager, **kwargs)  # no thread for what takes no time


def build(agents: Sequence[str], rounds: int, cast: Cast, voice: Voice | None) -> Graph:
    """Agents side by side, one plain edge each into the aggregator; it loops `rounds` times, then the decision."""

    async def aggregate(state: State, config: RunnableConfig) -> dict[str, Any]:
        number = state.get("round", 0) + 1
        told = [n for n in state["notes"] if n["round"] == number and n["value"]]
        carried = told[-1]["value"] if told else state.get("carried", "")
        text = f"Round {number} is over. The value on the table is {carried or 'open'}; it goes on from here."
        text = await _say(AGGREGATOR, state, text, config, voice)
        return {"round": number, "summary": text, "carried": carried}

    async def decide(state: State, config: RunnableConfig) -> dict[str, Any]:
        play = cast(state["request"], state["topic"], _replicate(config))
        if play.overloaded():
            raise Overloaded
        if play.timed_out():
            raise TimeoutError("the decision took too long (planted)")
        await _say(DECISION, state, f"The value is {state['carried']}.", config, voice)
        return {"value": state["carried"]}

    graph: StateGraph[State, None, State, State] = StateGraph(State)
    graph.add_node(AGGREGATOR, aggregate)
    graph.add_node(DECISION, decide)
    for role in agents:
        graph.add_node(role, _agent(role, cast, voice))
        graph.add_edge(START, role)
        graph.add_edge(role, AGGREGATOR)
    graph.add_conditional_edges(
        AGGREGATOR,
        lambda state: list(agents) if state["round"] < rounds else DECISION,
        [*agents, DECISION],
    )
    graph.add_edge(DECISION, END)
    return graph.compile(name="planted_world")


def _agent(role: str, cast: Cast, voice: Voice | None) -> Any:
    async def act(state: State, config: RunnableConfig) -> dict[str, Any]:
        number = state.get("round", 0) + 1
        play = cast(state["request"], state["topic"], _replicate(config))
        text, stands = play.note(role, number, await ainstructions(role), state.get("carried", ""))
        text = await _say(role, state, text, config, voice)
        return {"notes": [{"role": role, "round": number, "text": text, "value": stands}]}

    return act


async def _say(role: str, state: State, text: str, config: RunnableConfig, voice: Voice | None) -> str:
    """`text`, said by the voice where there is one: then the prompt is recorded."""
    if voice is None:
        return text
    seen = "\n".join(filter(None, (state["request"], state.get("summary", ""))))
    messages = [SystemMessage(await ainstructions(role)), HumanMessage(seen)]
    return (await voice.ainvoke(messages, config, said=text)).text


def _replicate(config: RunnableConfig) -> int:
    return int((config.get("configurable") or {}).get("truce_replicate", 0))
