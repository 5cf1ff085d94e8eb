"""A chain of two agents that a method edits in turn: one must shout, then one must mark; either is worth half a point."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypedDict

from langchain_core.messages import HumanMessage, SystemMessage
from langgraph.graph import END, START, StateGraph

from langgraph_truce.bind import ainstructions
from langgraph_truce.gate import paired_gate
from langgraph_truce.gate.measure import untested
from langgraph_truce.optimizer import Result, optimize
from langgraph_truce.rules import RuleBook, Suggestion, parse
from langgraph_truce.seams import Batch, Credit, Gate, Lab, Memory, Method, Verdict
from langgraph_truce.segment import segment_each
from langgraph_truce.system import System
from langgraph_truce.task import Splits, Task
from langgraph_truce.testing import ScriptedModel
from langgraph_truce.trajectory import by_round
from langgraph_truce.write import WriteReply, write_edits

SHOUT, MARK = "SHOUT every word.", "MARK the end."
LOG_TASKS = 3
"""A quarter of twelve validation tasks."""
AGENTS = {"shouter": SHOUT, "marker": MARK}


class State(TypedDict, total=False):
    question: str
    draft: str
    answer: str


def score(outputs: Mapping[str, Any], reference_outputs: Mapping[str, Any]) -> float:
    said, right = str(outputs["answer"]), str(reference_outputs["answer"])
    return 0.5 * said.startswith(right[:-1]) + 0.5 * said.endswith("!")


def task(n: int) -> Task:
    return Task(
        f"t{n}",
        {"question": f"would you please be so kind and tell what is number {n}"},
        {"answer": f"NUMBER {n}!"},
    )


def splits(n: int = 12, train: int = 6) -> Splits:
    return Splits(
        [task(i) for i in range(train)],
        [task(i) for i in range(1000, 1000 + n)],
        [task(i) for i in range(2000, 2006)],
    )


@dataclass
class Chain:
    """The system and its method; what was asked and seen is written down."""

    calls: list[str] = field(default_factory=list)
    """The agent of every call that reached the system's model."""
    batches: list[tuple[str, Batch]] = field(default_factory=list)
    """The decision and its batch, in the order in which they were asked."""
    critic: ScriptedModel = field(default_factory=lambda: ScriptedModel(replies=lambda _: '{"text": "seen"}'))
    broken: bool = True
    """False: nothing is to be mended."""
    cured: tuple[str, ...] = ()
    """Agents whose rules say from the start what they should."""

    def system(self, **settings: Any) -> System:
        model = ScriptedModel(replies=self._reply)

        def node(agent: str, source: str, target: str) -> Any:
            async def run(state: State) -> dict[str, str]:
                given = [SystemMessage(await ainstructions(agent)), HumanMessage(state[source])]  # type: ignore[literal-required]
                return {target: str((await model.ainvoke(given)).content)}

            return run

        builder = StateGraph(State)
        builder.add_node("shouter", node("shouter", "question", "draft"))
        builder.add_node("marker", node("marker", "draft", "answer"))
        builder.add_edge(START, "shouter").add_edge("shouter", "marker").add_edge("marker", END)
        texts = {
            name: f"You are the {name}.\n\n- Be brief.\n" + (f"- {cure}\n" if name in self.cured else "")
            for name, cure in AGENTS.items()
        }
        book = RuleBook({name: parse(name, text) for name, text in texts.items()})
        return System(builder.compile(name="chain"), book, **{"calls": 2, **settings})

    def _reply(self, messages: list[Any], *_: Any) -> str:
        rules, text = str(messages[0].content), str(messages[-1].content)
        agent = next(name for name in AGENTS if f"the {name}." in rules)
        self.calls.append(agent)
        if agent == "shouter":
            text = " ".join(text.split()[-2:])
            return text.upper() if "SHOUT" in rules or not self.broken else text
        return f"{text}!" if "MARK" in rules or not self.broken else text

    def method(
        self, *, order: tuple[str, ...] = ("shouter", "marker"), gate: Gate | None = None, **settings: Any
    ) -> Method:
        """Each phase suggests its agent's cure while rollouts show the disease; `settings` are `Method`'s."""

        async def credit(batch: Batch, memory: Memory, lab: Lab) -> tuple[tuple[Credit, ...], Memory]:
            found = []
            for r in batch.rollouts:
                fields = dict.fromkeys(
                    ("marker", "agent", "profile", "fields", "rules", "rule", "reason", "op"), ""
                )
                fields["instruction"] = f"{r.id} answered {r.outcome.result}"
                if lab.has_model:
                    await lab.ask("write", fields, WriteReply, purpose="credit")
                said = r.outcome.result["answer"]
                for name, good in {"shouter": "NUMBER" in said, "marker": said.endswith("!")}.items():
                    found.append(Credit(r.id, r.task, (f"{name}#1.0",), 1.0 if good else -1.0, role=name))
            return tuple(found), memory

        async def select(batch: Batch, memory: Memory, lab: Lab) -> tuple[tuple[str, ...], Memory]:
            agent = order[(batch.iteration - 1) % len(order)]
            low = any(c.role == agent and c.value == -1.0 for c in batch.credits)
            return ((agent,) if low else ()), memory

        async def suggest(batch: Batch, memory: Memory, lab: Lab) -> tuple[tuple[Suggestion, ...], Memory]:
            r = batch.rollouts[0]
            return tuple(
                Suggestion(
                    "ADD",
                    agent,
                    AGENTS[agent],
                    reason="it is missing",
                    evidence=(f"{r.id}/{agent}#1.0",),
                    tasks=(r.task,),
                )
                for agent in batch.targets
            ), memory

        async def merge(batch: Batch, memory: Memory, lab: Lab) -> tuple[tuple[Suggestion, ...], Memory]:
            return batch.suggestions, memory

        made = Method(
            "phased",
            segment_each(by_round),
            credit,
            select,
            suggest,
            merge,
            write_edits(by_model=False),
            gate or paired_gate(),
            **{"iterations": 2, "phases": 2, "logs": 0.25, **settings},
        )
        return self.watched(made)

    def watched(self, method: Method) -> Method:
        """`method`, whose decisions write down what they were asked."""

        def watch(name: str, decide: Any) -> Any:
            async def asked(batch: Batch, memory: Memory, lab: Lab) -> Any:
                self.batches.append((name, batch))
                return await decide(batch, memory, lab)

            return asked

        names = ("segment", "credit", "select", "suggest", "merge", "write")
        return replace(method, **{name: watch(name, getattr(method, name)) for name in names})

    def seen(self, iteration: int) -> dict[str, Batch]:
        """The batch of each decision of an iteration."""
        return {name: b for name, b in self.batches if b.iteration == iteration}


@dataclass
class Watching:
    """A gate that writes down what it was given, and decides as another does."""

    gate: Any
    tested: dict[int, list[set[str]]]

    async def __call__(self, batch: Batch, memory: Memory, lab: Lab) -> tuple[Verdict, Memory]:
        self.tested.setdefault(batch.iteration, []).append({t.id for t in batch.validation})
        found: tuple[Verdict, Memory] = await self.gate(batch, memory, lab)
        return found


@dataclass(frozen=True)
class Nodding:
    """A gate that accepts without running anything."""

    async def __call__(self, batch: Batch, memory: Memory, lab: Lab) -> tuple[Verdict, Memory]:
        return Verdict("accept", batch.edits, untested(0.95), 1.0, "nodded"), memory


def run(chain: Chain, folder: Path, method: Method | None = None, **more: Any) -> Result:
    given_ = {"method": method or chain.method(), "model": chain.critic, "run": folder, **more}
    return optimize(chain.system(), splits(), score, **given_)


def calls(result: Result, purpose: str) -> float:
    return result.meter.get(purpose, {}).get("calls", 0)
