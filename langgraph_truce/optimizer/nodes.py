"""The optimizer's boxes, one function each (Algorithm 1 of TRUCE).

Every box reads what it needs from the records, writes its result there under (iteration, box) and returns only ids,
counters and memory: run twice, it writes the same.
"""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any

from langgraph.errors import NodeError
from langgraph.types import Command, Send

from langgraph_truce.codec import to_json
from langgraph_truce.errors import BudgetSpent, RunError
from langgraph_truce.optimizer import reviewing
from langgraph_truce.optimizer.phases import reads_logs
from langgraph_truce.optimizer.sealed import PLAN
from langgraph_truce.optimizer.session import Session
from langgraph_truce.optimizer.state import Block, State
from langgraph_truce.rules import Edit, apply
from langgraph_truce.seams import Batch, Comparison, Memory, Verdict
from langgraph_truce.trajectory.transcript import cut
from langgraph_truce.write import beside, sealed

BLOCKS = 32
"""At most so many `Send`s per iteration: their bookkeeping costs as much as a short rollout."""
NOTHING = Comparison(0, 0.0, 0.0, 0.0, 0.95, 1.0, 0.0, 0.0)
"""The comparison of an iteration that had no candidate."""

_WHY = 320
"""Characters that are quoted of what was wrong with a model's reply."""

EDITING = ("suggest", "merge", "write")
"""Decisions that have nothing to decide where `select` found no agent that may be edited."""

Update = dict[str, Any]
Decide = Callable[[Batch, Memory, Any], Awaitable[tuple[Any, Memory]]]


def nothing_tested(batch: Batch, memory: Memory) -> str:
    """Why an iteration had no candidate, in words; with what its critics said that could not be used, if anything."""
    why = (
        "Nothing was suggested that could be written as an edit."
        if batch.targets
        else "No agent was selected to be edited."
    )
    kept = [memory.get(name, {}) for name in ("credit", "suggest")]
    kinds = ("unread", "rejected")
    lost = {k: sum(m.get(f"{k}_count", 0) for m in kept) for k in kinds}
    if not any(lost.values()):
        return why
    first = next((str(r.get("why", "")) for k in kinds for m in kept for r in m.get(k, ())), "")
    said = f" (for one: {cut(first, _WHY)})" if first else ""
    return (
        f"{why} So far {lost['unread']} replies of the critic or optimizer model could not be read, and "
        f"{lost['rejected']} of its judgements and suggestions not be used{said}."
    )


class Boxes:
    """The boxes of one session, as LangGraph nodes."""

    def __init__(self, session: Session | None) -> None:
        self._session = session

    @property
    def _s(self) -> Session:
        if self._session is None:
            raise RunError(
                "this graph has no session: it can be looked at; run it with langgraph_truce.optimize(...)"
            )
        return self._session

    async def tasks(self, state: State) -> Update:
        """Line 3: draw this iteration's train tasks, or take what a later phase of a turn reads (`phases`)."""
        first = {} if "initial" in state else await self._s.start()
        iteration = state.get("iteration", 0) + 1
        await reviewing.begin(self._s, iteration)
        drawn = self._s.phases.begin(iteration, {**first, **state})
        self._s.expect("rollouts", iteration, len(drawn["sample"]) if drawn.get("fresh", True) else 0)
        return {**first, "iteration": iteration, **drawn, "decision": "", "failed": []}

    def fan_out(self, state: State) -> list[Send] | str:
        """Blocks of tasks for the rollout boxes, all at once; the runner's semaphore bounds them. What is there is not run."""
        if not state.get("fresh", True):
            return "evaluate"
        tasks = state["sample"]
        size = math.ceil(len(tasks) / BLOCKS)
        blocks = [tasks[i : i + size] for i in range(0, len(tasks), size)]
        return [
            Send("rollout", Block(iteration=state["iteration"], version=state["version"], tasks=block))
            for block in blocks
        ]

    async def rollout(self, state: Block) -> Update:
        """Lines 6-7: run and evaluate a block of tasks."""
        book = await self._s.book(state["version"])
        replicate = self._s.phases.replicate(state["iteration"])
        tasks = [self._s.task(t) for t in state["tasks"]]
        self._s.remember(await self._s.lab.rollouts(tasks, book, replicate=replicate, purpose="task"))
        return {}

    async def rollout_failed(self, state: Block, error: NodeError) -> Command[str]:  # noqa: ARG002 - LangGraph's signature
        """A block that broke: its siblings go on, and `evaluate` runs it again, where a second failure is raised."""
        # the node's own edge is not followed after an error: without this, all blocks broken would end the run
        return Command(update={"failed": state["tasks"]}, goto="evaluate")

    async def evaluate(self, state: State) -> Update:
        """Line 7: what the rollouts of this iteration scored; blocks that broke are run again first."""
        if broken := [self._s.task(t) for t in state.get("failed", [])]:
            book = await self._s.book(state["version"])
            replicate = self._s.phases.replicate(state["iteration"])
            await self._s.lab.rollouts(broken, book, replicate=replicate, purpose="task")
        rollouts = await self._s.rollouts(state)
        if not rollouts:
            raise RunError(
                f"iteration {state['iteration']}: the infrastructure failed for each of {len(state['sample'])} tasks; "
                "mend the connection and give the same command again"
            )
        scores = [r.outcome.score for r in rollouts]
        fresh = state.get("fresh", True)
        row = {
            "train_score": sum(scores) / len(scores),
            "tasks": len(scores),
            # what is only read was counted where it ran
            "excluded": len(state["sample"]) - len(scores) if fresh else 0,
            "errors": sum(1 for r in rollouts if r.outcome.error),
            **({"source": state["source"], "fresh": fresh} if "source" in state else {}),
        }
        await self._s.records.write_box(state["iteration"], "evaluate", row)
        return {}

    async def segment(self, state: State) -> Update:
        """Line 8: partition each trajectory."""
        return await self._decide(state, "segment", self._s.method.segment)

    async def credit(self, state: State) -> Update:
        """Line 10: Φ."""
        return await self._decide(state, "credit", self._s.method.credit)

    async def select(self, state: State) -> Update:
        """Which agents may be edited now."""
        return await self._decide(state, "select", self._s.method.select)

    async def suggest(self, state: State) -> Update:
        """Lines 12-13: Ψ."""
        return await self._decide(state, "suggest", self._s.method.suggest)

    async def merge(self, state: State) -> Update:
        """Line 15: support and top-k."""
        return await self._decide(state, "merge", self._s.method.merge)

    async def write(self, state: State) -> Update:
        """Line 16, first half: suggestions become edits of single rules."""
        write = sealed(self._s.method.write, self._s.splits.test)
        if reads_logs(state):  # what may be quoted are train tasks all the same
            write = beside(write, self._s.phases.trained_on(state))
        return await self._decide(state, "write", write)

    async def gate(self, state: State) -> Update:
        """Does the joint candidate win on the validation tasks?"""
        iteration = state["iteration"]
        batch = await self._s.batch(state)
        batch = replace(batch, validation=self._s.phases.tested(state))
        # at least both arms once; pruning and halving may add more
        self._s.expect("gate", iteration, 2 * len(batch.validation))
        memory = state["memory"]
        if batch.edits:
            tests = reviewing.tests_planned(batch.iterations, reviewed=self._s.reviewer is not None)
            batch = replace(batch, iterations=tests)
            verdict, own = await self._s.method.gate(batch, memory.get("gate", {}), self._s.lab)
            memory = {**memory, "gate": self._s.records.redact.json(dict(own))}
        else:
            verdict = Verdict("inconclusive", (), NOTHING, 0.0, nothing_tested(batch, memory))
        await self._s.records.write_box(iteration, "gate", verdict)
        return {"memory": memory, "decision": verdict.decision if batch.edits else "none"}

    async def review(self, state: State) -> Update:
        """After the gate, before anything is applied: the ledger, and where a person approves, the question."""
        return await reviewing.review(self._s, state)

    async def apply(self, state: State) -> Update:
        """Line 16, second half: the edits that were proven and approved become the current rules."""
        reviewed = await self._s.records.read_box(state["iteration"], "review")
        if not reviewed["edits"]:
            return {"idle": state["idle"] + 1}
        book = await self._s.book(state["version"])
        book = apply(book, [Edit.from_json(e) for e in reviewed["edits"]])
        version = await self._s.records.write_book(book)
        # now, before a gate runs these rules as its baseline: what is read must never be gate data again
        logs = {"logs": self._s.logs(version)} if self._s.phases.logs else {}
        return {"version": version, "idle": 0, **logs}

    def onward(self, state: State) -> str:
        """Line 2: the next iteration, or the end."""
        patience = self._s.method.patience
        if (
            state["done"]
            or state["iteration"] >= self._s.method.iterations
            or (patience is not None and state["idle"] >= patience)
        ):
            return "test"
        return "tasks"

    async def test(self, state: State) -> Update:
        """Open the test split, once, with the rules as they came and as they are now (contract 8)."""
        tasks = self._s.splits.test
        versions = {"initial": state["initial"], "final": state["version"]}
        rows: dict[str, Any] = {"versions": versions, "stopped": state["done"], "early": state["done"]}
        self._s.sealed.open()
        try:
            for arm, version in versions.items():
                self._s.expect(f"test with the {arm} rules", state["iteration"], len(tasks))
                rollouts = await self._s.lab.rollouts(tasks, await self._s.book(version), purpose="test")
                rows[arm] = {r.task: to_json(replace(r.outcome, result=None)) for r in rollouts}
        except (
            BudgetSpent
        ) as spent:  # half a test is no test: what ran is kept, and counts when there is more to spend
            why = f"the sealed test could not be paid: {spent}"
            rows |= {"initial": {}, "final": {}, "unpaid": True, "stopped": why}
        # as it was when the run ended: reading it again later must not change what it says it took
        rows["meter"] = self._s.sealed.metered(self._s.meter)
        rows["planned"] = await self._s.records.read_box(0, PLAN) or {}
        rows["missed"] = dict(self._s.lab.missed)
        credit = state["memory"].get("credit", {})
        rows["refused"] = {**credit.get("refused_why", {}), **credit.get("untested_why", {})}
        await self._s.records.write_box(0, "test", rows)
        full = state["iteration"] >= self._s.method.iterations
        return {"done": state["done"] or ("all iterations done" if full else "no more gains")}

    async def _decide(self, state: State, name: str, decide: Decide) -> Update:
        iteration = state["iteration"]
        self._s.say(name, iteration, 0, 1)
        batch = await self._s.batch(state)
        memory = state["memory"]
        if name in EDITING and not batch.targets:  # nothing may be edited: nobody is asked how
            await self._s.records.write_box(iteration, name, ())
            self._s.say(name, iteration, 1, 1)
            return {}
        result, own = await decide(batch, memory.get(name, {}), self._s.lab)
        await self._s.records.write_box(iteration, name, result)
        self._s.say(name, iteration, 1, 1)
        return {"memory": {**memory, name: self._s.records.redact.json(dict(own))}}
