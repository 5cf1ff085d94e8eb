"""How the optimizer's calls grow with roles N and rounds R: linear in N + R, beside all N x R role prompts.

A **simulation** of a debate with an aggregator of its own in each round (`tests/select/debate_world.py`), in which every prompt is
faulty: each role, and each round's aggregator. One turn is optimized for real, phase A (roles) and phase B (aggregators), with
thresholds that let every faulty prompt be chosen and a top-k that keeps them all: the most that a turn can ask. Its calls are
counted by purpose from the run's meter:

- critics: two a judged round (scores, peer view); with T tasks exactly 2 T R in each phase whose rules are new,
- diagnosis: one a failed rollout, at most T in a phase,
- suggest and write: one for each prompt that is edited: N in phase A, R in phase B.

The same once more with role prompts that are not shared (TSCA eq. 9), where N R + R prompts are edited. Rollouts of the system are
a column of their own: exactly N R + R + 1 model calls a task.

The target holds where rollout calls are exact, N + R prompts are edited, edited prompts and optimizer calls have no N x R term
(least squares on 1, N, R and N R; diagnosis by its bound), and the calls of a turn stay below (4 T + 2)(N + R) + 2 T.

    python tests/benchmarks/call_growth.py [--quick]

Exit 0 where it holds.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np

from langgraph_truce import optimize
from langgraph_truce.gate import on_validation
from langgraph_truce.methods import temporal_structural
from langgraph_truce.optimizer import Run
from langgraph_truce.select import Thresholds
from tests.select.debate_world import Debate, score

CRITICS, DIAGNOSIS, PROPOSING = ("credit",), ("diagnose",), ("suggest", "merge", "write")
NOTHING = 1e-6
"""A coefficient below this is 0 but for rounding; a call more for one pair (N, R) is far above it."""


@dataclass(frozen=True)
class Turn:
    """What one turn, two iterations, took."""

    roles: int
    rounds: int
    tasks: int
    rollout: float
    """Model calls of one rollout of the system."""
    critics: int
    diagnosis: int
    proposing: int
    """Suggestions, merging, writing."""
    prompts: int
    """Agents of which an edit was written."""

    @property
    def calls(self) -> int:
        return self.critics + self.diagnosis + self.proposing

    @property
    def holds(self) -> bool:
        """Rollouts and critics are what they must be, and the calls stay below a line in N + R."""
        n, r, t = self.roles, self.rounds, self.tasks
        exact = self.rollout == n * r + r + 1 and self.critics == 4 * t * r and self.diagnosis <= 2 * t
        return exact and self.prompts == n + r and self.calls <= (4 * t + 2) * (n + r) + 2 * t


def turn(roles: int, rounds: int, tasks: int, *, unshared: bool, folder: Path) -> Turn:
    """One turn of the optimizer, counted."""
    breaks = [*(f"role{n}" for n in range(1, roles + 1)), *map(str, range(1, rounds + 1))]
    world = Debate(roles, rounds, breaks, unshared=unshared)
    everyone = Thresholds(roles=roles * rounds, role=1.0, tau=1.0, m=1)
    method = temporal_structural(iterations=1, thresholds=everyone, top_k=1000, gate=on_validation())
    # phase B on train tasks, so that it judges as many rollouts for every N and R
    method = replace(method, logs=0.0)
    meters: dict[int, Any] = {}
    result = optimize(
        world.system(),
        world.splits(tasks, len(breaks), 2),
        score,
        method=method,
        model=world.critic,
        run=Run(folder, on_event=lambda event: meters.update({event["iteration"]: event["meter"]})),
    )

    def calls(purposes: Sequence[str]) -> int:
        return sum(int(result.meter.get(p, {}).get("calls", 0)) for p in purposes)

    per_task = meters[1]["task"]["calls"] / tasks
    edited = {(line["iteration"], line["agent"]) for line in result.ledger}
    return Turn(
        roles, rounds, tasks, per_task, calls(CRITICS), calls(DIAGNOSIS), calls(PROPOSING), len(edited)
    )


def product_term(turns: Sequence[Turn], values: Sequence[float]) -> tuple[float, float]:
    """Coefficient of N R in the least-squares fit of a + b N + c R + d N R, and the largest residual of a + b N + c R."""
    rows = np.array([[1, t.roles, t.rounds, t.roles * t.rounds] for t in turns], dtype=float)
    wanted = np.array(values, dtype=float)
    full = np.linalg.lstsq(rows, wanted, rcond=None)[0]
    plain = np.linalg.lstsq(rows[:, :3], wanted, rcond=None)[0]
    return float(full[3]), float(np.abs(rows[:, :3] @ plain - wanted).max())


def main(sizes: Sequence[tuple[int, int]], tasks: int) -> int:
    shared: list[Turn] = []
    every: list[Turn] = []
    print(f"one turn (phase A and phase B), {tasks} train tasks in each; simulation")
    print(
        f"{'':7} {'rollout':>8} | {'critics':>8} {'diagnosis':>9} {'proposing':>9} {'prompts':>7} | all N x R: {'proposing':>9} {'prompts':>7}"
    )
    with tempfile.TemporaryDirectory() as tmp:
        for roles, rounds in sizes:
            mine, all_ = (
                turn(
                    roles,
                    rounds,
                    tasks,
                    unshared=unshared,
                    folder=Path(tmp) / f"{roles}-{rounds}-{unshared:d}",
                )
                for unshared in (False, True)
            )
            shared.append(mine)
            every.append(all_)
            print(
                f"N={roles} R={rounds} {mine.rollout:8.1f} | {mine.critics:8} {mine.diagnosis:9} {mine.proposing:9} "
                f"{mine.prompts:7} | {'':10} {all_.proposing:9} {all_.prompts:7}{'' if mine.holds else '   MISSED'}",
                flush=True,
            )
    terms = {
        "edited prompts": product_term(shared, [t.prompts for t in shared]),
        "critics and proposing": product_term(shared, [t.critics + t.proposing for t in shared]),
    }
    others = product_term(every, [t.proposing for t in every])
    for name, (slope, residual) in terms.items():
        print(f"{name}: coefficient of N R {slope:+.1e}, largest residual of a + b N + c R {residual:.1e}")
    print(f"proposing for all N x R prompts: coefficient of N R {others[0]:+.2f}")
    linear = all(abs(v) < NOTHING for pair in terms.values() for v in pair)
    good = linear and all(t.holds for t in shared) and others[0] > 1
    last, rest = shared[-1], every[-1]
    print(
        f"N={last.roles}, R={last.rounds}: {last.prompts} prompts edited and {last.calls} optimizer calls a turn, not "
        f"{rest.prompts} and {rest.calls}; {last.rollout:g} calls a rollout; linear in N + R: {'holds' if good else 'MISSED'}"
    )
    return 0 if good else 1


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="four sizes in place of 20, within a minute")
    if parser.parse_args().quick:
        sys.exit(main([*product((3, 4), (2, 3))], 7))
    sys.exit(main([*product(range(3, 8), range(2, 6))], 12))
