"""Shared-prefix evaluation (DESIGN section 9): what edits cannot have changed of a rollout is not run again.

A candidate differs from its parent in few rules. Of the parent's rollout of the same task and replicate it is known
which rules it read, and in which step. Where it read none that the edits change, it is the candidate's rollout too;
else it is forked before the first step that read one, and goes on from there with the candidate's rules.

The law of the candidate's rollouts stays that of whole reruns. A prefix that read none of the changed rules has one
law under both books, and what follows is drawn afresh given the prefix; what a node draws or looks up in a prefix (chance,
the clock) stands as it was recorded. Whole reruns find the replies of the prefix in the journal, so a fallback costs no
calls; but nodes run again, and where they have luck of their own, falling back for rollouts of some kind alone would
favour the others ("rerun only those that visited"). So either all rollouts of a call are shared or none, as far as it
can be seen from what was recorded; and a fork that turns out to be impossible while it runs ends sharing for the run.

Never shared: what cannot be forked faithfully (`whole_only`), steps behind a tool that is not declared `safe`, and reads
whose place is not known.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import ormsgpack
from langchain_core.runnables import RunnableConfig
from langgraph.channels import UntrackedValue
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.checkpoint.serde.jsonplus import JsonPlusSerializer
from langgraph.errors import GraphRecursionError
from langgraph.graph.state import CompiledStateGraph
from typing_extensions import override

from langgraph_truce.bind.reads import Read, Reads
from langgraph_truce.errors import ReplayRefused, UnknownNameError
from langgraph_truce.rollout.history_tasks import ERROR
from langgraph_truce.rollout.interrupts import RunOptions
from langgraph_truce.rollout.keep import pack_memory, unpack
from langgraph_truce.rollout.plain_graph import graphs_inside
from langgraph_truce.rollout.record import Recorded
from langgraph_truce.rollout.replay import ReplayOptions, areplay
from langgraph_truce.rollout.tools import check_tools
from langgraph_truce.rules import RuleBook
from langgraph_truce.seams import Change, Rollout
from langgraph_truce.system import System
from langgraph_truce.trajectory.downstream import downstream, first_touched, line, owners
from langgraph_truce.trajectory.joined import joined
from langgraph_truce.trajectory.step import Step, Trajectory

MOST_BYTES = 256_000_000
"""What is kept of parents in memory, at most, in bytes of their packed checkpoints and `OVERHEAD` for each."""
OVERHEAD = 2_000
"""Bytes that an origin takes besides its packed checkpoints, and about 200 for each step and read."""


@dataclass(frozen=True, slots=True)
class Origin:
    """What a finished rollout leaves for those of edited rules."""

    reads: frozenset[Read]
    steps: Mapping[str, str]
    """LangGraph's task id -> step id."""
    stored: frozenset[str]
    """Ids of the tasks that its checkpoints hold: not of those that failed."""
    packed: bytes
    """Its checkpoints (`keep.pack_memory`)."""

    @property
    def size(self) -> int:
        """Bytes, about."""
        return len(self.packed) + OVERHEAD + 200 * (len(self.reads) + len(self.steps) + len(self.stored))


class Origins:
    """Origins by rollout id, the last ones used within a limit of bytes; in memory, so a resumed run begins with none.

    Checkpoints and reads go together: that a parent is forgotten must not depend on what its rollout did.
    """

    def __init__(self, most_bytes: int = MOST_BYTES) -> None:
        self._most = most_bytes
        self._held: OrderedDict[str, Origin] = OrderedDict()
        self.size = 0
        """Bytes held, about."""

    def __len__(self) -> int:
        return len(self._held)

    def keep(self, rollout: str, origin: Origin) -> None:
        """Keep it; the least recently used ones go where there are too many bytes."""
        self.drop(rollout)
        self._held[rollout] = origin
        self.size += origin.size
        while self.size > self._most:
            self.drop(next(iter(self._held)))

    def find(self, rollout: str) -> Origin | None:
        """The origin, or None where none is kept."""
        if rollout in self._held:
            self._held.move_to_end(rollout)
        return self._held.get(rollout)

    def drop(self, rollout: str) -> None:
        """Forget it; harmless where it is not kept."""
        gone = self._held.pop(rollout, None)
        self.size -= gone.size if gone else 0

    def clear(self) -> None:
        """Forget all."""
        self._held.clear()
        self.size = 0


class _Kept(JsonPlusSerializer):
    """A run must not fail for what is kept of it: a value that cannot be stored is marked, and `pack_memory` refuses it."""

    @override
    def dumps_typed(self, obj: Any) -> tuple[str, bytes]:
        try:
            return super().dumps_typed(obj)
        except (ormsgpack.MsgpackEncodeError, TypeError, ValueError):
            return type(obj).__name__, b""


def origin_saver() -> InMemorySaver:
    """Where a rollout that may be forked writes its checkpoints while it runs."""
    return InMemorySaver(serde=_Kept())


def origin_of(recorded: Recorded, reads: Reads, saver: InMemorySaver, thread: str) -> Origin:
    """What to keep of a run.

    Raises:
        ReplayRefused: it read rules at a place that is not known, or its state cannot be stored.
    """
    if reads.lost or recorded.unjoined:
        raise ReplayRefused("a model or the rules were asked outside of LangGraph's run context")
    stored = {
        task for rows in saver.writes.values() for task, channel, _, _ in rows.values() if channel != ERROR
    }
    return Origin(frozenset(reads.found), recorded.tasks, frozenset(stored), pack_memory(saver, thread))


def whole_only(system: System) -> str:
    """Why the rollouts of `system` are always run whole; "" where they may be shared."""
    if system.remote:
        return "the graph runs on a server"
    if system.prompts is not None and system.prompts.raw_threads:
        return "models are called from raw threads, so it is not known whose rules a call read"
    if system.interrupts is not None:
        return "answers to a person's questions are kept in checkpoints, and edited rules may ask others"
    if system.timeout is not None:
        return "rollouts have a time limit, and a fork does not know how much of it was used before"
    found = (_not_in_checkpoints(graph) for graph in (system.graph, *graphs_inside(system.graph)))
    return next(filter(None, found), "")


def _not_in_checkpoints(graph: Any) -> str:
    """What a run of `graph` depends on and its checkpoints do not hold; "" where there is nothing."""
    if not isinstance(graph, CompiledStateGraph):
        return "code between the tasks of the functional API has no checkpoints"
    if graph.store is not None:
        return "what a run wrote into the long-term store is not in its checkpoints"
    if graph.cache is not None:
        return "what a node cache holds is not in the checkpoints"
    if any(isinstance(channel, UntrackedValue) for channel in graph.channels.values()):
        return "values of the state are not in the checkpoints (UntrackedValue)"
    if graph.builder.managed:
        return "nodes are told how many steps are left, which a fork counts anew"
    return ""


# What is shared --------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Shared:
    """A parent's rollout, and from where on the candidate's differs."""

    parent: Rollout
    origin: Origin
    before: RuleBook
    after: RuleBook
    first: tuple[str, ...] = ()
    """The steps from which on it is run again, all of one superstep; () where the whole rollout is the candidate's."""
    again: tuple[Step, ...] = ()
    """The recorded steps that are run again."""


def share(parent: Rollout, origin: Origin, before: RuleBook, after: RuleBook) -> Shared:
    """What of `parent`, a rollout with the book `before`, is a rollout with `after` as well.

    Raises:
        ReplayRefused: it cannot be told, or a tool is behind the fork that is not declared `safe`.
    """
    touched = {read.task for read in origin.reads if _text(before, read) != _text(after, read)}
    if lost := touched - origin.steps.keys():
        raise ReplayRefused(
            f"rollout {parent.id!r}: changed rules were read outside of any step ({len(lost)})"
        )
    steps = frozenset(origin.steps[task] for task in touched)
    first = first_touched(parent.trajectory, lambda step: step.id in steps)
    again = downstream(parent.trajectory, first, rerun=True) if first else ()
    held = {origin.steps[task] for task in origin.stored & origin.steps.keys()}
    if lost := set(first) - held:
        raise ReplayRefused(
            f"rollout {parent.id!r}: no checkpoint holds step {min(lost)!r}; it failed, or handed over"
        )
    return Shared(parent, origin, before, after, first, again)


def _text(book: RuleBook, read: Read) -> str | None:
    """What a read is answered with; None where the book has no such agent."""
    try:
        return book.render(read.agent, read.round)
    except UnknownNameError:
        return None


def safe_tools(system: System, shared: Iterable[Shared]) -> dict[str, Any]:
    """The tools that forks may call again: those declared `safe`.

    Raises:
        ReplayRefused: one of the rollouts called another behind its fork.
    """
    safe = {name: way for name, way in system.tools.items() if way == "safe"}
    for one in shared:
        check_tools(one.parent.trajectory, one.again, safe)
    return safe


def reused(shared: Shared, rollout: str, version: str) -> Rollout:
    """The parent's rollout as the candidate's: the same outcome and trajectory under its id."""
    parent = shared.parent
    return replace(
        parent, id=rollout, version=version, trajectory=replace(parent.trajectory, rollout=rollout)
    )


async def forked(
    system: System,
    shared: Shared,
    *,
    rollout: str,
    config: RunnableConfig,
    run: RunOptions,
    tools: Mapping[str, Any],
) -> Recorded:
    """Run the candidate's rollout from the fork on; the trajectory is whole, under the ids of a whole run.

    Args:
        system: The system.
        shared: What stands; `shared.first` is not empty.
        rollout: Id of the candidate's rollout.
        config: As of a whole run: its recursion limit is that of the whole.
        run: Time limit and context.
        tools: From `safe_tools`.

    Raises:
        ReplayRefused: the checkpoints do not hold the steps, a tool that is not `safe` was called, or the fork ran
            into the recursion limit, which only a whole run counts right.
    """
    known = shared.parent.trajectory
    limit = config["recursion_limit"]
    outer = known.step(line(shared.first[0], owners(known))[0])
    assert outer is not None
    left = limit - outer.superstep - 1  # LangGraph counts from where an invocation begins
    if left < 1:
        raise ReplayRefused(f"rollout {shared.parent.id!r} is at the recursion limit before the fork")
    options = ReplayOptions(
        trajectory=known,
        aggregator=system.aggregator,
        tools=tools,
        touches=lambda step: step.id in shared.first,
        run=run,
    )
    done = await areplay(
        system.graph,
        unpack(
            shared.origin.packed, JsonPlusSerializer(allowed_msgpack_modules=True)
        ),  # made by this process
        shared.parent.id,
        Change(steps=shared.first, book=shared.after),
        rollout=rollout,
        config={**config, "recursion_limit": left},
        options=options,
    )
    assert done is not None
    if isinstance(done.error, GraphRecursionError) or _longest(done.trajectory) > limit:
        raise ReplayRefused(f"rollout {rollout!r} ran into the recursion limit behind its fork")
    again: Collection[str] = {step.id for step in shared.again}
    return replace(done, trajectory=joined(known, done.trajectory, again, system.aggregator))


def _longest(trajectory: Trajectory) -> int:
    return max((step.superstep for step in trajectory.steps), default=0)
