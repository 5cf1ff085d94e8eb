"""DyLAN as published: agents speak one after the other, a round ends early when enough agree, a ranker leaves two.

Every role is a node. After each answer a conditional edge looks whether the round is over: by consensus, or because all
have spoken. `tally` closes a round without a model, `ranker` chooses who goes on, `result` counts.
"""

from __future__ import annotations

import operator
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, TypedDict

from langchain_core.runnables import Runnable
from langgraph.graph import END, START, StateGraph
from langgraph.graph.state import CompiledStateGraph
from langgraph.types import Overwrite

from langgraph_truce import ainstructions
from langgraph_truce.bottleneck import Utterance
from langgraph_truce.choices import letters_of, plurality

from . import grammar, protocol, words
from .agent_importance import importance

RULES = Path(__file__).parent / "rules"
Model = Runnable[Any, Any]
"""A chat model, or one with settings bound to it."""
RANKED = 2
"""After this round the ranker is asked, where more than three take part."""


class Question(TypedDict):
    """What the graph is invoked with."""

    task: dict[str, Any]


class State(TypedDict, total=False):
    """What the agents share; JSON only."""

    task: dict[str, Any]
    """`{"question": text, "options": {"A": text, ...}}`."""
    utterances: Annotated[list[Utterance], operator.add]
    """What was said, in order: `{"role", "round", "text"}`. What counts of it is read by `protocol.turns`."""
    round: int
    """Rounds that are closed."""
    leading: str
    """The answer that most agents gave in the last closed round, as "(B)"; "" where nobody gave one."""
    ranking: str
    """What the ranker said."""
    answer: str
    """The debate's answer, as "(B)"; "" where nobody in the last round gave one."""
    importance: dict[str, float]
    """Role -> importance, summed over the rounds."""
    over: bool
    """The debate is held: another run on the same thread begins anew."""


@dataclass(frozen=True, slots=True)
class Debate:
    """One set-up: the nodes, and the functions of the state that say where it goes (async: others run in threads)."""

    roles: tuple[str, ...]
    rounds: int
    seed: int
    model: Model | None
    """None: the embedded model, started at the first call."""

    @property
    def ranks(self) -> bool:
        """Is the ranker ever asked?"""
        return self.rounds > RANKED and len(self.roles) > protocol.CROWD

    def speakers(self, state: State) -> tuple[str, ...]:
        """Who speaks in the running round, in order: all, and after the ranker the two that it left."""
        among = self.kept(state) if self.size(now(state)) < len(self.roles) else self.roles
        return protocol.speaking_order(among, self.seed, state["task"], now(state))

    def size(self, round: int) -> int:  # noqa: A002 - the field's word
        """How many speak in `round`, if nobody stops it."""
        return protocol.KEPT if self.ranks and round > RANKED else len(self.roles)

    def kept(self, state: State) -> tuple[str, ...]:
        """The two roles behind the ranker's choice; two drawn by the seed where it names no two."""
        task = state["task"]
        shown = protocol.shown_order([u["role"] for u in spoken(state, RANKED)], self.seed, task, RANKED)
        picked = protocol.read_picks(state.get("ranking", ""), shown)
        return picked or protocol.drawn(self.roles, self.seed, task, RANKED)

    def shown(self, state: State) -> list[Utterance]:
        """The answers of the last closed round, in the order in which the running round reads them."""
        said = {u["role"]: u for u in spoken(state, state.get("round", 0))}
        order = protocol.shown_order(list(said), self.seed, state["task"], state.get("round", 0))
        return [said[role] for role in order]

    def answers(self, state: State, round: int) -> list[str]:  # noqa: A002 - the field's word
        """The letters given in `round`, in order of time; "" for none."""
        return [t.answer for t in protocol.turns(spoken(state, round), self.seed, state["task"])]

    async def speaker(self, state: State) -> str:
        """The node that runs next inside a round: the next role, or `tally` where the round is over."""
        speakers = self.speakers(state)
        answers = self.answers(state, now(state))
        over = len(answers) == len(speakers) or protocol.agreed(answers, len(speakers))
        return "tally" if over else speakers[len(answers)]

    async def opening(self, state: State) -> str:
        """The node that runs first.

        Raises:
            UserMistake: the input has no multiple-choice question under `task`.
        """
        words.question(state.get("task") or {})
        return await self.speaker(anew(state))

    async def onward(self, state: State) -> str:
        """The node that runs after a closed round."""
        closed = state["round"]
        if closed >= self.rounds or protocol.agreed(self.answers(state, closed), self.size(closed)):
            return "result"
        if self.ranks and closed == RANKED:
            return "ranker"
        return await self.speaker(state)

    def agent(self, role: str) -> Any:
        """The node of a role: answers, and from round 2 on rates the answers it was shown."""

        async def answer(state: State) -> dict[str, Any]:
            begins = bool(state.get("over"))
            state = anew(state)
            task, shown = state["task"], texts(self.shown(state))
            asked = words.later(task, shown) if shown else words.first(task)
            form = grammar.answer(letters_of(task), len(shown))
            text = await self.ask(role, now(state), asked, form)
            said = Utterance(role=role, round=now(state), text=text)
            if begins:  # another debate on the same thread
                return {"utterances": Overwrite([said]), "round": 0, "ranking": "", "over": False}
            return {"utterances": [said]}

        return answer

    async def ranker(self, state: State) -> dict[str, Any]:
        """Says whose two answers are best."""
        shown = texts(self.shown(state))
        asked = words.ranking(state["task"], shown)
        return {"ranking": await self.ask("ranker", now(state), asked, grammar.picks(len(shown)))}

    async def tally(self, state: State) -> dict[str, Any]:
        """Closes a round: the answer that most agents gave in it, ties to the one given first."""
        letter = plurality(self.answers(state, now(state)))
        return {"round": now(state), "leading": f"({letter})" if letter else ""}

    async def result(self, state: State) -> dict[str, Any]:
        """The answer of the last round, and what each agent had to do with it."""
        letter = plurality(self.answers(state, state["round"]))
        turns = protocol.turns(state["utterances"], self.seed, state["task"])
        return {
            "answer": state["leading"],
            "importance": importance(self.roles, turns, letter),
            "over": True,
        }

    async def ask(self, role: str, round: int | None, text: str, form: str) -> str:  # noqa: A002 - the field's word
        """The model's reply to `text` under the instructions of `role`; the embedded model's is held to `form`."""
        model = self.model or grammar.embedded(form)
        system = await ainstructions(role, round=round, beside=RULES)
        reply = await model.ainvoke([("system", system), ("user", text)])
        return reply if isinstance(reply, str) else str(reply.text)


def anew(state: State) -> State:
    """The state without a debate that was held before on the same thread."""
    return State(task=state["task"]) if state.get("over") else state


def now(state: State) -> int:
    """The running round, from 1."""
    return state.get("round", 0) + 1


def spoken(state: State, round: int) -> list[Utterance]:  # noqa: A002 - the field's word
    """What was said in `round`, in order."""
    return [u for u in state.get("utterances", []) if u["round"] == round]


def texts(said: Sequence[Utterance]) -> list[str]:
    """The words alone."""
    return [u["text"] for u in said]


def build_plain(debate: Debate) -> CompiledStateGraph[Any, Any, Any, Any]:
    """The compiled graph, without saver."""
    graph = StateGraph(State, input_schema=Question)
    roles = list(debate.roles)
    for role in roles:
        graph.add_node(role, debate.agent(role))
        graph.add_conditional_edges(role, debate.speaker, [*(r for r in roles if r != role), "tally"])
    graph.add_conditional_edges(START, debate.opening, roles)
    graph.add_node("tally", debate.tally)
    graph.add_node("result", debate.result)
    if debate.ranks:
        graph.add_node("ranker", debate.ranker)
        graph.add_conditional_edges("ranker", debate.speaker, roles)
    nexts = [*roles, "result", *(["ranker"] if debate.ranks else [])]
    graph.add_conditional_edges("tally", debate.onward, nexts)
    graph.add_edge("result", END)
    return graph.compile(name="dylan")
