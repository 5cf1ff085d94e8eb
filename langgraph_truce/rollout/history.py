"""Many stored threads, one after the other: what cannot be read costs its own thread one sentence, and the rest goes on."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from langgraph.checkpoint.base import BaseCheckpointSaver, CheckpointTuple
from langgraph.pregel.remote import RemoteGraph

from langgraph_truce.errors import UserMistake
from langgraph_truce.rollout.heap import settled
from langgraph_truce.rollout.history_held import HeldSaver
from langgraph_truce.rollout.history_open import Undecoded, athread_ids, lenient, thread_ids
from langgraph_truce.rollout.history_runs import WAITS, Gathered, gathered
from langgraph_truce.rollout.history_tasks import Level, sends_of
from langgraph_truce.rollout.task_runs import in_order
from langgraph_truce.rollout.thread import aread_rows, read_rows, thread_config
from langgraph_truce.trajectory.content import Contents
from langgraph_truce.trajectory.plain import deep
from langgraph_truce.trajectory.step import Trajectory

_PARTS = {"v", "id", "channel_values", "channel_versions", "versions_seen"}
_MESSAGE = {"type", "content", "additional_kwargs", "response_metadata"}
"""Fields of a stored message whose class is not known: it comes as data."""
NAMED = 5
"""Names that a sentence lists; the rest is counted."""


@dataclass(frozen=True, slots=True)
class Thread:
    """One stored thread, as far as it can be read."""

    id: str
    trajectory: Trajectory | None
    """Its steps, without prompts and usage; None where no step can be read."""
    problem: str = ""
    """What could not be read and why, or why the thread is not at its end, in one sentence; empty where all is well."""
    state: Any = None
    """The state at its newest checkpoint, in the channels that the graph gives back, as JSON."""
    final: Any = None
    """The same state as the graph itself gives it, messages as objects: what evaluators see. None where it is not known."""
    input: Any = None
    """What the thread was first given, as JSON; None where that is not stored."""
    finished: bool = True
    """False where it waits for a person, or its last run ended before the graph did."""
    error: str = ""
    """`Type: message` of what ended its last run; empty where nothing did."""


def read_history(
    graph: Any,
    saver: BaseCheckpointSaver[Any],
    threads: Iterable[str] | None = None,
    *,
    aggregator: str = "",
) -> Iterator[Thread]:
    """Read stored threads, one at a time.

    Args:
        graph: The compiled graph that wrote them, or a later version of it; None reads what the checkpoints alone tell.
        saver: Any checkpointer with sync methods; it is only read.
        threads: Thread ids, in the order wanted; None reads all of the saver, newest first.
        aggregator: Role path that closes a round.

    Raises:
        UserMistake: an async saver is read on its own event loop, or the graph is a `RemoteGraph`.
    """
    _in_process(graph)
    reading = lenient(saver)
    for thread in thread_ids(saver) if threads is None else threads:
        with settled():
            try:
                rows = read_rows(reading, thread_config(thread))
            except UserMistake:
                raise
            except Exception as broken:  # noqa: BLE001 (a damaged row may break its saver in any way; that is said)
                yielded = _unreadable(thread, broken)
            else:
                yielded = _thread(graph, thread, rows, aggregator)
        yield yielded


async def aread_history(
    graph: Any,
    saver: BaseCheckpointSaver[Any],
    threads: Iterable[str] | None = None,
    *,
    aggregator: str = "",
) -> AsyncIterator[Thread]:
    """As `read_history`, for async savers and inside async code."""
    _in_process(graph)
    reading = lenient(saver)
    for thread in await athread_ids(saver) if threads is None else threads:
        with settled():
            try:
                rows = await aread_rows(reading, thread_config(thread))
            except UserMistake:
                raise
            except Exception as broken:  # noqa: BLE001 (a damaged row may break its saver in any way; that is said)
                yielded = _unreadable(thread, broken)
            else:
                yielded = _thread(graph, thread, rows, aggregator)
        yield yielded


def _in_process(graph: Any) -> None:
    if isinstance(graph, RemoteGraph):
        raise UserMistake(
            f"threads are read with the compiled graph that wrote them, and {graph.name!r} is a RemoteGraph; give the "
            "graph that its server runs, or credit trajectories that were recorded through it"
        )


def _unreadable(thread: str, broken: Exception) -> Thread:
    said = str(broken).partition("\n")[0][:200]
    return Thread(
        thread, None, f"thread {thread!r} cannot be read: {type(broken).__name__}: {said}", finished=False
    )


def _thread(graph: Any, thread: str, rows: Sequence[CheckpointTuple], aggregator: str) -> Thread:
    if not rows:
        return Thread(
            thread,
            None,
            f"thread {thread!r}: the checkpointer holds nothing of it; check the id and that this is the right database",
            finished=False,
        )
    good = [row for row in rows if _whole(row.checkpoint)]
    damage = _damage(rows, len(rows) - len(good))
    contents = Contents()
    outer = sorted((row for row in good if not _namespace(row)), key=lambda row: row.checkpoint["id"])
    try:
        found = gathered(graph, good, contents)
        final, given = _final(graph, outer), _input(outer)
    except Exception as broken:  # noqa: BLE001 (LangGraph on rows of any origin may raise anything; that is said)
        return _unreadable(thread, broken)
    trajectory = None
    if found.runs:
        steps = in_order(list(found.runs.values()), aggregator)
        trajectory = Trajectory(thread, steps, contents.blobs, prompts_known=False)
    end = _end(outer, found) if outer or not damage else ""
    problems = [*damage, *_strange(found, contents), *filter(None, [end])]
    if trajectory is None and not damage:
        problems = [f"no node of it has finished{f': {end}' if end else ''}"]
    return Thread(
        thread,
        trajectory,
        f"thread {thread!r}: {'; '.join(problems)}" if problems else "",
        deep(final),
        final,
        given,
        finished=bool(outer) and not end,
        error=_error(outer, found),
    )


def _whole(checkpoint: Any) -> bool:
    return isinstance(checkpoint, dict) and checkpoint.keys() >= _PARTS


def _namespace(row: CheckpointTuple) -> str:
    return str(row.config["configurable"].get("checkpoint_ns", ""))


def _damage(rows: Sequence[CheckpointTuple], lost: int) -> list[str]:
    """Sentences on what could not be decoded."""
    reasons: Counter[str] = Counter()
    values = 0
    for row in rows:
        if not _whole(row.checkpoint):
            broken: Any = row.checkpoint
            reasons[broken.why if isinstance(broken, Undecoded) else "it holds no checkpoint"] += 1
            continue
        written = [value for _, _, value in row.pending_writes or ()]
        for value in [*row.checkpoint["channel_values"].values(), *written]:
            if isinstance(value, Undecoded):
                reasons[value.why] += 1
                values += 1
    why = "; ".join(list(reasons)[:NAMED])
    parts = [f"{lost} of {len(rows)} checkpoints"] if lost else []
    parts += [f"{values} stored values"] if values else []
    return (
        [
            f"{' and '.join(parts)} cannot be read ({why}), the steps that rest on them are missing or incomplete"
        ]
        if parts
        else []
    )


def _strange(found: Gathered, contents: Contents) -> list[str]:
    """Sentences on what is not of this graph, or of no known kind."""
    said: list[str] = []
    if found.lacking:
        said.append(
            f"it was written by another version of the graph: {_some(list(found.lacking))} ran, which this one has not; "
            "the steps are read, their rules are not known"
        )
    if found.unnamed:
        said.append(f"{found.unnamed} tasks left results whose node is not stored; they are no steps here")
    members = (
        blob["$dict"] for blob in contents.blobs.values() if isinstance(blob, dict) and "$dict" in blob
    )
    kinds = dict.fromkeys(str(m["type"]) for m in members if isinstance(m, dict) and m.keys() >= _MESSAGE)
    if kinds:
        said.append(f"messages of the type {_some(list(kinds))} are not known here and are kept as data")
    return said


def _some(names: Sequence[str]) -> str:
    more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
    return ", ".join(repr(name) for name in names[:NAMED]) + more


def _end(outer: Sequence[CheckpointTuple], found: Gathered) -> str:
    """Why the thread is not at its end; empty where it is."""
    if not outer:
        return "none of its own checkpoints is left, only those of its subgraphs"
    newest = outer[-1]
    last = [run for run in found.runs.values() if run.checkpoint == ("", newest.checkpoint["id"])]
    waiting = [run.role for run in last if run.error == WAITS]
    if waiting:
        return f"it waits for a person, at {_some(waiting)}"
    stored: Mapping[str, Any] = newest.checkpoint["channel_values"]
    done = {run.role for run in last if not run.error}
    failed = {run.role for run in last if run.error}
    due = [channel.removeprefix("branch:to:") for channel in stored if channel.startswith("branch:to:")]
    due += [getattr(send, "node", "?") for send in sends_of(newest.checkpoint)]
    left = [node for node in due if node not in done | failed]
    if failed:
        return f"its last run ended with an error in {_some(sorted(failed))}"
    return f"its last run stopped before {_some(left)}" if left else ""


def _error(outer: Sequence[CheckpointTuple], found: Gathered) -> str:
    newest = outer[-1].checkpoint["id"] if outer else ""
    last = (run for run in found.runs.values() if run.checkpoint == ("", newest))
    return next((run.error for run in last if run.error and run.error != WAITS), "")


def _final(graph: Any, outer: Sequence[CheckpointTuple]) -> Any:
    if not outer:
        return None
    level = Level("", graph, outer)
    values = level.values(outer[-1])
    if graph is not None and not level.plain():
        copied = graph.copy({"checkpointer": HeldSaver(outer)})
        values = copied.get_state(thread_config(outer[-1].config["configurable"]["thread_id"])).values
    asked = graph.output_channels if graph is not None else list(values)
    if isinstance(asked, str):
        return outer[-1].checkpoint["channel_values"].get(asked)
    return {channel: values[channel] for channel in asked if channel in values}


def _input(outer: Sequence[CheckpointTuple]) -> Any:
    given = (row.checkpoint["channel_values"] for row in outer if row.metadata.get("source") == "input")
    return deep(next((values["__start__"] for values in given if "__start__" in values), None))
