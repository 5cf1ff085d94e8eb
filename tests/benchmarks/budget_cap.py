"""Does a run ever spend more than its budget? A **simulation**: 64 rollouts in flight, calls of random cost.

Each run sends rollouts of a small graph (one async node, one sync node in a thread, a fan-out of both) through the real
runner, journal and door. A scripted model bills what it likes: replies of random length up to its limit, refused requests
(429, 500: free), time-outs that are billed in full although no reply comes, replies without usage. What it billed is added
up inside the model, away from the library. Caps on calls, tokens, dollars and seconds are drawn at random, some alone,
some together, from a few calls to more than the run can use; every third run is broken off once without warning, with calls
in flight, and started again on what its store holds.

Exit 0 where no run was billed more than a cap, over all of its starts, and no call was let through after its last second.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import statistics
import sys
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, TypedDict

from langchain_core.messages import AIMessage, BaseMessage, HumanMessage
from langgraph.graph import END, START, StateGraph
from langgraph.store.memory import InMemoryStore

from langgraph_truce import Budget, System, Task
from langgraph_truce.errors import BudgetSpent
from langgraph_truce.evaluate import as_evaluator
from langgraph_truce.model import Door, Ended, Journal, Request
from langgraph_truce.model.spending import Spending
from langgraph_truce.rollout.run import Runner
from langgraph_truce.rules import RuleBook, parse
from langgraph_truce.testing import ScriptedModel
from tests.rollout.sharing import Held

IN_FLIGHT = 64
LIMIT = 400
"""Most tokens of a reply."""
PRICE = {"input": 2.0, "output": 10.0}


class State(TypedDict, total=False):
    question: str
    first: str
    second: str
    answer: str


class Overloaded(Exception):
    def __init__(self, status: int) -> None:
        super().__init__(f"status {status}")
        self.status_code = status


@dataclass
class Bill:
    """What the simulated provider charges."""

    rng: random.Random
    calls: int = 0
    tokens: int = 0
    dollars: float = 0.0
    lock: threading.Lock = field(default_factory=threading.Lock)

    def reply(self, messages: list[BaseMessage]) -> AIMessage | BaseException:
        """Charge one call, and give what the caller gets for it."""
        with self.lock:
            lot, out = self.rng.random(), self.rng.randint(1, LIMIT)
            if lot < 0.05:
                return Overloaded(self.rng.choice([429, 500, 503]))
            into = sum(len(m.text) for m in messages) // self.rng.randint(2, 5) + 8
            out = LIMIT if lot < 0.08 else out
            self.calls += 1
            self.tokens += into + out
            self.dollars += (PRICE["input"] * into + PRICE["output"] * out) / 1_000_000
            if lot < 0.08:
                return TimeoutError("no reply came, and it was charged")
            usage = {"input_tokens": into, "output_tokens": out, "total_tokens": into + out}
            return AIMessage("x" * out, usage_metadata=usage)


class Slow(ScriptedModel):
    """Takes a random few milliseconds."""

    async def _agenerate(self, *args: Any, **kwargs: Any) -> Any:
        await asyncio.sleep(0.001 + 0.004 * hash(str(args[0])) % 5 / 5)
        return await super()._agenerate(*args, **kwargs)


class Witness:
    """A keeper that only looks when calls are let through: it is asked first, in the same breath."""

    def __init__(self) -> None:
        self.last = 0.0
        self._asked = 0.0

    def wait(self, request: Request, *, patient: bool) -> float:
        self._asked = time.monotonic()
        return 0.0

    def take(self, request: Request) -> None:
        self.last = self._asked

    def give(self, request: Request, ended: Ended) -> None:
        pass


def system(bill: Bill) -> System:
    """first (async) and second (sync, in a thread) side by side, then an answer that swallows what fails."""
    model = Slow(replies=bill.reply, model_name="m", max_tokens=LIMIT)

    async def first(state: State) -> State:
        reply = await model.ainvoke([HumanMessage(f"first {state['question']}")])
        return {"first": str(reply.content)}

    def second(state: State) -> State:
        reply = model.invoke([HumanMessage(f"second {state['question']}")])
        return {"second": str(reply.content)}

    async def answer(state: State) -> State:
        try:
            reply = await model.ainvoke([HumanMessage(state["first"] + state["second"])])
        except Exception:  # noqa: BLE001 - as foreign nodes do
            return {"answer": "none"}
        return {"answer": str(reply.content)}

    builder = StateGraph(State)
    builder.add_node("first", first)
    builder.add_node("second", second)
    builder.add_node("answer", answer)
    for name in ("first", "second"):
        builder.add_edge(START, name)
        builder.add_edge(name, "answer")
    builder.add_edge("answer", END)
    book = RuleBook({"first": parse("first", "Answer.\n")})
    return System(builder.compile(name="random costs"), book, in_flight=IN_FLIGHT)


def caps(rng: random.Random, tasks: int) -> dict[str, Any]:
    """One to four caps, each a random share of what the run would use without them."""
    whole = {
        "calls": 3 * tasks,
        "tokens": 3 * tasks * 350,
        "usd": 3 * tasks * 0.0023,
        "seconds": 0.02 * tasks,
    }
    chosen = rng.sample(sorted(whole), rng.choice([1, 1, 2, 4]))
    found = {name: whole[name] * rng.uniform(0.1, 1.1) for name in chosen}
    return {n: int(v) if n in ("calls", "tokens") else v for n, v in found.items()}


@dataclass(frozen=True)
class Said:
    """What one run did: share of each cap that was billed, and whether the budget ended it."""

    shares: Mapping[str, float]
    stopped: bool


async def run(seed: int, tasks: int) -> Said:
    rng = random.Random(seed)
    bill, chosen = Bill(random.Random(seed + 1)), caps(rng, tasks)
    store, kept = InMemoryStore(), Held()
    work = [Task(f"t{i}", {"question": f"{i}: " + "why " * rng.randint(1, 100)}) for i in range(tasks)]
    starts = 2 if seed % 3 == 0 else 1
    started, stopped = 0.0, False
    for start in range(starts):
        with Journal(store) as journal, journal.installed():
            spending = Spending(Budget(prices={"m": PRICE}, **chosen), journal)
            began = time.monotonic()
            witness = Witness()
            journal.door = Door([witness, spending])
            runner = Runner(system(bill), as_evaluator(lambda outputs: 1.0), journal, kept)
            going = asyncio.ensure_future(runner.run_all(work, runner.system.book))
            if start + 1 < starts:
                await asyncio.wait({going}, timeout=rng.uniform(0.01, 0.1))
                going.cancel()  # and nothing is closed: what was noted is all that the next start knows
                await asyncio.wait({going})
                while (
                    journal.door.in_flight
                ):  # a thread cannot be killed: it ends before the next start begins
                    await asyncio.sleep(0.002)
            (ended,) = await asyncio.gather(going, return_exceptions=True)
            if isinstance(ended, BaseException) and not isinstance(
                ended, BudgetSpent | asyncio.CancelledError
            ):
                raise ended
            stopped = stopped or isinstance(ended, BudgetSpent)
            started += max(0.0, witness.last - began)  # up to the last call; nobody noted what came after
    billed = {"calls": bill.calls, "tokens": bill.tokens, "usd": bill.dollars, "seconds": started}
    return Said({name: billed[name] / cap for name, cap in chosen.items()}, stopped)


def main(*, quick: bool) -> int:
    runs, tasks = (16, 96) if quick else (200, 80)
    said = []
    for n in range(runs):
        said.append(asyncio.run(run(n, tasks)))
        if (n + 1) % (runs // 4) == 0:
            print(
                f"{n + 1} runs: largest share of a cap {max(s for r in said for s in r.shares.values()):.4f}"
            )
    over = sum(1 for r in said if any(share > 1 for share in r.shares.values()))
    ended = [max(r.shares.values()) for r in said if r.stopped]
    for name in ("calls", "tokens", "usd", "seconds"):
        rows = [r.shares[name] for r in said if name in r.shares]
        if rows:
            print(f"{name:8} capped in {len(rows):3} runs, largest share {max(rows):.4f}")
    print(
        f"simulation, {runs} runs, {IN_FLIGHT} in flight: {over} over a cap; {len(ended)} ended at a cap, having used "
        f"{statistics.median(ended):.1%} of it (median), {min(ended):.1%} at least"
    )
    return 0 if over == 0 and ended else 1


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="fewer runs, within a minute")
    sys.exit(main(quick=parser.parse_args().quick))
