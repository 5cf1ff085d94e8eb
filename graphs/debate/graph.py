"""Debate: roles in rounds with an aggregator (TSCA), and LLM-Debate as it was published, without roles and aggregator.

With an aggregator the roles see the task and the last shared state alone. Without one every agent keeps its own history
and is shown what the others answered in the last round; the majority of the last round is the answer.
"""

from __future__ import annotations

import operator
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Any, TypedDict

from langchain_core.runnables import Runnable
from langgraph.graph import END, START, StateGraph
from langgraph.graph.state import CompiledStateGraph
from langgraph.types import Overwrite, Send

from langgraph_truce import ainstructions
from langgraph_truce.bottleneck import (
    DECIDE,
    Utterance,
    View,
    ask,
    check_names,
    check_rounds,
    question,
    task_of,
    with_aggregator,
)
from langgraph_truce.choices import letters_of, plurality, read_choice
from langgraph_truce.errors import SystemMismatch

HERE = Path(__file__).parent
RULES = HERE / "rules"
ORIGINAL = HERE / "original"
"""Rules of the debate without roles: one file for all agents."""
ROLES = ("proposer", "critic", "synthesiser")
AGGREGATOR = "aggregator"
DEBATER = "debater"
"""The node, and the rules, of all agents of a debate without roles."""

Model = Runnable[Any, Any]
"""A chat model, or one with settings bound to it."""
Node = Callable[..., Awaitable[dict[str, Any]]]


def build(
    model: Model | None = None,
    *,
    roles: Sequence[str] | int = ROLES,
    rounds: int = 2,
    aggregator: bool = True,
    rules: Path | None = None,
) -> CompiledStateGraph[Any, Any, Any, Any]:
    """The compiled graph, without saver; its input is `{"task": inputs}`, its answer the text `answer`.

    Args:
        model: What all agents ask; None: the embedded model, started at the first call, with short replies that end in
            an option's letter.
        roles: N names, each with rules of its own; or N itself, for agents without roles, which share one file of rules.
        rounds: R, at least 1.
        aggregator: True: rounds closed by an aggregator, then a decision (N R + R + 1 model calls). False: every agent
            sees the others' answers, and the majority of the last round is the answer (N R calls).
        rules: Folder of the rule files that are read outside of an optimization; None: those beside this file.

    Raises:
        SystemMismatch: no role, a name that cannot be a node's, fewer than 1 round, or agents without roles with an
            aggregator.
    """
    if isinstance(roles, int):
        if aggregator or roles < 1:
            raise SystemMismatch(
                f"debate: {roles} agents without roles need aggregator=False and a number of at least 1; an aggregator "
                "wants names, roles=('proposer', 'critic')"
            )
        debater = _Seat(DEBATER, model, rules or ORIGINAL)
        return _plain({f"{DEBATER} {n}": debater for n in range(1, roles + 1)}, rounds)
    check_names("debate", roles, {} if aggregator else _TAKEN)
    seats = {role: _Seat(role, model, rules or RULES) for role in (*roles, AGGREGATOR, DECIDE)}
    speakers = {role: seats[role] for role in roles}
    if not aggregator:
        return _plain(speakers, rounds)
    return with_aggregator(
        {role: seat.speak for role, seat in speakers.items()},
        rounds=rounds,
        aggregator=AGGREGATOR,
        aggregate=seats[AGGREGATOR].speak,
        decide=seats[DECIDE].speak,
        name="debate",
    )


@dataclass(frozen=True, slots=True)
class _Seat:
    """Where one agent's chat model is asked."""

    role: str
    """Its node, and the agent whose rules it reads."""
    model: Model | None
    rules: Path

    async def speak(self, view: View) -> str:
        """In rounds with an aggregator."""
        return await ask(self._model(view["task"]), self.role, view, beside=self.rules)

    async def answer(self, me: str, state: _State) -> str:
        """Without aggregator: from its own history and the others' answers."""
        rules = await ainstructions(self.role, round=state["round"] + 1, beside=self.rules)
        reply = await self._model(state["task"]).ainvoke([("system", rules), *history(me, state)])
        return reply if isinstance(reply, str) else str(reply.text)

    def _model(self, task: Mapping[str, Any]) -> Model:
        return self.model if self.model is not None else _embedded(letters_of(task))


@lru_cache(maxsize=8)
def _embedded(letters: str) -> Model:
    """The embedded model, started at the first call; its replies are a few words and then one of the letters."""
    from langgraph_truce import local_model

    model = local_model(max_tokens=96, slots=6)
    if not letters:
        return model
    form = rf'root ::= [^()\n]{{1,80}} "(" [{letters}] ")"'
    return model.bind(extra_body={"grammar": form})


# Without aggregator ----------------------------------------------------------------------------------------------


class _State(TypedDict, total=False):
    """What the agents of a debate without aggregator share; JSON only."""

    task: dict[str, Any]
    round: int
    """Rounds that were voted on."""
    said: Annotated[list[Utterance], operator.add]
    answer: str
    """The majority's option in parentheses, or its words where the task has no options; "" where nobody could be read."""


class _Input(TypedDict):
    task: dict[str, Any]


class _Turn(_State):
    """What an agent is given: the state, and who it is."""

    me: str


_TAKEN = {
    **dict.fromkeys(("task", "round", "said", "answer"), "a key of the state"),
    "open": "the first node",
    "vote": "the voting node",
}


def _plain(agents: Mapping[str, _Seat], rounds: int) -> CompiledStateGraph[Any, Any, Any, Any]:
    """Agents that answer side by side, round after round, and a vote."""
    check_rounds("debate", rounds)

    async def opened(state: _State) -> dict[str, Any]:
        task_of(state)
        return {"round": 0, "said": Overwrite([]), "answer": ""}

    def turns(state: _State) -> list[Send]:
        return [Send(seat.role, {**state, "me": me}) for me, seat in agents.items()]

    def after(state: _State) -> list[Send] | str:
        return END if state["round"] >= rounds else turns(state)

    graph = StateGraph(_State, input_schema=_Input)
    graph.add_node("open", opened)
    graph.add_edge(START, "open")
    nodes = {seat.role: seat for seat in agents.values()}
    for role, seat in nodes.items():
        graph.add_node(role, _answers(seat), input_schema=_Turn)
        graph.add_edge(role, "vote")
    graph.add_node("vote", _votes(list(agents)))
    graph.add_conditional_edges("open", turns, list(nodes))
    graph.add_conditional_edges("vote", after, [*nodes, END])
    return graph.compile(name="debate")


def _answers(seat: _Seat) -> Node:
    async def agent(state: _Turn) -> dict[str, Any]:
        text = await seat.answer(state["me"], state)
        return {"said": [{"role": state["me"], "round": state["round"] + 1, "text": text}]}

    return agent


def _votes(agents: Sequence[str]) -> Node:
    async def vote(state: _State) -> dict[str, Any]:
        number = state["round"] + 1
        last = {u["role"]: u["text"] for u in state["said"] if u["round"] == number}
        return {"round": number, "answer": majority(state["task"], [last.get(a, "") for a in agents])}

    return vote


def majority(task: Mapping[str, Any], replies: Sequence[str]) -> str:
    """The answer of most replies; among equals the one found first.

    Returns:
        "(B)" for a question with options, the reply itself for another; "" where no reply can be read.
    """
    letters = letters_of(task)
    if not letters:
        return plurality([reply.strip() for reply in replies])
    won = plurality([read_choice(reply, letters, rule="last_parenthesised") for reply in replies])
    return f"({won})" if won else ""


def history(me: str, state: _State) -> list[tuple[str, str]]:
    """An agent's own history as messages: the question, then for each round its answer and what the others answered."""
    messages = [("user", question(state["task"]))]
    for number in range(1, state["round"] + 1):
        said = {u["role"]: u["text"] for u in state["said"] if u["round"] == number}
        messages.append(("assistant", said.pop(me, "") or "(no answer)"))
        messages.append(("user", _others(list(said.values()))))
    return messages


def _others(answers: Sequence[str]) -> str:
    if not answers:
        return "Check your answer once more, step by step, and give it again in the same form."
    listed = "\n\n".join(f"One agent answered:\n{answer}" for answer in answers)
    return (
        f"{listed}\n\nTake these answers as advice: examine them and your own step by step, then give your answer again "
        "in the same form."
    )


graph = build()
