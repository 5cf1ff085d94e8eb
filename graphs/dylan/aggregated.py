"""DyLAN with a state bottleneck: the agents of a round answer at once, an aggregator writes what the next round reads.

The loop is `with_aggregator`'s. Beside the aggregator, in the same superstep, one rater rates all answers of the round;
after the decision the importance of the agents is reckoned from its ratings.
"""

from __future__ import annotations

import operator
from dataclasses import dataclass, replace
from typing import Annotated, Any, TypedDict

from langgraph.graph import END
from langgraph.graph.state import CompiledStateGraph
from langgraph.types import Overwrite

from langgraph_truce import bottleneck
from langgraph_truce.bottleneck import View, with_aggregator
from langgraph_truce.choices import letters_of, read_choice

from . import grammar, protocol, words
from .agent_importance import importance
from .plain import Debate

NAME = "dylan_aggregated"


class State(bottleneck.State, total=False):
    """The loop's state, and what is reckoned beside it; JSON only."""

    ratings: Annotated[list[dict[str, Any]], operator.add]
    """What the rater said of each round: `{"round", "text"}`."""
    importance: dict[str, float]
    """Role -> importance, summed over the rounds."""


class Rated(TypedDict, total=False):
    """What of the state reaches the rater."""

    task: dict[str, Any]
    round: int
    utterances: list[bottleneck.Utterance]
    heard: int
    over: bool


def build_aggregated(debate: Debate) -> CompiledStateGraph[Any, Any, Any, Any]:
    """The compiled graph, without saver."""
    form = _Form(debate)
    roles = {role: form.agent(role) for role in debate.roles}
    loop = with_aggregator(
        roles,
        rounds=debate.rounds,
        aggregate=form.aggregate,
        decide=form.decide,
        stop=form.stop,
        name=NAME,
    )
    graph = loop.builder
    graph.compiled = False  # the loop itself is never run, so there is nothing to warn of
    graph.add_node("rater", form.rate, input_schema=Rated)
    for role in roles:
        graph.add_edge(role, "rater")
    graph.add_node("importance", form.reckon, input_schema=State)
    graph.add_edge("decide", "importance")
    graph.add_edge("importance", END)
    graph.output_schema = State
    return graph.compile(name=NAME)


@dataclass(frozen=True, slots=True)
class _Form:
    """The agents, and when they stop."""

    debate: Debate

    def agent(self, role: str) -> Any:
        """A role's answer to the question and to S_(t-1)."""

        async def answer(view: View) -> str:
            return await self._answer(role, view, words.shared(view["task"], view["shared"]))

        return answer

    async def aggregate(self, view: View) -> str:
        """S_t, from the question and the answers of the round."""
        said = view["utterances"]
        order = protocol.shown_order(list(said), self.debate.seed, view["task"], view["round"])
        asked = words.summary(view["task"], [said[role] for role in order])
        return await self._answer("aggregator", view, asked)

    async def decide(self, view: View) -> str:
        """The debate's answer, from the question and S_R."""
        return await self._answer("decide", view, words.decision(view["task"], view["shared"]))

    async def _answer(self, role: str, view: View, asked: str) -> str:
        number = None if role == bottleneck.DECIDE else view["round"]
        return await self.debate.ask(role, number, asked, grammar.answer(letters_of(view["task"])))

    def stop(self, state: bottleneck.State) -> bool:
        """Do more than floor(2N/3) agents agree in the round that was just closed?"""
        turns = protocol.turns(state.get("utterances", []), self.debate.seed, state["task"])
        now = [t.answer for t in turns if t.round == state["round"]]
        return bool(protocol.agreed(now, len(self.debate.roles)))

    async def rate(self, state: Rated) -> dict[str, Any]:
        """Rates all answers of the running round in one call; where nobody spoke there is nothing to rate."""
        again = bool(state.get("over"))  # another run on the same thread
        number = 1 + (0 if again else state.get("round", 0))
        said = {u["role"]: u["text"] for u in state.get("utterances", [])[state.get("heard", 0) :]}
        shown = protocol.shown_order(list(said), self.debate.seed, state["task"], number)
        rated: list[dict[str, Any]] = []
        if shown:
            asked = words.rating(state["task"], [said[role] for role in shown])
            text = await self.debate.ask("rater", number, asked, grammar.ratings(len(shown)))
            rated.append({"round": number, "text": text})
        return {"ratings": Overwrite(rated) if again else rated}

    async def reckon(self, state: State) -> dict[str, Any]:
        """What each agent had to do with the answer: to every agent of a round the round before is worth what the rater said."""
        rated = {r["round"] + 1: tuple(protocol.read_ratings(r["text"])) for r in state["ratings"]}
        said = protocol.turns(state["utterances"], self.debate.seed, state["task"])
        turns = [replace(turn, ratings=rated.get(turn.round, ())) for turn in said]
        letter = read_choice(state["answer"], letters_of(state["task"]), rule="dylan")
        return {"importance": importance(self.debate.roles, turns, letter)}
