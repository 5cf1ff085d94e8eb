"""Read an old thread from any checkpointer; what happened is there, prompts and usage are not."""

from __future__ import annotations

import ast
import asyncio
import re
from collections.abc import Mapping, Sequence
from typing import Any

from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.base import BaseCheckpointSaver, CheckpointTuple
from langgraph.types import PregelTask, Send, StateSnapshot

from langgraph_truce.errors import UnknownNameError, UserMistake
from langgraph_truce.rollout.task_runs import HIDDEN, Place, TaskRun, grouped, in_order, path_text, place_of
from langgraph_truce.trajectory.content import Contents
from langgraph_truce.trajectory.plain import error_text
from langgraph_truce.trajectory.step import Trajectory

_REPR = re.compile(r"""(\w+)\(('(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*")\)""", re.DOTALL)
"""`ValueError('text')`."""
_Key = tuple[str, str]
"""Namespace and checkpoint id."""
_Histories = Mapping[str, Sequence[StateSnapshot]]


async def aread_thread(
    graph: Any, saver: BaseCheckpointSaver[Any], thread_id: str, *, aggregator: str = ""
) -> Trajectory:
    """The trajectory of an old thread, from any checkpointer, async or not.

    Steps inside subgraphs are there where LangGraph finds the subgraph (nodes, and calls by name in node functions).
    Abandoned branches of a thread that was rewound are left out.

    Raises:
        UnknownNameError: the saver holds no checkpoint of this thread.
    """
    contents = Contents()
    runs = await agather(graph, saver, _config(thread_id), contents)
    return _trajectory(thread_id, runs, contents, aggregator)


def read_thread(
    graph: Any, saver: BaseCheckpointSaver[Any], thread_id: str, *, aggregator: str = ""
) -> Trajectory:
    """As `aread_thread`, outside of async code; an async saver needs `aread_thread`.

    Raises:
        UnknownNameError: the saver holds no checkpoint of this thread.
        UserMistake: an async saver is read on its own event loop.
    """
    contents = Contents()
    runs = _gather(graph, saver, _config(thread_id), contents)
    return _trajectory(thread_id, runs, contents, aggregator)


async def agather(
    graph: Any, saver: BaseCheckpointSaver[Any], thread: RunnableConfig, contents: Contents
) -> list[TaskRun]:
    """The node executions that the checkpoints of a thread hold."""
    try:
        tuples = [saved async for saved in saver.alist(thread)]
    except NotImplementedError:  # a saver without async methods; its sync ones must not block the loop
        return await asyncio.to_thread(_gather, graph, saver, thread, contents)
    copied = graph.copy({"checkpointer": saver})
    graphs = _graphs(copied, _namespaces(tuples))
    histories: dict[str, list[StateSnapshot]] = {}
    for namespace in graphs:
        config = _config(thread["configurable"]["thread_id"], namespace)
        histories[namespace] = [s async for s in copied.aget_state_history(config)]
    return _task_runs(graphs, tuples, histories, contents)


def _gather(
    graph: Any, saver: BaseCheckpointSaver[Any], thread: RunnableConfig, contents: Contents
) -> list[TaskRun]:
    try:
        tuples = list(saver.list(thread))
    except asyncio.InvalidStateError as on_loop:
        name = type(saver).__name__
        raise UserMistake(
            f"read_thread: {name} cannot be read on the event loop it lives on; use `await aread_thread(...)`"
        ) from on_loop
    copied = graph.copy({"checkpointer": saver})
    graphs = _graphs(copied, _namespaces(tuples))
    histories: dict[str, list[StateSnapshot]] = {}
    for namespace in graphs:
        config = _config(thread["configurable"]["thread_id"], namespace)
        histories[namespace] = list(copied.get_state_history(config))
    return _task_runs(graphs, tuples, histories, contents)


def _config(thread_id: str, namespace: str | None = None) -> RunnableConfig:
    place = {} if namespace is None else {"checkpoint_ns": namespace}
    return {"configurable": {"thread_id": thread_id, **place}}


def _namespaces(tuples: Sequence[CheckpointTuple]) -> list[str]:
    return sorted({saved.config["configurable"].get("checkpoint_ns", "") for saved in tuples})


def _graphs(graph: Any, namespaces: Sequence[str]) -> dict[str, Any]:
    """The (sub)graph that runs in each namespace, where LangGraph finds it."""
    known = {"": graph, **dict(graph.get_subgraphs(recurse=True))}
    paths = {n: "|".join(name for name, _ in place_of(n)[0]) for n in namespaces}
    return {n: known[path] for n, path in paths.items() if path in known}


def _task_runs(
    graphs: Mapping[str, Any],
    tuples: Sequence[CheckpointTuple],
    histories: _Histories,
    contents: Contents,
) -> list[TaskRun]:
    saved = {_key(t.config): t for t in tuples}
    living = _living(saved)
    runs: dict[str, TaskRun] = {}
    owners: dict[tuple[str, str, str], str] = {}
    for namespace in sorted(histories, key=lambda n: n.count("|")):
        for snapshot in reversed(histories[namespace]):
            key = _key(snapshot.config)
            if key not in saved or (namespace == "" and key[1] not in living):
                continue
            parents = _place(namespace, snapshot, owners)
            if parents and parents[-1][1] not in runs:
                continue  # its parent task belongs to an abandoned branch
            for task in snapshot.tasks:
                if task.name in HIDDEN or (task.result is None and not task.error and not task.interrupts):
                    continue  # never ran: the list form of add_edge leaves such phantoms
                owners[(*key, task.name)] = task.id
                runs[task.id] = _run(graphs[namespace], snapshot, task, parents, saved[key], contents)
    return list(runs.values())


def _key(config: RunnableConfig) -> _Key:
    place = config["configurable"]
    return place.get("checkpoint_ns", ""), place["checkpoint_id"]


def _living(saved: Mapping[_Key, CheckpointTuple]) -> frozenset[str]:
    """Ids of the outermost graph's checkpoints whose tasks made the thread what it is now.

    That is the line from the newest one back to the first, without those that an update or a new input, and not
    their own tasks, led away from.
    """
    living: set[str] = set()
    current: str | None = max((c for ns, c in saved if ns == ""), default=None)
    source = "loop"
    while current is not None and ("", current) in saved:
        if source == "loop":
            living.add(current)
        here = saved["", current]
        source = here.metadata.get("source", "loop")
        parent = here.parent_config
        current = parent["configurable"]["checkpoint_id"] if parent else None
    return frozenset(living)


def _place(namespace: str, snapshot: StateSnapshot, owners: Mapping[tuple[str, str, str], str]) -> Place:
    """The place of a namespace, with the task ids that stateful subgraphs leave out put back."""
    place, _ = place_of(namespace)
    parents: Mapping[str, str] = (snapshot.metadata or {}).get("parents", {})
    full: list[tuple[str, str]] = []
    walked = ""
    for name, task in place:
        full.append((name, task or owners.get((walked, parents.get(walked, ""), name), "")))
        walked = "|".join(filter(None, [walked, f"{name}:{task}" if task else name]))
    return tuple(full)


def _run(
    graph: Any,
    snapshot: StateSnapshot,
    task: PregelTask,
    parents: Place,
    saved: CheckpointTuple,
    contents: Contents,
) -> TaskRun:
    namespace = saved.config["configurable"].get("checkpoint_ns", "")
    writes = [(c, v) for t, c, v in saved.pending_writes or () if t == task.id]
    given = snapshot.values
    if task.path[0] == "__pregel_push" and isinstance(task.path[1], int):
        given = saved.checkpoint["channel_values"]["__pregel_tasks"][task.path[1]].arg
    if task.error:
        error = _saved_error(task.error)
    else:
        error = "GraphInterrupt: the node waits for a person" if task.result is None else ""
    return TaskRun(
        place=(*parents, (task.name, task.id)),
        step=(snapshot.metadata or {}).get("step", -1) + 1,
        path=path_text(task.path[:3]),
        call=place_of(namespace)[1],
        input=contents.put(given),
        writes=grouped(writes, contents),
        goto=_jumps(graph, task.name, writes),
        error=error,
    )


def _saved_error(error: object) -> str:
    """`Type: message`; databases keep an exception as its `repr`."""
    if isinstance(error, BaseException):
        return error_text(error)
    text = str(error)
    if (found := _REPR.fullmatch(text)) is None:
        return text
    return f"{found[1]}: {ast.literal_eval(found[2])}"


def _jumps(graph: Any, node: str, writes: Sequence[tuple[str, Any]]) -> tuple[str, ...]:
    """Where a `Command` sent the run: the targets written that no edge of the node explains.

    A node with conditional edges and Commands at once cannot be told apart afterwards: ().
    """
    builder = getattr(graph, "builder", None)
    if builder is None or builder.branches.get(node):
        return ()
    plain = {target for source, target in builder.edges if source == node}
    targets = [c.removeprefix("branch:to:") for c, _ in writes if c.startswith("branch:to:")]
    sends = [v.node for c, v in writes if c == "__pregel_tasks" and isinstance(v, Send)]
    return tuple(t for t in [*targets, *sends] if t not in plain)


def _trajectory(thread_id: str, runs: list[TaskRun], contents: Contents, aggregator: str) -> Trajectory:
    if not runs:
        raise UnknownNameError(
            f"thread {thread_id!r}: the checkpointer holds no finished step of it; "
            "check the thread id and that this is the database the graph was run with"
        )
    steps = in_order(runs, aggregator)
    return Trajectory(thread_id, steps, contents.blobs, prompts_known=False)
