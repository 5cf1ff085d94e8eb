"""Replay: fork a rollout before a contribution, change it, and run what depends on it."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.base import BaseCheckpointSaver
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.store.base import BaseStore

from langgraph_truce.errors import ReplayRefused
from langgraph_truce.rollout.fork import Edit, ForkPoint, Writes, aforked, checkpoint_at
from langgraph_truce.rollout.fork_points import fork_point, rerun_with
from langgraph_truce.rollout.graft import Contribution, given_writes, instead, neutral
from langgraph_truce.rollout.interrupts import RunOptions
from langgraph_truce.rollout.locate import Located, alocate, lent
from langgraph_truce.rollout.record import Recorded, record
from langgraph_truce.rollout.saver_ops import adrive
from langgraph_truce.rollout.tap import LiveSerializer
from langgraph_truce.rollout.tools import KEY, check_tools, guard_for, guarding
from langgraph_truce.seams import Change
from langgraph_truce.system import ToolReplay
from langgraph_truce.threads import home_loop
from langgraph_truce.trajectory.continued import continued
from langgraph_truce.trajectory.downstream import downstream, first_touched
from langgraph_truce.trajectory.step import Step, Trajectory


@dataclass(frozen=True, slots=True)
class ReplayOptions:
    """What a replay is given besides the graph, the source thread and the change."""

    trajectory: Trajectory | None = None
    """The recorded trajectory of the source thread. Without it steps are named from the checkpoints alone, what models
    said and which tools were called is unknown, and `book` changes are not possible."""
    located: Located | None = None
    """Where its steps are stored, if it was found before: several replays of one rollout share it."""
    aggregator: str = ""
    """Role path that closes a round, as in `record`."""
    tools: Mapping[str, ToolReplay] = field(default_factory=dict)
    """Tool name -> what the replay may do with it; a tool that is not named is refused."""
    touches: Callable[[Step], bool] | None = None
    """With `Change.book`: True for a step that runs with a rule that the new book changes."""
    target: BaseCheckpointSaver[Any] | None = None
    """Where the fork lives while it runs, an async saver; None: in memory, nothing is serialised."""
    store: BaseStore | None = None
    """Long-term store of the replay, used as it is; None: a copy of the graph's own, if it has one, as in `record`."""
    run: RunOptions = field(default_factory=RunOptions)
    """Time limit, context, and who answers questions to a person."""


async def areplay(
    graph: Any,
    saver: BaseCheckpointSaver[Any],
    thread_id: str,
    change: Change,
    *,
    rollout: str,
    config: RunnableConfig | None = None,
    options: ReplayOptions = ReplayOptions(),
) -> Recorded | None:
    """Fork the thread before the changed steps, run what is downstream of them, and record it.

    The source thread and the graph's own store stay as they are; the fork is deleted in the end, also by an error.
    A new book (`change.book`) is not handed to the graph here: `config` must name its version, as in any run.

    Args:
        graph: The compiled graph of the source thread.
        saver: Holds the source thread; any saver, sync or async.
        thread_id: The source thread.
        change: What to change, see `Change`.
        rollout: Id of the replay; also the id of the fork's thread.
        config: As in `record`.
        options: The rest.

    Returns:
        What `record` gives; its trajectory begins at the fork, under the ids of the recorded one. None where `change.book` changes no rule that a step ran
        with: there is nothing to replay, and the outcome is the source's.

    Raises:
        ReplayRefused: the steps are not stored or not of one superstep, nothing can be replaced, or a tool must not run.
        UnknownNameError: the saver holds no finished step of the thread.
    """
    source = lent(graph, saver)
    found = options.located
    if found is None:
        found = await alocate(graph, source, thread_id, options.aggregator, options.trajectory)
    plan = _plan(found, change, options)
    if plan is None:
        return None
    if options.trajectory is not None:
        check_tools(options.trajectory, plan.again, options.tools)
    edits = await _edits(graph, source, found, change, options)
    target = options.target if options.target is not None else fork_saver()
    how = {"thread_id": rollout, "edits": edits, "rerun": plan.rerun}
    async with aforked(source, target, plan.point, **how):
        done = await _run(graph, target, rollout, config, options, plan)
    if options.trajectory is None:
        return done
    again = [step.id for step in plan.again]
    return replace(done, trajectory=continued(done.trajectory, options.trajectory, plan.steps, again))


def replay(
    graph: Any,
    saver: BaseCheckpointSaver[Any],
    thread_id: str,
    change: Change,
    *,
    rollout: str,
    config: RunnableConfig | None = None,
    options: ReplayOptions = ReplayOptions(),
) -> Recorded | None:
    """As `areplay`, outside of async code; it also works where an event loop runs, on a loop of its own.

    Raises:
        UserMistake: an async saver or store is used where its own event loop waits: use `areplay` there.
    """
    store = graph.store if options.store is None else options.store
    home = home_loop("areplay", saver, options.target, store)
    box: list[Recorded | BaseException | None] = []

    def work() -> None:
        running = areplay(graph, saver, thread_id, change, rollout=rollout, config=config, options=options)
        try:
            if home is None:
                box.append(asyncio.run(running))
            else:
                box.append(asyncio.run_coroutine_threadsafe(running, home).result())
        except BaseException as raised:  # noqa: BLE001 (handed to the caller's thread, whatever it is)
            box.append(raised)

    thread = threading.Thread(target=work, name="truce-replay")
    thread.start()
    thread.join()
    if isinstance(box[0], BaseException):
        raise box[0]
    return box[0]


class ForkSerializer(LiveSerializer):
    """Keeps values as they are, but for the books of channel versions: a run goes on writing in those it was given."""

    def dumps_typed(self, obj: Any) -> tuple[str, Any]:
        """The value itself, a checkpoint with versions of its own."""
        return "live", _own_versions(obj)

    def loads_typed(self, data: tuple[str, Any]) -> Any:
        """The value itself, a checkpoint with versions of its own."""
        return _own_versions(data[1])


def _own_versions(value: Any) -> Any:
    if type(value) is not dict or "versions_seen" not in value:
        return value
    seen = {node: dict(versions) for node, versions in value["versions_seen"].items()}
    return {**value, "channel_versions": dict(value["channel_versions"]), "versions_seen": seen}


def fork_saver() -> InMemorySaver:
    """An in-memory saver for a fork and the run that goes on from it; nothing is serialised."""
    return InMemorySaver(serde=ForkSerializer())


# What is replayed ------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Plan:
    point: ForkPoint
    steps: Sequence[str]
    """The changed steps."""
    rerun: frozenset[str]
    """Ids of the tasks that run again, besides the owners."""
    again: tuple[Step, ...] = ()
    """The recorded steps that run again; empty where no trajectory is known."""


def _plan(found: Located, change: Change, options: ReplayOptions) -> _Plan | None:
    known = options.trajectory
    steps: Sequence[str] = change.steps
    rerun = change.rerun
    if change.book is not None:
        if known is None or options.touches is None:
            raise ReplayRefused(
                "a replay with a new book needs the recorded trajectory and a `touches` predicate; give both"
            )
        steps = change.steps or first_touched(known, options.touches)
        rerun = True
        if not steps:
            return None
    point = fork_point(found, steps)
    again = () if known is None else downstream(known, steps, rerun=rerun)
    return _Plan(point, steps, rerun_with(found, steps, rerun=rerun), again)


async def _edits(
    graph: Any,
    source: BaseCheckpointSaver[Any],
    found: Located,
    change: Change,
    options: ReplayOptions,
) -> dict[str, Edit]:
    """Task id -> what becomes of its writes."""
    if change.neutral is None and change.instead is None and change.writes is None:
        return {}
    theirs: Writes = ()
    other = Contribution.of(options.trajectory, change.instead or "")
    if change.instead is not None:
        spot = found.spot(change.instead)
        saved = await adrive(checkpoint_at(found.thread, spot.namespace, spot.checkpoint), source, source)
        theirs = [(c, v) for task, c, v in saved.pending_writes or () if task == spot.task]

    def edit(own: Contribution, channels: Sequence[str]) -> Edit:
        def edited(writes: Writes) -> Writes:
            if change.neutral is not None:
                return neutral(writes, own, change.neutral)
            if change.instead is not None:
                return instead(writes, own, theirs, other)
            return given_writes(writes, own, change.writes or {}, channels)

        return edited

    edits: dict[str, Edit] = {}
    for step in change.steps:
        spot = found.spot(step)
        edits[spot.task] = edit(Contribution.of(options.trajectory, step), _channels(graph, spot.role))
    return edits


def _channels(graph: Any, role: str) -> tuple[str, ...]:
    """Channels of the graph that a role is a node of; () where LangGraph does not find it."""
    outer = role.rpartition("/")[0].replace("/", "|")
    graphs = {"": graph} | (dict(graph.get_subgraphs(recurse=True)) if outer else {})
    return tuple(getattr(graphs.get(outer), "channels", ()))


async def _run(
    graph: Any,
    target: BaseCheckpointSaver[Any],
    rollout: str,
    config: RunnableConfig | None,
    options: ReplayOptions,
    plan: _Plan,
) -> Recorded:
    """Go on from the fork; a refused tool call stops the run at once, whatever its node does with the error."""
    guard = guard_for(options.trajectory, plan.again, options.tools)
    given: RunnableConfig = {**config} if config else {}
    given["configurable"] = {**given.get("configurable", {}), "thread_id": rollout, KEY: guard.id}
    running = asyncio.ensure_future(
        record(
            graph,
            None,
            rollout=rollout,
            config=given,
            saver=target,
            store=options.store,
            aggregator=options.aggregator,
            options=options.run,
        )
    )
    loop = asyncio.get_running_loop()
    guard.stop = lambda: loop.call_soon_threadsafe(running.cancel)  # type: ignore[assignment]
    with guarding(guard):
        try:
            done = await running
        except asyncio.CancelledError:
            running.cancel()
            if guard.refused is None:
                raise
            raise guard.refused from None
    if guard.refused is not None:
        raise guard.refused
    return done
