"""System: a compiled LangGraph graph, its rule book, and how a task goes in and an answer comes out."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from langchain_core.runnables.graph import Graph
from langgraph.pregel import Pregel

from langgraph_truce.errors import SystemMismatch
from langgraph_truce.rules import RuleBook, read_rules
from langgraph_truce.rules.rule import content_hash
from langgraph_truce.task import Task


@dataclass(frozen=True)
class System:
    """The multi-agent graph that is optimized. Roles, structure and models stay fixed; only rules change.

    Raises:
        SystemMismatch: no compiled graph, no agent in the rules, or rules for a node that the graph does not have.
        RuleFileError: a rule file is broken.
    """

    graph: Pregel[Any, Any, Any, Any]
    """A compiled graph; it is never changed, only copied with another saver."""
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

    def __post_init__(self) -> None:
        if not isinstance(self.graph, Pregel):
            kind = type(self.graph).__name__
            hint = "; call .compile() on it first" if hasattr(self.graph, "compile") else ""
            raise SystemMismatch(f"System needs a compiled LangGraph graph, got {kind}{hint}")
        book = self.rules if isinstance(self.rules, RuleBook) else read_rules(Path(self.rules))
        if not book.agents:
            raise SystemMismatch(
                "the rule book has no agent; write one ROLE.md file per node that reads rules"
            )
        if self.in_flight < 1:
            raise SystemMismatch(f"in_flight must be at least 1, got {self.in_flight}")
        object.__setattr__(self, "rules", book)
        object.__setattr__(self, "name", self.name or str(self.graph.get_name()))
        nodes = [n for n in self.graph.nodes if not n.startswith("__")]
        wanted = [*book.agents, *([self.aggregator] if self.aggregator else [])]
        for role in wanted:
            if role.split("@")[0].split("/")[0] not in nodes:
                raise SystemMismatch(
                    f"the graph has no node {role!r}; its nodes are: {', '.join(sorted(nodes))}"
                )

    @property
    def book(self) -> RuleBook:
        """The rules it starts with, P^(0)."""
        assert isinstance(self.rules, RuleBook)
        return self.rules

    @cached_property
    def _drawing(self) -> Graph:
        """Drawn once: it takes milliseconds, and prompts ask for it by the hundred."""
        return self.graph.get_graph()

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
        node = role.split("@", maxsplit=1)[0].split("/", maxsplit=1)[0]
        before = sorted({e.source for e in drawing.edges if e.target == node})
        after = sorted({e.target for e in drawing.edges if e.source == node})
        closes = " It closes a round." if self.aggregator and node == self.aggregator.split("/")[0] else ""
        names = {"__start__": "the task", "__end__": "the end"}

        def line(nodes: list[str]) -> str:
            return ", ".join(names.get(n, n) for n in nodes) or "nothing"

        return f"{role}: comes after {line(before)}; goes on to {line(after)}.{closes}"
