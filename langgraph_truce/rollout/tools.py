"""Tools in replays (contract 11): each is called again, answered from the recorded run, or refused before it runs.

Calls are seen at `BaseTool.run` and `arun`, where every LangChain tool passes: those of a `ToolNode`, of an agent, and
`tool.invoke(...)` in a node. A plain Python function that a node calls itself cannot be seen, nor whose call it is that a
node makes from a thread of its own.
"""

from __future__ import annotations

import builtins
import json
import threading
import uuid
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from langchain_core.messages import ToolMessage
from langchain_core.runnables import RunnableConfig
from langchain_core.runnables.config import var_child_runnable_config
from langchain_core.tools import BaseTool, ToolException
from typing_extensions import override

from langgraph_truce.errors import ReplayRefused
from langgraph_truce.system import ToolReplay
from langgraph_truce.trajectory.plain import deep
from langgraph_truce.trajectory.step import Step, Trajectory

KEY = "truce_replay"
"""Key in a run's `configurable` that names its guard."""
HANDOFF = "__handoff_destination"
"""Metadata of the tools with which langgraph-supervisor and langgraph-swarm pass the turn on: they do nothing else."""

_Call = tuple[str, str]
"""Name of a tool and its arguments as JSON."""


def check_tools(trajectory: Trajectory, steps: Iterable[Step], tools: Mapping[str, ToolReplay]) -> None:
    """Refuse before anything is spent: `steps` are those that will run again.

    A tool that passed the turn on (it gave a `Command`) is left to the guard, which sees the tool itself.

    Raises:
        ReplayRefused: one of them called a tool that is forbidden or not declared.
    """
    for step in steps:
        for call in step.tools:
            name = call["name"]
            if tools.get(name) in {"safe", "recorded"}:
                continue
            given: Any = None if call["output"] is None else trajectory.value(call["output"])
            if name not in tools and _is_command(given) and given["goto"]:
                continue
            raise ReplayRefused(_refusal(name, f"step {step.id!r}", tools))


def _refusal(name: str, who: str, tools: Mapping[str, ToolReplay]) -> str:
    if name in tools:
        return f"{who} calls the tool {name!r}, which is declared forbidden in replays; fork after it"
    return (
        f"{who} calls the tool {name!r}, which is not declared, and a replay may do harm twice; say "
        f'System(tools={{"{name}": "safe"}}) to call it again, or "recorded" to give what it gave'
    )


def _is_command(value: Any) -> bool:
    return isinstance(value, Mapping) and {"graph", "update", "resume", "goto"} <= value.keys()


@dataclass(slots=True)
class Guard:
    """Decides on every tool call of one replay; safe in threads."""

    tools: Mapping[str, ToolReplay]
    recorded: Mapping[_Call, list[Mapping[str, Any]]]
    """Calls of the source rollout, those of the replayed part first: `{"output", "error"}`."""
    id: str = field(default_factory=lambda: uuid.uuid4().hex)
    refused: ReplayRefused | None = None
    """The first refusal: it ends the replay, also where a node swallowed it."""
    stop: Callable[[], None] = lambda: None
    """Called at the first refusal, from any thread."""
    _asked: dict[_Call, int] = field(default_factory=lambda: defaultdict(int))
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def stand_in(self, tool: BaseTool, tool_input: Any, tool_call_id: str | None) -> BaseTool | None:
        """What runs instead of `tool`; None where it runs itself.

        Raises:
            ReplayRefused: it must not run.
        """
        declared = self.tools.get(tool.name)
        if declared == "safe" or (declared is None and HANDOFF in (tool.metadata or {})):
            return None
        if declared != "recorded":
            raise self._refuse(_refusal(tool.name, "the replay", self.tools))
        call = (tool.name, _canonical(_plain(tool, tool_input)))
        with self._lock:
            n = self._asked[call]
            self._asked[call] += 1
        earlier = self.recorded.get(call)
        if not earlier:
            raise self._refuse(
                f"the replay calls the tool {tool.name!r} with {call[1]}, which the recorded run did not; "
                f'there is nothing to give back: say System(tools={{"{tool.name}": "safe"}}) if it may be called'
            )
        answer = earlier[min(n, len(earlier) - 1)]
        if _is_command(answer["output"]):
            raise self._refuse(
                f"the tool {tool.name!r} gave a Command, which cannot be given back; "
                f'say System(tools={{"{tool.name}": "safe"}}) if it may be called again'
            )
        return _Recorded(name=tool.name, description=tool.description, answer=answer, call_id=tool_call_id)

    def _refuse(self, words: str) -> ReplayRefused:
        with self._lock:
            first = self.refused is None
            self.refused = self.refused or ReplayRefused(words)
        if first:
            self.stop()
        return self.refused


def guard_for(trajectory: Trajectory | None, again: Iterable[Step], tools: Mapping[str, ToolReplay]) -> Guard:
    """A guard that knows what the tools gave in the source rollout; `again` are the steps that run again."""
    if trajectory is None:
        return Guard(tools, {})
    first = {step.id for step in again}
    recorded: dict[_Call, list[Mapping[str, Any]]] = defaultdict(list)
    for step in sorted(trajectory.steps, key=lambda step: step.id not in first):
        for call in step.tools:
            output = None if call["output"] is None else trajectory.value(call["output"])
            key = (call["name"], _canonical(trajectory.value(call["input"])))
            recorded[key].append({"output": output, "error": call["error"]})
    return Guard(tools, dict(recorded))


def _canonical(value: Any) -> str:
    return json.dumps(deep(value), sort_keys=True, ensure_ascii=False)


class _Recorded(BaseTool):
    """Gives what a tool gave in the recorded run; LangChain does the rest, callbacks and `ToolMessage` included."""

    answer: Mapping[str, Any]
    call_id: str | None = None

    @override
    def _run(self, *args: Any, **kwargs: Any) -> Any:
        if self.answer["error"]:
            raise _raised(self.answer["error"])
        output = self.answer["output"]
        if not (isinstance(output, Mapping) and output.get("role") == "tool"):
            return output
        if self.call_id is None:
            return output["content"]
        status = output.get("status", "success")
        return ToolMessage(output["content"], name=self.name, tool_call_id=self.call_id, status=status)

    @override
    async def _arun(self, *args: Any, **kwargs: Any) -> Any:
        return self._run()


_BUILT = (UnicodeError, BaseExceptionGroup)
"""Errors that are not made of a message alone."""


def _raised(said: str) -> Exception:
    """A recorded `Type: message` as an exception of that type where it is one of Python's own."""
    name, _, words = said.partition(": ")
    kind = getattr(builtins, name, None)
    if isinstance(kind, type) and issubclass(kind, Exception) and not issubclass(kind, _BUILT):
        return kind(words)
    return ToolException(words if name == ToolException.__name__ else said)


# Where calls are seen --------------------------------------------------------------------------------------------

_lock = threading.Lock()
_guards: dict[str, Guard] = {}
_originals: list[tuple[Any, Any]] = []
"""`BaseTool.run` and `arun`, while they are replaced."""


@contextmanager
def guarding(guard: Guard) -> Iterator[None]:
    """While inside, tool calls of runs whose `configurable[KEY]` is `guard.id` are the guard's; no others change."""
    with _lock:
        if not _guards:
            _originals.append((BaseTool.run, BaseTool.arun))
            BaseTool.run, BaseTool.arun = _watched(BaseTool.run), _awatched(BaseTool.arun)  # type: ignore[method-assign]
        _guards[guard.id] = guard
    try:
        yield
    finally:
        with _lock:
            del _guards[guard.id]
            if not _guards:
                BaseTool.run, BaseTool.arun = _originals.pop()  # type: ignore[method-assign]


def _guard(config: RunnableConfig | None) -> Guard | None:
    for place in (config, var_child_runnable_config.get()):  # a `configurable` of the call hides the node's
        if place and (guard := _guards.get(place.get("configurable", {}).get(KEY, ""))):
            return guard
    return None


def _watched(run: Callable[..., Any]) -> Callable[..., Any]:
    def watched(self: BaseTool, tool_input: Any, *args: Any, **kwargs: Any) -> Any:
        guard = _guard(kwargs.get("config"))
        other = guard and guard.stand_in(self, tool_input, kwargs.get("tool_call_id"))
        return run(other or self, _plain(self, tool_input) if other else tool_input, *args, **kwargs)

    return watched


def _awatched(arun: Callable[..., Any]) -> Callable[..., Any]:
    async def watched(self: BaseTool, tool_input: Any, *args: Any, **kwargs: Any) -> Any:
        guard = _guard(kwargs.get("config"))
        other = guard and guard.stand_in(self, tool_input, kwargs.get("tool_call_id"))
        return await arun(other or self, _plain(self, tool_input) if other else tool_input, *args, **kwargs)

    return watched


def _plain(tool: BaseTool, tool_input: Any) -> Any:
    """The arguments without those that LangGraph injects."""
    return tool._filter_injected_args(tool_input) if isinstance(tool_input, dict) else tool_input
