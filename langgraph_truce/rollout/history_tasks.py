"""Which node each stored task is: a task id is a hash of its checkpoint, node and triggers, so a right guess proves itself.

A checkpoint keeps what every task wrote under the task's id, and not the node's name. LangGraph finds the names by
building the channels and preparing the tasks of every checkpoint again, for about as much time as the rows took to
read. Here the candidates' ids are computed and compared; what no guess explains is left to LangGraph, and said.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import chain, product
from typing import Any

from langgraph.channels import (
    AnyValue,
    BinaryOperatorAggregate,
    EphemeralValue,
    LastValue,
    NamedBarrierValue,
    UntrackedValue,
)
from langgraph.checkpoint.base import Checkpoint, CheckpointTuple
from langgraph.errors import EmptyChannelError
from langgraph.types import Send
from xxhash import xxh3_128_hexdigest

from langgraph_truce.rollout.history_calls import functions_of
from langgraph_truce.rollout.task_runs import is_state, path_text

PULL, PUSH, SENDS = "__pregel_pull", "__pregel_push", "__pregel_tasks"
NO_TASK = "00000000-0000-0000-0000-000000000000"
"""Id under which LangGraph keeps writes that belong to no task: a resume value, an update from outside."""
ERROR, INTERRUPT, RESUME = "__error__", "__interrupt__", "__resume__"
_CONTROL = frozenset({ERROR, "__error_source_node__", INTERRUPT, RESUME})
_NO_NODES = frozenset({"__input__", INTERRUPT})
"""Entries of `versions_seen` that are no nodes."""
_NEWEST = 4
"""Layout of checkpoints (their `v`) that is read here; LangGraph migrates older ones."""
_AS_STORED = (LastValue, BinaryOperatorAggregate, EphemeralValue, AnyValue, NamedBarrierValue, UntrackedValue)
"""Channels whose stored form is their value."""


@dataclass(frozen=True, slots=True)
class Ran:
    """A task that left a result, an error or a question."""

    id: str
    name: str
    """Its node."""
    path: tuple[Any, ...]
    """LangGraph's task path: `(PULL, name)` or `(PUSH, place among the Sends, False)`."""
    writes: Sequence[tuple[str, Any]]
    """What it wrote: (channel, value), in order, control channels too."""
    error: Any = None
    """The exception as it was saved; None where there was none."""
    finished: bool = True
    """False where it failed or waits for a person."""
    caller: tuple[tuple[str, str], ...] = ()
    """Of a `@task` function (name, task id) of the node that called it and of the functions between; of an error handler
    that of the node that failed."""
    called: bool = False
    """True for a `@task` function: its arguments are not stored."""


@dataclass(slots=True)
class Level:
    """One (sub)graph's namespace of a thread, with what is known of its nodes and channels.

    Args:
        namespace: LangGraph's checkpoint namespace; "" is the outermost graph.
        graph: The graph that ran there; None where it is not known.
        tuples: Its checkpoints, oldest first.
    """

    namespace: str
    graph: Any
    tuples: Sequence[CheckpointTuple]
    triggers: dict[str, tuple[str, ...]] = field(init=False)
    """Node -> its triggers, sorted; nodes that only the checkpoints know are here too."""
    _channels: tuple[str, ...] = field(init=False)
    _defaults: dict[str, Any] = field(init=False)
    _functions: dict[str, tuple[str, ...]] = field(default_factory=dict, init=False)

    def __post_init__(self) -> None:
        nodes = self.graph.nodes if self.graph is not None else {}
        seen: dict[str, set[str]] = {}
        for saved in self.tuples:
            for name, versions in saved.checkpoint["versions_seen"].items():
                if name not in nodes and name not in _NO_NODES:
                    seen.setdefault(name, set()).update(versions)
        self.triggers = {name: tuple(sorted(node.triggers)) for name, node in nodes.items()}
        self.triggers |= {name: tuple(sorted(channels)) for name, channels in seen.items()}
        asked = self.graph.stream_channels_asis if self.graph is not None else ()
        self._channels = (asked,) if isinstance(asked, str) else tuple(asked)
        self._defaults = dict(_defaults(self.graph.channels if self._channels else {}, self._channels))

    def plain(self) -> bool:
        """True where every checkpoint can be read as it is stored, without LangGraph's help."""
        return all(
            saved.checkpoint["v"] >= _NEWEST and not any(_outside(saved.pending_writes or ()))
            for saved in self.tuples
        ) and (self.graph is None or self._simple())

    def _simple(self) -> bool:
        return all(isinstance(self.graph.channels[c], _AS_STORED) for c in self._channels)

    def values(self, saved: CheckpointTuple) -> dict[str, Any]:
        """The state at a checkpoint: what LangGraph's `StateSnapshot.values` holds.

        Channels of the user's state that this graph does not have (another version of it did) are there too.
        """
        stored = saved.checkpoint["channel_values"]
        if self.graph is None:
            return {c: v for c, v in stored.items() if is_state(c)}
        values = {**self._defaults, **{c: stored[c] for c in self._channels if c in stored}}
        known = self.graph.channels
        return values | {c: v for c, v in stored.items() if c not in known and is_state(c)}

    def reads_state(self, saved: CheckpointTuple, task: Ran) -> bool:
        """True where a task was given the state, and not a `Send`'s argument, one channel or arguments (functional API)."""
        return task.path[0] != PUSH and self._only_channel(saved, task) is None

    def given(self, saved: CheckpointTuple, task: Ran) -> Any:
        """What a task was given that did not read the state."""
        stored = saved.checkpoint["channel_values"]
        channel = self._only_channel(saved, task)
        if channel is not None:
            return stored[channel]
        place = task.path[1]
        return stored[SENDS][place].arg if isinstance(place, int) else None

    def sees(self, name: str, values: Mapping[str, Any]) -> Mapping[str, Any]:
        """What of the state a node is given: all of it, or what its input schema names."""
        node = self.graph.nodes.get(name) if self.graph is not None else None
        own = getattr(node, "channels", None)
        if not isinstance(own, list | tuple):
            return values
        return {c: v for c, v in values.items() if c in own or c not in self.graph.channels}

    def lacks(self, name: str) -> bool:
        """True for a node that the graph, where it is known, does not have."""
        return self.graph is not None and name not in self.graph.nodes

    def _only_channel(self, saved: CheckpointTuple, task: Ran) -> str | None:
        node = self.graph.nodes.get(task.name) if self.graph is not None else None
        channel = getattr(node, "channels", None)
        return channel if isinstance(channel, str) and channel in saved.checkpoint["channel_values"] else None

    def tasks(self, saved: CheckpointTuple) -> tuple[list[Ran], list[str]]:
        """The tasks that left something at a checkpoint, in no order, and the ids that no node explains."""
        left: dict[str, list[tuple[str, Any]]] = {}
        for task, channel, value in saved.pending_writes or ():
            if task != NO_TASK:
                left.setdefault(task, []).append((channel, value))
        if not left:
            return [], []
        found: dict[str, Ran] = {}
        hashed = self._hash(saved)
        for task, name, path in self._candidates(saved, hashed):
            if task in left:
                found[task] = _ran(task, name, path, left[task])
                if len(found) == len(left):
                    return list(found.values()), []
        for inner in chain(self._handlers(hashed, dict(found), left), self._calls(hashed, dict(found), left)):
            found[inner.id] = inner
        return list(found.values()), [task for task in left if task not in found]

    def _hash(self, saved: CheckpointTuple) -> Callable[..., str]:
        checkpoint = bytes.fromhex(saved.checkpoint["id"].replace("-", ""))
        step = str(saved.metadata.get("step", -1) + 1)

        def hashed(name: str, *parts: str, above: str = self.namespace) -> str:
            text = f"{above}{'|' if above else ''}{name}{step}{name}{''.join(parts)}"
            digest = xxh3_128_hexdigest(checkpoint + text.encode())
            return f"{digest[:8]}-{digest[8:12]}-{digest[12:16]}-{digest[16:20]}-{digest[20:]}"

        return hashed

    def _candidates(
        self, saved: CheckpointTuple, hashed: Callable[..., str]
    ) -> Iterator[tuple[str, str, tuple[Any, ...]]]:
        """(task id, node, path) of every task that may have run at a checkpoint."""
        for n, send in enumerate(sends_of(saved.checkpoint)):
            if isinstance(send, Send):
                yield hashed(send.node, PUSH, str(n)), send.node, (PUSH, n, False)
        for name, triggers in self.triggers.items():
            yield hashed(name, PULL, *triggers), name, (PULL, name)

    def _handlers(
        self,
        hashed: Callable[..., str],
        found: Mapping[str, Ran],
        left: Mapping[str, Sequence[tuple[str, Any]]],
    ) -> Iterator[Ran]:
        """Error handlers of the tasks that failed, which run inside those; LangGraph's history leaves them out."""
        for failed in [ran for ran in found.values() if ran.error]:
            line = ((failed.name, failed.id),)
            for name in self.triggers:
                task = hashed(name, PUSH, "node_error_handler", failed.id, above=self._inside(line))
                if task in left:
                    yield replace(_ran(task, name, failed.path, left[task]), caller=line)

    def _inside(self, line: Sequence[tuple[str, str]]) -> str:
        """The namespace inside tasks, outermost first."""
        return "|".join(filter(None, [self.namespace, *(f"{name}:{task}" for name, task in line)]))

    def _calls(
        self,
        hashed: Callable[..., str],
        found: Mapping[str, Ran],
        left: Mapping[str, Sequence[tuple[str, Any]]],
    ) -> Iterator[Ran]:
        """`@task` functions that the tasks found called, and those that these called."""
        callers = [ran for ran in found.values() if ran.name != "__start__"]
        unknown = left.keys() - found.keys()
        while callers and unknown:
            caller = callers.pop(0)
            line = (*caller.caller, (caller.name, caller.id))
            above = self._inside(line)
            for name, number in product(self._functions_of(line[0][0]), range(len(left))):
                task = hashed(name, PUSH, path_text(caller.path), str(number), above=above)
                if task in unknown:
                    unknown.discard(task)
                    path = (PUSH, caller.path, number, True)
                    callers.append(replace(_ran(task, name, path, left[task]), caller=line, called=True))
                    yield callers[-1]

    def _functions_of(self, node: str) -> tuple[str, ...]:
        if node not in self._functions:
            known = self.graph.nodes.get(node) if self.graph is not None else None
            self._functions[node] = functions_of(known) if known is not None else ()
        return self._functions[node]


def sends_of(checkpoint: Checkpoint) -> Sequence[Any]:
    """The `Send`s that wait at a checkpoint; none where their bytes cannot be read."""
    stored = checkpoint["channel_values"].get(SENDS)
    return stored if isinstance(stored, list | tuple) else ()


def _ran(task: str, name: str, path: tuple[Any, ...], writes: Sequence[tuple[str, Any]]) -> Ran:
    error = next((value for channel, value in writes if channel == ERROR), None)
    finished = any(channel not in _CONTROL for channel, _ in writes)
    return Ran(task, name, path, writes, error, finished)


def _outside(writes: Iterable[tuple[str, str, Any]]) -> Iterator[bool]:
    """True for every write to the state that belongs to no task."""
    return (task == NO_TASK and channel not in _CONTROL for task, channel, _ in writes)


def _defaults(channels: Mapping[str, Any], names: Iterable[str]) -> Iterator[tuple[str, Any]]:
    """What channels hold before anything was written, where that is something (a reducer's empty list)."""
    for name in names:
        try:
            yield name, channels[name].get()
        except (EmptyChannelError, KeyError):
            continue
