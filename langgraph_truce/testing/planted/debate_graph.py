"""The planted debate's system: a real LangGraph graph of roles and rounds, an aggregator between them, a decision."""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Any, Literal, TypedDict

from langchain_core.messages import AIMessage, HumanMessage, SystemMessage
from langchain_core.runnables import RunnableConfig
from langgraph.graph import END, START, StateGraph

from langgraph_truce.bind import ainstructions
from langgraph_truce.rollout.run import rollout_id
from langgraph_truce.testing.planted.debate_play import Case, aggregate, answer, table
from langgraph_truce.testing.planted.draws import draw
from langgraph_truce.testing.planted.faults import AGGREGATOR, DECISION
from langgraph_truce.testing.planted.graph import Graph, Voice

CaseOf = Callable[[int], Case]


class DebateState(TypedDict, total=False):
    """What travels through the graph."""

    request: str
    case: int
    desks: dict[str, str]
    """Role whose word counts, by letter of the fact."""
    round: int
    """Rounds that are over."""
    notes: Annotated[list[AIMessage], operator.add]
    """What the roles said, each under its name."""
    read: int
    """Notes that the aggregator has read."""
    board: dict[str, str]
    """Facts that are settled, by letter: all that goes from round to round."""
    summary: str
    value: str
    """The answer."""


Sharing = Literal["replicate", "prompt", "replay"]
"""Which replays of a case with one replicate number share their luck; see `PlantedDebate.luck`."""


class Luck:
    """The chances of one run: new ones in every replay, and by replicate.

    Args:
        seed: the world's.
        noise: share of runs in which the decision comes out the other way round.
        recovers: share of fresh samples in which a guilty role does right.
        sharing: which replays share them.
    """

    def __init__(self, seed: int, noise: float, recovers: float, sharing: Sharing) -> None:
        self.seed = seed
        self.noise = noise
        self.recovers = recovers
        self.sharing = sharing

    def flips(self, case: int, seen: str, config: RunnableConfig) -> bool:
        """True where the decision, which has `seen` this, comes out the other way round."""
        return draw(self.seed, "flip", case, *self._key(seen, config)) < self.noise

    def recovered(self, case: int, seen: str, config: RunnableConfig) -> bool:
        """True where the guilty role, in a replay, does right this time; in recorded runs it never does."""
        key = self._key(seen, config)
        return key[0] == "replay" and draw(self.seed, "recovers", case, *key) < self.recovers

    def _key(self, seen: str, config: RunnableConfig) -> tuple[object, ...]:
        told = config.get("configurable") or {}
        replicate, name = int(told.get("truce_replicate", 0)), told.get("truce_rollout", "")
        own = rollout_id(str(told.get("truce_version")), str(told.get("truce_task")), replicate)
        if not name or name == own:
            return ("run", replicate)
        more = {"replicate": (), "prompt": (seen,), "replay": (name,)}[self.sharing]
        return ("replay", replicate, *more)


def build_debate(roles: Sequence[str], rounds: int, cast: CaseOf, luck: Luck, voice: Voice) -> Graph:
    """Roles side by side, one plain edge each into the aggregator; it loops `rounds` times, then the decision."""

    async def aggregator(state: DebateState, config: RunnableConfig) -> dict[str, Any]:
        number, notes = state.get("round", 0) + 1, state["notes"]
        new = notes[state.get("read", 0) :]
        said = [(m.name or "", m.text) for m in new]
        board = dict(aggregate(state.get("board", {}), said, state["desks"]))
        words = f"Round {number} is over, with {table(board)}. {' '.join(text for _, text in said)}"
        words = await _say(voice, AGGREGATOR, number, "\n".join(t for _, t in said), words, config)
        return {"round": number, "read": len(notes), "board": board, "summary": words}

    async def decide(state: DebateState, config: RunnableConfig) -> dict[str, Any]:
        value = answer(state["board"], rounds)
        if luck.flips(state["case"], state["summary"], config):
            value = cast(state["case"]).missed(value)
        text = f"The answer is {value}."
        await _say(voice, DECISION, state["round"], state["summary"], text, config)
        return {"value": value}

    graph: StateGraph[DebateState, None, DebateState, DebateState] = StateGraph(DebateState)
    graph.add_node(AGGREGATOR, aggregator)
    graph.add_node(DECISION, decide)
    for role in roles:
        graph.add_node(role, _role(role, cast, luck, voice))
        graph.add_edge(START, role)
        graph.add_edge(role, AGGREGATOR)
    graph.add_conditional_edges(
        AGGREGATOR,
        lambda state: list(roles) if state["round"] < rounds else DECISION,
        [*roles, DECISION],
    )
    graph.add_edge(DECISION, END)
    return graph.compile(name="planted_debate")


def _role(role: str, cast: CaseOf, luck: Luck, voice: Voice) -> Any:
    async def act(state: DebateState, config: RunnableConfig) -> dict[str, Any]:
        number, case = state.get("round", 0) + 1, cast(state["case"])
        acts = False
        if case.kind != "none" and (role, number) == (case.fault.agent, case.round):
            faulty = case.fault.active(await ainstructions(role, round=number))
            acts = faulty and not luck.recovered(case.number, state.get("summary", ""), config)
        text = case.note(role, number, state.get("board", {}), acts=acts)
        seen = "\n".join(filter(None, (state["request"], state.get("summary", ""))))
        return {"notes": [AIMessage(await _say(voice, role, number, seen, text, config), name=role)]}

    return act


async def _say(voice: Voice, role: str, number: int, seen: str, text: str, config: RunnableConfig) -> str:
    """`text`, said by the voice: the call is counted and journalled as a model's."""
    messages = [SystemMessage(await ainstructions(role, round=number)), HumanMessage(seen)]
    return (await voice.ainvoke(messages, config, said=text)).text


def progress(state: Mapping[str, Any], facts: Mapping[str, str]) -> float:
    """Share of the case's facts that are due by now and right on the board, in [0, 1]; never more than round / rounds.

    A fact noted in advance does not count before its round, so an error in one does not show before it, either.
    """
    due = sorted(facts)[: int(state.get("round", 0))]
    board: Mapping[str, str] = state.get("board") or {}
    return [board.get(letter) == facts[letter] for letter in due].count(True) / len(facts)
