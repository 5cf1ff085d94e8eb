"""Manager and workers: the manager picks the worker, the worker answers, the aggregator joins, the responder replies.

Every role is an *agent*: a chat model with instructions of its own in `rules/ROLE.md`, or a plain function of the state.
By default manager and workers call the model, aggregator and responder are functions; `build(agents=...)` changes it.
"""

from __future__ import annotations

import json
import operator
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Any, Protocol, TypedDict

from langchain_core.language_models import BaseChatModel
from langgraph.graph import END, START, StateGraph
from langgraph.graph.state import CompiledStateGraph

from langgraph_truce import ainstructions

RULES = Path(__file__).parent / "rules"


class State(TypedDict, total=False):
    """What the roles share; JSON only."""

    request: str
    """What the customer wrote."""
    department: str
    """The worker that the manager picked; empty where its reply could not be read."""
    results: Annotated[list[dict[str, Any]], operator.add]
    """What the workers answered, one object each."""
    joined: dict[str, Any]
    """Department and fields in one object."""
    answer: dict[str, Any]
    """The final answer."""


Function = Callable[[State], Mapping[str, Any]]
"""A deterministic agent: the state in, the state's update out."""
Agent = BaseChatModel | Function


@dataclass(frozen=True, slots=True)
class House:
    """The departments, and what each of them answers."""

    workers: Mapping[str, Mapping[str, Any]]
    """Department -> JSON schema of each field of its answer. A department is a node, and its rules are `rules/NAME.md`."""
    choice: str = "subject"
    """The field in which the manager names a department. A small model chooses by what it would say itself: a field whose
    natural values are the departments' names routes far better than one that it does not know."""
    rules: Path = RULES
    """Folder of the rule files that are read outside of an optimization."""


def _desks(*names: str) -> dict[str, Any]:
    return {"reference": {"type": "string", "maxLength": 12}, "desk": {"type": "string", "enum": list(names)}}


HOUSE = House(
    {
        "payments": _desks("ash", "elm"),
        "heating": _desks("kiln", "lathe"),
        "transport": _desks("crate", "dock"),
        "users": _desks("latch", "quill"),
        "development": _desks("seed", "stem"),
    }
)


@dataclass(frozen=True)
class _Seat:
    """Where one role's chat model is asked."""

    role: str
    model: BaseChatModel | None
    house: House
    fields: Mapping[str, Any] = field(default_factory=dict)
    """JSON schema of each field of the reply."""

    async def ask(self, text: str) -> dict[str, Any]:
        """The model's reply as an object with no other than these fields; empty where it cannot be read."""
        schema = {
            "type": "object",
            "properties": dict(self.fields),
            "required": list(self.fields),
            "additionalProperties": False,
        }
        model = self.model or _embedded()
        form = {"type": "json_schema", "json_schema": {"name": "answer", "schema": schema}}
        reply = await model.bind(response_format=form).ainvoke(
            [("system", await ainstructions(self.role, beside=self.house.rules)), ("user", text)]
        )
        said = _object(str(reply.text))
        return {k: said[k] for k in self.fields if k in said}


@lru_cache(maxsize=1)
def _embedded() -> BaseChatModel:
    """The embedded model, started at the first call: one slot a role keeps each role's prefix read."""
    from langgraph_truce import local_model

    return local_model(max_tokens=64, slots=6)


def _object(text: str) -> dict[str, Any]:
    """The reply's JSON object; a reply that is none is an answer without fields (one cut off raises at the model)."""
    try:
        said = json.loads(text)
    except json.JSONDecodeError:
        return {}
    return said if isinstance(said, dict) else {}


class Node(Protocol):
    """A node as LangGraph takes it."""

    async def __call__(self, state: State) -> Any:
        """The state's update."""


def _manager(agent: Agent | None, house: House) -> Node:
    """Names the department of a request."""
    names = list(house.workers)
    seat = _Seat("manager", _model(agent), house, {house.choice: {"type": "string", "enum": names}})

    async def manager(state: State) -> Mapping[str, Any]:
        said = (await seat.ask(state["request"])).get(house.choice)
        return {"department": said if said in names else ""}

    return _plain(agent) or manager


def _worker(name: str, agent: Agent | None, house: House) -> Node:
    """Answers the requests of one department."""
    seat = _Seat(name, _model(agent), house, house.workers[name])

    async def worker(state: State) -> Mapping[str, Any]:
        return {"results": [await seat.ask(state["request"])]}

    return _plain(agent) or worker


def join(state: State) -> Mapping[str, Any]:
    """The aggregator: department and all workers' fields in one object; of a field given twice the first counts."""
    joined: dict[str, Any] = {}
    for result in state.get("results", []):
        joined = {**result, **joined}
    department = state.get("department", "")
    return {"joined": {"department": department, **joined} if department else joined}


def respond(state: State) -> Mapping[str, Any]:
    """The responder: the joined fields with texts trimmed; fields without a value are left out."""
    fields = {k: v.strip() if isinstance(v, str) else v for k, v in state["joined"].items()}
    return {"answer": {k: v for k, v in fields.items() if v not in ("", None)}}


def build(
    model: BaseChatModel | None = None, *, agents: Mapping[str, Agent] | None = None, house: House = HOUSE
) -> CompiledStateGraph[Any, Any, Any, Any]:
    """The compiled graph, without saver.

    Args:
        model: What the roles without an entry in `agents` call; None: the embedded model, started at the first call.
        agents: Role -> its own chat model, or a function that makes it deterministic. Manager and workers take both,
            aggregator and responder take functions.
        house: Departments and their fields.

    Raises:
        ValueError: `agents` names a role that the graph does not have, or gives aggregator or responder a model.
    """
    own = dict(agents or {})
    functions: dict[str, Function] = {"aggregator": join, "responder": respond}
    roles = ("manager", *house.workers, *functions)
    if unknown := own.keys() - set(roles):
        raise ValueError(f"no such role: {', '.join(sorted(unknown))}; the roles are: {', '.join(roles)}")
    graph = StateGraph(State)
    graph.add_node("manager", _manager(own.get("manager", model), house))
    for name in house.workers:
        graph.add_node(name, _worker(name, own.get(name, model), house))
        graph.add_edge(name, "aggregator")
    for name, function in functions.items():
        node = _plain(own.get(name, function))
        if node is None:
            raise ValueError(f"{name} takes a function of the state, got a chat model")
        graph.add_node(name, node)
    graph.add_edge(START, "manager")
    graph.add_conditional_edges("manager", pick, [*house.workers, "aggregator"])
    graph.add_edge("aggregator", "responder")
    graph.add_edge("responder", END)
    return graph.compile(name="manager_worker")


def pick(state: State) -> str:
    """The worker that the manager named; straight to the aggregator where it named none."""
    return state.get("department") or "aggregator"


def _model(agent: Agent | None) -> BaseChatModel | None:
    return agent if isinstance(agent, BaseChatModel) else None


def _plain(agent: Agent | None) -> Node | None:
    """The node of a deterministic agent; None where a model is to be asked."""
    if agent is None or isinstance(agent, BaseChatModel):
        return None

    async def deterministic(state: State) -> Mapping[str, Any]:
        return agent(state)

    return deterministic


graph = build()
