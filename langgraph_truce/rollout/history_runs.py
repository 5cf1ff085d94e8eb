"""The node executions in the checkpoints of one thread, namespace by namespace, oldest first."""

from __future__ import annotations

import ast
import re
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from langgraph.checkpoint.base import CheckpointTuple
from langgraph.types import Send

from langgraph_truce.rollout.history_held import HeldSaver
from langgraph_truce.rollout.history_tasks import PULL, SENDS, Level, Ran
from langgraph_truce.rollout.task_runs import HIDDEN, Place, TaskRun, grouped, path_text, place_of
from langgraph_truce.trajectory.content import Contents
from langgraph_truce.trajectory.plain import error_text

_REPR = re.compile(r"""(\w+)\(('(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*")\)""", re.DOTALL)
"""`ValueError('text')`."""
WAITS = "GraphInterrupt: the node waits for a person"


@dataclass(slots=True)
class Gathered:
    """What the checkpoints of a thread hold."""

    runs: dict[str, TaskRun] = field(default_factory=dict)
    """By task id."""
    lacking: dict[str, None] = field(default_factory=dict)
    """Role paths that ran and that the graph does not have, in order of their first run."""
    unnamed: int = 0
    """Tasks that left writes and whose node is not known."""


def gathered(graph: Any, rows: Sequence[CheckpointTuple], contents: Contents) -> Gathered:
    """The node executions in the checkpoints of one thread; `graph` None reads what the checkpoints alone tell."""
    namespaces: dict[str, list[CheckpointTuple]] = defaultdict(list)
    for row in sorted(rows, key=lambda row: row.checkpoint["id"]):
        namespaces[_key(row)[0]].append(row)
    living = _living({row.checkpoint["id"]: row for row in namespaces.get("", ())})
    graphs = _graphs(graph, list(namespaces))
    reader = _Reader(Gathered(), contents, _names(namespaces))
    for namespace in sorted(namespaces, key=lambda n: n.count("|")):
        level = Level(namespace, graphs.get(namespace), namespaces[namespace])
        plain = level.graph is None or level.plain()
        for moment in _plain(level) if plain else _by_langgraph(graph, level, rows):
            if namespace or moment.saved.checkpoint["id"] in living:
                reader.read(level, moment)
    return reader.found


@dataclass(frozen=True, slots=True)
class _Moment:
    """A checkpoint with its tasks."""

    saved: CheckpointTuple
    tasks: Sequence[Ran]
    unknown: Sequence[str]
    """Ids of tasks whose node is not known."""
    values: Any = None
    """The state that the tasks saw; None: the level tells."""


def _plain(level: Level) -> Iterator[_Moment]:
    for saved in level.tuples:
        yield _Moment(saved, *level.tasks(saved))


def _by_langgraph(graph: Any, level: Level, rows: Sequence[CheckpointTuple]) -> Iterator[_Moment]:
    """LangGraph's own history of one namespace, from the rows that were read."""
    copied = graph.copy({"checkpointer": HeldSaver(rows)})
    by_id = {saved.checkpoint["id"]: saved for saved in level.tuples}
    place = {
        "thread_id": level.tuples[0].config["configurable"]["thread_id"],
        "checkpoint_ns": level.namespace,
    }
    for snapshot in reversed(list(copied.get_state_history({"configurable": place}))):
        saved = by_id[snapshot.config["configurable"]["checkpoint_id"]]
        tasks = [
            Ran(t.id, t.name, t.path, _written(saved, t.id), t.error, t.result is not None)
            for t in snapshot.tasks
            if t.result is not None or t.error or t.interrupts  # else it never ran
        ]
        yield _Moment(saved, tasks, (), snapshot.values)


@dataclass(slots=True)
class _Reader:
    """Puts the tasks of all namespaces together."""

    found: Gathered
    contents: Contents
    names: Mapping[str, str]
    """Task id -> node, where a subgraph's namespace tells it."""
    owners: dict[tuple[str, str, str], str] = field(default_factory=dict)
    """(namespace, checkpoint id, node) -> task id: subgraphs that keep their state leave it out of their namespace."""

    def read(self, level: Level, moment: _Moment) -> None:
        """Add the tasks of one checkpoint."""
        saved = moment.saved
        parents = _place(level.namespace, saved, self.owners)
        if parents and parents[-1][1] not in self.found.runs:
            return  # its parent task belongs to an abandoned branch
        named = [
            Ran(t, self.names[t], (PULL, self.names[t]), _written(saved, t))
            for t in moment.unknown
            if t in self.names
        ]
        self.found.unnamed += len(moment.unknown) - len(named)
        states: dict[frozenset[str], str] = {}
        for task in [*moment.tasks, *named]:
            if task.name in HIDDEN:
                continue
            self.owners[(*_key(saved), task.name)] = task.id
            given: str | None = None
            if level.reads_state(saved, task):
                values = level.values(saved) if moment.values is None else moment.values
                seen = level.sees(task.name, values)
                given = states.get(names := frozenset(seen)) or self.contents.put(seen)
                states[names] = given
            elif not task.called:
                given = self.contents.put(level.given(saved, task))
            run = _run(level, saved, task, (*parents, *task.caller), given, self.contents)
            self.found.runs[task.id] = run
            if not task.called and level.lacks(task.name):
                self.found.lacking[run.role] = None


def _run(
    level: Level, saved: CheckpointTuple, task: Ran, parents: Place, given: str | None, contents: Contents
) -> TaskRun:
    waits = "" if task.finished else WAITS
    return TaskRun(
        place=(*parents, (task.name, task.id)),
        step=saved.metadata.get("step", -1) + 1,
        path=path_text(task.path[:3]),
        call=0 if task.called else place_of(level.namespace)[1],
        input=given,
        writes=grouped(task.writes, contents),
        goto=_jumps(level.graph, task.name, task.writes),
        error=saved_error(task.error) if task.error else waits,
        checkpoint=_key(saved),
    )


def _key(saved: CheckpointTuple) -> tuple[str, str]:
    """Namespace and checkpoint id."""
    place = saved.config["configurable"]
    return place.get("checkpoint_ns", ""), place["checkpoint_id"]


def _written(saved: CheckpointTuple, task: str) -> list[tuple[str, Any]]:
    return [(channel, value) for by, channel, value in saved.pending_writes or () if by == task]


def _names(namespaces: Mapping[str, object]) -> dict[str, str]:
    return {task: name for namespace in namespaces for name, task in place_of(namespace)[0] if task}


def _graphs(graph: Any, namespaces: Sequence[str]) -> dict[str, Any]:
    """The (sub)graph that runs in each namespace, where LangGraph finds it."""
    if graph is None:
        return {}
    known = {"": graph}
    if any(namespaces):
        known |= dict(graph.get_subgraphs(recurse=True))
    paths = {n: "|".join(name for name, _ in place_of(n)[0]) for n in namespaces}
    return {n: known[path] for n, path in paths.items() if path in known}


def _living(saved: Mapping[str, CheckpointTuple]) -> frozenset[str]:
    """Ids of the outermost graph's checkpoints whose tasks made the thread what it is now.

    That is the line from the newest one back to the first, without those that an update or a new input, and not
    their own tasks, led away from.
    """
    living: set[str] = set()
    current: str | None = max(saved, default=None)
    source = "loop"
    while current is not None and current in saved:
        if source == "loop":
            living.add(current)
        here = saved[current]
        source = here.metadata.get("source", "loop")
        parent = here.parent_config
        current = parent["configurable"]["checkpoint_id"] if parent else None
    return frozenset(living)


def _place(namespace: str, saved: CheckpointTuple, owners: Mapping[tuple[str, str, str], str]) -> Place:
    """The place of a namespace, with the task ids that stateful subgraphs leave out put back."""
    place, _ = place_of(namespace)
    if all(task for _, task in place):
        return place
    parents: Mapping[str, str] = saved.metadata.get("parents", {})
    full: list[tuple[str, str]] = []
    walked = ""
    for name, task in place:
        full.append((name, task or owners.get((walked, parents.get(walked, ""), name), "")))
        walked = "|".join(filter(None, [walked, f"{name}:{task}" if task else name]))
    return tuple(full)


def saved_error(error: object) -> str:
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
    sends = [v.node for c, v in writes if c == SENDS and isinstance(v, Send)]
    return tuple(t for t in [*targets, *sends] if t not in plain)
