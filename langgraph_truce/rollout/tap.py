"""A saver that passes everything on to another one, and notes what every task wrote."""

from __future__ import annotations

import copy
from collections.abc import AsyncIterator, Collection, Coroutine, Iterator, Mapping, Sequence
from typing import Any, Self

from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.base import (
    BaseCheckpointSaver,
    ChannelVersions,
    Checkpoint,
    CheckpointMetadata,
    CheckpointTuple,
    DeltaChannelHistory,
)
from langgraph.checkpoint.memory import InMemorySaver

from langgraph_truce.rollout.behind import SaveQueue
from langgraph_truce.rollout.calls import CallRecorder
from langgraph_truce.rollout.task_runs import Place, TaskRun, grouped, is_state, place_of

_NO_TASK = "00000000-0000-0000-0000-000000000000"
"""LangGraph's id for writes that come from outside (input, resume)."""

_INPUT = "~__pregel_pull, __start__"
"""Task path of LangGraph's own input node."""


async def _queued() -> None:
    """What is left to do of a save that is queued."""


def _copied(value: Any) -> Any:
    """`value` with its outermost container its own: the set of a join edge, a list that a node appends to."""
    return value.copy() if type(value) in {dict, list, set} else value


class LiveSerializer:
    """Keeps values as they are: for a saver that lives and dies with one run."""

    def dumps_typed(self, obj: Any) -> tuple[str, Any]:
        """The value itself."""
        return "live", obj

    def loads_typed(self, data: tuple[str, Any]) -> Any:
        """The value itself."""
        return data[1]


def live_saver() -> InMemorySaver:
    """An in-memory saver that serialises nothing; its checkpoints share objects with the run."""
    return InMemorySaver(serde=LiveSerializer())


class Tap(BaseCheckpointSaver[Any]):
    """`inner` with a `CallRecorder` listening; contents are taken before the next node can change them.

    With a queue, async saves are written behind the run, in order, and the caller flushes the queue at the end. What a
    checkpoint shares with the run is copied before it is queued.
    """

    def __init__(
        self, inner: BaseCheckpointSaver[Any], recorder: CallRecorder, behind: SaveQueue | None = None
    ) -> None:
        super().__init__(serde=inner.serde)
        self.inner = inner
        self.recorder = recorder
        self.behind = behind
        self.writes: dict[str, Mapping[str, str]] = {}
        """State writes by task id."""
        self._origins: dict[str, tuple[str, str, str]] = {}
        self._checkpoints: dict[tuple[str, str], tuple[int, Mapping[str, Any]]] = {}

    def with_allowlist(self, extra_allowlist: Collection[tuple[str, ...]]) -> Self:
        """The same tap over the saver with a wider allowlist."""
        inner = self.inner
        if isinstance(inner.serde, LiveSerializer):
            return self
        clone = copy.copy(self)
        clone.inner = inner.with_allowlist(extra_allowlist)
        return clone

    def collect(self) -> list[TaskRun]:
        """Every task of the run, with what it wrote."""
        with self.recorder.lock:
            for task in self.writes.keys() - self.recorder.runs.keys():
                if (run := self._silent(task)) is not None:
                    self.recorder.runs[task] = run
        return self.recorder.collect(self.writes)

    def _silent(self, task: str) -> TaskRun | None:
        """A task that ran without callbacks: its writes came out of a node cache."""
        namespace, checkpoint, path = self._origins[task]
        step, values = self._checkpoints.get((namespace, checkpoint), (-1, {}))
        kind, _, rest = path.removeprefix("~").partition(", ")
        if kind == "__pregel_pull":
            name, given = rest, {c: v for c, v in values.items() if is_state(c)}
        else:
            number = rest.partition(",")[0]
            sends = values.get("__pregel_tasks", ())
            if not number.isdecimal() or int(number) >= len(sends):
                return None
            send = sends[int(number)]
            name, given = send.node, send.arg
        parents, call = place_of(namespace)
        place: Place = (*parents, (name, task))
        return TaskRun(place, step + 1, path, call, input=self.recorder.contents.put(given))

    def _note_checkpoint(self, config: RunnableConfig, saved: Checkpoint, about: CheckpointMetadata) -> None:
        namespace = config["configurable"].get("checkpoint_ns", "")
        self._checkpoints[namespace, saved["id"]] = (about.get("step", -1), saved["channel_values"])

    def _note_writes(
        self, config: RunnableConfig, writes: Sequence[tuple[str, Any]], task_id: str, task_path: str
    ) -> None:
        if task_id == _NO_TASK or task_path == _INPUT:
            return
        place = config["configurable"]
        with self.recorder.lock:
            self._origins[task_id] = (place.get("checkpoint_ns", ""), place["checkpoint_id"], task_path)
            self.writes[task_id] = grouped(writes, self.recorder.contents)

    # What is listened to -----------------------------------------------------------------------------------------

    def put(
        self,
        config: RunnableConfig,
        checkpoint: Checkpoint,
        metadata: CheckpointMetadata,
        new_versions: ChannelVersions,
    ) -> RunnableConfig:
        """Note the superstep, then save."""
        self._note_checkpoint(config, checkpoint, metadata)
        return self.inner.put(config, checkpoint, metadata, new_versions)

    async def aput(
        self,
        config: RunnableConfig,
        checkpoint: Checkpoint,
        metadata: CheckpointMetadata,
        new_versions: ChannelVersions,
    ) -> RunnableConfig:
        """Note the superstep, and queue the save."""
        self._note_checkpoint(config, checkpoint, metadata)
        if self.behind is None:
            return await self.inner.aput(config, checkpoint, metadata, new_versions)
        self.behind.check()
        own = checkpoint.copy()
        own["channel_values"] = {c: _copied(v) for c, v in checkpoint["channel_values"].items()}
        self.behind.add(self.inner.aput(config, own, metadata.copy(), new_versions))
        place = {**config["configurable"], "checkpoint_id": checkpoint["id"]}
        return {"configurable": {k: place[k] for k in ("thread_id", "checkpoint_ns", "checkpoint_id")}}

    def put_writes(
        self, config: RunnableConfig, writes: Sequence[tuple[str, Any]], task_id: str, task_path: str = ""
    ) -> None:
        """Note the writes, then save them."""
        self._note_writes(config, writes, task_id, task_path)
        self.inner.put_writes(config, writes, task_id, task_path)

    def aput_writes(
        self, config: RunnableConfig, writes: Sequence[tuple[str, Any]], task_id: str, task_path: str = ""
    ) -> Coroutine[Any, Any, None]:
        """Note the writes now, at the call: by the time the coroutine runs, other nodes may have changed them."""
        self._note_writes(config, writes, task_id, task_path)
        if self.behind is None:
            return self.inner.aput_writes(config, writes, task_id, task_path)
        own = [(channel, _copied(value)) for channel, value in writes]
        self.behind.add(self.inner.aput_writes(config, own, task_id, task_path))
        return _queued()

    # What is passed on -------------------------------------------------------------------------------------------

    @property
    def config_specs(self) -> list[Any]:
        """Of the saver below."""
        return self.inner.config_specs

    def get_tuple(self, config: RunnableConfig) -> CheckpointTuple | None:
        """Of the saver below."""
        return self.inner.get_tuple(config)

    async def aget_tuple(self, config: RunnableConfig) -> CheckpointTuple | None:
        """Of the saver below."""
        if self.behind is not None:
            await self.behind.flush()
        return await self.inner.aget_tuple(config)

    def list(self, config: RunnableConfig | None, **kwargs: Any) -> Iterator[CheckpointTuple]:
        """Of the saver below."""
        return self.inner.list(config, **kwargs)

    async def alist(self, config: RunnableConfig | None, **kwargs: Any) -> AsyncIterator[CheckpointTuple]:
        """Of the saver below."""
        if self.behind is not None:
            await self.behind.flush()
        async for saved in self.inner.alist(config, **kwargs):
            yield saved

    def delete_thread(self, thread_id: str) -> None:
        """Of the saver below."""
        self.inner.delete_thread(thread_id)

    async def adelete_thread(self, thread_id: str) -> None:
        """Of the saver below."""
        await self.inner.adelete_thread(thread_id)

    def get_delta_channel_history(
        self, *, config: RunnableConfig, channels: Sequence[str]
    ) -> Mapping[str, DeltaChannelHistory]:
        """Of the saver below."""
        return self.inner.get_delta_channel_history(config=config, channels=channels)

    async def aget_delta_channel_history(
        self, *, config: RunnableConfig, channels: Sequence[str]
    ) -> Mapping[str, DeltaChannelHistory]:
        """Of the saver below."""
        if self.behind is not None:
            await self.behind.flush()
        return await self.inner.aget_delta_channel_history(config=config, channels=channels)

    def get_next_version(self, current: Any, channel: None) -> Any:
        """Of the saver below."""
        return self.inner.get_next_version(current, channel)
