"""Run the examples once and write down what every model was sent, by which node, and what that node was given."""

from __future__ import annotations

import asyncio
import contextvars
import inspect
import json
import threading
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID, uuid4

from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.messages import BaseMessage
from langchain_core.outputs import LLMResult
from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.types import Command
from typing_extensions import override

from langgraph_truce.bind.context import LISTEN, current_config
from langgraph_truce.bind.discover.direct import counting_direct
from langgraph_truce.bind.discover.known import Known, known, message_texts, named
from langgraph_truce.bind.intercept import Heard, listening, role_path
from langgraph_truce.errors import SystemMismatch
from langgraph_truce.rules.rule import content_hash
from langgraph_truce.store_copy import store_copy
from langgraph_truce.threads import wide_threads

EXAMPLE = "truce_example"
"""Number of the example, in the run's metadata."""
RECURSION_LIMIT = 200
"""Supersteps an example may take."""
ANSWERS = 100
"""Interrupts of one example that are answered."""
NAMESPACE = "langgraph_checkpoint_ns"
HIDDEN = frozenset({"__start__", "__end__"})


@dataclass(frozen=True, slots=True)
class Call:
    """One model call."""

    role: str
    """Role path."""
    messages: tuple[BaseMessage, ...]
    visit: str
    """Example and checkpoint namespace; "" without run context."""
    example: float
    """Its number from 0; infinite without run context."""
    raw: bool = False
    """True: it came from a thread without run context; `role` is the one node that ran then, "" where several did."""


@dataclass(slots=True)
class Recording:
    """What happened while the examples ran."""

    calls: list[Call] = field(default_factory=list)
    """In order, example by example; those from raw threads last."""
    given: dict[str, list[Any]] = field(default_factory=lambda: defaultdict(list))
    """Visit -> what the node and the chains and tools in it were given, in order."""
    ran: dict[str, None] = field(default_factory=dict)
    """Role paths that ran, in order."""
    direct: dict[str, int] = field(default_factory=dict)
    """Role path -> calls of `model.generate`, which no interception reaches."""
    errors: list[str] = field(default_factory=list)
    """One sentence for every example that raised."""
    _known: dict[str, Known] = field(default_factory=dict)
    _texts: dict[str, frozenset[str]] = field(default_factory=dict)

    def known(self, visit: str) -> Known:
        """What a node was given, by name; to be asked for when the examples have run."""
        if visit not in self._known:
            self._known[visit] = known(*self.above(visit))
        return self._known[visit]

    def came_with(self, visit: str) -> frozenset[str]:
        """Texts of the example itself; to be asked for when the examples have run."""
        example = visit.partition(" ")[0]
        return self._texts_of(example, lambda: self.given.get(example, ()))

    def passed_on(self, visit: str) -> frozenset[str]:
        """Texts of `came_in`; of a raw thread ("") all that any node was given."""
        if not visit:
            return self._texts_of("all", lambda: [one for several in self.given.values() for one in several])
        return self._texts_of(visit, lambda: self.came_in(visit))

    def _texts_of(self, place: str, given: Callable[[], Iterable[Any]]) -> frozenset[str]:
        if place not in self._texts:
            listed = list(given())
            self._texts[place] = message_texts(listed).union(*known(*listed).values())
        return self._texts[place]

    def above(self, visit: str) -> list[Any]:
        """What the graphs around a visit and the visit itself were given, the nearest last."""
        return [one for place in self._places(visit) for one in self.given.get(place, ())]

    def came_in(self, visit: str) -> list[Any]:
        """As `above`, without what the node's own code gave to chains and tools."""
        example, *places = self._places(visit)
        return [*self.given.get(example, ()), *(one for p in places for one in self.given.get(p, ())[:1])]

    def _places(self, visit: str) -> list[str]:
        example, _, namespace = visit.partition(" ")
        levels = namespace.split("|")
        return [example, *(f"{example} {'|'.join(levels[: n + 1])}" for n in range(len(levels)))]

    def digest(self, visit: str) -> str:
        """Hash of what the node was given first: equal for equal inputs."""
        own = self.given.get(visit) or [visit]
        return content_hash(json.dumps(own[0], sort_keys=True, default=_plain))


@dataclass(frozen=True, slots=True)
class Feed:
    """How one example goes into the graph."""

    inputs: Callable[[Mapping[str, Any]], Any] | None = None
    context: Callable[[Mapping[str, Any]], Any] | None = None
    interrupts: Callable[[Any], Any] | None = None
    timeout: float | None = None


async def record(graph: Any, examples: Sequence[Mapping[str, Any]], feed: Feed) -> Recording:
    """Run every example on a copy of `graph`, all at once; an example that raises is written down, the others go on."""
    recording = Recording()
    key = f"discover-{uuid4().hex}"
    # the examples must leave no trace: neither in the graph's own threads nor in its long-term store
    copied = graph.copy({"checkpointer": InMemorySaver(), "store": store_copy(graph.store)})
    watches = [_Watch(recording, n) for n in range(len(examples))]
    pairs = list(zip(examples, watches, strict=True))

    def listen(heard: Heard) -> None:
        recording.calls.append(_call(heard, watches))

    with listening(listen, key), counting_direct(key) as direct, wide_threads(len(examples)):
        done = await asyncio.gather(*(_one(copied, example, feed, watch, key) for example, watch in pairs))
    recording.errors = [error for error in done if error]
    recording.direct = dict(direct)
    recording.calls.sort(key=lambda call: call.example)
    return recording


async def _one(graph: Any, example: Mapping[str, Any], feed: Feed, watch: _Watch, key: str) -> str:
    """The sentence of what the example raised; "" where it came to its end."""
    place = f"example {watch.example + 1}"
    try:
        context = feed.context(example) if feed.context else None
        given = feed.inputs(example) if feed.inputs else dict(example)
        watch.recording.given[str(watch.example)] += [context, given, example]
        config = RunnableConfig(
            configurable={"thread_id": f"{key}/{watch.example}", LISTEN: key},
            metadata={EXAMPLE: watch.example},
            callbacks=[watch],
            recursion_limit=RECURSION_LIMIT,
        )
        run = _to_the_end(graph, given, config, context, feed.interrupts)
        async with asyncio.timeout(feed.timeout):
            # of its own: the run around, if there is one, hands down neither callbacks nor checkpoints
            await asyncio.get_running_loop().create_task(run, context=contextvars.Context())
    except TimeoutError:
        return f"{place} took longer than timeout={feed.timeout} seconds"
    except Exception as raised:  # noqa: BLE001 (whatever the user's graph raises is this example's end)
        words = str(raised).strip().partition("\n")[0] or "without a message"
        return f"{place} raised {type(raised).__name__}: {words}"
    return ""


async def _to_the_end(
    graph: Any, given: Any, config: RunnableConfig, context: Any, answer: Callable[[Any], Any] | None
) -> None:
    extra = {} if context is None else {"context": context}
    for _ in range(ANSWERS):
        state = await graph.ainvoke(given, config, durability="async", **extra)
        waiting = state.get("__interrupt__") if isinstance(state, Mapping) else None
        if not waiting:
            return
        if answer is None:
            raise SystemMismatch(
                f"it waits for a person at interrupt({waiting[0].value!r}); give interrupts=, a function that answers"
            )
        given = Command(resume={i.id: await _answered(answer, i.value) for i in waiting})
    raise SystemMismatch(f"it asked interrupts= more than {ANSWERS} times and did not end")


async def _answered(answer: Callable[[Any], Any], value: Any) -> Any:
    said: Any = answer(value)
    return await said if inspect.isawaitable(said) else said


def _call(heard: Heard, watches: Sequence[_Watch]) -> Call:
    messages = tuple(heard.messages)
    if heard.config is None:
        running = {role for watch in watches for role in watch.running()}
        return Call(running.pop() if len(running) == 1 else "", messages, "", float("inf"), raw=True)
    namespace, example = _told(heard, NAMESPACE), _told(heard, EXAMPLE)
    if not namespace or not isinstance(example, int):  # a caller that hides both behind a config of its own
        return Call(heard.role, messages, "", float("inf"))
    return Call(heard.role, messages, f"{example} {namespace}", example)


def _told(heard: Heard, key: str) -> Any:
    """A value of the call's metadata; the running node's, where the caller's own metadata hides it."""
    for config in (heard.config, current_config()):
        value = ((config or {}).get("metadata") or {}).get(key)
        if value is not None:
            return value
    return ""


class _Watch(BaseCallbackHandler):
    """Writes down which nodes of one example ran and what they were given."""

    run_inline = True
    raise_error = True

    def __init__(self, recording: Recording, example: int) -> None:
        self.recording = recording
        self.example = example
        self._lock = threading.Lock()
        self._open: dict[UUID, str] = {}
        self._asked: dict[UUID, str] = {}

    def running(self) -> set[str]:
        """Role paths of the nodes that run now and hold no other running node."""
        with self._lock:
            roles = set(self._open.values())
        return {role for role in roles if not any(other.startswith(f"{role}/") for other in roles)}

    @override
    def on_chain_start(
        self,
        serialized: dict[str, Any] | None,
        inputs: Any,
        *,
        run_id: UUID,
        metadata: dict[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        """A node, or a chain in it."""
        self._note(metadata, inputs, run_id)

    @override
    def on_chain_end(self, outputs: Any, *, run_id: UUID, **kwargs: Any) -> None:
        """It is done."""
        with self._lock:
            self._open.pop(run_id, None)

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
        """A tool: a model it calls may be sent its arguments."""
        self._note(metadata, inputs)

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
        """Its reply may go into the node's next prompt."""
        with self._lock:
            self._asked[run_id] = (metadata or {}).get(NAMESPACE) or ""

    @override
    def on_llm_end(self, response: LLMResult, *, run_id: UUID, **kwargs: Any) -> None:
        """The reply is something that the node was given."""
        with self._lock:
            if namespace := self._asked.pop(run_id, ""):
                said = [{"reply": g.text} for batch in response.generations for g in batch]
                self.recording.given[f"{self.example} {namespace}"] += said

    @override
    def on_chain_error(self, error: BaseException, *, run_id: UUID, **kwargs: Any) -> None:
        """It is done."""
        with self._lock:
            self._open.pop(run_id, None)

    def _note(self, metadata: Mapping[str, Any] | None, inputs: Any, run_id: UUID | None = None) -> None:
        namespace = (metadata or {}).get(NAMESPACE)
        if not namespace or (metadata or {}).get("langgraph_node") in HIDDEN:
            return
        with self._lock:
            role = role_path(namespace)
            self.recording.ran[role] = None
            if run_id is not None:
                self._open[run_id] = role
            if isinstance(inputs, list) or named(inputs):
                self.recording.given[f"{self.example} {namespace}"].append(inputs)


def _plain(value: Any) -> Any:
    if isinstance(value, BaseMessage):
        return [value.type, value.text]
    return dict(named(value)) or str(value)


def texts_of(content: str | Sequence[str | Mapping[str, Any]]) -> Iterable[tuple[int, str]]:
    """(number of the block, its text) for every text block; one block 0 for plain text."""
    if isinstance(content, str):
        yield 0, content
        return
    for n, block in enumerate(content):
        if isinstance(block, str):
            yield n, block
        elif block.get("type") == "text" and isinstance(block.get("text"), str):
            yield n, block["text"]
