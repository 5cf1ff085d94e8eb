"""Run a user's graph once and keep its trajectory: checkpoints joined with callbacks on the task id."""

from __future__ import annotations

import asyncio
import contextvars
import time
from collections.abc import Coroutine, Mapping
from dataclasses import dataclass, field
from typing import Any

from langchain_core.callbacks import BaseCallbackManager
from langchain_core.runnables import RunnableConfig
from langgraph.cache.memory import InMemoryCache
from langgraph.checkpoint.base import BaseCheckpointSaver
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.pregel.remote import RemoteGraph
from langgraph.store.base import BaseStore

from langgraph_truce.errors import UserMistake
from langgraph_truce.model.place import JournalCallback
from langgraph_truce.rollout.behind import SaveQueue
from langgraph_truce.rollout.calls import CallRecorder
from langgraph_truce.rollout.interrupts import PLAIN, Ended, RunOptions, answered, asked
from langgraph_truce.rollout.plain_graph import durability, plain, run_plain, wanted_saver
from langgraph_truce.rollout.remote import Heard, run_remote
from langgraph_truce.rollout.tap import Tap, live_saver
from langgraph_truce.rollout.task_runs import TaskRun, in_order, ordered
from langgraph_truce.rollout.thread import agather
from langgraph_truce.store_copy import store_copy
from langgraph_truce.trajectory.content import Contents
from langgraph_truce.trajectory.step import Trajectory

_TICK = 0.05
"""Seconds between two looks at a time limit that moves while calls wait, at least."""
_LOOK = 0.25
"""And at most."""
_LATE = 0.1
"""Seconds that the end of a run may come after its limit: a busy event loop tells of both at once."""


@dataclass(frozen=True, slots=True)
class Recorded:
    """One run of a user's graph."""

    state: Any
    """The final state, as `ainvoke` gives it; None where the graph raised."""
    trajectory: Trajectory
    """Every step up to the end, or up to the error."""
    error: BaseException | None = None
    """What the user's graph raised."""
    unjoined: int = 0
    """Model calls that LangGraph's metadata did not follow (raw threads); no step holds them."""
    refused: Exception | None = None
    """Why the run's door refused a model call; then this run is no evidence of anything."""
    unanswered: BaseException | None = None
    """Why the endpoint of a model call failed, where nothing in the graph made that good."""
    tasks: Mapping[str, str] = field(default_factory=dict)
    """LangGraph's task id -> id of the step; empty where the graph runs on a server."""


async def record(
    graph: Any,
    graph_input: Any,
    *,
    rollout: str,
    config: RunnableConfig | None = None,
    saver: BaseCheckpointSaver[Any] | None = None,
    store: BaseStore | None = None,
    aggregator: str = "",
    options: RunOptions = PLAIN,
) -> Recorded:
    """Run a copy of the compiled `graph` and record it; the graph itself and its saver are left as they are.

    The run is detached from the LangGraph run around it, if there is one. Where `saver` already holds checkpoints of
    the thread, the run goes on from there (`graph_input` None) and the trajectory holds the whole thread; steps of
    earlier runs have no prompts.

    Args:
        graph: A compiled graph, sync or async nodes; or a `RemoteGraph`, see `rollout/remote.py` for what it can do.
        graph_input: What `ainvoke` is given.
        rollout: Id of the rollout; also the thread id, unless `config` names one.
        config: The caller's; its callbacks, metadata and configurable are kept.
        saver: Where checkpoints go, an async one; None keeps none beyond the run (and makes none where the graph needs
            none).
        store: Long-term store of the run, used as it is; None: a copy of the graph's own, if it has one (contract 11).
            Node caches always start empty.
        aggregator: Role path that closes a round; "" begins a new round when a role runs again.
        options: Time limit, `context`, and who answers questions to a person.

    Raises:
        UserMistake: `saver` has no async methods, or a `RemoteGraph` is given one.
        asyncio.CancelledError, KeyboardInterrupt: as they come.
    """
    if isinstance(graph, RemoteGraph):
        if saver is not None or store is not None:
            raise UserMistake(
                "a RemoteGraph uses the saver and store of its server; leave saver= and store= out"
            )
        return await _remote(graph, graph_input, rollout, config, aggregator, options)
    if saver is None and options.interrupts is None and plain(graph):  # answers need a saver to go on from
        kept = await _without_saver(graph, graph_input, rollout, config, store, aggregator, options)
        if kept is not None:
            return kept
    recorder = CallRecorder(Contents())
    behind = None if saver is None else SaveQueue()
    tap = Tap(_own_saver(graph, options) if saver is None else saver, recorder, behind)
    run_config = _config(config, rollout, recorder)
    thread: RunnableConfig = {"configurable": {"thread_id": run_config["configurable"]["thread_id"]}}
    going_on = saver if saver is not None and await _has_checkpoints(saver, thread) else None
    copied = _copy(graph, tap, store)
    extra = {"context": options.context, "durability": durability(graph, saver)}

    async def run(given: Any) -> Ended:
        state: Any = None
        questions: dict[str, Any] | None = None
        told = copied.astream(given, run_config, stream_mode=["updates", "values"], **extra)
        async for mode, value in told:
            if mode == "values":
                state = value
            else:
                questions = asked(value, questions)
        return Ended(state, questions)

    call = answered(run, graph_input, options, recorder.again)
    state, error = await _run(call, options.timeout, behind, recorder.journalling)
    runs = tap.collect()
    if going_on is not None:
        runs = await _with_earlier(graph, going_on, thread, tap, runs)
    return _recorded(rollout, state, error, recorder, runs, aggregator)


async def _remote(
    graph: RemoteGraph,
    graph_input: Any,
    rollout: str,
    config: RunnableConfig | None,
    aggregator: str,
    options: RunOptions,
) -> Recorded:
    heard = Heard(Contents())
    state, error = await _run(run_remote(graph, graph_input, config, options, heard), options.timeout, None)
    steps = in_order(heard.collect(), aggregator)
    trajectory = Trajectory(rollout, steps, heard.contents.blobs, prompts_known=False)
    return Recorded(state, trajectory, error, heard.unjoined)


async def _without_saver(
    graph: Any,
    graph_input: Any,
    rollout: str,
    config: RunnableConfig | None,
    store: BaseStore | None,
    aggregator: str,
    options: RunOptions,
) -> Recorded | None:
    """None where the run turned out to need a saver."""
    recorder = CallRecorder(Contents())
    writes: dict[str, Mapping[str, str]] = {}
    copied = _copy(graph, None, store)
    run_config = _config(config, rollout, recorder)

    async def run(given: Any) -> Ended:
        return await run_plain(copied, given, run_config, options.context, recorder, writes)

    call = answered(run, graph_input, options, recorder.again)
    state, error = await _run(call, options.timeout, None, recorder.journalling)
    if wanted_saver(graph, error, recorder):
        recorder.again()
        return None
    return _recorded(rollout, state, error, recorder, recorder.collect(writes), aggregator)


def _own_saver(graph: Any, options: RunOptions) -> BaseCheckpointSaver[Any]:
    """One that lives as long as the run.

    What is resumed is serialised, as in production: a node that changed its state in place before it asked must find it
    unchanged.
    """
    if options.interrupts is None:
        return live_saver()
    own = graph.checkpointer
    return InMemorySaver(serde=own.serde if isinstance(own, BaseCheckpointSaver) else None)


def _copy(graph: Any, saver: BaseCheckpointSaver[Any] | None, store: BaseStore | None) -> Any:
    """Stores and caches are the run's own: what one rollout writes must not change what the next one reads."""
    own: dict[str, Any] = {"checkpointer": saver}
    if store is not None or graph.store is not None:
        own["store"] = store_copy(graph.store) if store is None else store
    if graph.cache is not None:
        own["cache"] = InMemoryCache()
    return graph.copy(own)


def _recorded(
    rollout: str,
    state: Any,
    error: BaseException | None,
    recorder: CallRecorder,
    runs: list[TaskRun],
    aggregator: str,
) -> Recorded:
    pairs = ordered(runs, aggregator)
    trajectory = Trajectory(rollout, tuple(step for _, step in pairs), recorder.contents.blobs)
    journalling = recorder.journalling
    refused = journalling.refused if journalling else None
    unanswered = next(iter(journalling.unanswered.values()), None) if journalling else None
    tasks = {run.id: step.id for run, step in pairs}
    return Recorded(state, trajectory, error, recorder.unjoined, refused, unanswered, tasks)


async def _run(
    call: Coroutine[Any, Any, Any],
    timeout: float | None,
    behind: SaveQueue | None,
    by: JournalCallback | None = None,
) -> tuple[Any, Exception | None]:
    """Run in a context of its own, then write what is queued; nothing of the run is left behind when this ends."""
    state: Any = None
    error: Exception | None = None
    try:
        try:
            running = asyncio.get_running_loop().create_task(call, context=contextvars.Context())
            state = await _within(timeout, running, by)
        except Exception as raised:  # noqa: BLE001 (whatever the user's graph raises is this rollout's outcome)
            error = raised
        if behind is not None:
            await behind.flush()
    except Exception as failed:  # noqa: BLE001 (a save that fails ends the rollout as it would end the graph)
        error = error or failed
    finally:
        if behind is not None:
            await behind.close()
    return state, error


async def _within(timeout: float | None, running: asyncio.Task[Any], by: JournalCallback | None) -> Any:
    """What `running` gives within `timeout` seconds.

    Those in which its model calls waited for endpoints do not count; those that journalled replies once took do. Else
    a rollout whose first calls another one has paid for would have more time for the rest.

    Raises:
        TimeoutError: it takes longer; it is cancelled.
    """
    began = time.monotonic()

    def left() -> float | None:
        moved = 0.0 if by is None else by.lost.seconds - by.spared.seconds
        return None if timeout is None else began + timeout + moved - time.monotonic()

    try:
        while not running.done():
            seconds = left()
            if seconds is not None and seconds <= 0:
                if by is not None:
                    by.cut_off()
                raise TimeoutError
            # looked at again and again: the limit may come nearer meanwhile
            await asyncio.wait({running}, timeout=seconds and min(max(seconds, _TICK), _LOOK))
        ended = await running
        seconds = left()
        if seconds is not None and seconds <= -_LATE:
            raise TimeoutError
        return ended
    finally:
        if not running.done():
            running.cancel()
            await asyncio.wait({running})
        if running.done() and not running.cancelled():
            running.exception()  # looked at: where this rollout was cancelled meanwhile, nobody else will


def _config(config: RunnableConfig | None, rollout: str, recorder: CallRecorder) -> RunnableConfig:
    """The caller's config with our handler and a thread id; a journal's handler is called through ours."""
    given: RunnableConfig = {**config} if config else {}
    callbacks = given.get("callbacks")
    if isinstance(callbacks, BaseCallbackManager):
        manager = callbacks.copy()
        manager.add_handler(recorder, inherit=True)
        given["callbacks"] = manager
    else:
        listed = callbacks or []
        journalling = [h for h in listed if isinstance(h, JournalCallback)]
        if len(journalling) == 1:
            recorder.journalling = journalling[0]
            recorder.journalling.recorder = recorder
            listed = [h for h in listed if h is not recorder.journalling]
        given["callbacks"] = [*listed, recorder]
    given["configurable"] = {"thread_id": rollout, **given.get("configurable", {})}
    return given


async def _has_checkpoints(saver: BaseCheckpointSaver[Any], thread: RunnableConfig) -> bool:
    try:
        return await saver.aget_tuple(thread) is not None
    except NotImplementedError as sync_only:
        name = type(saver).__name__
        raise UserMistake(
            f"record: {name} has no async methods and rollouts are async; give Async{name} or leave saver out"
        ) from sync_only


async def _with_earlier(
    graph: Any, saver: BaseCheckpointSaver[Any], thread: RunnableConfig, tap: Tap, runs: list[TaskRun]
) -> list[TaskRun]:
    """The steps of the thread from before this run, then those of this run."""
    earlier = await agather(graph, saver, thread, tap.recorder.contents)
    return list({run.id: run for run in [*earlier, *runs]}.values())
