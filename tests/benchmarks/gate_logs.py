"""Does a proposer that overfits the gate's own rollouts get more past the gate than it may? A simulation.

A method with two phases (`Method.logs` a quarter) proposes in phase B from the gate's rollouts of the log tasks. Here phase A
always proposes a true gain, and phase B is an adversary: of 1,000 edits that change nothing on average it proposes the one that
does best on the tasks it reads. An edit that changes nothing on average draws the ability of half of the tasks anew, from the
law of all tasks: it has luck on some and bad luck on as many. The adversary knows this luck of every task it reads, exactly.

The gate, the phases and the levels are the real ones; their lab draws scores instead of running graphs. Runs of K = 4
iterations (two turns, 100 validation tasks) at alpha 5 %; those that accept an edit of phase B are counted.

- `left out`: as it is. The gates of phase B may spend alpha / 2 together. Fails above the 99.9 % limit of a run's chance of that.
- `remembered`: the phase A of turn 2 proposes the edit that did best on the log tasks that turn 1 read: what the memory of a
  method could carry there. Fails above the limit of that iteration.
- `tested on`, `remembered, tested on`: the same with gates that use the log tasks. Fails unless the first is above its limit:
  else the check could not fail.
- **Power**: one gain in phase B at the level of a run of ten iterations, with log tasks and without, after phase A was accepted.
- **Real runs**: the same through `optimize` on a graph that draws the same scores; every verdict must be the simulation's.

Noises in turn: `sure` (solved or not, always), `hard` (most tasks nearly always or never solved), `graded`.

Usage: python tests/benchmarks/gate_logs.py [--quick] [--runs N] [--real N] [--jobs N]
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import tempfile
from collections.abc import Container, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from functools import partial
from typing import NamedTuple, TypedDict

from langchain_core.runnables import RunnableConfig
from langgraph.graph import END, START, StateGraph
from scipy.stats import binom

from langgraph_truce import optimize
from langgraph_truce.bind import ainstructions
from langgraph_truce.methods.temporal_structural import temporal_structural
from langgraph_truce.optimizer.phases import Phases, first_kept, reads_logs
from langgraph_truce.optimizer.state import State
from langgraph_truce.rules import AgentRules, Edit, Rule, RuleBook, RuleSlot, Suggestion, apply
from langgraph_truce.seams import Batch, Credit, Lab, Memory, Method, Verdict
from langgraph_truce.segment import segment_each
from langgraph_truce.system import System
from langgraph_truce.task import Splits, Task
from langgraph_truce.trajectory import by_round
from langgraph_truce.write import write_edits
from tests.benchmarks.gate_logs_world import NULLS, Drawing, World

ALPHA, TURNS, SURE = 0.05, 2, 0.999
GAIN = 20
"""Points that phase A's edits are worth."""
GAINS = (5, 10, 20)
PLAYED = 2
"""Iterations of a run that measures power: one turn."""
BOOK = RuleBook({"solver": AgentRules("solver", ("Solve.\n- ", RuleSlot(Rule("r1", "First.")), "\n"), 2)})
SPLITS = Splits(
    *(
        [Task(f"{name}{n}", {"task": f"{name}{n}"}) for n in range(size)]
        for name, size in (("t", 20), ("v", 100), ("s", 2))
    )
)
NOISES = ("sure", "hard", "graded")


class Case(NamedTuple):
    """One run."""

    seed: int
    arm: str = "left out"
    logs: float = 0.25
    gain: int = 0
    """Points that phase B's edit is worth; 0: it is the adversary's."""
    turns: int = TURNS

    @property
    def world(self) -> World:
        """Where it happens."""
        return World(self.seed, NOISES[self.seed % len(NOISES)])

    def text(self, iteration: int, rules: str, read: Sequence[str], tried: Container[str] = ()) -> str:
        """The rule that this iteration proposes, after reading these tasks; an edit that was tested is not tested again."""
        if iteration % 2 and not (self.arm.startswith("remembered") and iteration > 1):
            return f"Gain {GAIN}, part {iteration}."
        return (
            f"Gain {self.gain}, part {iteration}." if self.gain else self.world.luckiest(read, rules, tried)
        )


class Turn(NamedTuple):
    """What came of one iteration."""

    text: str
    logs: bool
    """True where it was proposed from gate logs."""
    tested: int
    decision: str
    estimate: float


def play(case: Case) -> tuple[Turn, ...]:
    """One run in the simulation."""
    return asyncio.run(_play(case))


async def _play(case: Case) -> tuple[Turn, ...]:
    lab = Drawing(case.world)
    method = replace(temporal_structural(iterations=case.turns), logs=case.logs)
    phases = Phases(method, SPLITS, lab.rng)
    books, state = {BOOK.version: BOOK}, State(version=BOOK.version)
    memory: Memory = {}
    remembered: list[str] = []
    turns: list[Turn] = []
    for i in range(1, (PLAYED if case.gain else method.iterations) + 1):
        state["iteration"] = i
        state.update(phases.begin(i, state))  # type: ignore[typeddict-item]  # as LangGraph does
        book = books[state["version"]]
        read = state["sample"]
        if reads_logs(state):
            remembered = read
        again = case.arm.startswith("remembered") and i % 2 == 1 and bool(remembered)
        tried = {turn.text for turn in turns} if again else ()
        text = case.text(i, book.render("solver"), remembered if again else read, tried)
        wish = Suggestion("ADD", "solver", text, tasks=() if again else tuple(read))
        edit = Edit(f"e{i}.1", "ADD", "solver", text=text, suggestion=wish)
        everything = case.arm == "tested on" or (again and case.arm.endswith("tested on"))
        tested = tuple(SPLITS.validation) if everything else phases.tested(state)
        verdict, memory = await method.gate(
            Batch(i, method.iterations, book, {}, validation=tested, edits=(edit,)), memory, lab
        )
        turns.append(_turn(text, reads_logs(state), len(tested), verdict))
        if verdict.decision == "accept":
            book = apply(book, verdict.edits)
            books[book.version] = book
            logs = first_kept(
                lab.known, book.version, [t.id for t in SPLITS.validation if t.id in phases.logs]
            )
            state["version"], state["logs"] = book.version, logs
    return tuple(turns)


def _turn(text: str, logs: bool, tested: int, verdict: Verdict) -> Turn:
    return Turn(text, logs, tested, verdict.decision, verdict.comparison.estimate)


# ---- the same through `optimize` ---------------------------------------------------------------------------------------


class Asked(TypedDict, total=False):
    task: str
    score: float


def real(case: Case) -> tuple[Turn, ...]:
    """One run of the optimizer, whose graph draws what the simulation draws."""
    turns: list[Turn] = []
    with tempfile.TemporaryDirectory() as folder:
        optimize(
            system_of(case.world),
            SPLITS,
            lambda outputs, reference_outputs: outputs["score"],
            method=method_of(case, turns),
            run=f"{folder}/run",
            seed=case.seed,
        )
    return tuple(turns)


def system_of(world: World) -> System:
    """A graph of one node that draws."""

    async def solver(state: Asked, config: RunnableConfig) -> Asked:
        rules = await ainstructions("solver")
        name = config["configurable"]["truce_rollout"]
        return {"score": world.score(state["task"], rules, name)}

    builder = StateGraph(Asked)
    builder.add_node("solver", solver)
    builder.add_edge(START, "solver").add_edge("solver", END)
    return System(builder.compile(name="drawing"), BOOK, calls=0)


def method_of(case: Case, turns: list[Turn]) -> Method:
    """The decisions of a run; what its gate was given and said goes to `turns`."""
    made = temporal_structural(iterations=case.turns)

    async def credit(batch: Batch, memory: Memory, lab: Lab) -> tuple[tuple[Credit, ...], Memory]:
        return (), memory

    async def select(batch: Batch, memory: Memory, lab: Lab) -> tuple[tuple[str, ...], Memory]:
        return ("solver",), memory

    async def suggest(batch: Batch, memory: Memory, lab: Lab) -> tuple[tuple[Suggestion, ...], Memory]:
        text = case.text(batch.iteration, batch.book.render("solver"), tuple(batch.tasks))
        step = f"{batch.rollouts[0].id}/{batch.rollouts[0].trajectory.steps[0].id}"
        return (Suggestion("ADD", "solver", text, evidence=(step,), tasks=tuple(batch.tasks)),), memory

    async def merge(batch: Batch, memory: Memory, lab: Lab) -> tuple[tuple[Suggestion, ...], Memory]:
        return batch.suggestions, memory

    async def gate(batch: Batch, memory: Memory, lab: Lab) -> tuple[Verdict, Memory]:
        verdict, memory = await made.gate(batch, memory, lab)
        turns.append(
            _turn(batch.edits[0].text, next(iter(batch.tasks))[0] == "v", len(batch.validation), verdict)
        )
        return verdict, memory

    return replace(
        made,
        marked=False,  # no decision here looks at rounds
        segment=segment_each(by_round),
        credit=credit,
        select=select,
        suggest=suggest,
        merge=merge,
        write=write_edits(by_model=False),
        gate=gate,
        logs=case.logs,
        patience=None,
        asks=None,
    )


# ---- the benchmark -----------------------------------------------------------------------------------------------------


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--quick", action="store_true", help="180 runs, 60 that remember, 30 a power cell, 2 real ones"
    )
    parser.add_argument("--runs", type=int, default=2000, help="runs in which log tasks are left out")
    parser.add_argument("--real", type=int, default=36, help="runs of `optimize`")
    parser.add_argument("--jobs", type=int, default=2)
    args = parser.parse_args()
    runs, cell, checked = (180, 30, 2) if args.quick else (args.runs, 300, args.real)
    with ProcessPoolExecutor(args.jobs) as pool:
        go = partial(pool.map, play, chunksize=5)
        arms = {arm: list(go([Case(s, arm) for s in range(n)])) for arm, n in _arms(runs)}
        power = {
            (gain, logs): list(go([Case(10**6 + s, logs=logs, gain=gain, turns=5) for s in range(cell)]))
            for gain in GAINS
            for logs in (0.25, 0.0)
        }
        ran = list(pool.map(real, [Case(s) for s in range(checked)]))
    print(
        f"simulation; alpha {ALPHA}, K = {2 * TURNS}, {len(SPLITS.validation)} validation tasks; {NULLS} edits to choose from"
    )
    failed = [*_errors(arms), *_same(ran, arms["left out"])]
    for gain in GAINS:
        print(_power(gain, power[gain, 0.25], power[gain, 0.0]))
    for line in failed:
        print(f"FAILED: {line}")
    return int(bool(failed))


def _arms(runs: int) -> Iterator[tuple[str, int]]:
    yield from (
        ("left out", runs),
        ("remembered", min(runs, 1000)),
        ("tested on", min(runs, 400)),
        ("remembered, tested on", min(runs, 400)),
    )


def _errors(arms: Mapping[str, Sequence[Sequence[Turn]]]) -> list[str]:
    """Print the false accepts; what is wrong with them."""
    failed = []
    for arm, runs in arms.items():
        share = ALPHA / (2 * TURNS)
        # the iterations whose gates are counted: where it is remembered, the one that remembers
        counted = (3,) if arm.startswith("remembered") else range(2, 2 * TURNS + 1, 2)
        false = sum(any(_false(run[i - 1]) for i in counted) for run in runs)
        bound = share * len(counted)
        most = int(binom.ppf(SURE, len(runs), bound))
        read = sum(turn.logs for run in runs for turn in run)
        print(
            f"{arm:>21}: {false} of {len(runs)} runs accept what changes nothing ({false / len(runs):.1%}, allowed {bound:.2%}, "
            f"limit {most}); {read} iterations read gate logs"
        )
        if arm in {"left out", "remembered"} and false > most:
            failed.append(f"{arm}: {false} of {len(runs)} runs accept what changes nothing, more than {most}")
        if arm == "tested on" and false <= most:
            failed.append(f"with log tasks in the gate only {false} false accepts, at most {most}: no check")
    return failed


def _false(turn: Turn) -> bool:
    return turn.decision == "accept" and turn.text.startswith("Null")


def _same(ran: Sequence[Sequence[Turn]], played: Sequence[Sequence[Turn]]) -> list[str]:
    """Print how many runs of `optimize` were as simulated; which were not."""
    odd = [n for n, run in enumerate(ran) if tuple(run) != tuple(played[n])]
    print(f"   real runs: {len(ran) - len(odd)} of {len(ran)} with every verdict as simulated")
    return [f"the run of seed {n} is not as simulated: {ran[n]} and {played[n]}" for n in odd]


def _power(gain: int, logs: Sequence[Sequence[Turn]], none: Sequence[Sequence[Turn]]) -> str:
    parts = []
    for runs in (logs, none):
        later = [run[1] for run in runs if run[0].decision == "accept"]
        found = sum(turn.decision == "accept" for turn in later)
        parts.append(f"{found / len(later):.3f} ({later[0].tested} tasks, {len(later)} runs)")
    return f"+{gain} points in phase B: found {parts[0]} with logs 0.25, {parts[1]} with logs 0"


if __name__ == "__main__":
    sys.exit(main())
