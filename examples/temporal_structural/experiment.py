"""What is run: arms, topologies and seeds, each combination in a run folder of its own."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from langgraph_truce import Budget, Method, Outcome, Result, Run, Splits, System, graphs, noise, optimize
from langgraph_truce.answers import right_choice
from langgraph_truce.baselines import mipro
from langgraph_truce.codec import from_json
from langgraph_truce.credit.critics import critics
from langgraph_truce.gate import on_validation, sequential_gate
from langgraph_truce.methods import offline, temporal_structural, truce
from langgraph_truce.optimizer import Measured
from langgraph_truce.optimizer.place import read_place
from langgraph_truce.report import Progress
from langgraph_truce.seams import Batch, Gate, Lab, Memory
from langgraph_truce.select import Thresholds

from .models import Served, task_model

BLOCKS: dict[str, tuple[Any, ...]] = {
    "roles": ("roles",),
    "aggregators": ("aggregators",),
    "both": ("roles", "aggregators"),
}
"""Arms of the paper's method, by the blocks of prompts that they edit."""
ORIGINAL = "original"
MIPRO = "mipro"
ARMS = (ORIGINAL, MIPRO, *BLOCKS, "truce")
GATES: dict[str, Callable[[], Gate]] = {"on_validation": on_validation, "sequential": sequential_gate}


@dataclass(frozen=True, slots=True)
class Cell:
    """One run."""

    topology: str
    arm: str
    seed: int

    @property
    def words(self) -> str:
        """For progress and messages."""
        return f"{self.topology}, {self.arm}, seed {self.seed}"


@dataclass(frozen=True, slots=True)
class Effort:
    """How much an arm may do; equal for all arms that edit."""

    turns: int = 5
    """Outer iterations k. Every arm that edits has two chances per turn: the paper's two phases."""
    gate: str = "on_validation"
    """The paper keeps what scores higher on held-out questions; `sequential` controls false accepts."""
    thresholds: Thresholds = field(default_factory=Thresholds)
    mipro: Mapping[str, Any] | None = None
    """Settings of `baselines.mipro`; None: its `auto="light"`."""


@dataclass(frozen=True, slots=True)
class Experiment:
    """Everything that all runs share."""

    splits: Splits
    score: Any
    rule: str
    """Id of the extraction rule."""
    model: str
    critic: Any
    served: Served
    runs: Path
    effort: Effort = field(default_factory=Effort)
    rounds: int | None = None
    """R; None: each topology's own."""
    budget: Budget | None = None
    """Of each run."""
    init: str = ""
    """`mipro`: the arms that edit begin with the rules that MIPROv2 found, as in the paper."""

    def system(self, topology: str, seed: int) -> System:
        """The graph with aggregators, on the model of the agents."""
        model = task_model(self.model, self.served, seed)
        ready: Any = graphs.load(topology)
        settings = {} if self.rounds is None else {"rounds": self.rounds}
        if topology == "dylan":
            settings["aggregated"] = True
        made: System = ready.system(model, **settings)
        return made

    def folder(self, cell: Cell) -> Path:
        """Where a run is kept."""
        begun = self.init and cell.arm not in (ORIGINAL, MIPRO)
        arm = f"{cell.arm}-from-{self.init}" if begun else cell.arm
        return self.runs / cell.topology / arm / f"seed-{cell.seed}"

    def run(self, cell: Cell) -> Result:
        """One run, begun, resumed or read.

        Raises:
            TruceError: it cannot be run, or it was stopped; the same call goes on.
        """
        system = self.system(cell.topology, cell.seed)
        with Progress() as progress:
            where = Run(self.folder(cell), on_event=progress)
            if cell.arm == MIPRO:
                return self._mipro(system, where, cell.seed)
            if self.init and cell.arm != ORIGINAL:
                first = self.run(replace(cell, arm=MIPRO))
                system = replace(system, rules=first.rules)
            return optimize(
                system,
                self.splits,
                self.score,
                method=self.method(cell.arm),
                model=self.critic,
                budget=self.budget,
                run=where,
                seed=cell.seed,
            )

    def method(self, arm: str) -> Method:
        """The method of an arm; of the original rules one that edits nothing, and runs one train question."""
        turns, gate = self.effort.turns, GATES[self.effort.gate]()
        if arm == ORIGINAL:
            return replace(
                offline(gate=gate), name=ORIGINAL, credit=nothing, select=nothing, suggest=nothing, sample=1
            )
        if arm == "truce":
            return truce(iterations=2 * turns, gate=gate)
        blocks = BLOCKS[arm]
        made = temporal_structural(
            iterations=2 * turns // len(blocks), thresholds=self.effort.thresholds, blocks=blocks, gate=gate
        )
        # what a critic's role or round got right is read by the rule that scores the answers
        return replace(made, credit=critics(right=right_choice(self.rule)))

    def noise(self, topology: str, seed: int) -> Measured:
        """The system against itself on the validation questions."""
        with Progress() as progress:
            where = Run(self.runs / topology / "noise" / f"seed-{seed}", on_event=progress)
            system = self.system(topology, seed)
            return noise(
                system,
                self.splits.validation,
                self.score,
                replicates=1,
                budget=self.budget,
                run=where,
                seed=seed,
            )

    def _mipro(self, system: System, where: Run, seed: int) -> Result:
        return mipro(
            system,
            self.splits,
            self.score,
            model=self.critic,
            budget=self.budget,
            run=where,
            seed=seed,
            **(self.effort.mipro or {}),
        )


async def nothing(batch: Batch, memory: Memory, lab: Lab) -> tuple[tuple[Any, ...], Memory]:  # noqa: ARG001
    """No credit, no target, no suggestion: the rules stay as they came."""
    return (), memory


def outcomes(folder: Path) -> dict[str, dict[str, Outcome]]:
    """The sealed test of a finished run: arm (`initial` or `final`) -> question -> what came of it."""

    async def read() -> dict[str, dict[str, Outcome]]:
        async with read_place(folder) as records:
            test = await records.read_box(0, "test") or {}
        arms = {arm: test.get(arm) or {} for arm in ("initial", "final")}
        return {arm: {k: from_json(Outcome, v) for k, v in rows.items()} for arm, rows in arms.items()}

    return asyncio.run(read())
