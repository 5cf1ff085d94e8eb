"""Runs of plain graphs without a saver: LangGraph's own task stream tells what every task wrote.

A checkpoint a superstep costs about as much as LangGraph's own work on it. It is spared where nothing asks for one:
no subgraph, no node cache, no functional API, no untracked channel.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from weakref import WeakKeyDictionary

from langchain_core.runnables import RunnableConfig
from langgraph.channels import UntrackedValue
from langgraph.graph.state import CompiledStateGraph

from langgraph_truce.rollout.calls import CallRecorder
from langgraph_truce.rollout.task_runs import is_state

_plain: WeakKeyDictionary[Any, bool] = WeakKeyDictionary()
_INTERRUPT = "__interrupt__"


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
    recorder: CallRecorder,
    writes: dict[str, Mapping[str, str]],
) -> Any:
    """As `graph.ainvoke`, and `writes` gets what each task wrote, by task id, before the next superstep begins."""
    state: Any = None
    interrupts: list[Any] = []
    put = recorder.contents.put
    async for mode, told in graph.astream(graph_input, config, stream_mode=["updates", "values", "tasks"]):
        if mode == "values":
            state = told
        elif mode == "updates":
            interrupts += told.get(_INTERRUPT, ())
        elif "result" in told:
            with recorder.lock:
                writes[told["id"]] = {c: put(v) for c, v in told["result"].items() if is_state(c)}
    if not interrupts:
        return state
    return {**(state if isinstance(state, dict) else {}), _INTERRUPT: interrupts}
