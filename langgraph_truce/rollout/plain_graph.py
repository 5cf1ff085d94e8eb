"""Runs of plain graphs without a saver: LangGraph's own task stream tells what every task wrote.

A checkpoint a superstep costs about as much as LangGraph's own work on it. It is spared where nothing asks for one:
no subgraph, no node cache, no functional API, no untracked channel.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping
from typing import Any, Literal
from weakref import WeakKeyDictionary

from langchain_core.runnables import Runnable, RunnableConfig
from langgraph.channels import UntrackedValue
from langgraph.graph.state import CompiledStateGraph
from langgraph.pregel import Pregel

from langgraph_truce.rollout.calls import CallRecorder
from langgraph_truce.rollout.interrupts import Ended, asked
from langgraph_truce.rollout.task_runs import is_state

_durability: WeakKeyDictionary[Any, Literal["sync", "async"]] = WeakKeyDictionary()
_plain: WeakKeyDictionary[Any, bool] = WeakKeyDictionary()


def plain(graph: Any) -> bool:
    """True where a run of `graph` needs no saver, as far as its nodes tell; remembered for every graph object."""
    known = _plain.get(graph)
    if known is None:
        known = _plain[graph] = _is_plain(graph)
    return known


def _is_plain(graph: Any) -> bool:
    if not isinstance(graph, CompiledStateGraph) or graph.cache is not None or graph.cache_policy is not None:
        return False
    if any(isinstance(channel, UntrackedValue) for channel in graph.channels.values()):
        return False
    return next(iter(graph.get_subgraphs()), None) is None


def durability(graph: Any, saver: object | None) -> Literal["sync", "async"]:
    """When LangGraph writes the checkpoints of a run of `graph`.

    Kept ones need "sync": before an async save LangGraph changes those of join edges. Subgraphs compiled with
    `checkpointer=False` raise under "sync", though (LangGraph 1.2 awaits a save that they never make).
    """
    if saver is None:
        return "async"
    known = _durability.get(graph)
    if known is None:
        inside = any(sub.checkpointer is False for sub in graphs_inside(graph))
        known = _durability[graph] = "async" if inside else "sync"
    return known


def graphs_inside(graph: Any) -> Iterator[Any]:
    """Graphs that are nodes, or that node functions name: `get_subgraphs` passes over those without checkpoints."""
    seen: set[int] = set()
    todo: list[Any] = [node.bound for node in graph.nodes.values()]
    while todo:
        found = todo.pop()
        if id(found) in seen:
            continue
        seen.add(id(found))
        if isinstance(found, Pregel):
            yield found
            todo += [node.bound for node in found.nodes.values()]
        elif isinstance(found, Runnable):
            functions = [getattr(found, name, None) for name in ("func", "afunc")]
            for function in filter(inspect.isfunction, functions):
                named = inspect.getclosurevars(function)
                todo += [*named.nonlocals.values(), *named.globals.values()]
            todo += getattr(found, "steps", ())


def wanted_saver(graph: Any, error: BaseException | None, recorder: CallRecorder) -> bool:
    """True where a plain run of `graph` turned out to need a saver and must be run again with one.

    A node may run a subgraph that cannot be seen from outside; later runs of this graph object are given a saver then.
    Only one with `checkpointer=True` goes wrong without, and so does a node that asks for its thread's state; LangGraph
    has no class for that error, but its message names the checkpointer.
    """
    asked = type(error) in {RuntimeError, ValueError} and "checkpointer" in str(error).lower()
    if asked or any(len(run.place) > 1 for run in recorder.runs.values()):
        _plain[graph] = False
    return asked or recorder.stateful


async def run_plain(
    graph: Any,
    graph_input: Any,
    config: RunnableConfig,
    context: Any,
    recorder: CallRecorder,
    writes: dict[str, Mapping[str, str]],
) -> Ended:
    """As `graph.ainvoke`, and `writes` gets what each task wrote, by task id, before the next superstep begins."""
    state: Any = None
    questions: dict[str, Any] | None = None
    put = recorder.contents.put
    modes = ["updates", "values", "tasks"]
    async for mode, told in graph.astream(graph_input, config, context=context, stream_mode=modes):
        if mode == "values":
            state = told
        elif mode == "updates":
            questions = asked(told, questions)
        elif "result" in told:
            with recorder.lock:
                writes[told["id"]] = {c: put(v) for c, v in told["result"].items() if is_state(c)}
    return Ended(state, questions)
