"""System: a compiled LangGraph graph, its rule book, and how a task goes in and an answer comes out."""

from __future__ import annotations

import asyncio
import contextvars
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, fields, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

from langchain_core.runnables import RunnableConfig, RunnableLambda
from langchain_core.runnables.graph import Graph
from langgraph.pregel import Pregel
from langgraph.pregel.remote import RemoteGraph

from langgraph_truce.bind.context import PROMPTS, VERSION, published
from langgraph_truce.bind.discover.names import role_of
from langgraph_truce.bind.discover.saved import read_prompts
from langgraph_truce.bind.found import Prompts, Slot
from langgraph_truce.bind.intercept import intercepting
from langgraph_truce.errors import SystemMismatch, UnknownNameError
from langgraph_truce.rules import RuleBook, parse, read_rules
from langgraph_truce.rules.rule import content_hash
from langgraph_truce.task import Task

if TYPE_CHECKING:
    from langgraph_truce.bind.discover import Discovery

ToolReplay = Literal["safe", "recorded", "forbidden"]
"""What a replay may do with a tool."""


@dataclass(frozen=True)
class System:
    """The multi-agent graph that is optimized. Roles, structure and models stay fixed; only rules change.

    Raises:
        SystemMismatch: no compiled graph, no agent in the rules, or rules for a node that the graph does not have.
        RuleFileError: a rule file is broken.
    """

    graph: Pregel[Any, Any, Any, Any] | RemoteGraph
    """A compiled graph; it is never changed, only copied with another saver. A `RemoteGraph` can be evaluated and
    credited; `rollout/remote.py` says what else is possible."""
    rules: RuleBook | Path | str
    """The rule book, or the folder of its Markdown files."""
    inputs: Callable[[Mapping[str, Any]], Any] | None = None
    """Task inputs -> graph input; None passes the inputs as the graph's state."""
    outputs: Callable[[Any], Any] | None = None
    """Final state -> what the evaluator sees as `outputs`; None passes the state."""
    aggregator: str = ""
    """Role path of the node that closes a round; empty where there is none."""
    name: str = ""
    """For reports; default: the graph's name."""
    in_flight: int = 64
    """Rollouts at a time, >= 1."""
    calls: float | None = None
    """Model calls of one rollout, where known: `plan` counts with it; None counts one per agent."""
    timeout: float | None = None
    """Seconds one rollout may take, > 0; beyond that it is scored as failed. None: no limit."""
    prompts: Prompts | None = None
    """Hard-coded prompts that `discover` found: they are replaced on their way to the model. None where nodes read their rules."""
    context: Callable[[Mapping[str, Any]], Any] | None = None
    """Task inputs -> the run's `context`, for graphs with a `context_schema`."""
    interrupts: Callable[[Any], Any] | None = None
    """Answers an `interrupt(value)`: value -> what the node is resumed with. None: a rollout that waits for a person fails."""
    tools: Mapping[str, ToolReplay] = field(default_factory=dict)
    """Tool name -> what a replay may do with it (contract 11): `safe` calls it again, `recorded` gives what it gave in the
    recorded run, `forbidden` refuses. A tool that is not named is refused."""

    discovery: Discovery | None = None
    """What `discover` found and did not find; None where it was not used."""

    def __post_init__(self) -> None:
        if not isinstance(self.graph, (Pregel, RemoteGraph)):
            kind = type(self.graph).__name__
            hint = "; call .compile() on it first" if hasattr(self.graph, "compile") else ""
            raise SystemMismatch(f"System needs a compiled LangGraph graph, got {kind}{hint}")
        book = self.rules if isinstance(self.rules, RuleBook) else read_rules(Path(self.rules))
        if not book.agents:
            raise SystemMismatch(
                "the rule book has no agent; write one ROLE.md file per node that reads rules"
            )
        self._check_settings()
        if self.prompts is None and not isinstance(self.rules, RuleBook):
            # a folder that discovery wrote: its prompts stand in the graph's code, and are replaced from there
            object.__setattr__(self, "prompts", read_prompts(self.rules))
        if self.prompts and (lost := [s.agent for s in self.prompts.slots if s.agent not in book.agents]):
            raise SystemMismatch(
                f"the rules have nothing for {', '.join(lost)}, whose prompts were found in the graph; write a rule file "
                "for each, with the original text where it is to stay"
            )
        object.__setattr__(self, "rules", book)
        object.__setattr__(self, "name", self.name or str(self.graph.get_name()))
        nodes = [n for n in self._node_names() if not n.startswith("__")]
        wanted = [*book.agents, *([self.aggregator] if self.aggregator else [])]
        for role in wanted:
            # a conditional edge of the start may send a prompt too
            if role_of(role).split("/")[0] not in {*nodes, "__start__"}:
                raise SystemMismatch(
                    f"the graph has no node {role!r}; its nodes are: {', '.join(sorted(nodes))}"
                )

    def _check_settings(self) -> None:
        if self.in_flight < 1:
            raise SystemMismatch(f"in_flight must be at least 1, got {self.in_flight}")
        if self.timeout is not None and self.timeout <= 0:
            raise SystemMismatch(f"timeout must be more than 0 seconds, got {self.timeout}")
        for field_name in ("inputs", "outputs", "context", "interrupts"):
            given = getattr(self, field_name)
            if given is not None and not callable(given):
                raise SystemMismatch(f"{field_name} must be a function, got {type(given).__name__}")
        for tool, replay in self.tools.items():
            if replay not in get_args(ToolReplay):
                raise SystemMismatch(f"tool {tool!r}: replay is safe, recorded or forbidden, got {replay!r}")

    @classmethod
    def discover(
        cls,
        graph: Any,
        example_inputs: Iterable[Mapping[str, Any] | Task],
        *,
        slots: Sequence[Slot] = (),
        inputs: Callable[[Mapping[str, Any]], Any] | None = None,
        outputs: Callable[[Any], Any] | None = None,
        **settings: Any,
    ) -> System:
        """A system from a compiled graph that is left as it is: its hard-coded prompts are found and become rules.

        The examples run once, with their model calls; what was found and what was not is in `discovery`. Works inside
        a running event loop as well, in a thread of its own.

        Args:
            graph: A compiled graph.
            example_inputs: Some tasks, or their inputs; several, so that the parts that vary are told from the fixed text.
            slots: Prompts named by hand; they go before those that are found.
            inputs: As the field.
            outputs: As the field.
            settings: Other fields of System; `context`, `interrupts` and `timeout` hold for the examples too.

        Raises:
            SystemMismatch: no compiled graph, no usable example, a slot for a role that the graph has not, every
                example raised, or no prompt was found.
            UnknownNameError: a setting that System does not have.
        """
        made = cls.adiscover(graph, example_inputs, slots=slots, inputs=inputs, outputs=outputs, **settings)
        if not _in_a_loop():
            return asyncio.run(made)
        with ThreadPoolExecutor(1, thread_name_prefix="discover") as thread:
            return thread.submit(contextvars.Context().run, asyncio.run, made).result()

    @classmethod
    async def adiscover(
        cls,
        graph: Any,
        example_inputs: Iterable[Mapping[str, Any] | Task],
        *,
        slots: Sequence[Slot] = (),
        inputs: Callable[[Mapping[str, Any]], Any] | None = None,
        outputs: Callable[[Any], Any] | None = None,
        **settings: Any,
    ) -> System:
        """As `discover`, on the running event loop."""
        from langgraph_truce.bind.discover import Feed, adiscover

        known = {f.name for f in fields(cls)} - {"graph", "rules", "prompts", "discovery"}
        if unknown := sorted(settings.keys() - known):
            raise UnknownNameError(
                f"discover: System has no setting {', '.join(unknown)}; there are: {', '.join(sorted(known))}"
            )
        if isinstance(graph, Pregel):  # a wrong setting is said before anything is run
            node = next(n for n in graph.nodes if not n.startswith("__"))
            cls(graph, RuleBook({node: parse(node, node)}), inputs=inputs, outputs=outputs, **settings)
        feed = Feed(inputs, **{k: settings.get(k) for k in ("context", "interrupts", "timeout")})
        found = await adiscover(graph, example_inputs, slots=slots, feed=feed)
        return cls(
            graph,
            found.prompts.book,
            inputs=inputs,
            outputs=outputs,
            prompts=found.prompts,
            discovery=found,
            **{"calls": found.calls, **settings},
        )

    @contextmanager
    def use(self, rules: RuleBook | Path | str) -> Iterator[RunnableConfig]:
        """While in this context, runs of the graph with the config given here send `rules`; other runs are left alone.

        For trying optimized rules on an app with hard-coded prompts, and for serving them before they are copied into the
        code: `with system.use("rules") as config: graph.invoke(inputs, config)`.

        Raises:
            SystemMismatch: the graph runs on a server, or the rules lack an agent whose prompt was found.
            RuleFileError: a rule file is broken.
        """
        self.in_process("use")
        book = replace(self, rules=rules).book
        with ExitStack() as stack:
            version = stack.enter_context(published(book))
            names = {VERSION: version}
            if self.prompts is not None:
                names[PROMPTS] = stack.enter_context(intercepting(self.prompts)).id
            yield RunnableConfig(configurable=names)

    @property
    def book(self) -> RuleBook:
        """The rules it starts with, P^(0)."""
        assert isinstance(self.rules, RuleBook)
        return self.rules

    @property
    def remote(self) -> bool:
        """True where the graph runs on a server: its rules cannot be tried from here, nor its checkpoints forked."""
        return isinstance(self.graph, RemoteGraph)

    def in_process(self, what: str) -> None:
        """Refuse `what` (`optimize`, `counterfactual credit`) for a graph that runs on a server.

        Raises:
            SystemMismatch: the graph is a `RemoteGraph`.
        """
        if self.remote:
            raise SystemMismatch(
                f"{what} needs the graph in this process: rules and replays do not reach the server of RemoteGraph "
                f"{self.name!r}; give the compiled graph itself, then deploy its rules"
            )

    def _node_names(self) -> Iterable[str]:
        """Names of the outermost graph's nodes; a server is asked once, and its drawing kept."""
        if isinstance(self.graph, Pregel):
            return self.graph.nodes
        try:
            drawing = self.graph.get_graph()
        except Exception as failed:
            raise SystemMismatch(
                f"the server of RemoteGraph {self.name!r} does not tell its graph ({type(failed).__name__}: {failed}); "
                "check that it runs and that RemoteGraph(url=...) is its address"
            ) from failed
        self.__dict__["_drawing"] = drawing
        return drawing.nodes

    @cached_property
    def _drawing(self) -> Graph:
        """Drawn once: it takes milliseconds, and prompts ask for it by the hundred; nodes alone where it cannot be drawn."""
        try:
            return self.graph.get_graph()
        except Exception:  # noqa: BLE001 (drawing runs the user's schemas and callables; nothing else needs the edges)
            bare = Graph()
            for name in self._node_names():
                bare.add_node(RunnableLambda(str), name)
            return bare

    @property
    def fingerprint(self) -> str:
        """Hash of name and drawing (nodes, edges): equal for equal structure, whatever the rules."""
        drawing = self._drawing.to_json()
        return content_hash(json.dumps([self.name, drawing], sort_keys=True, default=str))

    def graph_input(self, task: Task) -> Any:
        """What the graph is invoked with for `task`."""
        return self.inputs(task.inputs) if self.inputs else dict(task.inputs)

    def answer(self, state: Any) -> Any:
        """What the evaluator sees of the final state."""
        return self.outputs(state) if self.outputs else state

    def about(self, role: str) -> str:
        """A role's place in the graph, in one line for prompts: what comes before it and after it."""
        drawing = self._drawing
        node = role_of(role).split("/", maxsplit=1)[0]
        before = sorted({e.source for e in drawing.edges if e.target == node})
        after = sorted({e.target for e in drawing.edges if e.source == node})
        closes = " It closes a round." if self.aggregator and node == self.aggregator.split("/")[0] else ""
        names = {"__start__": "the task", "__end__": "the end"}

        def line(nodes: list[str]) -> str:
            return ", ".join(names.get(n, n) for n in nodes) or "nothing"

        return f"{role}: comes after {line(before)}; goes on to {line(after)}.{closes}"


def _in_a_loop() -> bool:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True
