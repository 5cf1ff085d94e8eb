"""The systems that `shared_prefix.py` measures: each with its runs unrolled by hand, and a count of node executions."""

from __future__ import annotations

import operator
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any, Protocol, TypedDict

from langchain_core.messages import HumanMessage, SystemMessage
from langgraph.graph import END, START, StateGraph

from langgraph_truce.bind import ainstructions
from langgraph_truce.rules import RuleBook, parse
from langgraph_truce.system import System
from langgraph_truce.task import Task
from langgraph_truce.testing import ScriptedModel

EDIT = "- This rule is new.\n"
Unrolled = Sequence[tuple[str, Sequence[int]]]
"""Every model call of a run: (agent whose rules it sends, numbers of the calls that it depends on)."""


class State(TypedDict, total=False):
    case: int
    round: int
    said: Annotated[list[str], operator.add]
    left: list[str]
    value: str


@dataclass
class World:
    """A graph, what its runs look like, and how often its nodes ran."""

    name: str
    graph: Any
    book: RuleBook
    unrolled: Callable[[Task], Unrolled]
    ran: Counter[str] = field(default_factory=Counter)

    @property
    def system(self) -> System:
        aggregator = "aggregator" if "aggregator" in self.graph.nodes else ""
        return System(self.graph, self.book, outputs=lambda s: s.get("said", [])[-1:], aggregator=aggregator)

    def least(self, agent: str, task: Task) -> int:
        """Calls whose prompt an edit of `agent` can change: its own, and those that depend on one of them."""
        changed: set[int] = set()
        for number, (who, after) in enumerate(self.unrolled(task)):
            if who == agent or changed & set(after):
                changed.add(number)
        return len(changed)


class Say(Protocol):
    """Ask the model with an agent's rules about what was seen."""

    async def __call__(self, agent: str, seen: str, number: int | None = None, /) -> str: ...


def speaker(model: ScriptedModel, ran: Counter[str]) -> Say:
    async def say(agent: str, seen: str, number: int | None = None, /) -> str:
        ran[agent] += 1
        text = await ainstructions(agent, round=number)
        return (await model.ainvoke([SystemMessage(text), HumanMessage(seen)])).text

    return say


def book_of(*agents: str) -> RuleBook:
    return RuleBook({a: parse(a, f"You are {a}.\n\n- Be brief.\n") for a in agents})


def edited(book: RuleBook, agent: str) -> RuleBook:
    return RuleBook({**book.agents, agent: parse(agent, book.render(agent) + EDIT)})


def debate(model: ScriptedModel, roles: Sequence[str] = ("a", "b", "c"), rounds: int = 3) -> World:
    ran: Counter[str] = Counter()
    say = speaker(model, ran)

    def role(name: str) -> Any:
        async def node(state: State) -> dict[str, Any]:
            return {"said": [await say(name, " ".join(state["said"][-1:]) + f" case {state['case']}", None)]}

        return node

    async def aggregator(state: State) -> dict[str, Any]:
        number = state.get("round", 0) + 1
        heard = " ".join(sorted(state["said"][-len(roles) :]))
        return {"said": [await say("aggregator", heard, number)], "round": number}

    async def decision(state: State) -> dict[str, Any]:
        return {"said": [await say("decision", state["said"][-1], None)]}

    builder = StateGraph(State).add_node("aggregator", aggregator).add_node("decision", decision)
    for name in roles:
        builder.add_node(name, role(name)).add_edge(START, name).add_edge(name, "aggregator")
    builder.add_conditional_edges(
        "aggregator", lambda s: list(roles) if s["round"] < rounds else "decision", [*roles, "decision"]
    )
    builder.add_edge("decision", END)

    def unrolled(_: Task) -> Unrolled:
        calls: list[tuple[str, Sequence[int]]] = []
        for number in range(1, rounds + 1):
            before = [len(calls) - 1] if calls else []
            first = len(calls)
            calls += [(name, before) for name in roles]
            calls.append((f"aggregator@{number}", range(first, len(calls))))
        return [*calls, ("decision", [len(calls) - 1])]

    agents = (*roles, *(f"aggregator@{n}" for n in range(1, rounds + 1)), "decision")
    return World(f"debate {len(roles)} x {rounds}", builder.compile(), book_of(*agents), unrolled, ran)


WORKERS = tuple(f"worker{n}" for n in range(1, 6))


def route(case: int) -> list[str]:
    """The workers that a case needs, in order: never the last one, the others in two cases of four."""
    return [w for n, w in enumerate(WORKERS[:-1]) if (case + n) % 4 < 2]


def manager(model: ScriptedModel) -> World:
    ran: Counter[str] = Counter()
    say = speaker(model, ran)

    async def boss(state: State) -> dict[str, Any]:
        left = route(state["case"]) if "left" not in state else state["left"][1:]
        return {"said": [await say("manager", " ".join([str(state["case"]), *state["said"]]))], "left": left}

    def worker(name: str) -> Any:
        async def node(state: State) -> dict[str, Any]:
            return {"said": [await say(name, state["said"][-1])]}

        return node

    builder = StateGraph(State).add_node("manager", boss).add_edge(START, "manager")
    builder.add_conditional_edges("manager", lambda s: s["left"][0] if s["left"] else END, [*WORKERS, END])
    for name in WORKERS:
        builder.add_node(name, worker(name)).add_edge(name, "manager")

    def unrolled(task: Task) -> Unrolled:
        agents = ["manager", *(a for w in route(task.inputs["case"]) for a in (w, "manager"))]
        return [(agent, [n - 1] if n else []) for n, agent in enumerate(agents)]

    return World("manager with 5 workers", builder.compile(), book_of("manager", *WORKERS), unrolled, ran)


STAGES = tuple(f"stage{n}" for n in range(1, 7))


def pipeline(model: ScriptedModel) -> World:
    ran: Counter[str] = Counter()
    say = speaker(model, ran)

    def stage(name: str) -> Any:
        async def node(state: State) -> dict[str, Any]:
            return {"said": [await say(name, " ".join([str(state["case"]), *state["said"][-1:]]))]}

        return node

    builder = StateGraph(State)
    for before, name in zip((START, *STAGES), STAGES, strict=False):
        builder.add_node(name, stage(name)).add_edge(before, name)
    builder.add_edge(STAGES[-1], END)
    chain = [(name, [n - 1] if n else []) for n, name in enumerate(STAGES)]
    return World("six-step pipeline", builder.compile(), book_of(*STAGES), lambda _: chain, ran)


def triage(model: ScriptedModel) -> World:
    """Triage calls a case easy or hard; hard ones go to a specialist, who may send them back; then it is answered."""
    ran: Counter[str] = Counter()
    say = speaker(model, ran)

    async def first(state: State) -> dict[str, Any]:
        said = await say("triage", f"{state['case']} {len(state['said'])}")
        return {"said": [said], "round": state.get("round", 0) + 1}

    async def specialist(state: State) -> dict[str, Any]:
        return {"said": [await say("specialist", " ".join(state["said"]))]}

    async def answer(state: State) -> dict[str, Any]:
        return {"said": [await say("answer", " ".join(state["said"]))]}

    def back(state: State) -> str:
        return "triage" if state["said"][-1] == "no" and state["round"] < 2 else "answer"

    builder = StateGraph(State).add_node("triage", first).add_node("specialist", specialist)
    builder.add_node("answer", answer).add_edge(START, "triage").add_edge("answer", END)
    builder.add_conditional_edges(
        "triage", lambda s: "specialist" if s["said"][-1] == "no" else "answer", ["specialist", "answer"]
    )
    builder.add_conditional_edges("specialist", back, ["triage", "answer"])
    return World("triage", builder.compile(), book_of("triage", "specialist", "answer"), lambda _: [], ran)


def chance(messages: Sequence[Any]) -> float:
    """Probability of "yes": more under the new rule, and less after every "no"."""
    new = EDIT.strip() in messages[0].text
    noes: int = messages[1].text.count("no")
    return (0.8 if new else 0.55) - 0.1 * min(2, noes)
