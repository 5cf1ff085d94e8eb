"""A toy system whose one fault is known: the answer is right when a rule says the magic word."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, TypedDict

import pytest
from langchain_core.messages import HumanMessage, SystemMessage
from langgraph.graph import END, START, StateGraph

from langgraph_truce.bind import ainstructions
from langgraph_truce.gate import paired_gate
from langgraph_truce.rules import Edit, RuleBook, Suggestion, parse
from langgraph_truce.seams import Batch, Credit, Gate, Lab, Memory, Method
from langgraph_truce.segment import segment_each
from langgraph_truce.select import every_agent
from langgraph_truce.system import System
from langgraph_truce.task import Splits, Task
from langgraph_truce.testing import ScriptedModel
from langgraph_truce.trajectory import by_round
from langgraph_truce.write import write_edits


class State(TypedDict, total=False):
    question: str
    answer: str


def score(outputs: Mapping[str, Any], reference_outputs: Mapping[str, Any]) -> dict[str, Any]:
    right = outputs["answer"] == reference_outputs["answer"]
    return {"key": "exact", "score": right, "comment": "right" if right else "wrong"}


def task(n: int) -> Task:
    return Task(f"t{n}", {"question": f"q{n}"}, {"answer": f"Q{n}"})


@dataclass
class Toy:
    """A solver that shouts when its rules say so."""

    calls: list[str] = field(default_factory=list)
    word: str = "SHOUT"

    def system(self, **settings: Any) -> System:
        model = ScriptedModel(replies=self._reply)

        async def solver(state: State) -> State:
            text = await ainstructions("solver")
            reply = await model.ainvoke([SystemMessage(text), HumanMessage(state["question"])])
            return {"answer": str(reply.content)}

        builder = StateGraph(State)
        builder.add_node("solver", solver)
        builder.add_edge(START, "solver")
        builder.add_edge("solver", END)
        book = RuleBook({"solver": parse("solver", "Repeat the question.\n\n- Be brief.\n")})
        return System(builder.compile(name="toy"), book, **settings)

    def _reply(self, messages: list[Any], *_: Any) -> str:
        question = str(messages[-1].content)
        self.calls.append(question)
        return question.upper() if self.word in str(messages[0].content) else question

    def splits(self, n: int = 8) -> Splits:
        return Splits(
            [task(i) for i in range(n)],
            [task(i) for i in range(1000, 1000 + n)],
            [task(i) for i in range(2000, 2000 + n)],
        )

    def method(self, *texts: str, iterations: int = 1, gate: Gate | None = None, **settings: Any) -> Method:
        """Suggests one ADD per text, in the first iteration that sees a failed task."""

        async def credit(batch: Batch, memory: Memory, lab: Lab) -> tuple[tuple[Credit, ...], Memory]:
            return tuple(
                Credit(r.id, r.task, ("solver#1.0",), 2 * r.outcome.score - 1, role="solver")
                for r in batch.rollouts
            ), memory

        async def suggest(batch: Batch, memory: Memory, lab: Lab) -> tuple[tuple[Suggestion, ...], Memory]:
            failed = [r for r in batch.rollouts if r.outcome.score < 1]
            found = tuple(
                Suggestion(
                    "ADD",
                    "solver",
                    t,
                    reason="it was too quiet",
                    evidence=(f"{failed[0].id}/solver#1.0",),
                    tasks=(failed[0].task,),
                )
                for t in texts
                if failed
            )
            return found, {"seen": memory.get("seen", 0) + 1}

        async def merge(batch: Batch, memory: Memory, lab: Lab) -> tuple[tuple[Suggestion, ...], Memory]:
            return batch.suggestions, memory

        return Method(
            "toy",
            segment_each(by_round),
            credit,
            every_agent(),
            suggest,
            merge,
            write_edits(by_model=False),
            gate or paired_gate(),
            iterations=iterations,
            **settings,
        )


@pytest.fixture
def toy() -> Toy:
    return Toy()


__all__ = ["Edit", "Toy", "score", "task"]
