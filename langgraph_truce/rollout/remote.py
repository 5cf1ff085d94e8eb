"""Runs of a `RemoteGraph`: what its server streams, as steps. For credit and evaluation, not for optimization.

The server tells every task with its input, what it wrote and when; every model reply with its usage; every question to
a person. So steps, rounds, writes, replies and final state are those of a local run. What is not possible:

- Rules cannot be tried. They live in this process, the nodes in the server's: neither `instructions()` nor interception
  reaches them. `optimize` refuses (`System.in_process`); optimize the graph itself and deploy its rules.
- Prompts are unknown (`Trajectory.prompts_known` is False): a call has its reply, model and usage, and the prompt `[]`.
  Calls tagged `nostream` are not told at all; tool calls stand in the messages that were written.
- Nothing is journalled or metered: a repeated rollout is paid again, and a budget cannot count its calls.
- No fork: checkpoints stay on the server. Counterfactual credit and `Lab.replay` need the graph itself.
- Where a `Command` went is not told (`Step.goto` is empty), nor what a task wrote that jumped to its parent graph.
- A function of the functional API stands below its caller only where it calls a model.

Each rollout is a thread of its own on the server and is deleted afterwards; where `configurable` names a `thread_id`,
the run goes on in that thread, and it stays.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from langchain_core.messages import AIMessage, AIMessageChunk, BaseMessage
from langchain_core.runnables import RunnableConfig
from langgraph.pregel.remote import RemoteException, RemoteGraph
from langgraph_sdk import get_client
from langgraph_sdk.client import LangGraphClient

from langgraph_truce.errors import UserMistake
from langgraph_truce.rollout.calls import NAMESPACE, WAITS, once
from langgraph_truce.rollout.interrupts import INTERRUPT, Ended, RunOptions, answered
from langgraph_truce.rollout.task_runs import HIDDEN, TaskRun, grouped, path_text, place_of
from langgraph_truce.trajectory.content import Contents
from langgraph_truce.trajectory.plain import deep
from langgraph_truce.trajectory.step import ModelCall, Usage

_log = logging.getLogger(__name__)
_MODES: Any = ["debug", "values", "updates", "messages"]
_ROLES = {"human": "user", "ai": "assistant", "AIMessageChunk": "assistant", "HumanMessageChunk": "user"}
_KINDS = frozenset({*_ROLES, "system", "tool", "function", "remove", "developer"})
_TRANSPORT = frozenset(
    {"APIConnectionError", "APITimeoutError", "RateLimitError", "ConnectionError", "ConnectError"}
)
"""Errors of the server's own connections: the rollout is tried again, not scored."""


async def run_remote(
    graph: RemoteGraph, graph_input: Any, config: RunnableConfig | None, options: RunOptions, heard: Heard
) -> Any:
    """Run on the server and answer its questions; the final state as `RemoteGraph.ainvoke` gives it.

    Args:
        graph: Its address and headers are used with a connection of this run's own: one is bound to its event loop.
        graph_input: As for a local run; pydantic models, dataclasses and messages travel as JSON.
        config: Its configurable, metadata and recursion limit travel; callbacks cannot.
        options: As for a local run; a context travels as the dict of its fields.
        heard: Gets what the server tells.

    Raises:
        UserMistake: the graph has no async client.
        RemoteException: what a node on the server raised.
        ConnectionError: what went wrong there was a connection.
    """
    given: RunnableConfig = {**config} if config else {}
    given.pop("callbacks", None)
    context = None if options.context is None else deep(options.context)
    async with _client(graph) as client:
        own = graph.copy({"client": client})
        thread = given.get("configurable", {}).get("thread_id")
        stays = thread is not None
        if thread is None:
            thread = (await client.threads.create())["thread_id"]
        given["configurable"] = {**given.get("configurable", {}), "thread_id": thread}

        async def run(part: Any) -> Ended:
            state: Any = None
            questions: dict[str, Any] | None = None
            stream = own.astream(
                part, given, context=context, stream_mode=_MODES, subgraphs=True, on_disconnect="cancel"
            )
            space: Any  # with `subgraphs` and several modes the items are triples
            async for space, mode, told in stream:
                heard.tell(space, mode, told)
                if space:
                    continue
                if mode == "values":
                    state = told
                elif mode == "updates" and isinstance(told, dict) and INTERRUPT in told:
                    questions = {**(questions or {}), **{q["id"]: q["value"] for q in told[INTERRUPT]}}
            return Ended(state, questions)

        try:
            return await answered(run, graph_input, options, lambda: None)
        except RemoteException as raised:
            told = raised.args[0] if raised.args else None
            if isinstance(told, dict) and told.get("error") in _TRANSPORT:
                raise ConnectionError(_error(told)) from raised
            raise
        finally:
            if not stays:
                await _forget(client, thread)


def _client(graph: RemoteGraph) -> LangGraphClient:
    if graph.client is None:
        raise UserMistake(
            f"RemoteGraph {graph.name!r} has no async client; make it with RemoteGraph({graph.assistant_id!r}, url=...)"
        )
    http = graph.client.http.client
    own = {k: v for k, v in http.headers.items() if k.startswith("x-") and k != "x-api-key"}
    own |= {k: v for k, v in http.headers.items() if k in {"authorization", "cookie"}}
    return get_client(url=str(http.base_url), headers=own, api_key=http.headers.get("x-api-key"))


async def _forget(client: LangGraphClient, thread: str) -> None:
    try:
        await client.threads.delete(thread)
    except Exception as failed:  # noqa: BLE001 (the rollout itself is done; a thread too many harms nobody)
        _log.warning("thread %s stays on the server: %s", thread, failed)


@dataclass(slots=True)
class _Said:
    """One model reply, while its chunks arrive."""

    task: str
    attempt: int
    message: BaseMessage
    model: str


class Heard:
    """Gathers `TaskRun`s from what a server streams."""

    def __init__(self, contents: Contents) -> None:
        self.contents = contents
        self.unjoined = 0
        """Model replies that belong to no task."""
        self._runs: dict[str, TaskRun] = {}
        self._started: dict[str, datetime] = {}
        self._attempts: dict[str, int] = {}
        self._said: dict[str, _Said] = {}

    def tell(self, space: tuple[str, ...], mode: str, told: Any) -> None:
        """One event: the namespace as LangGraph's parts, the stream mode, and what it says."""
        if mode == "debug" and told["type"] == "task":
            self._starts("|".join(space), told)
        elif mode == "debug" and told["type"] == "task_result":
            self._ends(told)
        elif mode == "messages":
            self._speaks(*told)

    def collect(self) -> list[TaskRun]:
        """Every task, in order of start."""
        nothing = self.contents.put([])
        calls: dict[str, list[list[ModelCall]]] = {
            task: [[] for _ in range(attempts + 1)] for task, attempts in self._attempts.items()
        }
        for said in self._said.values():
            if said.task not in calls:
                self.unjoined += 1
                continue
            usage = getattr(said.message, "usage_metadata", None) or {}
            calls[said.task][said.attempt].append(
                ModelCall(
                    nothing,
                    self.contents.put(said.message),
                    said.model,
                    Usage(usage.get("input_tokens"), usage.get("output_tokens")),
                )
            )
        for task, attempts in calls.items():
            self._runs[task].calls = once([c for a in attempts[:-1] for c in a], attempts[-1])
        return list(self._runs.values())

    def _starts(self, namespace: str, told: Mapping[str, Any]) -> None:
        payload = told["payload"]
        name, task = payload["name"], payload["id"]
        if name in HIDDEN:
            return
        self._started[task] = datetime.fromisoformat(told["timestamp"])
        if task in self._runs:  # it asked a person, and runs again
            self._attempts[task] += 1
            return
        self._attempts[task] = 0
        parents, call = place_of(namespace)
        sent = payload.get("triggers") == ["__pregel_push"]
        path = f"~__pregel_push, {len(self._runs):010d}, False" if sent else f"~__pregel_pull, {name}"
        place = (*self._known(parents), (name, task))
        given = self.contents.put(_plain(payload.get("input")))
        self._runs[task] = TaskRun(place=place, step=told["step"], path=path, call=call, input=given)

    def _known(self, parents: tuple[tuple[str, str], ...]) -> tuple[tuple[str, str], ...]:
        """`parents` with the task ids that LangGraph leaves out for subgraphs that keep their state."""
        full: tuple[tuple[str, str], ...] = ()
        for name, task in parents:
            owners = [r.id for r in self._runs.values() if r.place[:-1] == full and r.place[-1][0] == name]
            full = (*full, (name, task or (owners[-1] if owners else "")))
        return full

    def _ends(self, told: Mapping[str, Any]) -> None:
        payload = told["payload"]
        run = self._runs.get(payload["id"])
        if run is None:
            return
        seconds = (datetime.fromisoformat(told["timestamp"]) - self._started[run.id]).total_seconds()
        run.latency = (run.latency or 0.0) + seconds
        result = payload.get("result") or {}
        pairs = result.items() if isinstance(result, dict) else result
        run.writes = grouped([(c, _plain(v)) for c, v in pairs], self.contents)
        run.error = WAITS if payload.get("interrupts") else _error(payload.get("error"))

    def _speaks(self, row: Mapping[str, Any], about: Mapping[str, Any]) -> None:
        """A chunk of a reply, or a whole one; messages of nodes carry no model."""
        if about.get("ls_model_type") is None:
            return
        namespace = about.get(NAMESPACE) or ""
        task = namespace[namespace.rfind(":") + 1 :]
        if (run := self._runs.get(task)) is not None:
            run.place = (*self._known(place_of(namespace)[0][:-1]), run.place[-1])
            run.path = path_text(about.get("langgraph_path") or run.path)
        known = self._said.get(row["id"])
        if known is None:
            attempt = self._attempts.get(task, 0)
            self._said[row["id"]] = _Said(task, attempt, _reply(row), str(about.get("ls_model_name") or ""))
        elif isinstance(known.message, AIMessageChunk) and row["type"] == "AIMessageChunk":
            known.message = known.message + _reply(row)
        else:
            known.message = _reply(row)


def _reply(row: Mapping[str, Any]) -> BaseMessage:
    parts = {k: row.get(k) for k in ("content", "id", "name", "usage_metadata") if row.get(k) is not None}
    if row["type"] == "AIMessageChunk":
        return AIMessageChunk(**parts, tool_call_chunks=row.get("tool_call_chunks") or [])
    return AIMessage(**parts, tool_calls=row.get("tool_calls") or [])


def _plain(value: Any) -> Any:
    """`value` with messages in the form that local runs give them (`trajectory.plain.message`)."""
    if isinstance(value, list):
        return [_plain(item) for item in value]
    if not isinstance(value, dict):
        return value
    kind = value.get("type")
    if kind not in _KINDS or "content" not in value or "response_metadata" not in value:
        return {k: _plain(v) for k, v in value.items()}
    row: dict[str, Any] = {"role": _ROLES.get(kind, kind), "content": value["content"]}
    if value.get("name"):
        row["name"] = value["name"]
    if value.get("tool_calls"):
        row["tool_calls"] = [{k: call.get(k) for k in ("name", "args", "id")} for call in value["tool_calls"]]
    if kind == "tool":
        row["tool_call_id"] = value.get("tool_call_id")
        if value.get("status") == "error":
            row["status"] = "error"
    elif kind == "remove":
        row["id"] = value.get("id")
    return row


def _error(told: Any) -> str:
    """`Type: message` of an error as the server tells it; "" for none."""
    if isinstance(told, dict):
        return ": ".join(str(told[k]) for k in ("error", "message") if told.get(k))
    return str(told) if told else ""
