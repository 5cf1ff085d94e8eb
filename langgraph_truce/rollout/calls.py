"""The callback handler that records model calls, tool calls and node timing, keyed by LangGraph's task id."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from time import perf_counter
from typing import Any
from uuid import UUID

from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.messages import BaseMessage
from langchain_core.outputs import LLMResult
from langgraph.errors import GraphBubbleUp, ParentCommand
from langgraph.types import Command, Send
from typing_extensions import override

from langgraph_truce.model.place import JournalCallback
from langgraph_truce.rollout.task_runs import HIDDEN, Place, TaskRun, grouped, path_text, place_of
from langgraph_truce.trajectory.content import Contents
from langgraph_truce.trajectory.plain import error_text
from langgraph_truce.trajectory.step import ModelCall, Usage

NAMESPACE = "langgraph_checkpoint_ns"
WAITS = "GraphInterrupt: the node waits for a person"
"""Error of a step that was not resumed."""


@dataclass(slots=True)
class _Open:
    """A model or tool call that has not ended."""

    of: list[Any]
    """The calls of its attempt of the node."""
    slot: int
    started: float


class CallRecorder(BaseCallbackHandler):
    """Gathers `TaskRun`s; safe in threads: all state is behind one lock."""

    run_inline = True  # in order, on the caller's thread: no executor hop per event
    raise_error = True  # an error here is our bug, and must not hide in a log

    def __init__(self, contents: Contents, journalling: JournalCallback | None = None) -> None:
        self.contents = contents
        self.journalling = journalling
        """Is told what it listens to, before anything is recorded: LangChain calls one handler instead of two."""
        self.lock = threading.Lock()
        self.runs: dict[str, TaskRun] = {}
        """By task id, in order of start."""
        self.returned: dict[str, Any] = {}
        """What each node returned, by task id: the writes of tasks that no saver saw."""
        self.unjoined = 0
        """Model calls that carry no task id; they belong to no step."""
        self.stateful = False
        """True once a subgraph ran that keeps its state between calls (`checkpointer=True`)."""
        self._nodes: dict[UUID, tuple[str, float]] = {}
        self._calls: dict[UUID, _Open] = {}
        self._parents: dict[str, UUID | None] = {}
        self._failed: dict[UUID, ModelCall] = {}
        """Model calls that ended with an error."""
        self._retried: list[ModelCall] = []
        """Those of them that were made again, unseen by the graph: no step holds them."""
        self._asking: set[str] = set()
        """Tasks whose last attempt ended with a question to a person."""
        self._before: dict[str, tuple[list[ModelCall], list[Mapping[str, Any]]]] = {}
        """Model and tool calls of attempts that ended with a question, by task id."""

    def again(self) -> None:
        """The run is resumed or repeated: what it asks again at the same place finds the journalled reply."""
        if self.journalling is not None:
            self.journalling.restart()

    def collect(self, writes: Mapping[str, Mapping[str, str]]) -> list[TaskRun]:
        """Every task, in order of start, with its `writes`; what a node returned where they do not hold its task."""
        with self.lock:
            for task, run in self.runs.items():
                run.writes = writes[task] if task in writes else self._returned(task)
            for task, (calls, tools) in self._before.items():
                run = self.runs[task]
                run.calls = once(calls, run.calls)
                done = [(t["name"], t["input"]) for t in run.tools]
                run.tools[:0] = [t for t in tools if (t["name"], t["input"]) not in done]
            self._before.clear()
            retried = {id(call) for call in self._retried}
            for run in self.runs.values() if retried else ():
                run.calls = [call for call in run.calls if id(call) not in retried]
            return list(self.runs.values())

    def _returned(self, task: str) -> Mapping[str, str]:
        """Writes of a task whose graph has its own saver or none: what its node returned."""
        returned = self.returned.get(task)
        parts = returned if isinstance(returned, list) else [returned]
        updates = [part.update if isinstance(part, Command) else part for part in parts]
        pairs = [
            pair for u in updates if isinstance(u, Mapping) for pair in u.items() if isinstance(pair[0], str)
        ]
        return grouped(pairs, self.contents)

    # Nodes -------------------------------------------------------------------------------------------------------

    @override
    def on_chain_start(
        self,
        serialized: dict[str, Any] | None,
        inputs: Any,
        *,
        run_id: UUID,
        parent_run_id: UUID | None = None,
        metadata: dict[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        """The first chain of a task is its node; later ones with the same parent are its retries."""
        if self.journalling is not None:
            self.journalling.remember(metadata)
        if not metadata or (namespace := metadata.get(NAMESPACE)) is None:
            return
        if metadata["langgraph_node"] in HIDDEN:
            return
        task = namespace[namespace.rfind(":") + 1 :]
        with self.lock:
            if task not in self.runs:
                place, call = self._place(namespace)
                self._parents[task] = parent_run_id
                self.runs[task] = TaskRun(
                    place=place,
                    step=metadata["langgraph_step"],
                    path=path_text(metadata["langgraph_path"]),
                    call=call,
                    input=self.contents.put(inputs),
                )
            elif task in self._asking:
                self._resumed(task, parent_run_id)
            elif self._parents[task] != parent_run_id or kwargs.get("name") != metadata["langgraph_node"]:
                return
            self._nodes[run_id] = (task, perf_counter())

    def _resumed(self, task: str, parent_run_id: UUID | None) -> None:
        """The node runs again from its start, answered: what it asks again stands once in its step."""
        self._asking.discard(task)
        self._parents[task] = parent_run_id
        run = self.runs[task]
        calls, tools = self._before.setdefault(task, ([], []))
        calls += run.calls
        tools += run.tools
        run.calls, run.tools = [], []

    def _place(self, namespace: str) -> tuple[Place, int]:
        """The place, with the ids of stateful subgraphs (never two at once in one place) from the open tasks."""
        place, _ = place_of(namespace)
        if len(place) == 1 and place[0][1]:
            return place, 0
        _, call = place_of(namespace.rpartition("|")[0])
        for level in [n for n, (_, task) in enumerate(place) if not task]:
            self.stateful = True
            names = [name for name, _ in place[: level + 1]]
            running = (self.runs[t].place for t, _ in self._nodes.values())
            found = next((p for p in running if [name for name, _ in p] == names), place[: level + 1])
            place = (*found, *place[level + 1 :])
        return place, call

    @override
    def on_chain_end(self, outputs: Any, *, run_id: UUID, **kwargs: Any) -> None:
        """A node came back."""
        if (node := self._nodes.pop(run_id, None)) is None:
            return
        task, started = node
        with self.lock:
            run = self.runs[task]
            run.latency = (run.latency or 0.0) + perf_counter() - started
            run.goto, run.error = goto_of(outputs), ""
            self.returned[task] = outputs

    @override
    def on_chain_error(self, error: BaseException, *, run_id: UUID, **kwargs: Any) -> None:
        """A node raised, was cancelled, waits for a person, or jumped to its parent graph."""
        if (node := self._nodes.pop(run_id, None)) is None:
            return
        task, started = node
        with self.lock:
            run = self.runs[task]
            run.latency = (run.latency or 0.0) + perf_counter() - started
            if isinstance(error, ParentCommand):
                run.goto, run.error = goto_of(error.args[0]), ""
                self.returned[task] = error.args[0]
            elif isinstance(error, GraphBubbleUp):
                run.error = WAITS
                self._asking.add(task)
            else:
                run.error = error_text(error)

    # Model calls -------------------------------------------------------------------------------------------------

    @override
    def on_chat_model_start(
        self,
        serialized: dict[str, Any],
        messages: list[list[BaseMessage]],
        *,
        run_id: UUID,
        metadata: dict[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        """A chat model is called; LangChain batches one prompt per event."""
        if self.journalling is not None:
            self.journalling.on_chat_model_start(
                serialized, messages, run_id=run_id, metadata=metadata, **kwargs
            )
        self._call_starts(run_id, metadata, messages[0], kwargs)

    @override
    def on_llm_start(
        self,
        serialized: dict[str, Any],
        prompts: list[str],
        *,
        run_id: UUID,
        metadata: dict[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        """A text model is called: its prompt counts as one user message."""
        self._call_starts(run_id, metadata, [{"role": "user", "content": prompts[0]}], kwargs)

    @override
    def on_llm_end(self, response: LLMResult, *, run_id: UUID, **kwargs: Any) -> None:
        """The reply, its usage and the provider's name of the model."""
        if self.journalling is not None:
            self.journalling.on_llm_end(response, run_id=run_id, **kwargs)
        first = next((g for batch in response.generations for g in batch), None)
        reply = getattr(first, "message", None)
        self._call_ends(run_id, reply if reply is not None else getattr(first, "text", None), response, "")

    @override
    def on_llm_error(self, error: BaseException, *, run_id: UUID, **kwargs: Any) -> None:
        """The call failed; what it cost is unknown."""
        if self.journalling is not None:
            self.journalling.on_llm_error(error, run_id=run_id, **kwargs)
        self._call_ends(run_id, None, None, error_text(error))

    def retried(self, run_id: UUID) -> None:
        """The run's own patience makes this failed call again; the graph sees the last try."""
        with self.lock:
            if (call := self._failed.pop(run_id, None)) is not None:
                self._retried.append(call)

    def _call_starts(
        self,
        run_id: UUID,
        metadata: Mapping[str, Any] | None,
        messages: Sequence[Any],
        extra: Mapping[str, Any],
    ) -> None:
        known = metadata or {}
        params = extra.get("invocation_params") or {}
        name = known.get("ls_model_name") or params.get("model") or params.get("model_name") or ""
        with self.lock:
            run = self._run(known)
            if run is None:
                self.unjoined += 1
                return
            run.calls.append(ModelCall(self.contents.put(messages), None, str(name)))
            self._calls[run_id] = _Open(run.calls, len(run.calls) - 1, perf_counter())

    def _call_ends(self, run_id: UUID, reply: Any, response: LLMResult | None, error: str) -> None:
        if (opened := self._calls.pop(run_id, None)) is None:
            return
        latency = perf_counter() - opened.started
        if isinstance(reply, str):
            reply = {"role": "assistant", "content": reply}
        with self.lock:
            asked = opened.of[opened.slot]
            output = None if reply is None else self.contents.put(reply)
            model = _model_name(reply, response) or asked.model
            ended = ModelCall(asked.prompt, output, model, _usage(reply, response), latency, error)
            opened.of[opened.slot] = ended
            if error:
                self._failed[run_id] = ended

    # Tools -------------------------------------------------------------------------------------------------------

    @override
    def on_tool_start(
        self,
        serialized: dict[str, Any] | None,
        input_str: str,
        *,
        run_id: UUID,
        metadata: dict[str, Any] | None = None,
        inputs: dict[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        """A tool is called; arguments that LangGraph injects (runtime, state) are not part of its input."""
        name = (serialized or {}).get("name") or kwargs.get("name") or ""
        with self.lock:
            if (run := self._run(metadata or {})) is None:
                return
            given = self.contents.put(input_str if inputs is None else inputs)
            run.tools.append({"name": name, "input": given, "output": None, "error": ""})
            self._calls[run_id] = _Open(run.tools, len(run.tools) - 1, perf_counter())

    @override
    def on_tool_end(self, output: Any, *, run_id: UUID, **kwargs: Any) -> None:
        """What the tool gave back."""
        self._tool_ends(run_id, output, "")

    @override
    def on_tool_error(self, error: BaseException, *, run_id: UUID, **kwargs: Any) -> None:
        """The tool raised."""
        self._tool_ends(run_id, None, error_text(error))

    def _tool_ends(self, run_id: UUID, output: Any, error: str) -> None:
        if (opened := self._calls.pop(run_id, None)) is None:
            return
        with self.lock:
            given = None if error else self.contents.put(output)
            opened.of[opened.slot] = {**opened.of[opened.slot], "output": given, "error": error}

    def _run(self, metadata: Mapping[str, Any]) -> TaskRun | None:
        namespace = metadata.get(NAMESPACE) or ""
        return self.runs.get(namespace[namespace.rfind(":") + 1 :])


def once(earlier: Sequence[ModelCall], last: Sequence[ModelCall]) -> list[ModelCall]:
    """The calls of a node that asked a person, and so ran several times: what its last attempt did not repeat, then that."""
    said = {(call.prompt, call.output) for call in last}
    return [*(call for call in earlier if (call.prompt, call.output) not in said), *last]


def goto_of(returned: Any) -> tuple[str, ...]:
    """Where the `Command`s in what a node returned send the run, in order."""
    if isinstance(returned, Command):
        targets = returned.goto if isinstance(returned.goto, (list, tuple)) else [returned.goto]
        return tuple(t.node if isinstance(t, Send) else str(t) for t in targets)
    if isinstance(returned, (list, tuple)) and not hasattr(returned, "_fields"):
        return tuple(target for item in returned if isinstance(item, Command) for target in goto_of(item))
    return ()


def _usage(reply: Any, response: LLMResult | None) -> Usage:
    if given := getattr(reply, "usage_metadata", None):
        return Usage(given.get("input_tokens"), given.get("output_tokens"))
    given = ((response.llm_output if response else None) or {}).get("token_usage") or {}
    return Usage(given.get("prompt_tokens"), given.get("completion_tokens"))


def _model_name(reply: Any, response: LLMResult | None) -> str:
    said = getattr(reply, "response_metadata", None) or {}
    output = (response.llm_output if response else None) or {}
    return str(said.get("model_name") or said.get("model") or output.get("model_name") or "")
