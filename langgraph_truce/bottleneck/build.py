"""`with_aggregator`: the graph of rounds; `per_round`: rules of their own for every round."""

from __future__ import annotations

import inspect
import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from copy import deepcopy
from dataclasses import replace
from typing import Any, get_type_hints

from langgraph.graph import END, START, StateGraph
from langgraph.graph.state import CompiledStateGraph
from langgraph.types import Overwrite

from langgraph_truce.bind.discover.names import role_of
from langgraph_truce.bottleneck.speak import Role, Speaker, beside_caller, speaker, text_of
from langgraph_truce.bottleneck.state import DECIDE, Channels, Closing, Input, Seen, State, View
from langgraph_truce.errors import SystemMismatch, UnknownNameError
from langgraph_truce.rules import RuleBook

Node = Callable[..., Awaitable[dict[str, Any]]]
_NODE = re.compile(r"(?!__)\w(?:[\w -]*\w)?")
"""Names that are fit for a node, for a part of a role path and for a rule file at once."""


def with_aggregator(
    roles: Mapping[str, Role | None],
    *,
    rounds: int,
    aggregator: str = "aggregator",
    aggregate: Role | None = None,
    decide: Role | None = None,
    model: Role | None = None,
    stop: Callable[[State], bool] | None = None,
    name: str = "rounds",
) -> CompiledStateGraph[Any, Any, Any, Any]:
    """Rounds of roles and aggregator, then a decision: the compiled graph, without saver; input `{"task": inputs}`.

    A rollout of N roles and R rounds makes N R + R + 1 model calls where every node asks one. Rules are read as agents
    `ROLE` (`ROLE@t`), `aggregator` (`aggregator@t`) and `decide`; outside of an optimization from the folder `rules/`
    beside the file that calls this function. The system is made with

        System(graph, rules, inputs=lambda t: {"task": dict(t)}, outputs=lambda s: {"answer": s["answer"]},
               aggregator="aggregator", calls=N * R + R + 1)

    A role that says nothing in a round is left out of U_t; the aggregator must say something. A thread takes one run
    after the other; one that broke off is gone on with, or left for a new thread.

    Args:
        roles: Role -> how it speaks; None takes `model`. Each becomes a node of that name.
        rounds: R, at least 1.
        aggregator: Name of the node that closes a round.
        aggregate: How the aggregator speaks; None takes `model`.
        decide: How the decision node speaks; None takes `model`.
        model: What speaks for those that have nothing of their own.
        stop: Asked after each round with the state; True goes on to the decision early.
        name: The graph's name.

    Raises:
        SystemMismatch: no role, fewer than 1 round, a name that cannot be a node's or is taken, or somebody who has
            nothing to speak with; in a run: no task, a role that returns no text, or an aggregator that is silent.
    """
    if not isinstance(roles, Mapping):
        raise SystemMismatch(
            f"with_aggregator: roles are a mapping of name to how it speaks, {{'critic': None}}; got {roles!r}"
        )
    names = tuple(roles)
    keys = dict.fromkeys(get_type_hints(Channels), "a key of the state")
    check_names("with_aggregator", [aggregator], {**keys, DECIDE: "the decision node"})
    check_names("with_aggregator", names, {**keys, DECIDE: "the decision node", aggregator: "the aggregator"})
    check_rounds("with_aggregator", rounds)
    if stop is not None and (not callable(stop) or inspect.iscoroutinefunction(stop)):
        raise SystemMismatch(f"with_aggregator: stop must be a plain function of the state, got {stop!r}")
    beside = beside_caller(1)

    def speaks(node: str, own: Role | None) -> Speaker:
        return speaker(node, model if own is None else own, beside)

    graph = StateGraph(Channels, input_schema=Input, output_schema=State)
    for role, own in roles.items():
        graph.add_node(role, _speaks(role, speaks(role, own)), input_schema=Seen)
        graph.add_edge(START, role)
        # one plain edge for each: the joining form (a list) spoils stored histories
        graph.add_edge(role, aggregator)
    graph.add_node(
        aggregator, _closes(names, aggregator, speaks(aggregator, aggregate)), input_schema=Closing
    )
    graph.add_node(DECIDE, _decides(speaks(DECIDE, decide)), input_schema=Seen)
    graph.add_conditional_edges(aggregator, _next(names, rounds, stop), [*names, DECIDE])
    graph.add_edge(DECIDE, END)
    return graph.compile(name=name)


def per_round(book: RuleBook, agents: Sequence[str], rounds: int) -> RuleBook:
    """The unshared form: rules of its own for every round, equal at first (TSCA eq. 9; eq. 10 shares them).

    Args:
        book: Rules that are shared over rounds.
        agents: Those to be copied: `ROLE` becomes `ROLE@1` ... `ROLE@R` with the same rule ids; the others stay.
        rounds: R, at least 1.

    Raises:
        UnknownNameError: the book has no such agent.
        SystemMismatch: fewer than 1 round, or the decision is among the agents.
    """
    check_rounds("per_round", rounds)
    if isinstance(agents, str):
        raise SystemMismatch(f"per_round: agents are a list of names, [{agents!r}]; got {agents!r}")
    if lost := sorted(set(agents) - book.agents.keys()):
        there = ", ".join(sorted(book.agents)) or "none"
        raise UnknownNameError(
            f"per_round: the rule book has no agent {', '.join(lost)}; its agents are: {there}"
        )
    if DECIDE in agents:
        raise SystemMismatch(f"per_round: {DECIDE!r} runs once, after the last round; leave it out")
    kept = {name: rules for name, rules in book.agents.items() if name not in set(agents)}
    own = {
        f"{agent}@{t}": replace(book.agent(agent, t), agent=f"{agent}@{t}")
        for agent in agents
        for t in range(1, rounds + 1)
    }
    return RuleBook({**kept, **own})


# Nodes -----------------------------------------------------------------------------------------------------------


def _view(state: Seen | Closing, number: int) -> View:
    """What a node of round `number` is given; the state of a run that is over is not handed on."""
    task = task_of(state)
    # a copy: what one role does to it must not reach another
    return View(task=deepcopy(task), round=number, shared="" if number == 1 else state.get("shared", ""))


def _closed(state: Seen) -> int:
    """Rounds that are closed of the run that is going on."""
    return 0 if state.get("over") else state.get("round", 0)


def _speaks(role: str, speak: Speaker) -> Node:
    """A role in a round."""

    async def node(state: Seen) -> dict[str, Any]:
        view = _view(state, _closed(state) + 1)
        text = await text_of(speak, role, view)
        return {"utterances": [{"role": role, "round": view["round"], "text": text}]} if text else {}

    return node


def _closes(roles: Sequence[str], aggregator: str, speak: Speaker) -> Node:
    """The aggregator: S_t from U_t."""

    async def node(state: Closing) -> dict[str, Any]:
        view = _view(state, _closed(state) + 1)
        everything = state.get("utterances", [])
        said = everything[state.get("heard", 0) :]
        texts = {u["role"]: u["text"] for u in said}
        view["utterances"] = {role: texts[role] for role in roles if role in texts}
        text = await text_of(speak, aggregator, view)
        if not text:
            raise SystemMismatch(
                f"{aggregator!r} in round {view['round']} wrote no text, so there is no shared state to go on with; it must "
                "say something in every round, if only what it was given"
            )
        closed = {"shared": text, "round": view["round"], "heard": len(everything)}
        if state.get("over"):  # the first round of another run: what the one before said goes
            return {**closed, "heard": len(said), "over": False, "utterances": Overwrite(said)}
        return closed

    return node


def _decides(speak: Speaker) -> Node:
    """The decision: the answer from (x, S_R)."""

    async def node(state: Seen) -> dict[str, Any]:
        view = _view(state, state["round"])
        view["shared"] = state["shared"]
        return {"answer": await text_of(speak, DECIDE, view), "over": True}

    return node


def _next(
    roles: Sequence[str], rounds: int, stop: Callable[[State], bool] | None
) -> Callable[[State], list[str]]:
    """Where it goes from the aggregator: another round, or the decision."""

    def route(state: State) -> list[str]:
        over = state["round"] >= rounds or (stop is not None and stop(state))
        return [DECIDE] if over else list(roles)

    return route


# Checks ----------------------------------------------------------------------------------------------------------


def task_of(state: Mapping[str, Any]) -> Mapping[str, Any]:
    """The task's inputs, as they were handed in under `task`.

    Raises:
        SystemMismatch: there are none.
    """
    task = state.get("task")
    if not isinstance(task, Mapping):
        raise SystemMismatch(
            f"the graph's input has no task, got {task!r}; invoke it with {{'task': inputs}}, in a system with "
            "inputs=lambda t: {'task': dict(t)}"
        )
    return task


def check_rounds(where: str, rounds: int) -> None:
    """Refuse a number of rounds that cannot be.

    Raises:
        SystemMismatch: `rounds` is no whole number of at least 1; the message begins with `where`.
    """
    if not isinstance(rounds, int) or isinstance(rounds, bool) or rounds < 1:
        raise SystemMismatch(f"{where}: rounds must be a whole number of at least 1, got {rounds!r}")


def check_names(where: str, names: Sequence[str], taken: Mapping[str, str]) -> None:
    """Refuse names that roles of a graph cannot have.

    Args:
        where: The function that was called, for the message.
        names: The roles.
        taken: Name -> what has it: other nodes, keys of the state.

    Raises:
        SystemMismatch: there is none, one cannot name a node, one is there twice, or one is taken.
    """
    if isinstance(names, str) or not names:
        raise SystemMismatch(f"{where}: roles are at least one name, got {names!r}")
    for name in names:
        if not isinstance(name, str) or not _NODE.fullmatch(name) or role_of(name) != name:
            raise SystemMismatch(
                f"{where}: {name!r} cannot be a node's name; letters, digits, '_', '-' and inner blanks can"
            )
        if name in taken:
            raise SystemMismatch(f"{where}: {name!r} is the name of {taken[name]}; choose another")
    if len(set(names)) < len(names):
        raise SystemMismatch(
            f"{where}: a role is named twice among {', '.join(names)}; give each its own name"
        )
